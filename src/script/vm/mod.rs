//! An interpreter, and how code gets into it and is run.
//!
//! The interpreter is Lua 5.1 as mlua vendors it, used through its C interface, because the calls that scripts make are
//! worth counting in nanoseconds. The rules of that interface, which all modules here keep:
//!
//! - An error of Lua is a `longjmp` to the innermost `lua_pcall`. What can raise one (nearly everything that makes a value) runs
//!   only in functions that Lua calls, and no Rust value that has to be dropped is alive in their frames at that moment: buffers
//!   live in [`Shared`].
//! - Every function leaves the stack as high as it found it, but for its results, and asks for room when it needs more than the
//!   twenty places that a function is promised.
//!
//! [`sandbox`] says what scripts can reach, [`api`] is the `redis` table, and [`convert`] turns replies into Lua values and back.
#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

mod api;
mod convert;
mod debug;
mod library;
mod sandbox;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::rc::Rc;

use mlua::ffi as lua;
use mlua::ffi::lua_State;
use mlua::{Lua, LuaOptions, StdLib};

use super::Host;
use super::debugger::Debugger;
use super::random::Random;
use crate::resp::Args;
use crate::resp::args::Span;
pub use library::{Register, Registration};

/// What a script and everything it makes may take, in bytes. What would take more fails in the script with "not enough
/// memory".
pub const MEMORY_MAX: usize = 1 << 30;
/// Between two looks at the clock a script runs so many instructions.
const INSTRUCTIONS: c_int = 100_000;
/// The garbage collector keeps step with what scripts make. An interpreter that has grown beyond so many bytes, and by half since
/// all of it was looked at last, gets a further step after so many runs, of this many kilobytes, so that what a single script left
/// does not stay until as much has been made again.
const LARGE: usize = 1 << 20;
const COLLECT_EVERY: u32 = 50;
const COLLECT_STEP: c_int = 50;

/// What an engine is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// EVAL: keys and arguments are globals.
    Eval,
    /// FUNCTION: keys and arguments are arguments.
    Functions,
}

/// A compiled function, by its place in its engine's registry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Function(c_int);

impl Function {
    #[cfg(test)]
    pub(super) fn numbered(number: i32) -> Function {
        Function(number)
    }
}

/// What the functions that scripts call share. Lua holds its address.
struct Shared {
    /// Whom the running script works for; `None` between runs.
    host: Option<*mut dyn Host>,
    /// Who takes the functions of the library that is being loaded.
    register: Option<*mut dyn Register>,
    /// The arguments of a call.
    bytes: Vec<u8>,
    spans: Vec<Span>,
    /// Text on its way to Lua.
    text: Vec<u8>,
    /// Who debugs the running script.
    debugger: Option<Box<Debugger>>,
    /// The running script has to end, and why.
    ended: bool,
    reason: &'static str,
    /// The thread in which scripts begin.
    main: *mut lua_State,
    random: Random,
    /// Places in the registry: the real global table, and the function that runs scripts.
    globals: c_int,
    runner: c_int,
    /// There, too: what completes the errors of scripts, and what reports them.
    on_error: c_int,
    reporter: c_int,
    /// Of an engine for functions: the metatable of the global table as scripts see it, and the globals while a library loads.
    globals_meta: c_int,
    library_globals: c_int,
}

/// One interpreter.
pub struct Engine {
    lua: ManuallyDrop<Lua>,
    state: *mut lua_State,
    shared: *mut Shared,
    kind: Kind,
    /// Runs of a large interpreter since the last step that the garbage collector was given.
    runs: Cell<u32>,
    /// The fewest bytes that it has taken since all of it was looked at last.
    least: Cell<usize>,
    /// What it may take, in bytes.
    limit: Cell<usize>,
}

/// A run, as the runner gets it.
struct Run<'a> {
    function: Function,
    args: &'a Args<'a>,
    keys: Range<usize>,
    argv: Range<usize>,
    kind: Kind,
    name: &'a [u8],
    shared: *mut Shared,
}

