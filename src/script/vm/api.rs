//! The `redis` table: what scripts call.

use std::ffi::{CStr, c_int};

use mlua::ffi as lua;
use mlua::ffi::lua_State;

use super::super::cache::sha1;
use super::convert::push_reply;
use super::{Kind, Shared, debug, end_script, find_shared, push_bytes, shared_of, string_at};
use crate::resp::args::Span;
use crate::resp::{Args, Proto};
use crate::types::number::{write_f64, write_i64};

/// Bits of `redis.set_repl`.
const REPL_AOF: c_int = 1;
const REPL_REPLICA: c_int = 2;
/// Buffers for arguments are kept for the next call up to so many bytes.
const KEPT_BUFFER: usize = 64 * 1024;
/// Whole numbers below this are written as integers.
const INTEGER_MAX: f64 = (1u64 << 62) as f64;

/// Upvalues of `redis.call` and `redis.pcall` behind the first: the field of a status, and the status that is nearly every one.
pub const STATUS_FIELD: c_int = 2;
pub const STATUS_OK: c_int = 3;

type Function = unsafe extern "C-unwind" fn(*mut lua_State) -> c_int;

/// Adds the `redis` table, which is `server` as well, to the globals.
pub unsafe fn install(state: *mut lua_State, shared: *mut Shared, kind: Kind, version: &str) {
    lua::lua_createtable(state, 0, 32);
    for (name, function) in [(c"call", call as Function), (c"pcall", pcall)] {
        lua::lua_pushlightuserdata(state, shared.cast());
        lua::lua_pushstring_(state, c"ok".as_ptr());
        lua::lua_pushstring_(state, c"OK".as_ptr());
        lua::lua_pushcclosure(state, function, 3);
        lua::lua_setfield(state, -2, name.as_ptr());
    }
    let functions: &[(&CStr, Function)] = &[
        (c"error_reply", error_reply),
        (c"status_reply", status_reply),
        (c"sha1hex", sha1hex),
        (c"setresp", setresp),
        (c"set_repl", set_repl),
        (c"acl_check_cmd", acl_check_cmd),
    ];
    for (name, function) in functions {
        set_function(state, shared, name, *function);
    }
    if kind == Kind::Eval {
        set_function(state, shared, c"replicate_commands", replicate_commands);
        set_function(state, shared, c"breakpoint", debug::breakpoint);
        set_function(state, shared, c"debug", debug::debug);
    }
    install_log(state, shared, version);
    for (name, number) in
        [(c"REPL_NONE", 0), (c"REPL_AOF", REPL_AOF), (c"REPL_SLAVE", REPL_REPLICA), (c"REPL_REPLICA", REPL_REPLICA)]
    {
        set_number(state, name, number);
    }
    set_number(state, c"REPL_ALL", REPL_AOF | REPL_REPLICA);
    // Redis has one name for it. Valkey has this one besides, and scripts that are written for Valkey are to run, as its suites do.
    lua::lua_pushvalue(state, -1);
    lua::lua_setfield(state, lua::LUA_GLOBALSINDEX, c"server".as_ptr());
    lua::lua_setfield(state, lua::LUA_GLOBALSINDEX, c"redis".as_ptr());
}

/// Adds to the table on the stack what scripts and libraries that are being loaded both have.
pub unsafe fn install_log(state: *mut lua_State, shared: *mut Shared, version: &str) {
    set_function(state, shared, c"log", log);
    for (level, name) in [c"LOG_DEBUG", c"LOG_VERBOSE", c"LOG_NOTICE", c"LOG_WARNING"].into_iter().enumerate() {
        set_number(state, name, level as c_int);
    }
    push_bytes(state, version.as_bytes());
    lua::lua_setfield(state, -2, c"REDIS_VERSION".as_ptr());
    set_number(state, c"REDIS_VERSION_NUM", version_number(version));
}

/// The version as a number: a byte for each of its three parts.
fn version_number(version: &str) -> c_int {
    version.split('.').fold(0, |number, part| number << 8 | part.parse::<c_int>().unwrap_or(0))
}

