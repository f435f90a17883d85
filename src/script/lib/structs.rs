//! `struct`: numbers and strings in the layout of C structures, as a format says.
//!
//! | format | value |
//! | --- | --- |
//! | `>` `<` | big endian, little endian (at first) |
//! | `![n]` | aligns to at most n bytes, a power of 2 (8); at first to 1 |
//! | `x` | a byte of padding |
//! | `b` `h` `l` `i[n]` | signed integers of 1, 2, 8 and n (4) bytes; capitals: unsigned |
//! | `T` | an unsigned integer of 8 bytes |
//! | `f` `d` | floating point of 4 and 8 bytes |
//! | `s` | a string that ends with a NUL |
//! | `c[n]` | n (1) bytes; `c0` packs all bytes, and unpacks as many as the number before says |
//! | blank | nothing |
//!
//! Integers of up to 32 bytes are accepted, though only eight are ever significant.

use std::ffi::c_int;

use mlua::ffi as lua;
use mlua::ffi::lua_State;

use super::{Buffer, State, check_string, make_room, push_bytes, push_library, truncate, truncate_unsigned};

/// An integer has at most so many bytes.
const INTEGER_MAX: c_int = 32;
/// The alignment of `!`.
const DEFAULT_ALIGNMENT: c_int = 8;

/// Pushes the library.
pub unsafe fn push(state: *mut lua_State) {
    State::<Buffer>::push(state, Buffer::default);
    push_library(state, 1, &[(c"pack", pack), (c"unpack", unpack), (c"size", size)]);
}

/// A format that is gone through.
struct Format<'a> {
    left: &'a [u8],
    big_endian: bool,
    alignment: usize,
}

/// One item of it.
#[derive(Clone, Copy)]
struct Item {
    option: u8,
    size: usize,
}

impl<'a> Format<'a> {
    /// The format that is the first argument: what is before its first NUL.
    unsafe fn argument(state: *mut lua_State) -> Format<'a> {
        let format = check_string(state, 1);
        let end = memchr::memchr(0, format).unwrap_or(format.len());
        Format { left: &format[..end], big_endian: false, alignment: 1 }
    }

    unsafe fn next(&mut self, state: *mut lua_State) -> Option<Item> {
        let (&option, left) = self.left.split_first()?;
        self.left = left;
        let size = match option {
            b'b' | b'B' | b'x' => 1,
            b'h' | b'H' => 2,
            b'f' => 4,
            b'l' | b'L' | b'T' | b'd' => 8,
            b'c' => self.number(state, 1) as usize,
            b'i' | b'I' => {
                let size = self.number(state, 4);
                if size > INTEGER_MAX {
                    let message = c"integral size %d is larger than limit of %d";
                    lua::luaL_error(state, message.as_ptr(), size, INTEGER_MAX);
                }
                size as usize
            }
            _ => 0,
        };
        Some(Item { option, size })
    }

    /// The number that comes next, or `default` if there is none.
    unsafe fn number(&mut self, state: *mut lua_State, default: c_int) -> c_int {
        if !self.left.first().is_some_and(u8::is_ascii_digit) {
            return default;
        }
        let mut number: c_int = 0;
        while let Some((digit @ b'0'..=b'9', left)) = self.left.split_first() {
            let longer = number.checked_mul(10).and_then(|tens| tens.checked_add(c_int::from(digit - b'0')));
            number = match longer {
                Some(longer) => longer,
                None => lua::luaL_error(state, c"integral size overflow".as_ptr()),
            };
            self.left = left;
        }
        number
    }

    /// How many bytes are before an item that comes at a position.
    fn padding(&self, position: usize, item: Item) -> usize {
        if item.size == 0 || item.option == b'c' {
            return 0;
        }
        let size = item.size.min(self.alignment);
        size.wrapping_sub(position & (size - 1)) & (size - 1)
    }

    /// Obeys an item that is no value.
    unsafe fn control(&mut self, state: *mut lua_State, option: u8) {
        match option {
            b' ' => {}
            b'>' => self.big_endian = true,
            b'<' => self.big_endian = false,
            b'!' => {
                let alignment = self.number(state, DEFAULT_ALIGNMENT);
                if alignment <= 0 || alignment & (alignment - 1) != 0 {
                    lua::luaL_error(state, c"alignment %d is not a power of 2".as_ptr(), alignment);
                }
                self.alignment = alignment as usize;
            }
            _ => {
                let message = lua::lua_pushfstring(state, c"invalid format option '%c'".as_ptr(), c_int::from(option));
                lua::luaL_argerror(state, 1, message);
            }
        }
    }

    /// Adds bytes that are little endian in the format's order.
    fn add(&self, out: &mut Vec<u8>, little_endian: &[u8]) {
        if self.big_endian {
            out.extend(little_endian.iter().rev());
        } else {
            out.extend_from_slice(little_endian);
        }
    }

    /// Bytes in the format's order as little endian ones.
    fn array<const N: usize>(&self, bytes: &[u8]) -> [u8; N] {
        let mut array = [0; N];
        for (at, byte) in array.iter_mut().enumerate() {
            let from = if self.big_endian { bytes.len().checked_sub(1 + at) } else { Some(at) };
            *byte = from.and_then(|from| bytes.get(from)).copied().unwrap_or(0);
        }
        array
    }

    /// An integer of any length.
    fn integer(&self, bytes: &[u8], signed: bool) -> f64 {
        let value = u64::from_le_bytes(self.array(bytes));
        if !signed {
            return value as f64;
        }
        // For more than eight bytes this is what the shift that Redis does comes to on its processors.
        let sign = u64::MAX.wrapping_shl((bytes.len() as u32 * 8).wrapping_sub(1));
        (if value & sign != 0 { value | sign } else { value }) as i64 as f64
    }
}

