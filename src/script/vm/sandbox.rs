//! What scripts can reach, and how it is kept from changing under the scripts that come after.
//!
//! All scripts of an engine share the global table, the libraries and the metatable of strings. So that none can leave
//! something behind for the next, which may run for another user, scripts never get these tables but *proxies*: empty tables
//! whose metatable reads from the real one and refuses to write. The real tables are named by nothing that a script can get
//! hold of. The ways to them, and what stands there:
//!
//! - Metatables of proxies, by which the real tables are found, have a `__metatable` field, so that `getmetatable` gives another
//!   value; so has that of strings. There is no `debug` library.
//! - `_G`, `getfenv()` with every level, and the environment of every function are the global table's proxy: it is put in the
//!   place of the interpreter's own before any script is compiled. `setfenv` leaves that place alone.
//! - `rawset`, `setmetatable` and `table.insert`, which do not ask a metatable, refuse proxies; `next`, `pairs`, `rawget` and the
//!   like look at the real table, and hand out its values, never itself.
//! - All functions of ours are C functions: they have no environment and no upvalues that a script could see.
//!
//! Further, code is compiled from text alone, since hand-made bytecode may do anything; a table cannot get a finalizer
//! (`newproxy`), which would run when nobody expects it; the garbage collector cannot be stopped; and what could use up the
//! machine's stack refuses to: long patterns, and `unpack` of more than the interpreter's stack holds. A short pattern can still take
//! long over a long text, without a look at the clock, as in Redis.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

use mlua::ffi as lua;
use mlua::ffi::lua_State;

use super::{MEMORY_MAX, Shared, api, push_bytes, shared_of, string_at};

/// What there is, besides `redis`. Everything else that the interpreter brings goes.
const GLOBALS: &[&CStr] = &[
    c"string",
    c"cjson",
    c"bit",
    c"cmsgpack",
    c"math",
    c"table",
    c"struct",
    c"os",
    c"redis",
    c"server",
    c"xpcall",
    c"tostring",
    c"getfenv",
    c"setmetatable",
    c"next",
    c"assert",
    c"tonumber",
    c"rawequal",
    c"collectgarbage",
    c"getmetatable",
    c"rawset",
    c"pcall",
    c"coroutine",
    c"type",
    c"_G",
    c"select",
    c"unpack",
    c"gcinfo",
    c"pairs",
    c"rawget",
    c"loadstring",
    c"ipairs",
    c"_VERSION",
    c"setfenv",
    c"load",
    c"error",
    c"newproxy",
];

/// A longer pattern could take more of the stack than there is: the matcher calls itself for each item.
const PATTERN_MAX: usize = 8192;
/// So many values fit on the interpreter's stack at most.
const UNPACKED_MAX: i64 = 8000;
const READ_ONLY: &CStr = c"Attempt to modify a readonly table";

type Function = unsafe extern "C-unwind" fn(*mut lua_State) -> c_int;

/// The key in a proxy's metatable under which the real table stands.
fn real_key() -> *mut c_void {
    static KEY: u8 = 1;
    (&raw const KEY).cast_mut().cast()
}

/// The key that marks the metatables that may not have a finalizer.
fn unfinalized_key() -> *mut c_void {
    static KEY: u8 = 2;
    (&raw const KEY).cast_mut().cast()
}