/// Sets a field of the table on the stack to a function that knows `shared`.
pub unsafe fn set_function(state: *mut lua_State, shared: *mut Shared, name: &CStr, function: Function) {
    push_function(state, shared, function);
    lua::lua_setfield(state, -2, name.as_ptr());
}

/// Pushes a function that knows `shared`.
pub unsafe fn push_function(state: *mut lua_State, shared: *mut Shared, function: Function) {
    lua::lua_pushlightuserdata(state, shared.cast());
    lua::lua_pushcclosure(state, function, 1);
}

unsafe fn set_number(state: *mut lua_State, name: &CStr, number: c_int) {
    lua::lua_pushnumber(state, number.into());
    lua::lua_setfield(state, -2, name.as_ptr());
}

/// Pushes an error as scripts see it: a table whose `err` is the text, code included. `counted` says that the statistics know
/// it.
pub unsafe fn push_error(state: *mut lua_State, text: &[u8], counted: bool) {
    lua::lua_createtable(state, 0, 4);
    push_bytes(state, text);
    lua::lua_setfield(state, -2, c"err".as_ptr());
    if counted {
        lua::lua_pushboolean(state, 1);
        lua::lua_setfield(state, -2, c"ignore_error_stats_update".as_ptr());
    }
}

/// Raises an error.
pub unsafe fn raise(state: *mut lua_State, text: &str) -> c_int {
    let shared = find_shared(state);
    if debug::is_shown(shared) {
        debug::note_error(shared, text.as_bytes(), false);
    }
    push_error(state, text.as_bytes(), false);
    lua::lua_error(state)
}

/// Brings the text of an error into the form that it has in scripts: a code, a blank, and a message without line ends around
/// it.
fn normalize(text: &mut Vec<u8>) {
    let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    if !text.contains(&b' ') {
        text.splice(0..0, *b"ERR ");
    }
    let message = text.iter().position(|&byte| byte == b' ').map_or(0, |blank| blank + 1);
    let kept = text.iter().rposition(|byte| !is_line_end(byte)).map_or(0, |last| last + 1);
    text.truncate(kept.max(message));
    let ends = text[message..].iter().take_while(|byte| is_line_end(byte)).count();
    text.drain(message..message + ends);
}

/// The host, or an error that it takes a running script to have one.
unsafe fn host_of(state: *mut lua_State, shared: *mut Shared) -> *mut dyn super::Host {
    match (*shared).host {
        Some(host) => host,
        None => {
            raise(state, "ERR This can only be called while a script runs");
            unreachable!("an error has been raised")
        }
    }
}

/// Why arguments cannot be used.
const NO_ARGUMENTS: &str = "ERR Please specify at least one argument for this redis lib call";
const BAD_ARGUMENTS: &str = "ERR Lua redis lib command arguments must be strings or integers";

/// Gathers the arguments on the stack in `shared`.
unsafe fn gather(state: *mut lua_State, shared: *mut Shared) -> Result<(), &'static str> {
    let count = lua::lua_gettop(state);
    if count == 0 {
        return Err(NO_ARGUMENTS);
    }
    let Shared { bytes, spans, .. } = &mut *shared;
    bytes.clear();
    spans.clear();
    for index in 1..=count {
        let start = bytes.len();
        match lua::lua_type(state, index) {
            lua::LUA_TSTRING => bytes.extend_from_slice(string_at(state, index)),
            lua::LUA_TNUMBER => {
                let number = lua::lua_tonumber(state, index);
                if number == number.trunc() && number.abs() < INTEGER_MAX {
                    write_i64(number as i64, bytes);
                } else if number.is_nan() {
                    // As the interpreter shows it, and Redis.
                    bytes.extend_from_slice(if number.is_sign_negative() { b"-nan" } else { b"nan" });
                } else {
                    write_f64(number, bytes);
                }
            }
            _ => return Err(BAD_ARGUMENTS),
        }
        if bytes.len() > u32::MAX as usize {
            return Err("ERR The arguments are too long");
        }
        spans.push(Span::new(start as u32, (bytes.len() - start) as u32));
    }
    Ok(())
}

