//! `cjson`: values as JSON and back.
//!
//! A table with nothing but positive integers for keys is an array as long as its largest key, if not too much of it is missing;
//! any other is an object, an empty one too. Numbers are written with as many digits as the settings say. The way back reads all
//! numbers that C reads, among them hexadecimal ones and NaN, unless the settings forbid it. Text is bytes: whether it is UTF-8
//! is nobody's business here. `null` is a light user data value without an address, `cjson.null`.
//!
//! A library carries settings; `cjson.new()` makes one with settings of its own.

use std::ffi::{CStr, c_char, c_int};
use std::io::Write;
use std::ptr;

use mlua::ffi as lua;
use mlua::ffi::lua_State;

use super::{Buffer, State, check_string, push_bytes, push_library, set_text, string_at};

/// The settings of a library, and its buffer.
struct Json {
    buffer: Buffer,
    /// Arrays of which too much is missing become objects; without, they are errors.
    sparse_convert: c_int,
    /// An array may be so many times as long as it has elements; 0 for any length.
    sparse_ratio: c_int,
    /// Up to this length much may be missing.
    sparse_safe: c_int,
    encode_max_depth: c_int,
    decode_max_depth: c_int,
    /// What becomes of infinity and NaN: 0 an error, 1 what C prints, 2 `null`.
    encode_invalid_numbers: c_int,
    decode_invalid_numbers: c_int,
    /// Significant digits.
    precision: c_int,
    keep_buffer: c_int,
}

impl Json {
    fn new() -> Json {
        Json {
            buffer: Buffer::default(),
            sparse_convert: 0,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_max_depth: 1000,
            decode_max_depth: 1000,
            encode_invalid_numbers: 0,
            decode_invalid_numbers: 1,
            precision: 14,
            keep_buffer: 1,
        }
    }
}

/// Pushes the library.
pub unsafe fn push(state: *mut lua_State) {
    State::<Json>::push(state, Json::new);
    push_library(
        state,
        1,
        &[
            (c"encode", encode),
            (c"decode", decode),
            (c"encode_sparse_array", encode_sparse_array),
            (c"encode_max_depth", encode_max_depth),
            (c"decode_max_depth", decode_max_depth),
            (c"encode_number_precision", encode_number_precision),
            (c"encode_keep_buffer", encode_keep_buffer),
            (c"encode_invalid_numbers", encode_invalid_numbers),
            (c"decode_invalid_numbers", decode_invalid_numbers),
            (c"new", new),
        ],
    );
    lua::lua_pushlightuserdata(state, ptr::null_mut());
    lua::lua_setfield(state, -2, c"null".as_ptr());
    set_text(state, c"_NAME", c"cjson");
    set_text(state, c"_VERSION", c"2.1.0");
}

unsafe extern "C-unwind" fn new(state: *mut lua_State) -> c_int {
    push(state);
    1
}

// Settings. Each function takes a new value or nil, and returns the one in force.

/// The settings; the arguments are at most `count`, and filled up with nil.
unsafe fn settings<'a>(state: *mut lua_State, count: c_int) -> &'a mut Json {
    if lua::lua_gettop(state) > count {
        lua::luaL_argerror(state, count + 1, c"found too many arguments".as_ptr());
    }
    lua::lua_settop(state, count);
    State::of(state)
}

unsafe fn integer_option(state: *mut lua_State, argument: c_int, setting: &mut c_int, min: c_int, max: c_int) -> c_int {
    if lua::lua_isnil(state, argument) == 0 {
        let value = lua::luaL_checkinteger(state, argument) as c_int;
        if !(min..=max).contains(&value) {
            let message = lua::lua_pushfstring(state, c"expected integer between %d and %d".as_ptr(), min, max);
            lua::luaL_argerror(state, 1, message);
        }
        *setting = value;
    }
    lua::lua_pushnumber(state, f64::from(*setting));
    1
}