/// Turns the state, in which the libraries and `redis` are, into what scripts find.
pub unsafe fn close(state: *mut lua_State, shared: *mut Shared) {
    replace_functions(state, shared);
    keep_known_globals(state);
    lua::lua_settop(state, 0);
    // 1: the proxies of tables that have one already; 2: the real global table.
    lua::lua_createtable(state, 0, 0);
    lua::lua_pushvalue(state, lua::LUA_GLOBALSINDEX);
    // `_G` would be found while it is being gone through.
    lua::lua_pushnil(state);
    lua::lua_setfield(state, 2, c"_G".as_ptr());
    protect_fields(state, 1);
    close_strings(state);
    // Reading what is not there is an error.
    lua::lua_createtable(state, 0, 1);
    lua::lua_pushcclosure(state, nonexistent, 0);
    lua::lua_setfield(state, -2, c"__index".as_ptr());
    lua::lua_setmetatable(state, 2);
    lua::lua_pushvalue(state, 2);
    (*shared).globals = lua::luaL_ref(state, lua::LUA_REGISTRYINDEX);
    lua::lua_pushvalue(state, 2);
    make_proxy(state);
    // 3: the proxy. What its metatable looks like to scripts is a proxy, too.
    lua::lua_pushvalue(state, -1);
    lua::lua_setfield(state, 2, c"_G".as_ptr());
    lua::lua_getmetatable(state, 3);
    lua::lua_createtable(state, 0, 1);
    lua::lua_pushcclosure(state, nonexistent, 0);
    lua::lua_setfield(state, -2, c"__index".as_ptr());
    make_proxy(state);
    lua::lua_setfield(state, -2, c"__metatable".as_ptr());
    (*shared).globals_meta = lua::luaL_ref(state, lua::LUA_REGISTRYINDEX);
    lua::lua_replace(state, lua::LUA_GLOBALSINDEX);
    lua::lua_settop(state, 0);
}

/// Removes the globals that scripts are not to see.
unsafe fn keep_known_globals(state: *mut lua_State) {
    lua::lua_settop(state, 0);
    lua::lua_createtable(state, 0, GLOBALS.len() as c_int);
    for name in GLOBALS {
        lua::lua_pushboolean(state, 1);
        lua::lua_setfield(state, 1, name.as_ptr());
    }
    lua::lua_pushvalue(state, lua::LUA_GLOBALSINDEX);
    lua::lua_pushnil(state);
    while lua::lua_next(state, 2) != 0 {
        lua::lua_settop(state, 3);
        lua::lua_pushvalue(state, 3);
        lua::lua_rawget_(state, 1);
        if lua::lua_toboolean(state, -1) == 0 {
            lua::lua_pushvalue(state, 3);
            lua::lua_pushnil(state);
            lua::lua_rawset(state, 2);
        }
        lua::lua_settop(state, 3);
    }
    lua::lua_getfield_(state, 2, c"os".as_ptr());
    lua::lua_createtable(state, 0, 1);
    lua::lua_getfield_(state, -2, c"clock".as_ptr());
    lua::lua_setfield(state, -2, c"clock".as_ptr());
    lua::lua_setfield(state, 2, c"os".as_ptr());
}

/// Puts proxies in the place of all tables in the table on the stack. `known` is the index of a table of proxies by their real
/// tables.
unsafe fn protect_fields(state: *mut lua_State, known: c_int) {
    let table = lua::lua_gettop(state);
    lua::luaL_checkstack_(state, 8, c"too many tables".as_ptr());
    lua::lua_pushnil(state);
    while lua::lua_next(state, table) != 0 {
        if lua::lua_type(state, -1) == lua::LUA_TTABLE {
            lua::lua_pushvalue(state, -1);
            lua::lua_rawget_(state, known);
            if lua::lua_type(state, -1) == lua::LUA_TNIL {
                lua::lua_settop(state, -2);
                protect_fields(state, known);
                lua::lua_pushvalue(state, -1);
                lua::lua_pushvalue(state, -1);
                make_proxy(state);
                lua::lua_pushvalue(state, -1);
                lua::lua_replace(state, -4);
                lua::lua_rawset(state, known);
            } else {
                lua::lua_replace(state, -2);
            }
            // Table, key, proxy.
            lua::lua_pushvalue(state, -2);
            lua::lua_insert(state, -2);
            lua::lua_rawset(state, table);
        } else {
            lua::lua_settop(state, -2);
        }
    }
}