/// `pack(format, value, …)`
unsafe extern "C-unwind" fn pack(state: *mut lua_State) -> c_int {
    let mut format = Format::argument(state);
    let buffer = State::<Buffer>::of(state);
    buffer.clear();
    // The first argument that is missing is nil.
    lua::lua_pushnil(state);
    let mut argument = 2;
    while let Some(mut item) = format.next(state) {
        buffer.check(state);
        let out = &mut buffer.0;
        out.resize(out.len() + format.padding(out.len(), item), 0);
        match item.option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let number = lua::luaL_checknumber(state, argument);
                let value = if number < 0.0 { truncate(number) as u64 } else { truncate_unsigned(number) };
                let mut bytes = [0; INTEGER_MAX as usize];
                bytes[..8].copy_from_slice(&value.to_le_bytes());
                format.add(out, &bytes[..item.size]);
                argument += 1;
            }
            b'x' => out.push(0),
            b'f' => {
                format.add(out, &(lua::luaL_checknumber(state, argument) as f32).to_le_bytes());
                argument += 1;
            }
            b'd' => {
                format.add(out, &lua::luaL_checknumber(state, argument).to_le_bytes());
                argument += 1;
            }
            b'c' | b's' => {
                let text = check_string(state, argument);
                argument += 1;
                if item.size == 0 {
                    item.size = text.len();
                }
                let Some(text) = text.get(..item.size) else {
                    return lua::luaL_argerror(state, argument, c"string too short".as_ptr());
                };
                out.extend_from_slice(text);
                if item.option == b's' {
                    out.push(0);
                }
            }
            option => format.control(state, option),
        }
    }
    push_bytes(state, &buffer.0);
    1
}

const TOO_SHORT: &std::ffi::CStr = c"data string too short";

/// The bytes of an item at a position, or an error.
unsafe fn bytes_at(state: *mut lua_State, data: &[u8], position: usize, size: usize) -> &[u8] {
    match data.get(position..).and_then(|rest| rest.get(..size)) {
        Some(bytes) => bytes,
        None => {
            lua::luaL_argerror(state, 2, TOO_SHORT.as_ptr());
            &[]
        }
    }
}

/// `unpack(format, data [, position])`: the values, and the position behind them.
unsafe extern "C-unwind" fn unpack(state: *mut lua_State) -> c_int {
    let mut format = Format::argument(state);
    let data = check_string(state, 2);
    let position = lua::luaL_optinteger(state, 3, 1);
    if position == 0 {
        return lua::luaL_argerror(state, 3, c"offset must be 1 or greater".as_ptr());
    }
    let mut position = (position as usize).wrapping_sub(1);
    let mut count = 0;
    while let Some(item) = format.next(state) {
        position = position.wrapping_add(format.padding(position, item));
        let mut bytes = bytes_at(state, data, position, item.size);
        make_room(state, 2, c"too many results");
        match item.option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                lua::lua_pushnumber(state, format.integer(bytes, item.option.is_ascii_lowercase()));
                count += 1;
            }
            b'x' => {}
            b'f' => {
                lua::lua_pushnumber(state, f32::from_le_bytes(format.array(bytes)).into());
                count += 1;
            }
            b'd' => {
                lua::lua_pushnumber(state, f64::from_le_bytes(format.array(bytes)));
                count += 1;
            }
            b'c' => {
                if item.size == 0 {
                    if count == 0 || lua::lua_isnumber(state, -1) == 0 {
                        return lua::luaL_error(state, c"format 'c0' needs a previous size".as_ptr());
                    }
                    let size = truncate_unsigned(lua::lua_tonumber(state, -1));
                    lua::lua_settop(state, -2);
                    count -= 1;
                    bytes = bytes_at(state, data, position, size as usize);
                }
                push_bytes(state, bytes);
                count += 1;
            }
            b's' => {
                let rest = &data[position..];
                let Some(len) = memchr::memchr(0, rest) else {
                    return lua::luaL_error(state, c"unfinished string in data".as_ptr());
                };
                push_bytes(state, &rest[..len]);
                count += 1;
                bytes = &rest[..=len];
            }
            option => format.control(state, option),
        }
        position += bytes.len();
    }
    lua::lua_pushnumber(state, position.wrapping_add(1) as i64 as f64);
    count + 1
}

/// `size(format)`: how many bytes a format takes.
unsafe extern "C-unwind" fn size(state: *mut lua_State) -> c_int {
    let mut format = Format::argument(state);
    let mut position: usize = 0;
    while let Some(item) = format.next(state) {
        position = position.wrapping_add(format.padding(position, item));
        match item.option {
            b's' => {
                return lua::luaL_argerror(state, 1, c"option 's' has no fixed size".as_ptr());
            }
            b'c' if item.size == 0 => {
                return lua::luaL_argerror(state, 1, c"option 'c0' has no fixed size".as_ptr());
            }
            option if !option.is_ascii_alphanumeric() => format.control(state, option),
            _ => {}
        }
        position = position.wrapping_add(item.size);
    }
    lua::lua_pushnumber(state, position as i64 as f64);
    1
}
