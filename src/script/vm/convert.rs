//! Replies become Lua values, and Lua values become replies.
//!
//! | RESP | Lua |
//! | --- | --- |
//! | integer | number |
//! | string | string |
//! | status, error | a table with one field, `ok` or `err` |
//! | array, push | a table |
//! | null of RESP2 | `false` |
//! | null of RESP3 | `nil` |
//! | boolean | boolean |
//! | double, big number | a table with one field, `double` or `big_number` |
//! | map, set | a table whose field `map` or `set` is a table with the keys |
//! | verbatim string | a table whose field `verbatim_string` is a table with `format` and `string` |
//!
//! The way back is the same, but that a number loses its fraction, and that an array ends before its first nil.

use std::ffi::{CStr, c_int};

use mlua::ffi as lua;
use mlua::ffi::lua_State;

use super::super::Host;
use super::{Shared, api, push_bytes, string_at};
use crate::resp::Proto;

/// Pushes a reply as a Lua value, in a function that has the upvalues of `redis.call`.
pub unsafe fn push_reply(state: *mut lua_State, shared: *mut Shared, reply: &[u8]) {
    if push(state, shared, reply, 0) > reply.len() {
        cut(state);
    }
}

/// The number on the line that starts at `at`, and where the next one does. It is in a reply of ours, and so of few digits that
/// are nothing else.
#[inline]
fn number(reply: &[u8], at: usize) -> (i64, usize) {
    let is_negative = reply.get(at) == Some(&b'-');
    let (mut number, mut end) = (0_i64, at + usize::from(is_negative));
    while let Some(&digit) = reply.get(end).filter(|&&byte| byte != b'\r') {
        number = number.wrapping_mul(10).wrapping_add(i64::from(digit & 15));
        end += 1;
    }
    (if is_negative { number.wrapping_neg() } else { number }, end + 2)
}

/// The text of a length that starts at `at`.
#[inline]
unsafe fn text_at(state: *mut lua_State, reply: &[u8], at: usize, len: usize) -> &[u8] {
    match reply.get(at..).and_then(|rest| rest.get(..len)) {
        Some(text) => text,
        None => cut(state),
    }
}

/// A reply ends in the middle, or there is none: some commands that only DEBUG lets into scripts have none.
#[cold]
unsafe fn cut(state: *mut lua_State) -> ! {
    api::raise(state, "ERR the reply of the command is not whole");
    unreachable!("an error does not come back")
}

/// The line that starts at `at`, and where the next one does.
#[inline]
fn line_at(reply: &[u8], at: usize) -> (&[u8], usize) {
    let line = reply.get(at..).unwrap_or_default();
    let line = &line[..memchr::memchr(b'\r', line).unwrap_or(line.len())];
    (line, at + line.len() + 2)
}

/// Makes room on the stack for an aggregate and one of its elements, which lie on top of those that hold it.
unsafe fn make_room(state: *mut lua_State) {
    if lua::lua_checkstack(state, 10) == 0 {
        api::raise(state, "ERR reached lua stack limit");
    }
}

/// Pushes the reply that starts at `at`; returns where the next one does.
unsafe fn push(state: *mut lua_State, shared: *mut Shared, reply: &[u8], at: usize) -> usize {
    let Some(&kind) = reply.get(at) else { cut(state) };
    match kind {
        b':' => {
            let (number, next) = number(reply, at + 1);
            lua::lua_pushnumber(state, number as f64);
            next
        }
        b'$' => {
            let (len, next) = number(reply, at + 1);
            let Ok(len) = usize::try_from(len) else {
                lua::lua_pushboolean(state, 0);
                return next;
            };
            push_bytes(state, text_at(state, reply, next, len));
            next + len + 2
        }
        b'*' | b'>' => {
            let (len, mut next) = number(reply, at + 1);
            let Some(len) = c_int::try_from(len).ok().filter(|&len| len >= 0) else {
                lua::lua_pushboolean(state, 0);
                return next;
            };
            make_room(state);
            lua::lua_createtable(state, len, 0);
            for index in 1..=len {
                next = push(state, shared, reply, next);
                lua::lua_rawseti_(state, -2, index);
            }
            next
        }
        b'=' => {
            let (len, next) = number(reply, at + 1);
            let len = usize::try_from(len).unwrap_or(0);
            let text = text_at(state, reply, next, len);
            lua::lua_createtable(state, 0, 1);
            lua::lua_createtable(state, 0, 2);
            push_bytes(state, text.get(4..).unwrap_or_default());
            lua::lua_setfield(state, -2, c"string".as_ptr());
            push_bytes(state, text.get(..3).unwrap_or_default());
            lua::lua_setfield(state, -2, c"format".as_ptr());
            lua::lua_setfield(state, -2, c"verbatim_string".as_ptr());
            next + len + 2
        }
        b'%' => push_keyed(state, shared, reply, at, c"map"),
        b'~' => push_keyed(state, shared, reply, at, c"set"),
        b'|' => {
            // Scripts do not see attributes.
            make_room(state);
            let (len, mut next) = number(reply, at + 1);
            for _ in 0..len * 2 {
                next = push(state, shared, reply, next);
                lua::lua_settop(state, -2);
            }
            push(state, shared, reply, next)
        }
        _ => {
            let (line, next) = line_at(reply, at + 1);
            push_line(state, shared, kind, line);
            next
        }
    }
}