/// Replaces the table on the stack by a new proxy of it.
pub unsafe fn make_proxy(state: *mut lua_State) {
    lua::lua_createtable(state, 0, 0);
    lua::lua_createtable(state, 0, 4);
    lua::lua_pushvalue(state, -3);
    lua::lua_setfield(state, -2, c"__index".as_ptr());
    lua::lua_pushcclosure(state, read_only, 0);
    lua::lua_setfield(state, -2, c"__newindex".as_ptr());
    lua::lua_pushboolean(state, 0);
    lua::lua_setfield(state, -2, c"__metatable".as_ptr());
    lua::lua_pushlightuserdata(state, real_key());
    lua::lua_pushvalue(state, -4);
    lua::lua_rawset(state, -3);
    lua::lua_setmetatable(state, -2);
    lua::lua_replace(state, -2);
}

/// The metatable of strings: `("x"):upper()` works, and nobody gets at it.
unsafe fn close_strings(state: *mut lua_State) {
    lua::lua_pushstring_(state, c"".as_ptr());
    lua::lua_getmetatable(state, -1);
    lua::lua_getfield_(state, 2, c"string".as_ptr());
    lua::lua_setfield(state, -2, c"__index".as_ptr());
    lua::lua_createtable(state, 0, 1);
    lua::lua_getfield_(state, 2, c"string".as_ptr());
    lua::lua_setfield(state, -2, c"__index".as_ptr());
    make_proxy(state);
    lua::lua_setfield(state, -2, c"__metatable".as_ptr());
    lua::lua_settop(state, 2);
}

/// Pushes the real table of the proxy at an index; false, and nothing pushed, if there is none.
pub unsafe fn push_real(state: *mut lua_State, index: c_int) -> bool {
    if lua::lua_type(state, index) != lua::LUA_TTABLE || lua::lua_getmetatable(state, index) == 0 {
        return false;
    }
    lua::lua_pushlightuserdata(state, real_key());
    lua::lua_rawget_(state, -2);
    lua::lua_replace(state, -2);
    let found = lua::lua_type(state, -1) == lua::LUA_TTABLE;
    if !found {
        lua::lua_settop(state, -2);
    }
    found
}

/// Whether the value at an index is a proxy.
pub unsafe fn is_protected(state: *mut lua_State, index: c_int) -> bool {
    let protected = push_real(state, index);
    if protected {
        lua::lua_settop(state, -2);
    }
    protected
}

/// `__newindex` of proxies.
unsafe extern "C-unwind" fn read_only(state: *mut lua_State) -> c_int {
    lua::luaL_error(state, READ_ONLY.as_ptr())
}

/// What functions say that were to change a proxy, without a place.
unsafe fn refuse(state: *mut lua_State) -> ! {
    lua::lua_pushstring_(state, READ_ONLY.as_ptr());
    lua::lua_error(state)
}

/// `__index` of the real global table.
pub unsafe extern "C-unwind" fn nonexistent(state: *mut lua_State) -> c_int {
    if lua::lua_gettop(state) != 2 || lua::lua_isstring(state, 2) == 0 {
        return lua::luaL_error(state, c"A global variable's name must be a string or number".as_ptr());
    }
    let name = lua::lua_tolstring(state, 2, ptr::null_mut());
    lua::luaL_error(state, c"Script attempted to access nonexistent global variable '%s'".as_ptr(), name)
}

/// How a function of ours stands in for one of the interpreter's, which is its upvalue and is called in its place, so that
/// messages name it and its caller.
unsafe fn original(state: *mut lua_State) -> c_int {
    match lua::lua_tocfunction(state, lua::lua_upvalueindex(1)) {
        Some(function) => function(state),
        None => lua::luaL_error(state, c"this function is missing".as_ptr()),
    }
}