impl Engine {
    /// An interpreter in which nothing has run. `version` is the one that scripts are told; `seed` decides the numbers of
    /// `math.random`.
    ///
    /// # Errors
    /// If there is not even memory for that.
    pub fn new(kind: Kind, version: &str, seed: i32) -> mlua::Result<Engine> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::OS;
        let lua = Lua::new_with(libraries, LuaOptions::new().catch_rust_panics(false))?;
        let shared = Box::into_raw(Box::new(Shared {
            host: None,
            register: None,
            bytes: Vec::new(),
            spans: Vec::new(),
            text: Vec::new(),
            debugger: None,
            ended: false,
            reason: "",
            main: std::ptr::null_mut(),
            random: Random::new(seed),
            globals: 0,
            runner: 0,
            on_error: 0,
            reporter: 0,
            globals_meta: 0,
            library_globals: 0,
        }));
        let mut state = std::ptr::null_mut();
        // SAFETY: the closure runs in protected mode, owns nothing, and leaves the stack empty. `shared` lives until the engine is
        // dropped, which ends the interpreter first.
        let made = unsafe {
            lua.exec_raw::<()>((), |raw| {
                state = raw;
                (*shared).main = raw;
                crate::script::lib::install(raw);
                api::install(raw, shared, kind, version);
                sandbox::close(raw, shared);
                if kind == Kind::Functions {
                    library::install(raw, shared, version);
                }
                api::push_function(raw, shared, api::on_error);
                (*shared).on_error = lua::luaL_ref(raw, lua::LUA_REGISTRYINDEX);
                lua::lua_pushcclosure(raw, report_protected, 0);
                (*shared).reporter = lua::luaL_ref(raw, lua::LUA_REGISTRYINDEX);
                // In the order of the runner's upvalues.
                lua::lua_rawgeti(raw, lua::LUA_REGISTRYINDEX, (*shared).globals.into());
                lua::lua_pushstring_(raw, c"KEYS".as_ptr());
                lua::lua_pushstring_(raw, c"ARGV".as_ptr());
                lua::lua_pushcclosure(raw, run_protected, 3);
                (*shared).runner = lua::luaL_ref(raw, lua::LUA_REGISTRYINDEX);
                lua::lua_pushlightuserdata(raw, shared_key());
                lua::lua_pushlightuserdata(raw, shared.cast());
                lua::lua_rawset(raw, lua::LUA_REGISTRYINDEX);
                lua::lua_sethook(raw, Some(on_count), lua::LUA_MASKCOUNT, INSTRUCTIONS);
                lua::lua_settop(raw, 0);
            })
        };
        let (runs, least, limit) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let engine = Engine { lua: ManuallyDrop::new(lua), state, shared, kind, runs, least, limit };
        made.and_then(|()| engine.limit_memory(MEMORY_MAX)).map(|()| engine)
    }

    /// Sets how many bytes the interpreter and all it holds may take.
    ///
    /// # Errors
    /// If nobody counts them, which is not so with an interpreter of ours.
    fn limit_memory(&self, bytes: usize) -> mlua::Result<()> {
        self.limit.set(bytes);
        self.lua.set_memory_limit(bytes).map(drop)
    }

    /// Bytes of memory that the interpreter and all it holds take.
    pub fn memory_bytes(&self) -> usize {
        self.lua.used_memory()
    }

    /// Compiles a script. `chunk` names it in messages.
    ///
    /// # Errors
    /// The compiler's message.
    pub fn compile(&self, code: &[u8], chunk: &CStr) -> Result<Function, Vec<u8>> {
        let mut compiled = None;
        let shared = self.shared;
        // SAFETY: as in `new`; `compiled` and `shared` outlive the closure, whose frame owns nothing.
        let ran = unsafe {
            self.lua.exec_raw::<()>((), |state| {
                if sandbox::load_text(state, code, chunk) == lua::LUA_OK {
                    compiled = Some(Function(lua::luaL_ref(state, lua::LUA_REGISTRYINDEX)));
                } else {
                    (*shared).text.clear();
                    (*shared).text.extend_from_slice(string_at(state, -1));
                }
                lua::lua_settop(state, 0);
            })
        };
        self.collect_now_and_then(self.memory_bytes());
        match (ran, compiled) {
            (Ok(()), Some(function)) => Ok(function),
            // SAFETY: nothing runs that could use the buffer.
            (Ok(()), None) => Err(unsafe { std::mem::take(&mut (*self.shared).text) }),
            (Err(error), _) => Err(error.to_string().into_bytes()),
        }
    }

    /// Whether to free it takes long: then it is for [`free_aside`].
    pub fn is_large(&self) -> bool {
        self.memory_bytes() > LARGE
    }

    /// Frees the interpreter in a thread of its own if that takes long and nobody else has it.
    pub fn free(engine: Rc<Engine>) {
        if let Ok(engine) = Rc::try_unwrap(engine)
            && engine.is_large()
        {
            // SAFETY: it is the only one that knows its state.
            unsafe { free_aside(engine) };
        }
    }

    /// Forgets a function.
    pub fn forget(&self, function: Function) {
        // SAFETY: the registry has a place of that number, which was made by `luaL_ref`; to free it makes no value.
        unsafe { lua::luaL_unref(self.state, lua::LUA_REGISTRYINDEX, function.0) };
    }

    /// Runs a function with keys and arguments that are among `args`, for a host, to whose reply the result goes. `name` names it
    /// in errors.
    pub fn run(
        &self,
        function: Function,
        args: &Args<'_>,
        keys: Range<usize>,
        argv: Range<usize>,
        name: &[u8],
        host: &mut dyn Host,
    ) {
        let host: *mut (dyn Host + '_) = host;
        let mut run = Run { function, args, keys, argv, kind: self.kind, name, shared: self.shared };
        // SAFETY: the pointers to `run` and to the host are used only until `lua_pcall` returns. The host's is forgotten below, so
        // that its lifetime may be left out. Few values are pushed, for which there is room on a stack that is empty; none of
        // them makes anything. All else happens in protected mode.
        unsafe {
            (*self.shared).host = Some(std::mem::transmute::<*mut (dyn Host + '_), *mut (dyn Host + 'static)>(host));
            lua::lua_rawgeti(self.state, lua::LUA_REGISTRYINDEX, (*self.shared).on_error.into());
            lua::lua_rawgeti(self.state, lua::LUA_REGISTRYINDEX, (*self.shared).runner.into());
            lua::lua_pushlightuserdata(self.state, (&raw mut run).cast());
            if lua::lua_pcall(self.state, 1, 0, 1) != lua::LUA_OK {
                lua::lua_rawgeti(self.state, lua::LUA_REGISTRYINDEX, (*self.shared).reporter.into());
                lua::lua_insert(self.state, -2);
                lua::lua_pushlightuserdata(self.state, (&raw mut run).cast());
                if lua::lua_pcall(self.state, 2, 0, 0) != lua::LUA_OK {
                    // Not even the error could be told.
                    (*host).reply();
                    (*host).error(b"ERR Error running script, not enough memory", false);
                }
            }
            lua::lua_settop(self.state, 0);
            (*self.shared).host = None;
        }
        self.go_on();
        let bytes = self.memory_bytes();
        if bytes > self.limit.get() / 2 {
            // What is garbage is not to be in the way of the next script.
            // SAFETY: as in `collect`.
            unsafe { lua::lua_gc(self.state, lua::LUA_GCCOLLECT, 0) };
            self.least.set(self.memory_bytes());
        } else {
            self.collect_now_and_then(bytes);
        }
    }

    /// Forgets that the last script had to end.
    fn go_on(&self) {
        // SAFETY: nothing runs, and to set a hook makes nothing.
        unsafe {
            if std::mem::take(&mut (*self.shared).ended) {
                lua::lua_sethook(self.state, Some(on_count), lua::LUA_MASKCOUNT, INSTRUCTIONS);
            }
        }
    }

    /// Something has run, and so many bytes are taken: the garbage collector gets a step if it is time for one.
    fn collect_now_and_then(&self, bytes: usize) {
        self.least.set(self.least.get().min(bytes));
        if bytes > LARGE.max(self.least.get() + self.least.get() / 2) {
            self.runs.set(self.runs.get() + 1);
            if self.runs.get() >= COLLECT_EVERY {
                self.collect();
            }
        }
    }

    /// Runs the garbage collector a little.
    fn collect(&self) {
        self.runs.set(0);
        // SAFETY: nothing runs. No finalizer that a script wrote exists, so collecting raises no errors.
        let is_through = unsafe { lua::lua_gc(self.state, lua::LUA_GCSTEP, COLLECT_STEP) != 0 };
        if is_through {
            self.least.set(self.memory_bytes());
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // SAFETY: neither is used again. The interpreter goes first, for it holds the other's address.
        unsafe {
            ManuallyDrop::drop(&mut self.lua);
            drop(Box::from_raw(self.shared));
        }
    }
}

/// Drops what holds interpreters in a thread of its own, which frees them while the server goes on. Without a thread it is done
/// here.
///
/// # Safety
/// Nothing else may hold a part of it: no other [`Engine`], and none of the reference counts within, is shared with this thread.
pub(in crate::script) unsafe fn free_aside<T: 'static>(old: T) {
    struct Aside<T>(T);
    // SAFETY: an interpreter is memory that any thread may free, mlua keeps nothing of it in thread-local places, and the
    // caller says that there is no other way to it.
    unsafe impl<T> Send for Aside<T> {}
    let old = Aside(old);
    let body = move || {
        // The whole of it, not its field, is what the closure takes.
        let old = old;
        drop(old.0);
    };
    if let Err(error) = std::thread::Builder::new().name("scripts".to_string()).spawn(body) {
        log::warn!("No thread to free old scripts in, it has been done at once: {error}");
    }
}

