//! `cmsgpack`: values as MessagePack and back.
//!
//! A number without a fraction is packed as the shortest integer, another as a float of four bytes if it loses nothing by that. A
//! table whose keys are 1 to n is an array, an empty one too; any other is a map. Tables nested deeper than [`NESTING_MAX`] and
//! what has no other form are nil. Of MessagePack's types the extensions and byte strings are not known.

use std::ffi::{CStr, c_int};

use mlua::ffi as lua;
use mlua::ffi::lua_State;

use super::{Buffer, State, check_string, make_room, push_bytes, push_library, set_text, string_at, truncate};

/// Tables below so many others become nil: one that contains itself has no other end.
const NESTING_MAX: u32 = 16;

/// Pushes the library.
pub unsafe fn push(state: *mut lua_State) {
    State::<Buffer>::push(state, Buffer::default);
    push_library(
        state,
        1,
        &[(c"pack", pack), (c"unpack", unpack), (c"unpack_one", unpack_one), (c"unpack_limit", unpack_limit)],
    );
    set_text(state, c"_NAME", c"cmsgpack");
    set_text(state, c"_VERSION", c"lua-cmsgpack 0.4.0");
    set_text(state, c"_COPYRIGHT", c"Copyright (C) 2012, Salvatore Sanfilippo");
    set_text(state, c"_DESCRIPTION", c"MessagePack C implementation for Lua");
}

/// `pack(value, …)`: the values one after the other.
unsafe extern "C-unwind" fn pack(state: *mut lua_State) -> c_int {
    let count = lua::lua_gettop(state);
    if count == 0 {
        return lua::luaL_argerror(state, 0, c"MessagePack pack needs input.".as_ptr());
    }
    if lua::lua_checkstack(state, count) == 0 {
        return lua::luaL_argerror(state, 0, c"Too many arguments for MessagePack pack.".as_ptr());
    }
    let buffer = State::<Buffer>::of(state);
    buffer.clear();
    for index in 1..=count {
        lua::lua_pushvalue(state, index);
        pack_value(state, buffer, 0);
    }
    push_bytes(state, &buffer.0);
    1
}

/// Packs the value on the stack, which it takes off.
unsafe fn pack_value(state: *mut lua_State, buffer: &mut Buffer, level: u32) {
    buffer.check(state);
    let out = &mut buffer.0;
    match lua::lua_type(state, -1) {
        lua::LUA_TSTRING => pack_string(out, string_at(state, -1)),
        lua::LUA_TBOOLEAN => out.push(if lua::lua_toboolean(state, -1) != 0 { 0xc3 } else { 0xc2 }),
        lua::LUA_TNUMBER => pack_number(out, lua::lua_tonumber(state, -1)),
        lua::LUA_TTABLE if level < NESTING_MAX => match array_len(state) {
            Some(len) => {
                pack_head(out, len, 0x90, 15, [0xdc, 0xdd]);
                make_room(state, 1, c"in function mp_encode_lua_table_as_array");
                for index in 1..=len as c_int {
                    lua::lua_rawgeti_(state, -1, index);
                    pack_value(state, buffer, level + 1);
                }
            }
            None => pack_map(state, buffer, level),
        },
        _ => out.push(0xc0),
    }
    lua::lua_settop(state, -2);
}

/// Packs the table on the stack as a map.
unsafe fn pack_map(state: *mut lua_State, buffer: &mut Buffer, level: u32) {
    make_room(state, 3, c"in function mp_encode_lua_table_as_map");
    let mut len = 0;
    lua::lua_pushnil(state);
    while lua::lua_next(state, -2) != 0 {
        lua::lua_settop(state, -2);
        len += 1;
    }
    pack_head(&mut buffer.0, len, 0x80, 15, [0xde, 0xdf]);
    lua::lua_pushnil(state);
    while lua::lua_next(state, -2) != 0 {
        lua::lua_pushvalue(state, -2);
        pack_value(state, buffer, level + 1);
        pack_value(state, buffer, level + 1);
    }
}