/// `redis.call(...)`: an error ends the script.
unsafe extern "C-unwind" fn call(state: *mut lua_State) -> c_int {
    run_command(state, true)
}

/// `redis.pcall(...)`: an error is a result.
unsafe extern "C-unwind" fn pcall(state: *mut lua_State) -> c_int {
    run_command(state, false)
}

unsafe fn run_command(state: *mut lua_State, raises: bool) -> c_int {
    let shared = shared_of(state);
    if (*shared).ended {
        // Another coroutine is told by its hook alone, which may take a while.
        return end_script(state, shared);
    }
    let host = host_of(state, shared);
    let shown = debug::is_shown(shared);
    let failed = match gather(state, shared) {
        Err(text) => {
            if shown {
                debug::note_error(shared, text.as_bytes(), false);
            }
            push_error(state, text.as_bytes(), false);
            true
        }
        Ok(()) => {
            let replied = {
                let mut args = Args::new(&(*shared).bytes, &(*shared).spans, &mut []);
                if shown {
                    debug::note_call(shared, &args);
                }
                match (*host).call(&mut args) {
                    Ok(reply) => Some(reply),
                    Err(mut text) => {
                        normalize(&mut text);
                        (*shared).text = text;
                        None
                    }
                }
            };
            if (*shared).bytes.capacity() > KEPT_BUFFER {
                (*shared).bytes = Vec::new();
            }
            lua::lua_settop(state, 0);
            match replied {
                Some(reply) => {
                    push_reply(state, shared, reply);
                    if shown {
                        debug::note_reply(shared, reply);
                    }
                    reply.first() == Some(&b'-')
                }
                None => {
                    if shown {
                        debug::note_error(shared, &(*shared).text, false);
                    }
                    push_error(state, &(*shared).text, true);
                    true
                }
            }
        }
    };
    if failed && raises { lua::lua_error(state) } else { 1 }
}

/// Pushes an error that a command replied, without its dash.
pub unsafe fn push_replied_error(state: *mut lua_State, shared: *mut Shared, text: &[u8]) {
    let buffer = &mut (*shared).text;
    buffer.clear();
    buffer.extend_from_slice(text);
    normalize(buffer);
    if debug::is_shown(shared) {
        debug::note_error(shared, &(*shared).text, true);
    }
    push_error(state, &(*shared).text, true);
}

/// `redis.error_reply(text)`
unsafe extern "C-unwind" fn error_reply(state: *mut lua_State) -> c_int {
    if lua::lua_gettop(state) != 1 || lua::lua_type(state, -1) != lua::LUA_TSTRING {
        push_error(state, b"ERR wrong number or type of arguments", false);
        return 1;
    }
    let shared = shared_of(state);
    let text = string_at(state, -1);
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
    let buffer = &mut (*shared).text;
    buffer.clear();
    buffer.extend_from_slice(text.strip_prefix(b"-").unwrap_or(text));
    normalize(buffer);
    if debug::is_shown(shared) {
        debug::note_error(shared, &(*shared).text, true);
    }
    push_error(state, &(*shared).text, false);
    1
}

/// `redis.status_reply(text)`
unsafe extern "C-unwind" fn status_reply(state: *mut lua_State) -> c_int {
    if lua::lua_gettop(state) != 1 || lua::lua_type(state, -1) != lua::LUA_TSTRING {
        push_error(state, b"ERR wrong number or type of arguments", false);
        return 1;
    }
    lua::lua_createtable(state, 0, 1);
    lua::lua_pushvalue(state, 1);
    lua::lua_setfield(state, -2, c"ok".as_ptr());
    1
}