/// Replaces functions of the interpreter by ours.
unsafe fn replace_functions(state: *mut lua_State, shared: *mut Shared) {
    let guards: &[(Option<&CStr>, &CStr, Function)] = &[
        (None, c"next", reading),
        (None, c"rawget", reading),
        (None, c"rawset", rawset),
        (None, c"setmetatable", writing),
        (None, c"getmetatable", getmetatable),
        (None, c"collectgarbage", collectgarbage),
        (None, c"unpack", unpack),
        (Some(c"coroutine"), c"create", unless_ended),
        (Some(c"coroutine"), c"wrap", unless_ended),
        (Some(c"coroutine"), c"resume", unless_ended),
        (Some(c"table"), c"foreach", reading),
        (Some(c"table"), c"foreachi", reading),
        (Some(c"table"), c"maxn", reading),
        (Some(c"table"), c"insert", writing),
        (Some(c"string"), c"rep", rep),
        (Some(c"string"), c"find", find),
        (Some(c"string"), c"match", matching),
        (Some(c"string"), c"gmatch", matching),
        (Some(c"string"), c"gfind", matching),
        (Some(c"string"), c"gsub", matching),
    ];
    lua::lua_settop(state, 0);
    for (library, name, guard) in guards {
        match library {
            Some(library) => lua::lua_getfield_(state, lua::LUA_GLOBALSINDEX, library.as_ptr()),
            None => lua::lua_pushvalue(state, lua::LUA_GLOBALSINDEX),
        }
        lua::lua_getfield_(state, 1, name.as_ptr());
        if lua::lua_type(state, -1) == lua::LUA_TFUNCTION {
            lua::lua_pushlightuserdata(state, shared.cast());
            lua::lua_pushcclosure(state, *guard, 2);
            lua::lua_setfield(state, 1, name.as_ptr());
        }
        lua::lua_settop(state, 0);
    }
    lua::lua_pushvalue(state, lua::LUA_GLOBALSINDEX);
    // The interpreter's own `next` is for tables that are no proxies, of which it shows nothing.
    lua::lua_getfield_(state, 1, c"next".as_ptr());
    lua::lua_getupvalue(state, -1, 1);
    lua::lua_insert(state, -2);
    lua::lua_pushcclosure(state, pairs, 2);
    lua::lua_setfield(state, 1, c"pairs".as_ptr());
    // It keeps account of its results in an upvalue, which has to stay the first.
    lua::lua_getfield_(state, 1, c"newproxy".as_ptr());
    lua::lua_getupvalue(state, -1, 1);
    lua::lua_insert(state, -2);
    lua::lua_pushcclosure(state, newproxy, 2);
    lua::lua_setfield(state, 1, c"newproxy".as_ptr());
    let plain = [(c"pcall", pcall as Function), (c"load", load), (c"loadstring", loadstring), (c"setfenv", setfenv)];
    for (name, function) in plain {
        lua::lua_pushcclosure(state, function, 0);
        lua::lua_setfield(state, 1, name.as_ptr());
    }
    lua::lua_getfield_(state, 1, c"math".as_ptr());
    api::set_function(state, shared, c"random", random);
    api::set_function(state, shared, c"randomseed", randomseed);
    lua::lua_settop(state, 0);
}

/// Functions that run other threads of the script's: each of them has to be ended by itself, so that there must be no more when
/// the script is to end.
unsafe extern "C-unwind" fn unless_ended(state: *mut lua_State) -> c_int {
    let shared: *mut Shared = lua::lua_touserdata(state, lua::lua_upvalueindex(2)).cast();
    if (*shared).ended {
        return super::end_script(state, shared);
    }
    original(state)
}

/// Functions that read their first argument.
unsafe extern "C-unwind" fn reading(state: *mut lua_State) -> c_int {
    if push_real(state, 1) {
        lua::lua_replace(state, 1);
    }
    original(state)
}

/// Functions that change their first argument.
unsafe extern "C-unwind" fn writing(state: *mut lua_State) -> c_int {
    if is_protected(state, 1) {
        refuse(state);
    }
    original(state)
}

unsafe extern "C-unwind" fn rawset(state: *mut lua_State) -> c_int {
    if is_protected(state, 1) {
        refuse(state);
    }
    if lua::lua_type(state, 1) == lua::LUA_TTABLE && lua::lua_getmetatable(state, 1) != 0 {
        lua::lua_pushlightuserdata(state, unfinalized_key());
        lua::lua_rawget_(state, -2);
        let unfinalized = lua::lua_toboolean(state, -1) != 0;
        lua::lua_settop(state, -3);
        if unfinalized {
            refuse_finalizer(state);
        }
    }
    original(state)
}