/// The key in the registry under which the address of [`Shared`] stands.
fn shared_key() -> *mut c_void {
    static KEY: u8 = 0;
    (&raw const KEY).cast_mut().cast()
}

/// What a function that scripts call shares with the others: its first upvalue.
#[inline]
unsafe fn shared_of(state: *mut lua_State) -> *mut Shared {
    lua::lua_touserdata(state, lua::lua_upvalueindex(1)).cast()
}

/// The same, for a hook, which has no upvalues.
unsafe fn find_shared(state: *mut lua_State) -> *mut Shared {
    lua::lua_pushlightuserdata(state, shared_key());
    lua::lua_rawget(state, lua::LUA_REGISTRYINDEX);
    let shared = lua::lua_touserdata(state, -1).cast();
    lua::lua_settop(state, -2);
    shared
}

/// The bytes of a string on the stack. They are there as long as it is.
#[inline]
unsafe fn string_at<'a>(state: *mut lua_State, index: c_int) -> &'a [u8] {
    let mut len = 0;
    let bytes = lua::lua_tolstring(state, index, &raw mut len);
    if bytes.is_null() { b"" } else { std::slice::from_raw_parts(bytes.cast(), len) }
}

/// Pushes a string.
#[inline]
unsafe fn push_bytes(state: *mut lua_State, bytes: &[u8]) {
    lua::lua_pushlstring_(state, bytes.as_ptr().cast(), bytes.len());
}