/// A setting that is off (0), on (1), or one of the words behind these.
unsafe fn choice(state: *mut lua_State, argument: c_int, setting: &mut c_int, words: &[&CStr]) -> c_int {
    match lua::lua_type(state, argument) {
        lua::LUA_TNIL => {}
        lua::LUA_TBOOLEAN => *setting = lua::lua_toboolean(state, argument),
        _ => {
            let word = check_string(state, argument);
            let end = memchr::memchr(0, word).unwrap_or(word.len());
            let known = words.iter().position(|known| known.to_bytes() == &word[..end]);
            let Some(known) = known else {
                let message =
                    lua::lua_pushfstring(state, c"invalid option '%s'".as_ptr(), word.as_ptr().cast::<c_char>());
                return lua::luaL_argerror(state, argument, message);
            };
            *setting = known as c_int;
        }
    }
    match *setting {
        0 | 1 => lua::lua_pushboolean(state, *setting),
        other => lua::lua_pushstring_(state, words[other as usize].as_ptr()),
    }
    1
}

const OFF_ON: &[&CStr] = &[c"off", c"on"];

/// `encode_sparse_array([convert [, ratio [, safe]]])`
unsafe extern "C-unwind" fn encode_sparse_array(state: *mut lua_State) -> c_int {
    let json = settings(state, 3);
    choice(state, 1, &mut json.sparse_convert, OFF_ON);
    integer_option(state, 2, &mut json.sparse_ratio, 0, c_int::MAX);
    integer_option(state, 3, &mut json.sparse_safe, 0, c_int::MAX);
    3
}

unsafe extern "C-unwind" fn encode_max_depth(state: *mut lua_State) -> c_int {
    let json = settings(state, 1);
    integer_option(state, 1, &mut json.encode_max_depth, 1, c_int::MAX)
}

unsafe extern "C-unwind" fn decode_max_depth(state: *mut lua_State) -> c_int {
    let json = settings(state, 1);
    integer_option(state, 1, &mut json.decode_max_depth, 1, c_int::MAX)
}

unsafe extern "C-unwind" fn encode_number_precision(state: *mut lua_State) -> c_int {
    let json = settings(state, 1);
    integer_option(state, 1, &mut json.precision, 1, 14)
}

unsafe extern "C-unwind" fn encode_keep_buffer(state: *mut lua_State) -> c_int {
    let json = settings(state, 1);
    choice(state, 1, &mut json.keep_buffer, OFF_ON);
    if json.keep_buffer == 0 {
        json.buffer = Buffer::default();
    }
    1
}

unsafe extern "C-unwind" fn encode_invalid_numbers(state: *mut lua_State) -> c_int {
    let json = settings(state, 1);
    choice(state, 1, &mut json.encode_invalid_numbers, &[c"off", c"on", c"null"])
}

unsafe extern "C-unwind" fn decode_invalid_numbers(state: *mut lua_State) -> c_int {
    let json = settings(state, 1);
    choice(state, 1, &mut json.decode_invalid_numbers, OFF_ON)
}

unsafe fn check_one_argument(state: *mut lua_State) {
    if lua::lua_gettop(state) != 1 {
        lua::luaL_argerror(state, 1, c"expected 1 argument".as_ptr());
    }
}

/// `encode(value)`
unsafe extern "C-unwind" fn encode(state: *mut lua_State) -> c_int {
    check_one_argument(state);
    let json: &mut Json = State::of(state);
    json.buffer.clear();
    json.encode_value(state, 0);
    push_bytes(state, &json.buffer.0);
    if json.keep_buffer == 0 {
        json.buffer = Buffer::default();
    }
    1
}

impl Json {
    /// Raises an error because of the value at an index.
    unsafe fn refuse(state: *mut lua_State, index: c_int, reason: &CStr) {
        let kind = lua::luaL_typename(state, index);
        lua::luaL_error(state, c"Cannot serialise %s: %s".as_ptr(), kind, reason.as_ptr());
    }

    /// Encodes the value on the stack, which stays there, inside of so many others.
    unsafe fn encode_value(&mut self, state: *mut lua_State, depth: c_int) {
        self.buffer.check(state);
        let out = &mut self.buffer.0;
        match lua::lua_type(state, -1) {
            lua::LUA_TSTRING => encode_string(out, string_at(state, -1)),
            lua::LUA_TNUMBER => self.encode_number(state, -1),
            lua::LUA_TBOOLEAN if lua::lua_toboolean(state, -1) != 0 => out.extend_from_slice(b"true"),
            lua::LUA_TBOOLEAN => out.extend_from_slice(b"false"),
            lua::LUA_TTABLE => self.encode_table(state, depth + 1),
            lua::LUA_TNIL => out.extend_from_slice(b"null"),
            lua::LUA_TLIGHTUSERDATA if lua::lua_touserdata(state, -1).is_null() => out.extend_from_slice(b"null"),
            _ => Self::refuse(state, -1, c"type not supported"),
        }
    }