/// Refuses the key `__gc`, which is the second argument.
unsafe fn refuse_finalizer(state: *mut lua_State) {
    if lua::lua_type(state, 2) == lua::LUA_TSTRING && string_at(state, 2) == b"__gc" {
        lua::luaL_error(state, c"Scripts can not have finalizers".as_ptr());
    }
}

/// `__newindex` of the metatables of `newproxy`.
unsafe extern "C-unwind" fn set_unfinalized(state: *mut lua_State) -> c_int {
    refuse_finalizer(state);
    lua::lua_settop(state, 3);
    lua::lua_rawset(state, 1);
    0
}

unsafe extern "C-unwind" fn newproxy(state: *mut lua_State) -> c_int {
    let fresh = lua::lua_type(state, 1) == lua::LUA_TBOOLEAN && lua::lua_toboolean(state, 1) != 0;
    let results = match lua::lua_tocfunction(state, lua::lua_upvalueindex(2)) {
        Some(function) => function(state),
        None => 0,
    };
    if fresh && lua::lua_getmetatable(state, -1) != 0 {
        lua::lua_createtable(state, 0, 3);
        lua::lua_pushcclosure(state, set_unfinalized, 0);
        lua::lua_setfield(state, -2, c"__newindex".as_ptr());
        lua::lua_pushboolean(state, 0);
        lua::lua_setfield(state, -2, c"__metatable".as_ptr());
        lua::lua_pushlightuserdata(state, unfinalized_key());
        lua::lua_pushboolean(state, 1);
        lua::lua_rawset(state, -3);
        lua::lua_setmetatable(state, -2);
        lua::lua_settop(state, -2);
    }
    results
}

unsafe extern "C-unwind" fn getmetatable(state: *mut lua_State) -> c_int {
    let results = original(state);
    // Proxies of libraries look like tables without a metatable.
    if lua::lua_type(state, -1) == lua::LUA_TBOOLEAN && is_protected(state, 1) {
        lua::lua_pushnil(state);
        return 1;
    }
    results
}

unsafe extern "C-unwind" fn pairs(state: *mut lua_State) -> c_int {
    lua::luaL_checktype(state, 1, lua::LUA_TTABLE);
    let next = if is_protected(state, 1) { 2 } else { 1 };
    lua::lua_pushvalue(state, lua::lua_upvalueindex(next));
    lua::lua_pushvalue(state, 1);
    lua::lua_pushnil(state);
    3
}

unsafe extern "C-unwind" fn collectgarbage(state: *mut lua_State) -> c_int {
    if lua::lua_type(state, 1) == lua::LUA_TSTRING
        && matches!(string_at(state, 1), b"stop" | b"restart" | b"setpause" | b"setstepmul")
    {
        // Memory is looked after for all scripts together.
        lua::lua_pushnumber(state, 0.0);
        return 1;
    }
    original(state)
}

unsafe extern "C-unwind" fn rep(state: *mut lua_State) -> c_int {
    if lua::lua_isstring(state, 1) != 0 && lua::lua_isnumber(state, 2) != 0 {
        let (len, times) = (string_at(state, 1).len(), lua::lua_tonumber(state, 2));
        if len == 0 {
            push_bytes(state, b"");
            return 1;
        }
        if len as f64 * times > MEMORY_MAX as f64 {
            return lua::luaL_error(state, c"resulting string too large".as_ptr());
        }
    }
    original(state)
}

/// Counts in 64 bits what the interpreter counts in 32: a range whose length overflows there would be written behind the stack.
unsafe extern "C-unwind" fn unpack(state: *mut lua_State) -> c_int {
    let bound = |at: c_int, otherwise: i64| match lua::lua_type(state, at) {
        lua::LUA_TNONE | lua::LUA_TNIL => otherwise,
        // As the interpreter does, without the bits that do not fit.
        _ => i64::from(lua::lua_tointeger(state, at) as c_int),
    };
    let last = bound(3, lua::lua_objlen(state, 1) as c_int as i64);
    if last - bound(2, 1) >= UNPACKED_MAX {
        return lua::luaL_error(state, c"too many results to unpack".as_ptr());
    }
    original(state)
}