/// `redis.sha1hex(text)`
unsafe extern "C-unwind" fn sha1hex(state: *mut lua_State) -> c_int {
    if lua::lua_gettop(state) != 1 {
        return raise(state, "ERR wrong number of arguments");
    }
    let digest = sha1(string_at(state, 1));
    push_bytes(state, &digest);
    1
}

/// `redis.log(level, ...)`
unsafe extern "C-unwind" fn log(state: *mut lua_State) -> c_int {
    let count = lua::lua_gettop(state);
    if count < 2 {
        return raise(state, "ERR redis.log() requires two arguments or more.");
    }
    if lua::lua_isnumber(state, 1) == 0 {
        return raise(state, "ERR First argument must be a number (log level).");
    }
    let level = lua::lua_tonumber(state, 1) as i64;
    let Some(level) = u8::try_from(level).ok().filter(|&level| level <= 3) else {
        return raise(state, "ERR Invalid log level.");
    };
    let shared = shared_of(state);
    (*shared).text.clear();
    for index in 2..=count {
        if lua::lua_isstring(state, index) != 0 {
            // A number becomes a string in its place, which may take memory; the buffer is not on this frame.
            let text = string_at(state, index);
            if index > 2 {
                (*shared).text.push(b' ');
            }
            (*shared).text.extend_from_slice(text);
        }
    }
    match ((*shared).host, (*shared).register) {
        (Some(host), _) => (*host).log(level, &(*shared).text),
        (None, Some(register)) => (*register).log(level, &(*shared).text),
        (None, None) => {}
    }
    0
}

/// `redis.setresp(version)`
unsafe extern "C-unwind" fn setresp(state: *mut lua_State) -> c_int {
    if lua::lua_gettop(state) != 1 {
        return raise(state, "ERR redis.setresp() requires one argument.");
    }
    let proto = match lua::lua_tonumber(state, 1) as i64 {
        2 => Proto::Resp2,
        3 => Proto::Resp3,
        _ => return raise(state, "ERR RESP version must be 2 or 3."),
    };
    (*host_of(state, shared_of(state))).set_proto(proto);
    0
}

/// `redis.set_repl(flags)`
unsafe extern "C-unwind" fn set_repl(state: *mut lua_State) -> c_int {
    if lua::lua_gettop(state) != 1 {
        return raise(state, "ERR redis.set_repl() requires one argument.");
    }
    let flags = lua::lua_tonumber(state, 1) as c_int;
    if flags & !(REPL_AOF | REPL_REPLICA) != 0 {
        return raise(state, "ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.");
    }
    let host = host_of(state, shared_of(state));
    (*host).set_propagation(flags & REPL_AOF != 0, flags & REPL_REPLICA != 0);
    0
}

/// `redis.replicate_commands()`: that has long been so anyway.
unsafe extern "C-unwind" fn replicate_commands(state: *mut lua_State) -> c_int {
    lua::lua_pushboolean(state, 1);
    1
}

/// `redis.acl_check_cmd(...)`
unsafe extern "C-unwind" fn acl_check_cmd(state: *mut lua_State) -> c_int {
    let shared = shared_of(state);
    let host = host_of(state, shared);
    if let Err(text) = gather(state, shared) {
        return raise(state, text);
    }
    let allowed = (*host).may_call(&mut Args::new(&(*shared).bytes, &(*shared).spans, &mut []));
    match allowed {
        Some(allowed) => lua::lua_pushboolean(state, allowed.into()),
        None => return raise(state, "ERR Invalid command passed to redis.acl_check_cmd()"),
    }
    1
}