    unsafe fn encode_number(&mut self, state: *mut lua_State, index: c_int) {
        let number = lua::lua_tonumber(state, index);
        if !number.is_finite() {
            match self.encode_invalid_numbers {
                0 => Self::refuse(state, index, c"must not be NaN or Inf"),
                1 if number.is_nan() => return self.buffer.0.extend_from_slice(b"nan"),
                1 => {}
                _ => return self.buffer.0.extend_from_slice(b"null"),
            }
        }
        write_number(&mut self.buffer.0, number, self.precision as usize);
    }

    unsafe fn encode_table(&mut self, state: *mut lua_State, depth: c_int) {
        if depth > self.encode_max_depth || lua::lua_checkstack(state, 3) == 0 {
            lua::luaL_error(state, c"Cannot serialise, excessive nesting (%d)".as_ptr(), depth);
        }
        let len = self.array_len(state);
        if len > 0 {
            self.buffer.0.push(b'[');
            for index in 1..=len {
                if index > 1 {
                    self.buffer.0.push(b',');
                }
                lua::lua_rawgeti_(state, -1, index);
                self.encode_value(state, depth);
                lua::lua_settop(state, -2);
            }
            self.buffer.0.push(b']');
            return;
        }
        self.buffer.0.push(b'{');
        let mut first = true;
        lua::lua_pushnil(state);
        while lua::lua_next(state, -2) != 0 {
            if !first {
                self.buffer.0.push(b',');
            }
            first = false;
            match lua::lua_type(state, -2) {
                lua::LUA_TNUMBER => {
                    self.buffer.0.push(b'"');
                    self.encode_number(state, -2);
                    self.buffer.0.extend_from_slice(b"\":");
                }
                lua::LUA_TSTRING => {
                    encode_string(&mut self.buffer.0, string_at(state, -2));
                    self.buffer.0.push(b':');
                }
                _ => Self::refuse(state, -2, c"table key must be a number or string"),
            }
            self.encode_value(state, depth);
            lua::lua_settop(state, -2);
        }
        self.buffer.0.push(b'}');
    }

    /// The length of the array that the table on the stack is; at most 0 if it is none.
    unsafe fn array_len(&self, state: *mut lua_State) -> c_int {
        let (mut max, mut items): (c_int, c_int) = (0, 0);
        lua::lua_pushnil(state);
        while lua::lua_next(state, -2) != 0 {
            lua::lua_settop(state, -2);
            let key = lua::lua_tonumber(state, -1);
            if lua::lua_type(state, -1) != lua::LUA_TNUMBER || key < 1.0 || key.floor() != key {
                lua::lua_settop(state, -2);
                return -1;
            }
            if key > f64::from(max) {
                // What does not fit is the least integer in Redis too, which makes an object of such a table.
                max = if key <= f64::from(c_int::MAX) { key as c_int } else { c_int::MIN };
            }
            items += 1;
        }
        let sparse = self.sparse_ratio > 0 && max > items.wrapping_mul(self.sparse_ratio) && max > self.sparse_safe;
        if !sparse {
            return max;
        }
        if self.sparse_convert == 0 {
            Self::refuse(state, -1, c"excessively sparse array");
        }
        -1
    }
}