unsafe extern "C-unwind" fn find(state: *mut lua_State) -> c_int {
    if lua::lua_toboolean(state, 4) == 0 { matching(state) } else { original(state) }
}

/// Functions whose second argument is a pattern.
unsafe extern "C-unwind" fn matching(state: *mut lua_State) -> c_int {
    if lua::lua_type(state, 2) == lua::LUA_TSTRING && lua::lua_objlen(state, 2) > PATTERN_MAX {
        return lua::luaL_error(state, c"pattern too complex".as_ptr());
    }
    original(state)
}

/// Compiles text on top of the stack's other values, as `luaL_loadbuffer` does.
pub unsafe fn load_text(state: *mut lua_State, code: &[u8], chunk: &CStr) -> c_int {
    if code.first() == Some(&lua::LUA_SIGNATURE[0]) {
        // Behind a blank it is no bytecode, but text that does not begin like any.
        lua::lua_pushstring_(state, c" ".as_ptr());
        push_bytes(state, code);
        lua::lua_concat(state, 2);
        let code = string_at(state, -1);
        let status = lua::luaL_loadbuffer(state, code.as_ptr().cast(), code.len(), chunk.as_ptr());
        lua::lua_replace(state, -2);
        return status;
    }
    lua::luaL_loadbuffer(state, code.as_ptr().cast(), code.len(), chunk.as_ptr())
}

/// The results of a function that compiles: the function, or nil and why not.
unsafe fn loaded(state: *mut lua_State, status: c_int) -> c_int {
    if status == lua::LUA_OK {
        return 1;
    }
    lua::lua_pushnil(state);
    lua::lua_insert(state, -2);
    2
}

unsafe extern "C-unwind" fn loadstring(state: *mut lua_State) -> c_int {
    let mut len = 0;
    let code: *const c_char = lua::luaL_checklstring(state, 1, &raw mut len);
    let chunk = lua::luaL_optlstring(state, 2, code, ptr::null_mut());
    let code = std::slice::from_raw_parts(code.cast::<u8>(), len);
    let status = load_text(state, code, CStr::from_ptr(chunk));
    loaded(state, status)
}

/// The place on the stack of `load` where the piece that was read last is kept alive.
const PIECE: c_int = 3;

/// So many pieces are read by `load` between two looks at whether the script is to end.
const PIECES: u32 = 1000;

unsafe extern "C-unwind" fn load(state: *mut lua_State) -> c_int {
    let chunk = lua::luaL_optlstring(state, 2, c"=(load)".as_ptr(), ptr::null_mut());
    lua::luaL_checktype(state, 1, lua::LUA_TFUNCTION);
    lua::lua_settop(state, PIECE);
    let mut pieces = 0u32;
    let status = lua::lua_load(state, read_piece, (&raw mut pieces).cast(), chunk);
    loaded(state, status)
}

/// Reads a piece of what `load` compiles from the function that is its first argument. A blank goes before the first, so that
/// it is taken for text; and so that the function is not called before the parser holds the chunk's name, which a collection
/// of garbage would otherwise take away from it.
unsafe extern "C-unwind" fn read_piece(state: *mut lua_State, pieces: *mut c_void, len: *mut usize) -> *const c_char {
    let pieces: *mut u32 = pieces.cast();
    *pieces = (*pieces).wrapping_add(1);
    if *pieces == 1 {
        *len = 1;
        return c" ".as_ptr();
    }
    if (*pieces).is_multiple_of(PIECES) {
        // If the function is none of the script's own, no instruction runs meanwhile.
        super::end_if_wanted(state);
    }
    lua::luaL_checkstack_(state, 2, c"too many nested functions".as_ptr());
    lua::lua_pushvalue(state, 1);
    lua::lua_call(state, 0, 1);
    if lua::lua_type(state, -1) == lua::LUA_TNIL {
        lua::lua_settop(state, -2);
        *len = 0;
        return ptr::null();
    }
    if lua::lua_isstring(state, -1) == 0 {
        lua::luaL_error(state, c"reader function must return a string".as_ptr());
    }
    lua::lua_replace(state, PIECE);
    lua::lua_tolstring(state, PIECE, len)
}