/// Pushes an array of some arguments.
unsafe fn push_arguments(state: *mut lua_State, args: &Args<'_>, range: Range<usize>) {
    lua::lua_createtable(state, range.len() as c_int, 0);
    for (at, argument) in range.enumerate() {
        push_bytes(state, &args[argument]);
        lua::lua_rawseti_(state, -2, at as c_int + 1);
    }
}

/// Upvalues of [`run_protected`]: the real global table, and the names of what it sets there.
const GLOBALS: c_int = 1;
const KEYS: c_int = 2;
const ARGV: c_int = 3;

/// Runs what its argument, a [`Run`], says: in protected mode, so that memory may run out anywhere.
unsafe extern "C-unwind" fn run_protected(state: *mut lua_State) -> c_int {
    let run = &*lua::lua_touserdata(state, 1).cast::<Run<'_>>();
    lua::lua_settop(state, 0);
    lua::lua_rawgeti(state, lua::LUA_REGISTRYINDEX, run.function.0.into());
    let arguments = match run.kind {
        Kind::Eval => {
            // A script that changed its own environment finds the common one again.
            lua::lua_pushvalue(state, lua::LUA_GLOBALSINDEX);
            lua::lua_setfenv(state, -2);
            for (name, range) in [(KEYS, &run.keys), (ARGV, &run.argv)] {
                lua::lua_pushvalue(state, lua::lua_upvalueindex(name));
                push_arguments(state, run.args, range.clone());
                lua::lua_rawset(state, lua::lua_upvalueindex(GLOBALS));
            }
            0
        }
        Kind::Functions => {
            push_arguments(state, run.args, run.keys.clone());
            push_arguments(state, run.args, run.argv.clone());
            2
        }
    };
    let Some(host) = (*run.shared).host else { return 0 };
    (*host).begin();
    lua::lua_call(state, arguments, 1);
    let before = (*host).reply().out.len();
    convert::write_value(state, host);
    if let Some(reason) = (*host).refuses_reply() {
        (*host).reply().out.truncate(before);
        (*host).error(&[b"ERR ", reason.as_bytes()].concat(), false);
    }
    debug_assert!((*host).reply().out.len() > before, "every script has a reply");
    0
}