fn encode_string(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut plain = 0;
    for (at, &byte) in text.iter().enumerate() {
        if !matches!(byte, 0..0x20 | b'"' | b'\\' | b'/' | 0x7f) {
            continue;
        }
        out.extend_from_slice(&text[plain..at]);
        plain = at + 1;
        let short = match byte {
            b'"' | b'\\' | b'/' => byte,
            8 => b'b',
            9 => b't',
            10 => b'n',
            12 => b'f',
            13 => b'r',
            _ => {
                let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
    out.extend_from_slice(&text[plain..]);
    out.push(b'"');
}

/// Writes a number as C's `%g` does, with so many significant digits, 14 at most.
pub fn write_number(out: &mut Vec<u8>, number: f64, precision: usize) {
    let integer = number as i64;
    if integer as f64 == number
        && integer.unsigned_abs() < 10u64.pow(precision as u32)
        && (integer != 0 || !number.is_sign_negative())
    {
        return out.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes());
    }
    if !number.is_finite() {
        return out.extend_from_slice(if number > 0.0 { b"inf" } else { b"-inf" });
    }
    // "-1.2345e-300": the right digits, and where the point is.
    let mut text = [0; 32];
    let mut rest = &mut text[..];
    let written = write!(rest, "{number:.*e}", precision - 1);
    debug_assert!(written.is_ok(), "the longest is shorter than this");
    let len = 32 - rest.len();
    let text = &text[..len];
    let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |text| (true, text));
    let at = memchr::memchr(b'e', text).unwrap_or(text.len());
    let (mantissa, exponent) = (&text[..at], text.get(at + 1..).unwrap_or_default());
    let exponent: i32 = std::str::from_utf8(exponent).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut digits = [0; 14];
    let mut count = 0;
    for &digit in mantissa.iter().filter(|digit| digit.is_ascii_digit()) {
        digits[count] = digit;
        count += 1;
    }
    while count > 1 && digits[count - 1] == b'0' {
        count -= 1;
    }
    let digits = &digits[..count];
    if negative {
        out.push(b'-');
    }
    if exponent < -4 || exponent >= precision as i32 {
        out.push(digits[0]);
        if count > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        let written = write!(out, "e{sign}{:02}", exponent.unsigned_abs());
        debug_assert!(written.is_ok(), "memory takes everything");
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + (-1 - exponent) as usize, b'0');
        out.extend_from_slice(digits);
    } else {
        let whole = exponent as usize + 1;
        out.extend_from_slice(&digits[..whole.min(count)]);
        out.resize(out.len() + whole.saturating_sub(count), b'0');
        if count > whole {
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
    }
}

/// `decode(text)`
unsafe extern "C-unwind" fn decode(state: *mut lua_State) -> c_int {
    check_one_argument(state);
    let text = check_string(state, 1);
    if text.len() >= 2 && text[..2].contains(&0) {
        return lua::luaL_error(state, c"JSON parser does not support UTF-16 or UTF-32".as_ptr());
    }
    let json: &mut Json = State::of(state);
    json.buffer.clear();
    let mut parser = Parser {
        text,
        at: 0,
        depth: 0,
        max_depth: json.decode_max_depth,
        buffer: &mut json.buffer.0,
        lenient: json.decode_invalid_numbers != 0,
    };
    let token = parser.next();
    parser.push_value(state, token);
    let token = parser.next();
    if token.kind != Kind::End {
        token.unexpected(state, c"the end");
    }
    1
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    /// The text is in the parser's buffer, if it is not a part of the input.
    String {
        start: usize,
        len: usize,
        buffered: bool,
    },
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static CStr),
}

/// What comes next in the text, and where.
#[derive(Clone, Copy)]
struct Token {
    kind: Kind,
    at: usize,
}

impl Token {
    /// Raises an error: something else should have been here.
    unsafe fn unexpected(self, state: *mut lua_State, expected: &CStr) {
        let found = match self.kind {
            Kind::ObjectBegin => c"T_OBJ_BEGIN",
            Kind::ObjectEnd => c"T_OBJ_END",
            Kind::ArrayBegin => c"T_ARR_BEGIN",
            Kind::ArrayEnd => c"T_ARR_END",
            Kind::String { .. } => c"T_STRING",
            Kind::Number(_) => c"T_NUMBER",
            Kind::Boolean(_) => c"T_BOOLEAN",
            Kind::Null => c"T_NULL",
            Kind::Colon => c"T_COLON",
            Kind::Comma => c"T_COMMA",
            Kind::End => c"T_END",
            Kind::Error(reason) => reason,
        };
        let message = c"Expected %s but found %s at character %d";
        lua::luaL_error(state, message.as_ptr(), expected.as_ptr(), found.as_ptr(), self.at as c_int + 1);
    }
}