/// The length of the table on the stack if its keys are 1 to that.
unsafe fn array_len(state: *mut lua_State) -> Option<usize> {
    make_room(state, 2, c"in function table_is_an_array");
    let (mut count, mut last) = (0, 0);
    lua::lua_pushnil(state);
    while lua::lua_next(state, -2) != 0 {
        lua::lua_settop(state, -2);
        let key = lua::lua_tonumber(state, -1);
        let is_index = lua::lua_type(state, -1) == lua::LUA_TNUMBER
            && key >= 1.0
            && key <= f64::from(i32::MAX)
            && key.trunc() == key;
        if !is_index {
            lua::lua_settop(state, -2);
            return None;
        }
        last = last.max(key as usize);
        count += 1;
    }
    (last == count).then_some(count)
}

fn pack_number(out: &mut Vec<u8>, number: f64) {
    let integer = truncate(number);
    if integer as f64 == number {
        pack_integer(out, integer);
    } else if f64::from(number as f32) == number {
        out.push(0xca);
        out.extend_from_slice(&(number as f32).to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn pack_integer(out: &mut Vec<u8>, integer: i64) {
    let bytes = integer.to_be_bytes();
    let (kind, len) = match integer {
        -32..=127 => return out.push(integer as u8),
        128..=0xff => (0xcc, 1),
        0x100..=0xffff => (0xcd, 2),
        0x1_0000..=0xffff_ffff => (0xce, 4),
        0x1_0000_0000.. => (0xcf, 8),
        -0x80..-32 => (0xd0, 1),
        -0x8000..-0x80 => (0xd1, 2),
        -0x8000_0000..-0x8000 => (0xd2, 4),
        ..-0x8000_0000 => (0xd3, 8),
    };
    out.push(kind);
    out.extend_from_slice(&bytes[8 - len..]);
}

fn pack_string(out: &mut Vec<u8>, text: &[u8]) {
    match u8::try_from(text.len()) {
        Ok(len @ 32..) => out.extend_from_slice(&[0xd9, len]),
        _ => pack_head(out, text.len(), 0xa0, 31, [0xda, 0xdb]),
    }
    out.extend_from_slice(text);
}

/// The head of something with a length: in one byte if it is at most `short_max`, else of one of two kinds, with two or four
/// bytes of it.
fn pack_head(out: &mut Vec<u8>, len: usize, short: u8, short_max: usize, long: [u8; 2]) {
    if len <= short_max {
        out.push(short | len as u8);
    } else if let Ok(len) = u16::try_from(len) {
        out.push(long[0]);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(long[1]);
        out.extend_from_slice(&(len as u32).to_be_bytes());
    }
}

/// `unpack(text)`: all values in it.
unsafe extern "C-unwind" fn unpack(state: *mut lua_State) -> c_int {
    unpack_values(state, 0, 0)
}

/// `unpack_one(text [, offset])`: where the next value begins, -1 if there is none, and the value.
unsafe extern "C-unwind" fn unpack_one(state: *mut lua_State) -> c_int {
    let offset = lua::luaL_optinteger(state, 2, 0);
    lua::lua_settop(state, 1);
    unpack_values(state, 1, offset as i64)
}

/// `unpack_limit(text, limit [, offset])`: the same for several values.
unsafe extern "C-unwind" fn unpack_limit(state: *mut lua_State) -> c_int {
    let limit = lua::luaL_checkinteger(state, 2);
    let offset = lua::luaL_optinteger(state, 3, 0);
    lua::lua_settop(state, 1);
    unpack_values(state, limit as i64, offset as i64)
}

unsafe fn unpack_values(state: *mut lua_State, limit: i64, offset: i64) -> c_int {
    let text = check_string(state, 1);
    let all = limit == 0 && offset == 0;
    if limit < 0 || offset < 0 {
        let message = c"Invalid request to unpack with offset of %d and limit of %d.";
        return lua::luaL_error(state, message.as_ptr(), offset as c_int, text.len() as c_int);
    }
    let Some(left) = text.get(offset as usize..) else {
        let message = c"Start offset %d greater than input length %d.";
        return lua::luaL_error(state, message.as_ptr(), offset as c_int, text.len() as c_int);
    };
    let limit = if all { i64::from(i32::MAX) } else { limit };
    let mut input = Input { left };
    let mut count = 0;
    while !input.left.is_empty() && i64::from(count) < limit {
        if let Err(Fault(message)) = input.push_value(state) {
            return lua::luaL_error(state, message.as_ptr());
        }
        count += 1;
    }
    if all {
        return count;
    }
    make_room(state, 1, c"in function mp_unpack_full");
    let next = if input.left.is_empty() { -1.0 } else { (text.len() - input.left.len()) as f64 };
    lua::lua_pushnumber(state, next);
    lua::lua_insert(state, 2);
    count + 1
}

/// Why text cannot be unpacked.
struct Fault(&'static CStr);

const MISSING: Fault = Fault(c"Missing bytes in input.");
const BAD_FORMAT: Fault = Fault(c"Bad data format in input.");

/// What is still to be unpacked.
struct Input<'a> {
    left: &'a [u8],
}

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let (taken, left) = self.left.split_at_checked(len).ok_or(MISSING)?;
        self.left = left;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (taken, left) = self.left.split_first_chunk().ok_or(MISSING)?;
        self.left = left;
        Ok(*taken)
    }

    fn u16(&mut self) -> Result<usize, Fault> {
        Ok(u16::from_be_bytes(self.array()?).into())
    }

    fn u32(&mut self) -> Result<usize, Fault> {
        Ok(u32::from_be_bytes(self.array()?) as usize)
    }

    /// Pushes the next value.
    unsafe fn push_value(&mut self, state: *mut lua_State) -> Result<(), Fault> {
        let [kind] = self.array()?;
        let full = c"too many return values at once; use unpack_one or unpack_limit instead.";
        make_room(state, 1, full);
        let number = match kind {
            0x00..=0x7f => f64::from(kind),
            0xe0..=0xff => f64::from(kind as i8),
            0xcc => f64::from(u8::from_be_bytes(self.array()?)),
            0xcd => f64::from(u16::from_be_bytes(self.array()?)),
            0xce => f64::from(u32::from_be_bytes(self.array()?)),
            0xd0 => f64::from(i8::from_be_bytes(self.array()?)),
            0xd1 => f64::from(i16::from_be_bytes(self.array()?)),
            0xd2 => f64::from(i32::from_be_bytes(self.array()?)),
            // Unsigned ones above the largest signed one come out negative.
            0xcf | 0xd3 => i64::from_be_bytes(self.array()?) as f64,
            0xca => f64::from(f32::from_be_bytes(self.array()?)),
            0xcb => f64::from_be_bytes(self.array()?),
            0xc0 => {
                lua::lua_pushnil(state);
                return Ok(());
            }
            0xc2 | 0xc3 => {
                lua::lua_pushboolean(state, (kind & 1).into());
                return Ok(());
            }
            0xa0..=0xbf => return self.push_string(state, (kind & 0x1f).into()),
            0xd9 => {
                let [len] = self.array()?;
                return self.push_string(state, len.into());
            }
            0xda => {
                let len = self.u16()?;
                return self.push_string(state, len);
            }
            0xdb => {
                let len = self.u32()?;
                return self.push_string(state, len);
            }
            0x90..=0x9f => return self.push_array(state, (kind & 15).into()),
            0xdc => {
                let len = self.u16()?;
                return self.push_array(state, len);
            }
            0xdd => {
                let len = self.u32()?;
                return self.push_array(state, len);
            }
            0x80..=0x8f => return self.push_map(state, (kind & 15).into()),
            0xde => {
                let len = self.u16()?;
                return self.push_map(state, len);
            }
            0xdf => {
                let len = self.u32()?;
                return self.push_map(state, len);
            }
            _ => return Err(BAD_FORMAT),
        };
        lua::lua_pushnumber(state, number);
        Ok(())
    }

    unsafe fn push_string(&mut self, state: *mut lua_State, len: usize) -> Result<(), Fault> {
        push_bytes(state, self.take(len)?);
        Ok(())
    }

    unsafe fn push_array(&mut self, state: *mut lua_State, len: usize) -> Result<(), Fault> {
        // Not made as large as it says it is: who knows whether that is true.
        lua::lua_createtable(state, 0, 0);
        make_room(state, 1, c"in function mp_decode_to_lua_array");
        for index in 1..=len {
            lua::lua_pushnumber(state, index as f64);
            self.push_value(state)?;
            lua::lua_rawset(state, -3);
        }
        Ok(())
    }

    unsafe fn push_map(&mut self, state: *mut lua_State, len: usize) -> Result<(), Fault> {
        lua::lua_createtable(state, 0, 0);
        for _ in 0..len {
            self.push_value(state)?;
            self.push_value(state)?;
            lua::lua_rawset(state, -3);
        }
        Ok(())
    }
}