/// Completes an error while the functions that led to it are still there: an error is a table that says where it happened.
pub unsafe extern "C-unwind" fn on_error(state: *mut lua_State) -> c_int {
    let mut at = std::mem::zeroed::<lua::lua_Debug>();
    let mut found = lua::lua_getstack(state, 1, &raw mut at) != 0;
    if found {
        lua::lua_getinfo(state, c"Sl".as_ptr(), &raw mut at);
        if CStr::from_ptr(at.what) == c"C" {
            found = lua::lua_getstack(state, 2, &raw mut at) != 0;
            if found {
                lua::lua_getinfo(state, c"Sl".as_ptr(), &raw mut at);
            }
        }
    }
    if lua::lua_type(state, 1) != lua::LUA_TTABLE || super::sandbox::is_protected(state, 1) {
        let shared = shared_of(state);
        (*shared).text.clear();
        (*shared).text.extend_from_slice(b"ERR ");
        lua::lua_getfield(state, lua::LUA_GLOBALSINDEX, c"tostring".as_ptr());
        lua::lua_pushvalue(state, 1);
        lua::lua_call(state, 1, 1);
        (*shared).text.extend_from_slice(string_at(state, -1));
        push_error(state, &(*shared).text, false);
        lua::lua_replace(state, 1);
    }
    lua::lua_settop(state, 1);
    if found {
        lua::lua_pushstring_(state, c"source".as_ptr());
        lua::lua_pushstring_(state, at.source);
        lua::lua_rawset(state, 1);
        lua::lua_pushstring_(state, c"line".as_ptr());
        lua::lua_pushnumber(state, at.currentline.into());
        lua::lua_rawset(state, 1);
    }
    1
}

/// The text of a field of the table on the stack, up to its first NUL, copied to the end of a buffer; false if there is none.
unsafe fn copy_field(state: *mut lua_State, field: &CStr, buffer: &mut Vec<u8>) -> bool {
    lua::lua_pushstring_(state, field.as_ptr());
    lua::lua_rawget_(state, -2);
    let there = lua::lua_isstring(state, -1) != 0;
    if there {
        let text = string_at(state, -1);
        buffer.extend_from_slice(text.split(|&byte| byte == 0).next().unwrap_or_default());
    }
    lua::lua_settop(state, -2);
    there
}

/// Whether the error on the stack came from a command, which has been counted.
unsafe fn is_counted(state: *mut lua_State) -> bool {
    lua::lua_pushstring_(state, c"ignore_error_stats_update".as_ptr());
    lua::lua_rawget_(state, -2);
    let counted = lua::lua_toboolean(state, -1) != 0;
    lua::lua_settop(state, -2);
    counted
}

/// Replies the error on the stack, with which the script of that name ended, and takes it off.
pub unsafe fn report(state: *mut lua_State, shared: *mut Shared, name: &[u8]) {
    let Some(host) = (*shared).host else { return };
    let buffer = &mut (*shared).text;
    buffer.clear();
    let mut counted = false;
    if lua::lua_type(state, -1) == lua::LUA_TTABLE {
        counted = is_counted(state);
        if !copy_field(state, c"err", buffer) {
            buffer.extend_from_slice(b"ERR unknown error");
        }
        let said = buffer.len();
        buffer.extend_from_slice(b" script: ");
        buffer.extend_from_slice(name);
        buffer.extend_from_slice(b", on ");
        let mut located = copy_field(state, c"source", buffer);
        buffer.push(b':');
        located &= copy_field(state, c"line", buffer);
        buffer.push(b'.');
        if !located {
            buffer.truncate(said);
        }
    } else {
        let text = if lua::lua_isstring(state, -1) != 0 { string_at(state, -1) } else { b"execution failure" };
        buffer.extend_from_slice(b"ERR Error running script ");
        buffer.extend_from_slice(name);
        buffer.extend_from_slice(b", ");
        buffer.extend_from_slice(&text[..text.len().min(100)]);
    }
    (*host).error(buffer, counted);
    lua::lua_settop(state, -2);
}

/// Replies the error on the stack, which a script returned.
pub unsafe fn reply_error(state: *mut lua_State, host: *mut dyn super::Host) {
    let counted = is_counted(state);
    lua::lua_pushstring_(state, c"err".as_ptr());
    lua::lua_rawget_(state, -2);
    let text = string_at(state, -1);
    (*host).error(text.split(|&byte| byte == 0).next().unwrap_or_default(), counted);
    lua::lua_settop(state, -2);
}