unsafe extern "C-unwind" fn setfenv(state: *mut lua_State) -> c_int {
    lua::luaL_checktype(state, 2, lua::LUA_TTABLE);
    if lua::lua_type(state, 1) == lua::LUA_TFUNCTION {
        lua::lua_pushvalue(state, 1);
    } else {
        let level = lua::luaL_checknumber(state, 1) as c_int;
        if level < 0 {
            return lua::luaL_argerror(state, 1, c"level must be non-negative".as_ptr());
        }
        let mut at = std::mem::zeroed::<lua::lua_Debug>();
        if level == 0 {
            // The environment of all that is compiled from here on is not a script's to choose.
            refuse(state);
        }
        if lua::lua_getstack(state, level, &raw mut at) == 0 {
            return lua::luaL_argerror(state, 1, c"invalid level".as_ptr());
        }
        lua::lua_getinfo(state, c"f".as_ptr(), &raw mut at);
        if lua::lua_type(state, -1) == lua::LUA_TNIL {
            return lua::luaL_error(state, c"no function environment for tail call at level %d".as_ptr(), level);
        }
    }
    lua::lua_pushvalue(state, 2);
    if lua::lua_iscfunction(state, -2) != 0 || lua::lua_setfenv(state, -2) == 0 {
        return lua::luaL_error(state, c"'setfenv' cannot change environment of given object".as_ptr());
    }
    1
}

/// `pcall`: an error that is a table with a text is that text, as it was before errors were tables.
unsafe extern "C-unwind" fn pcall(state: *mut lua_State) -> c_int {
    lua::luaL_checkany(state, 1);
    let status = lua::lua_pcall(state, lua::lua_gettop(state) - 1, lua::LUA_MULTRET, 0);
    lua::luaL_checkstack_(state, 1, c"too many results".as_ptr());
    lua::lua_pushboolean(state, (status == lua::LUA_OK).into());
    lua::lua_insert(state, 1);
    if status != lua::LUA_OK && lua::lua_type(state, -1) == lua::LUA_TTABLE {
        lua::lua_getfield_(state, -1, c"err".as_ptr());
        if lua::lua_isstring(state, -1) != 0 {
            lua::lua_replace(state, -2);
        } else {
            lua::lua_settop(state, -2);
        }
    }
    lua::lua_gettop(state)
}

unsafe extern "C-unwind" fn random(state: *mut lua_State) -> c_int {
    let number = (*shared_of(state)).random.next();
    let result = match lua::lua_gettop(state) {
        0 => number,
        1 => {
            let upper = f64::from(lua::luaL_checkinteger(state, 1) as c_int);
            if upper < 1.0 {
                return lua::luaL_argerror(state, 1, c"interval is empty".as_ptr());
            }
            (number * upper).floor() + 1.0
        }
        2 => {
            let lower = f64::from(lua::luaL_checkinteger(state, 1) as c_int);
            let upper = f64::from(lua::luaL_checkinteger(state, 2) as c_int);
            if lower > upper {
                return lua::luaL_argerror(state, 2, c"interval is empty".as_ptr());
            }
            (number * (upper - lower + 1.0)).floor() + lower
        }
        _ => return lua::luaL_error(state, c"wrong number of arguments".as_ptr()),
    };
    lua::lua_pushnumber(state, result);
    1
}

unsafe extern "C-unwind" fn randomseed(state: *mut lua_State) -> c_int {
    let seed = lua::luaL_checkinteger(state, 1) as c_int;
    (*shared_of(state)).random = super::Random::new(seed);
    0
}