/// Text that is decoded.
struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    depth: c_int,
    max_depth: c_int,
    /// The last string that had escapes in it.
    buffer: &'a mut Vec<u8>,
    /// Takes what JSON does not know for a number.
    lenient: bool,
}

impl Parser<'_> {
    /// The byte at a place, 0 behind the end: a NUL ends the text.
    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    fn starts_with(&self, word: &[u8]) -> bool {
        self.text[self.at..].starts_with(word)
    }

    /// The next token.
    fn next(&mut self) -> Token {
        while matches!(self.byte(self.at), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        let at = self.at;
        let single = match self.byte(at) {
            b'{' => Kind::ObjectBegin,
            b'}' => Kind::ObjectEnd,
            b'[' => Kind::ArrayBegin,
            b']' => Kind::ArrayEnd,
            b',' => Kind::Comma,
            b':' => Kind::Colon,
            0 => return Token { kind: Kind::End, at },
            b'"' => return self.string(),
            b'-' | b'0'..=b'9' => {
                if !self.lenient && self.is_invalid_number() {
                    return self.error(c"invalid number");
                }
                return self.number();
            }
            b'f' | b'i' | b'I' | b'n' | b'N' | b't' | b'+' => return self.word(),
            _ => return self.error(c"invalid token"),
        };
        self.at += 1;
        Token { kind: single, at }
    }

    fn error(&self, reason: &'static CStr) -> Token {
        Token { kind: Kind::Error(reason), at: self.at }
    }

    fn word(&mut self) -> Token {
        let at = self.at;
        let (kind, len) = if self.starts_with(b"true") {
            (Kind::Boolean(true), 4)
        } else if self.starts_with(b"false") {
            (Kind::Boolean(false), 5)
        } else if self.starts_with(b"null") {
            (Kind::Null, 4)
        } else if self.lenient && self.is_invalid_number() {
            return self.number();
        } else {
            return self.error(c"invalid token");
        };
        self.at += len;
        Token { kind, at }
    }

    /// Whether what comes is a number that C may know, and JSON does not.
    fn is_invalid_number(&self) -> bool {
        let mut at = self.at;
        if self.byte(at) == b'+' {
            return true;
        }
        if self.byte(at) == b'-' {
            at += 1;
        }
        match self.byte(at) {
            b'0' => matches!(self.byte(at + 1), b'x' | b'X' | b'0'..=b'9'),
            _ => {
                let word = self.text.get(at..at + 3).unwrap_or_default();
                word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"nan")
            }
        }
    }

    fn number(&mut self) -> Token {
        let at = self.at;
        // Short integers need no help.
        let digits = self.text[at..].iter().take(16).take_while(|byte| byte.is_ascii_digit()).count();
        if (1..16).contains(&digits) && !matches!(self.byte(at + digits), b'.' | b'e' | b'E' | b'x' | b'X') {
            self.at += digits;
            let number =
                self.text[at..self.at].iter().fold(0u64, |number, digit| number * 10 + u64::from(digit - b'0'));
            return Token { kind: Kind::Number(number as f64), at };
        }
        let start: *const c_char = self.text[at..].as_ptr().cast();
        let mut end = ptr::null_mut();
        // SAFETY: a NUL follows the text, since it is a string of Lua's, and `strtod` stops there if not before.
        let (number, read) = unsafe {
            let number = libc::strtod(start, &raw mut end);
            (number, end.cast_const().offset_from(start))
        };
        if read <= 0 {
            return self.error(c"invalid number");
        }
        self.at += read as usize;
        Token { kind: Kind::Number(number), at }
    }

    fn string(&mut self) -> Token {
        let token_at = self.at;
        let start = self.at + 1;
        self.at = start;
        let mut buffered = false;
        loop {
            let rest = &self.text[self.at..];
            let Some(plain) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0)) else {
                self.at = self.text.len();
                return self.error(c"unexpected end of string");
            };
            if buffered {
                self.buffer.extend_from_slice(&rest[..plain]);
            }
            self.at += plain;
            match rest[plain] {
                b'"' => break,
                b'\\' => {
                    if !buffered {
                        buffered = true;
                        self.buffer.clear();
                        self.buffer.extend_from_slice(&self.text[start..self.at]);
                    }
                    if let Err(reason) = self.escape() {
                        return self.error(reason);
                    }
                }
                _ => return self.error(c"unexpected end of string"),
            }
        }
        let len = if buffered { self.buffer.len() } else { self.at - start };
        self.at += 1;
        Token { kind: Kind::String { start, len, buffered }, at: token_at }
    }

    /// Takes what stands behind a backslash.
    fn escape(&mut self) -> Result<(), &'static CStr> {
        let byte = match self.byte(self.at + 1) {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 8,
            b't' => 9,
            b'n' => 10,
            b'f' => 12,
            b'r' => 13,
            b'u' => {
                let (character, len) = self.unicode_escape().ok_or(c"invalid unicode escape code")?;
                self.buffer.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                self.at += len;
                return Ok(());
            }
            _ => return Err(c"invalid escape code"),
        };
        self.buffer.push(byte);
        self.at += 2;
        Ok(())
    }

    /// The character that one or two `\uXXXX` mean, and how long they are.
    fn unicode_escape(&self) -> Option<(char, usize)> {
        let unit = |at: usize| {
            let digits = self.text.get(at..at + 6)?.strip_prefix(b"\\u")?;
            digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
        };
        let first = unit(self.at)?;
        if first & 0xf800 != 0xd800 {
            return Some((char::from_u32(first)?, 6));
        }
        let second = unit(self.at + 6)?;
        if first & 0x400 != 0 || second & 0xfc00 != 0xdc00 {
            return None;
        }
        Some((char::from_u32((((first & 0x3ff) << 10) | (second & 0x3ff)) + 0x1_0000)?, 12))
    }

    /// Pushes the value that begins with a token.
    unsafe fn push_value(&mut self, state: *mut lua_State, token: Token) {
        match token.kind {
            Kind::String { .. } => self.push_string(state, token),
            Kind::Number(number) => lua::lua_pushnumber(state, number),
            Kind::Boolean(truth) => lua::lua_pushboolean(state, truth.into()),
            Kind::Null => lua::lua_pushlightuserdata(state, ptr::null_mut()),
            Kind::ObjectBegin => self.push_object(state),
            Kind::ArrayBegin => self.push_array(state),
            _ => token.unexpected(state, c"value"),
        }
    }

    unsafe fn push_string(&self, state: *mut lua_State, token: Token) {
        match token.kind {
            Kind::String { len, buffered: true, .. } => push_bytes(state, &self.buffer[..len]),
            Kind::String { start, len, buffered: false } => push_bytes(state, &self.text[start..start + len]),
            _ => token.unexpected(state, c"object key string"),
        }
    }

    /// Begins a nested value, which takes so many places on the stack.
    unsafe fn descend(&mut self, state: *mut lua_State, places: c_int) {
        self.depth += 1;
        if self.depth > self.max_depth || lua::lua_checkstack(state, places) == 0 {
            let message = c"Found too many nested data structures (%d) at character %d";
            lua::luaL_error(state, message.as_ptr(), self.depth, self.at as c_int);
        }
        lua::lua_createtable(state, 0, 0);
    }

    unsafe fn push_object(&mut self, state: *mut lua_State) {
        self.descend(state, 3);
        let mut token = self.next();
        if token.kind != Kind::ObjectEnd {
            loop {
                self.push_string(state, token);
                token = self.next();
                if token.kind != Kind::Colon {
                    token.unexpected(state, c"colon");
                }
                token = self.next();
                self.push_value(state, token);
                lua::lua_rawset(state, -3);
                token = self.next();
                match token.kind {
                    Kind::ObjectEnd => break,
                    Kind::Comma => token = self.next(),
                    _ => token.unexpected(state, c"comma or object end"),
                }
            }
        }
        self.depth -= 1;
    }

    unsafe fn push_array(&mut self, state: *mut lua_State) {
        self.descend(state, 2);
        let mut token = self.next();
        if token.kind != Kind::ArrayEnd {
            for index in 1.. {
                self.push_value(state, token);
                lua::lua_rawseti_(state, -2, index);
                token = self.next();
                match token.kind {
                    Kind::ArrayEnd => break,
                    Kind::Comma => token = self.next(),
                    _ => token.unexpected(state, c"comma or array end"),
                }
            }
        }
        self.depth -= 1;
    }
}
