//! `bit`: operations on numbers as 32 bits. Any number is taken modulo 2³², rounded to the nearest integer; results are signed.

use std::ffi::c_int;

use mlua::ffi as lua;
use mlua::ffi::lua_State;

use super::{push_bytes, push_library};

/// Pushes the library.
pub unsafe fn push(state: *mut lua_State) {
    push_library(
        state,
        0,
        &[
            (c"tobit", tobit),
            (c"bnot", bnot),
            (c"band", band),
            (c"bor", bor),
            (c"bxor", bxor),
            (c"lshift", lshift),
            (c"rshift", rshift),
            (c"arshift", arshift),
            (c"rol", rol),
            (c"ror", ror),
            (c"bswap", bswap),
            (c"tohex", tohex),
        ],
    );
}

/// An argument's 32 bits.
unsafe fn argument(state: *mut lua_State, index: c_int) -> u32 {
    // So large a number has no bits left for fractions: its lowest 32 are the sum's, rounded.
    const ROUNDING: f64 = 6_755_399_441_055_744.0;
    let bits = (lua::lua_tonumber(state, index) + ROUNDING).to_bits() as u32;
    if bits == 0 && lua::lua_isnumber(state, index) == 0 {
        lua::luaL_typerror(state, index, c"number".as_ptr());
    }
    bits
}

unsafe fn result(state: *mut lua_State, bits: u32) -> c_int {
    lua::lua_pushnumber(state, f64::from(bits as i32));
    1
}

/// Combines all arguments.
unsafe fn fold(state: *mut lua_State, combine: fn(u32, u32) -> u32) -> c_int {
    let mut bits = argument(state, 1);
    for index in (2..=lua::lua_gettop(state)).rev() {
        bits = combine(bits, argument(state, index));
    }
    result(state, bits)
}

/// Moves the first argument's bits by the second, modulo 32.
unsafe fn shift(state: *mut lua_State, shifted: fn(u32, u32) -> u32) -> c_int {
    let bits = argument(state, 1);
    let by = argument(state, 2) & 31;
    result(state, shifted(bits, by))
}

unsafe extern "C-unwind" fn tobit(state: *mut lua_State) -> c_int {
    let bits = argument(state, 1);
    result(state, bits)
}

unsafe extern "C-unwind" fn bnot(state: *mut lua_State) -> c_int {
    let bits = argument(state, 1);
    result(state, !bits)
}

unsafe extern "C-unwind" fn band(state: *mut lua_State) -> c_int {
    fold(state, |left, right| left & right)
}

unsafe extern "C-unwind" fn bor(state: *mut lua_State) -> c_int {
    fold(state, |left, right| left | right)
}

unsafe extern "C-unwind" fn bxor(state: *mut lua_State) -> c_int {
    fold(state, |left, right| left ^ right)
}

unsafe extern "C-unwind" fn lshift(state: *mut lua_State) -> c_int {
    shift(state, |bits, by| bits << by)
}

unsafe extern "C-unwind" fn rshift(state: *mut lua_State) -> c_int {
    shift(state, |bits, by| bits >> by)
}

unsafe extern "C-unwind" fn arshift(state: *mut lua_State) -> c_int {
    shift(state, |bits, by| (bits as i32 >> by) as u32)
}

unsafe extern "C-unwind" fn rol(state: *mut lua_State) -> c_int {
    shift(state, u32::rotate_left)
}

unsafe extern "C-unwind" fn ror(state: *mut lua_State) -> c_int {
    shift(state, u32::rotate_right)
}

unsafe extern "C-unwind" fn bswap(state: *mut lua_State) -> c_int {
    let bits = argument(state, 1);
    result(state, bits.swap_bytes())
}

/// The lowest digits of a number: eight, or as many as the second argument says; in capitals if that is negative.
unsafe extern "C-unwind" fn tohex(state: *mut lua_State) -> c_int {
    let bits = argument(state, 1);
    let digits = if lua::lua_isnone(state, 2) != 0 { 8 } else { argument(state, 2) as i32 };
    let alphabet = if digits < 0 { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
    let len = digits.unsigned_abs().min(8) as usize;
    let mut text = [0; 8];
    for (at, digit) in text[..len].iter_mut().rev().enumerate() {
        *digit = alphabet[(bits >> (4 * at)) as usize & 15];
    }
    push_bytes(state, &text[..len]);
    1
}
