//! The libraries that scripts find besides Lua's own: `bit`, `cjson`, `cmsgpack` and `struct`, with the results, the limits and
//! the messages that scripts written for Redis expect of them.
//!
//! They use the interpreter's C interface, for which the same rules hold as in the rest of the engine: what can raise an error
//! of Lua, a `longjmp`, runs only in functions that Lua calls, and no Rust value that has to be dropped is alive in their frames
//! then. What grows while a value is encoded or decoded is therefore in [`State`], which Lua owns. What is nested too deeply
//! finds the interpreter's stack too small before it has used up the machine's.
#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

mod bit;
mod cjson;
mod cmsgpack;
mod structs;
#[cfg(test)]
mod tests;

use std::ffi::{CStr, c_int};
use std::ptr;

pub use cjson::write_number;
use mlua::ffi as lua;
use mlua::ffi::lua_State;

/// Pushes a library.
type Push = unsafe fn(*mut lua_State);
type Function = unsafe extern "C-unwind" fn(*mut lua_State) -> c_int;

/// An encoded value has at most so many bytes: a table that holds another twice, which holds another twice, and so on, would
/// else have a text that no memory is enough for.
const ENCODED_MAX: usize = 512 << 20;
/// A buffer that is kept for the next call keeps so much.
const KEPT_BUFFER: usize = 64 << 10;

/// Adds the libraries to the global table.
///
/// # Safety
/// Has to run in protected mode, with room for a few values on the stack, whose height it leaves as it was.
pub unsafe fn install(state: *mut lua_State) {
    let libraries = [
        (c"bit", bit::push as Push),
        (c"cjson", cjson::push),
        (c"cmsgpack", cmsgpack::push),
        (c"struct", structs::push),
    ];
    for (name, push) in libraries {
        push(state);
        lua::lua_setfield(state, lua::LUA_GLOBALSINDEX, name.as_ptr());
    }
}

/// Pushes a library: a table of functions, each of which has the `upvalues` values on the stack as its upvalues, which are taken
/// off.
unsafe fn push_library(state: *mut lua_State, upvalues: c_int, functions: &[(&CStr, Function)]) {
    lua::lua_createtable(state, 0, functions.len() as c_int);
    lua::lua_insert(state, -1 - upvalues);
    for (name, function) in functions {
        for _ in 0..upvalues {
            lua::lua_pushvalue(state, -upvalues);
        }
        lua::lua_pushcclosure(state, *function, upvalues);
        lua::lua_setfield(state, -2 - upvalues, name.as_ptr());
    }
    lua::lua_settop(state, -1 - upvalues);
}

/// Sets a field of the table on the stack to a text.
unsafe fn set_text(state: *mut lua_State, name: &CStr, text: &CStr) {
    lua::lua_pushstring_(state, text.as_ptr());
    lua::lua_setfield(state, -2, name.as_ptr());
}

/// A buffer that calls of a library have for themselves.
#[derive(Default)]
struct Buffer(Vec<u8>);

impl Buffer {
    /// Empties it for another call, which will hardly need what an uncommonly large one did.
    fn clear(&mut self) {
        self.0.clear();
        self.0.shrink_to(KEPT_BUFFER);
    }

    /// Raises an error if it has grown too large.
    #[inline]
    unsafe fn check(&self, state: *mut lua_State) {
        if self.0.len() > ENCODED_MAX {
            lua::luaL_error(state, c"not enough memory".as_ptr());
        }
    }
}

/// Rust values that Lua owns, as upvalues of the functions that use them.
struct State<T>(std::marker::PhantomData<T>);

impl<T> State<T> {
    /// Pushes a value, which Lua drops when nobody uses it any more.
    unsafe fn push(state: *mut lua_State, value: fn() -> T) {
        const { assert!(align_of::<T>() <= 8, "Lua aligns its blocks to eight bytes") };
        let place: *mut T = lua::lua_newuserdata(state, size_of::<T>()).cast();
        ptr::write(place, value());
        lua::lua_createtable(state, 0, 1);
        lua::lua_pushcclosure(state, Self::drop, 0);
        lua::lua_setfield(state, -2, c"__gc".as_ptr());
        lua::lua_setmetatable(state, -2);
    }

    /// The value that is the running function's first upvalue.
    unsafe fn of<'a>(state: *mut lua_State) -> &'a mut T {
        &mut *lua::lua_touserdata(state, lua::lua_upvalueindex(1)).cast()
    }

    unsafe extern "C-unwind" fn drop(state: *mut lua_State) -> c_int {
        ptr::drop_in_place(lua::lua_touserdata(state, 1).cast::<T>());
        0
    }
}

/// The bytes of the string or number at an index, which becomes a string. They are there as long as it is, and a NUL follows
/// them.
unsafe fn string_at<'a>(state: *mut lua_State, index: c_int) -> &'a [u8] {
    let mut len = 0;
    let bytes = lua::lua_tolstring(state, index, &raw mut len);
    if bytes.is_null() { b"" } else { std::slice::from_raw_parts(bytes.cast(), len) }
}

/// The bytes of an argument that has to be a string or a number.
unsafe fn check_string<'a>(state: *mut lua_State, argument: c_int) -> &'a [u8] {
    let mut len = 0;
    let bytes = lua::luaL_checklstring(state, argument, &raw mut len);
    std::slice::from_raw_parts(bytes.cast(), len)
}

/// Makes room for values on the stack, or raises an error that says what there is no room for. As `luaL_checkstack`, which has no
/// room for that error.
unsafe fn make_room(state: *mut lua_State, values: c_int, what: &CStr) {
    if lua::lua_checkstack(state, values) == 0 {
        lua::lua_settop(state, 0);
        lua::luaL_error(state, c"stack overflow (%s)".as_ptr(), what.as_ptr());
    }
}

unsafe fn push_bytes(state: *mut lua_State, bytes: &[u8]) {
    lua::lua_pushlstring_(state, bytes.as_ptr().cast(), bytes.len());
}

/// A number as an integer in the way of the processors that Redis runs on: without its fraction, and what does not fit is the
/// least there is.
fn truncate(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) { number as i64 } else { i64::MIN }
}

/// The same for unsigned integers, where what is too large is 0.
fn truncate_unsigned(number: f64) -> u64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if number >= LIMIT { (truncate(number - LIMIT) as u64) ^ (1 << 63) } else { truncate(number) as u64 }
}