/// Pushes a reply of a kind that is one line.
unsafe fn push_line(state: *mut lua_State, shared: *mut Shared, kind: u8, line: &[u8]) {
    match kind {
        b'+' => push_status(state, line),
        b'-' => api::push_replied_error(state, shared, line),
        b'#' => lua::lua_pushboolean(state, (line == b"t").into()),
        b',' => {
            let double = std::str::from_utf8(line).ok().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
            lua::lua_createtable(state, 0, 1);
            lua::lua_pushnumber(state, double);
            lua::lua_setfield(state, -2, c"double".as_ptr());
        }
        b'(' => push_field(state, c"big_number", line),
        // A null.
        _ => lua::lua_pushnil(state),
    }
}

/// Pushes a status.
unsafe fn push_status(state: *mut lua_State, text: &[u8]) {
    lua::lua_createtable(state, 0, 1);
    lua::lua_pushvalue(state, lua::lua_upvalueindex(api::STATUS_FIELD));
    if text == b"OK" {
        lua::lua_pushvalue(state, lua::lua_upvalueindex(api::STATUS_OK));
    } else {
        push_bytes(state, text);
    }
    lua::lua_rawset(state, -3);
}

/// Pushes a table with one field, a string.
unsafe fn push_field(state: *mut lua_State, field: &CStr, text: &[u8]) {
    lua::lua_createtable(state, 0, 1);
    push_bytes(state, text);
    lua::lua_setfield(state, -2, field.as_ptr());
}

/// Pushes the map or set that starts at `at`, as [`push`] does.
unsafe fn push_keyed(state: *mut lua_State, shared: *mut Shared, reply: &[u8], at: usize, field: &CStr) -> usize {
    make_room(state);
    let (len, mut next) = number(reply, at + 1);
    lua::lua_createtable(state, 0, 1);
    lua::lua_createtable(state, 0, c_int::try_from(len).unwrap_or(0));
    for _ in 0..len {
        next = push(state, shared, reply, next);
        if field == c"map" {
            next = push(state, shared, reply, next);
        } else {
            lua::lua_pushboolean(state, 1);
        }
        if lua::lua_type(state, -2) == lua::LUA_TNIL {
            // A null is no key.
            lua::lua_settop(state, -3);
        } else {
            lua::lua_rawset(state, -3);
        }
    }
    lua::lua_setfield(state, -2, field.as_ptr());
    next
}

/// What the value on the stack is as an integer: without its fraction, and what does not fit is the least one.
fn integer(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) { number as i64 } else { i64::MIN }
}

/// Adds the value on the stack to the script's reply, unless that [is refused](Host::refuses_reply), and takes it off.
pub unsafe fn write_value(state: *mut lua_State, host: *mut dyn Host) {
    if (*host).refuses_reply().is_some() {
        return lua::lua_settop(state, -2);
    }
    if lua::lua_checkstack(state, 5) == 0 {
        (*host).error(b"ERR reached lua stack limit", false);
        return lua::lua_settop(state, -2);
    }
    match lua::lua_type(state, -1) {
        lua::LUA_TSTRING => (*host).reply().bulk(string_at(state, -1)),
        lua::LUA_TNUMBER => (*host).reply().integer(integer(lua::lua_tonumber(state, -1))),
        lua::LUA_TBOOLEAN => {
            let truth = lua::lua_toboolean(state, -1) != 0;
            match ((*host).proto(), truth) {
                (Proto::Resp3, _) => (*host).reply().boolean(truth),
                (Proto::Resp2, true) => (*host).reply().integer(1),
                (Proto::Resp2, false) => (*host).reply().null(),
            }
        }
        lua::LUA_TTABLE => write_table(state, host),
        _ => (*host).reply().null(),
    }
    lua::lua_settop(state, -2);
}

