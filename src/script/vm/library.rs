//! Libraries of functions: code that runs once, with nothing but `redis.register_function`, and leaves functions behind.

use std::ffi::c_int;

use mlua::ffi as lua;
use mlua::ffi::lua_State;

use super::{Engine, Function, Shared, api, sandbox, shared_of, string_at};
use crate::script::ScriptFlags;

/// A function that a library registers.
pub struct Registration<'a> {
    pub name: &'a [u8],
    pub description: Option<&'a [u8]>,
    pub flags: ScriptFlags,
    pub function: Function,
}

/// Who takes what a library registers while it is loaded.
pub trait Register {
    /// Takes a function; who does is to [`Engine::forget`] it some day.
    ///
    /// # Errors
    /// A text without a code, with which loading fails if the library does not catch it. The function is forgotten then.
    fn register(&mut self, registration: Registration<'_>) -> Result<(), Vec<u8>>;

    /// Called again and again. Returns why loading has to end, as a text without a code, if it has to.
    fn interrupt(&mut self) -> Option<&'static str>;

    /// Writes a line to the log; levels are 0 (debug) to 3 (warning).
    fn log(&mut self, level: u8, line: &[u8]);
}

impl Engine {
    /// Runs the code of a library, which registers its functions.
    ///
    /// # Errors
    /// A text without a code. What had been registered before stays so.
    pub fn load_library(&self, code: &[u8], register: &mut dyn Register) -> Result<(), Vec<u8>> {
        let register: *mut (dyn Register + '_) = register;
        let shared = self.shared;
        let mut failed = None;
        // SAFETY: the closure runs in protected mode and owns nothing; the pointer to `register` is forgotten below, so that its
        // lifetime may be left out.
        let ran = unsafe {
            (*shared).register =
                Some(std::mem::transmute::<*mut (dyn Register + '_), *mut (dyn Register + 'static)>(register));
            let ran = self.lua.exec_raw::<()>((), |state| {
                set_globals(state, shared, (*shared).library_globals);
                let mut prefix: &[u8] = b"Error compiling function: ";
                let mut status = sandbox::load_text(state, code, c"@user_function");
                if status == lua::LUA_OK {
                    prefix = b"Error registering functions: ";
                    status = lua::lua_pcall(state, 0, 0, 0);
                }
                if status != lua::LUA_OK {
                    describe(state, shared, prefix);
                    failed = Some(());
                }
                lua::lua_settop(state, 0);
            });
            (*shared).register = None;
            set_globals(self.state, shared, (*shared).globals);
            ran
        };
        self.go_on();
        self.collect();
        match (ran, failed) {
            (Ok(()), None) => Ok(()),
            // SAFETY: nothing runs that could use the buffer.
            (Ok(()), Some(())) => Err(unsafe { std::mem::take(&mut (*shared).text) }),
            (Err(error), _) => Err(error.to_string().into_bytes()),
        }
    }
}

/// Makes the global table as scripts see it show the table at a place in the registry. The field exists, so nothing is made.
unsafe fn set_globals(state: *mut lua_State, shared: *mut Shared, globals: c_int) {
    lua::lua_rawgeti_(state, lua::LUA_REGISTRYINDEX, (*shared).globals_meta);
    lua::lua_rawgeti_(state, lua::LUA_REGISTRYINDEX, globals);
    lua::lua_setfield(state, -2, c"__index".as_ptr());
    lua::lua_settop(state, -2);
}

/// Leaves behind what the error at index 1 says.
unsafe fn describe(state: *mut lua_State, shared: *mut Shared, prefix: &[u8]) {
    let buffer = &mut (*shared).text;
    buffer.clear();
    buffer.extend_from_slice(prefix);
    if lua::lua_type(state, 1) == lua::LUA_TTABLE {
        lua::lua_pushstring_(state, c"err".as_ptr());
        lua::lua_rawget_(state, 1);
    } else if prefix.starts_with(b"Error registering") {
        buffer.extend_from_slice(b"ERR ");
    }
    let text = if lua::lua_isstring(state, -1) != 0 { string_at(state, -1) } else { b"unknown error" };
    buffer.extend_from_slice(text);
}

/// Makes the globals that a library finds while it is loaded.
pub unsafe fn install(state: *mut lua_State, shared: *mut Shared, version: &str) {
    lua::lua_settop(state, 0);
    lua::lua_createtable(state, 0, 1);
    lua::lua_createtable(state, 0, 8);
    api::set_function(state, shared, c"register_function", register_function);
    api::install_log(state, shared, version);
    refuse_missing(state);
    sandbox::make_proxy(state);
    lua::lua_pushvalue(state, -1);
    lua::lua_setfield(state, 1, c"server".as_ptr());
    lua::lua_setfield(state, 1, c"redis".as_ptr());
    refuse_missing(state);
    (*shared).library_globals = lua::luaL_ref(state, lua::LUA_REGISTRYINDEX);
}

/// Makes it an error to read what is not in the table on the stack.
unsafe fn refuse_missing(state: *mut lua_State) {
    lua::lua_createtable(state, 0, 1);
    lua::lua_pushcclosure(state, sandbox::nonexistent, 0);
    lua::lua_setfield(state, -2, c"__index".as_ptr());
    lua::lua_setmetatable(state, -2);
}

/// Places on the stack of `register_function`, behind its arguments: what it was given.
const NAME: c_int = 3;
const CALLBACK: c_int = 4;
const DESCRIPTION: c_int = 5;
const FLAGS: c_int = 6;

/// `redis.register_function(name, callback)`, or with a table of `function_name`, `callback`, `description` and `flags`.
unsafe extern "C-unwind" fn register_function(state: *mut lua_State) -> c_int {
    let shared = shared_of(state);
    let Some(register) = (*shared).register else {
        return api::raise(state, "ERR redis.register_function can only be called on FUNCTION LOAD command");
    };
    let count = lua::lua_gettop(state);
    let understood = match count {
        1 => named_arguments(state),
        2 => positional_arguments(state),
        _ => Err("ERR wrong number of arguments to redis.register_function"),
    };
    let flags = match understood {
        Ok(flags) => flags,
        Err(text) => return api::raise(state, text),
    };
    lua::lua_pushvalue(state, CALLBACK);
    let function = Function(lua::luaL_ref(state, lua::LUA_REGISTRYINDEX));
    let description = lua::lua_isstring(state, DESCRIPTION) != 0;
    // Numbers are turned into strings here, before anything is alive that would be lost if there is no memory for it.
    let name = string_at(state, NAME);
    let description = if description { Some(string_at(state, DESCRIPTION)) } else { None };
    let refused = match (*register).register(Registration { name, description, flags, function }) {
        Ok(()) => false,
        Err(text) => {
            let buffer = &mut (*shared).text;
            buffer.clear();
            buffer.extend_from_slice(b"ERR ");
            buffer.extend_from_slice(&text);
            true
        }
    };
    if refused {
        lua::luaL_unref(state, lua::LUA_REGISTRYINDEX, function.0);
        api::push_error(state, &(*shared).text, false);
        lua::lua_error(state);
    }
    0
}

unsafe fn positional_arguments(state: *mut lua_State) -> Result<ScriptFlags, &'static str> {
    if lua::lua_isstring(state, 1) == 0 {
        return Err("ERR first argument to redis.register_function must be a string");
    }
    if lua::lua_type(state, 2) != lua::LUA_TFUNCTION {
        return Err("ERR second argument to redis.register_function must be a function");
    }
    lua::lua_pushvalue(state, 1);
    lua::lua_pushvalue(state, 2);
    lua::lua_settop(state, FLAGS);
    Ok(ScriptFlags::empty())
}

unsafe fn named_arguments(state: *mut lua_State) -> Result<ScriptFlags, &'static str> {
    if lua::lua_type(state, 1) != lua::LUA_TTABLE {
        return Err("ERR calling redis.register_function with a single argument is only applicable to Lua table \
                    (representing named arguments).");
    }
    let mut flags = ScriptFlags::empty();
    lua::lua_settop(state, FLAGS);
    lua::lua_pushnil(state);
    while lua::lua_next(state, 1) != 0 {
        if lua::lua_type(state, -2) != lua::LUA_TSTRING {
            return Err("ERR named argument key given to redis.register_function is not a string");
        }
        let kind = lua::lua_type(state, -1);
        let is_text = lua::lua_isstring(state, -1) != 0;
        let place = match Argument::named(string_at(state, -2)) {
            Argument::Name if !is_text => {
                return Err("ERR function_name argument given to redis.register_function must be a string");
            }
            Argument::Name => NAME,
            Argument::Description if !is_text => {
                return Err("ERR description argument given to redis.register_function must be a string");
            }
            Argument::Description => DESCRIPTION,
            Argument::Callback if kind != lua::LUA_TFUNCTION => {
                return Err("ERR callback argument given to redis.register_function must be a function");
            }
            Argument::Callback => CALLBACK,
            Argument::Flags if kind != lua::LUA_TTABLE => {
                return Err(
                    "ERR flags argument to redis.register_function must be a table representing function flags",
                );
            }
            Argument::Flags => {
                flags = read_flags(state)?;
                FLAGS
            }
            Argument::Unknown => return Err("ERR unknown argument given to redis.register_function"),
        };
        lua::lua_replace(state, place);
    }
    if lua::lua_type(state, NAME) == lua::LUA_TNIL {
        return Err("ERR redis.register_function must get a function name argument");
    }
    if lua::lua_type(state, CALLBACK) == lua::LUA_TNIL {
        return Err("ERR redis.register_function must get a callback argument");
    }
    Ok(flags)
}

/// The flags in the array on the stack.
unsafe fn read_flags(state: *mut lua_State) -> Result<ScriptFlags, &'static str> {
    let mut flags = ScriptFlags::empty();
    for index in 1.. {
        lua::lua_rawgeti_(state, -1, index);
        let kind = lua::lua_type(state, -1);
        let flag = if kind == lua::LUA_TSTRING { ScriptFlags::named_in_any_case(string_at(state, -1)) } else { None };
        lua::lua_settop(state, -2);
        match flag {
            Some(flag) => flags |= flag,
            None if kind == lua::LUA_TNIL => break,
            None => return Err("ERR unknown flag given"),
        }
    }
    Ok(flags)
}

/// What a named argument is.
enum Argument {
    Name,
    Description,
    Callback,
    Flags,
    Unknown,
}

impl Argument {
    fn named(name: &[u8]) -> Argument {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match () {
            () if is("function_name") => Argument::Name,
            () if is("description") => Argument::Description,
            () if is("callback") => Argument::Callback,
            () if is("flags") => Argument::Flags,
            () => Argument::Unknown,
        }
    }
}