/// Reports the error that is its first argument, with which the [`Run`] that is its second one ended.
unsafe extern "C-unwind" fn report_protected(state: *mut lua_State) -> c_int {
    let run = &*lua::lua_touserdata(state, 2).cast::<Run<'_>>();
    lua::lua_settop(state, 1);
    api::report(state, run.shared, run.name);
    0
}

/// Runs again and again while a script runs.
unsafe extern "C-unwind" fn on_count(state: *mut lua_State, _: *mut lua::lua_Debug) {
    end_if_wanted(state);
}

/// Ends the script if whoever runs it wants that.
unsafe fn end_if_wanted(state: *mut lua_State) {
    let shared = find_shared(state);
    let reason = match ((*shared).host, (*shared).register) {
        _ if (*shared).ended => None,
        (Some(host), _) => (*host).interrupt(),
        (None, Some(register)) => (*register).interrupt(),
        (None, None) => None,
    };
    if let Some(reason) = reason {
        ((*shared).ended, (*shared).reason) = (true, reason);
    }
    if (*shared).ended {
        end_script(state, shared);
    }
}

/// Raises the error with which the script has to end. From here on every instruction of this thread and of the first does, so
/// that the script cannot catch it and go on; a coroutine between the two does when it looks at the clock next, and at once
/// when it runs a command.
unsafe fn end_script(state: *mut lua_State, shared: *mut Shared) -> c_int {
    for thread in [state, (*shared).main] {
        lua::lua_sethook(thread, Some(on_count), lua::LUA_MASKCOUNT, 1);
    }
    (*shared).text.clear();
    (*shared).text.extend_from_slice(b"ERR ");
    (*shared).text.extend_from_slice((*shared).reason.as_bytes());
    api::push_error(state, &(*shared).text, false);
    lua::lua_error(state)
}