/// Pushes a field of the table on the stack, and returns its type.
unsafe fn field(state: *mut lua_State, name: &CStr) -> c_int {
    lua::lua_pushstring_(state, name.as_ptr());
    lua::lua_rawget_(state, -2);
    lua::lua_type(state, -1)
}

/// A line of text as a status or a big number has it.
fn line(text: &[u8]) -> String {
    let text: Vec<u8> = text.iter().map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }).collect();
    String::from_utf8_lossy(&text).into_owned()
}

/// Adds the table on the stack to the reply.
unsafe fn write_table(state: *mut lua_State, host: *mut dyn Host) {
    let is_error = field(state, c"err") == lua::LUA_TSTRING;
    lua::lua_settop(state, -2);
    if is_error {
        return api::reply_error(state, host);
    }
    if field(state, c"ok") == lua::LUA_TSTRING {
        let text = string_at(state, -1).split(|&byte| byte == 0).next().unwrap_or_default();
        let tail = (*host).reply().out.tail();
        tail.push(b'+');
        tail.extend(text.iter().map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
        tail.extend_from_slice(b"\r\n");
        return lua::lua_settop(state, -2);
    }
    lua::lua_settop(state, -2);
    if field(state, c"double") == lua::LUA_TNUMBER {
        (*host).reply().double(lua::lua_tonumber(state, -1));
        return lua::lua_settop(state, -2);
    }
    lua::lua_settop(state, -2);
    if field(state, c"big_number") == lua::LUA_TSTRING {
        (*host).reply().big_number(&line(string_at(state, -1)));
        return lua::lua_settop(state, -2);
    }
    lua::lua_settop(state, -2);
    if field(state, c"verbatim_string") == lua::LUA_TTABLE && write_verbatim(state, host) {
        return lua::lua_settop(state, -2);
    }
    lua::lua_settop(state, -2);
    if field(state, c"map") == lua::LUA_TTABLE {
        let pairs = count(state);
        (*host).reply().map(pairs);
        lua::lua_pushnil(state);
        while lua::lua_next(state, -2) != 0 {
            lua::lua_pushvalue(state, -2);
            write_value(state, host);
            write_value(state, host);
        }
        return lua::lua_settop(state, -2);
    }
    lua::lua_settop(state, -2);
    if field(state, c"set") == lua::LUA_TTABLE {
        let members = count(state);
        (*host).reply().set(members);
        lua::lua_pushnil(state);
        while lua::lua_next(state, -2) != 0 {
            lua::lua_settop(state, -2);
            lua::lua_pushvalue(state, -1);
            write_value(state, host);
        }
        return lua::lua_settop(state, -2);
    }
    lua::lua_settop(state, -2);
    let mut len = 0;
    loop {
        lua::lua_rawgeti_(state, -1, len + 1);
        let there = lua::lua_type(state, -1) != lua::LUA_TNIL;
        lua::lua_settop(state, -2);
        if !there {
            break;
        }
        len += 1;
    }
    (*host).reply().array(len as usize);
    for index in 1..=len {
        lua::lua_rawgeti_(state, -1, index);
        write_value(state, host);
    }
}

/// Adds the table on the stack, if it is a verbatim string.
unsafe fn write_verbatim(state: *mut lua_State, host: *mut dyn Host) -> bool {
    let mut written = false;
    if field(state, c"format") == lua::LUA_TSTRING {
        // Three letters, filled up with blanks.
        let mut format = [b' '; 3];
        let given = string_at(state, -1);
        let len = given.len().min(3);
        format[..len].copy_from_slice(&given[..len]);
        lua::lua_settop(state, -2);
        if field(state, c"string") == lua::LUA_TSTRING {
            let format = if format.is_ascii() { std::str::from_utf8(&format).unwrap_or("txt") } else { "txt" };
            (*host).reply().verbatim(format, string_at(state, -1));
            written = true;
        }
    }
    lua::lua_settop(state, -2);
    written
}

/// How many keys the table on the stack has.
unsafe fn count(state: *mut lua_State) -> usize {
    let mut count = 0;
    lua::lua_pushnil(state);
    while lua::lua_next(state, -2) != 0 {
        lua::lua_settop(state, -2);
        count += 1;
    }
    count
}
