//! The debugger's way into the interpreter: hooks that stop a script, and looks at what it has.
//!
//! A script that is being debugged has a hook for each line besides the one that counts instructions. It runs within the
//! script, so what a request does to Lua is done in protected mode, or by functions that raise no errors; and the debugger itself
//! stands in [`Shared`], not on the hooks' frames. Lua calls no hooks within a hook. Code that is evaluated gets a thread of
//! its own for that reason: there they are called, and it can be interrupted like any script.

use std::ffi::{CStr, c_int, c_void};

use mlua::ffi as lua;
use mlua::ffi::{lua_Debug, lua_State};

use super::{Engine, INSTRUCTIONS, Shared, end_script, find_shared, on_count, sandbox, string_at};
use crate::config::words::quote_bytes;
use crate::resp::Args;
use crate::resp::args::Span;
use crate::script::debugger::{Debugger, Request};
use crate::script::lib::write_number;
use crate::script::{Host, Input};

/// Tables within tables are shown so deep.
const DEPTH_MAX: usize = 10;
/// Places on the stack that showing a value takes at most: a table, its proxy, a key and a value for each level.
const STACK: c_int = 4 * DEPTH_MAX as c_int + 8;
/// Digits of numbers.
const PRECISION: usize = 6;
/// Only lines of scripts are stopped at, not those of code that a script compiles.
const SCRIPT: &[u8] = b"user_script";

impl Engine {
    /// Lets the next script be debugged, until [`Engine::end_debugging`].
    pub fn begin_debugging(&self, debugger: Debugger) {
        // SAFETY: nothing runs, and to set a hook makes nothing.
        unsafe {
            (*self.shared).debugger = Some(Box::new(debugger));
            lua::lua_sethook(self.state, Some(on_line), lua::LUA_MASKLINE | lua::LUA_MASKCOUNT, INSTRUCTIONS);
        }
    }

    /// Scripts are not debugged any more. Returns the debugger, with what is still to be shown.
    pub fn end_debugging(&self) -> Option<Box<Debugger>> {
        // SAFETY: as above.
        unsafe {
            lua::lua_sethook(self.state, Some(on_count), lua::LUA_MASKCOUNT, INSTRUCTIONS);
            (*self.shared).debugger.take()
        }
    }
}

/// Runs before each line of a script that is being debugged, and again and again while it runs.
unsafe extern "C-unwind" fn on_line(state: *mut lua_State, at: *mut lua_Debug) {
    // Whatever may raise an error for lack of memory comes first.
    let room = lua::lua_checkstack(state, STACK) != 0;
    let shared = find_shared(state);
    let Some(host) = (*shared).host.filter(|_| room) else { return };
    if !(*shared).ended {
        lua::lua_getinfo(state, c"Sl".as_ptr(), at);
        if let Some(reason) = look(state, shared, host, &*at) {
            ((*shared).ended, (*shared).reason) = (true, reason);
        }
    }
    if (*shared).ended {
        end_script(state, shared);
    }
}

/// Stops the script if it has to stop here. Returns why it has to end, if it has to.
unsafe fn look(
    state: *mut lua_State,
    shared: *mut Shared,
    host: *mut dyn Host,
    at: &lua_Debug,
) -> Option<&'static str> {
    let debugger = (*shared).debugger.as_deref_mut()?;
    debugger.line = usize::try_from(at.currentline).unwrap_or(0);
    let counted = at.event == lua::LUA_HOOKCOUNT;
    if memchr::memmem::find(CStr::from_ptr(at.short_src.as_ptr()).to_bytes(), SCRIPT).is_none() {
        return if counted { (*host).interrupt() } else { None };
    }
    let due = debugger.is_due();
    let overdue = !due && counted && (*host).is_overdue();
    if !due && !overdue {
        return None;
    }
    debugger.stop(overdue);
    let log = debugger.take_log();
    (*host).show(&log);
    match converse(state, shared, host) {
        Met::Resumed => None,
        // Nobody could end it, if it never ended by itself.
        Met::Left if overdue => Some("timeout during Lua debugging with client closing connection"),
        Met::Left => None,
        Met::Ended(reason) => Some(reason),
    }
}

/// What came of a stop.
enum Met {
    /// The script goes on.
    Resumed,
    /// It goes on, and is not stopped any more: its client has gone.
    Left,
    /// It has to end.
    Ended(&'static str),
}

/// Answers requests until one lets the script go on, or it has to end.
unsafe fn converse(state: *mut lua_State, shared: *mut Shared, host: *mut dyn Host) -> Met {
    loop {
        let Some(debugger) = (*shared).debugger.as_deref_mut() else { return Met::Left };
        let words = match debugger.next_request() {
            Ok(Some(words)) => words,
            Ok(None) => match (*host).await_input(&mut debugger.input) {
                Input::Came => continue,
                Input::Gone => {
                    debugger.release();
                    return Met::Left;
                }
                Input::End(reason) => return Met::Ended(reason),
            },
            Err(why) => return Met::Ended(why),
        };
        match debugger.execute(&words) {
            Request::Answered => {}
            Request::Resume => return Met::Resumed,
            Request::Abort => return Met::Ended("script aborted for user request"),
            Request::Print(Some(name)) => print(state, shared, &name),
            Request::Print(None) => print_all(state, shared),
            Request::Trace => trace(state, shared),
            Request::Evaluate(code) => evaluate(state, shared, &code),
            Request::Call(words) => call(shared, host, &words),
        }
        if (*shared).ended {
            return Met::Ended((*shared).reason);
        }
        if let Some(debugger) = (*shared).debugger.as_deref_mut() {
            let log = debugger.take_log();
            (*host).show(&log);
        }
    }
}

/// Shows the value at an index, and what goes before it.
unsafe fn say_value(state: *mut lua_State, shared: *mut Shared, prefix: &[u8], index: c_int) {
    if let Some(debugger) = (*shared).debugger.as_deref_mut() {
        let mut line = prefix.to_vec();
        write_value(state, index, &mut line, debugger.enough(), 0);
        debugger.say_limited(&line);
    }
}

unsafe fn say(shared: *mut Shared, line: &[u8]) {
    if let Some(debugger) = (*shared).debugger.as_deref_mut() {
        debugger.say(line);
    }
}

/// Calls `visit` with the name of each local variable at a level, whose value is on the stack meanwhile, until it returns true.
/// Returns whether it did; `None` if there is no such level.
unsafe fn find_local(state: *mut lua_State, level: c_int, mut visit: impl FnMut(&[u8]) -> bool) -> Option<bool> {
    let mut at = std::mem::zeroed::<lua_Debug>();
    if lua::lua_getstack(state, level, &raw mut at) == 0 {
        return None;
    }
    for index in 1.. {
        let name = lua::lua_getlocal(state, &raw const at, index);
        if name.is_null() {
            break;
        }
        let found = visit(CStr::from_ptr(name).to_bytes());
        lua::lua_settop(state, -2);
        if found {
            return Some(true);
        }
    }
    Some(false)
}

/// Shows a variable of the function that stands, or of one of those that led to it.
unsafe fn print(state: *mut lua_State, shared: *mut Shared, wanted: &[u8]) {
    const PREFIX: &[u8] = b"<value> ";
    for level in 0.. {
        let found = find_local(state, level, |name| {
            let found = name == wanted;
            if found {
                say_value(state, shared, PREFIX, -1);
            }
            found
        });
        match found {
            Some(true) => return,
            Some(false) => {}
            None => break,
        }
    }
    if matches!(wanted, b"KEYS" | b"ARGV") {
        // To look a name up, it would have to be made a string; so they are looked through.
        lua::lua_rawgeti_(state, lua::LUA_REGISTRYINDEX, (*shared).globals);
        lua::lua_pushnil(state);
        while lua::lua_next(state, -2) != 0 {
            if lua::lua_type(state, -2) == lua::LUA_TSTRING && string_at(state, -2) == wanted {
                say_value(state, shared, PREFIX, -1);
                lua::lua_settop(state, -4);
                return;
            }
            lua::lua_settop(state, -2);
        }
        lua::lua_settop(state, -2);
    }
    say(shared, b"No such variable.");
}

/// Shows all variables of the function that stands.
unsafe fn print_all(state: *mut lua_State, shared: *mut Shared) {
    let mut any = false;
    find_local(state, 0, |name| {
        if memchr::memmem::find(name, b"(*temporary)").is_none() {
            any = true;
            say_value(state, shared, &[b"<value> ", name, b" = "].concat(), -1);
        }
        false
    });
    if !any {
        say(shared, b"No local variables in the current context.");
    }
}

/// Shows which functions led here.
unsafe fn trace(state: *mut lua_State, shared: *mut Shared) {
    let Some(debugger) = (*shared).debugger.as_deref_mut() else { return };
    let mut at = std::mem::zeroed::<lua_Debug>();
    let mut level = 0;
    while lua::lua_getstack(state, level, &raw mut at) != 0 {
        lua::lua_getinfo(state, c"Snl".as_ptr(), &raw mut at);
        if memchr::memmem::find(CStr::from_ptr(at.short_src.as_ptr()).to_bytes(), SCRIPT).is_some() {
            let name = if at.name.is_null() { c"top level" } else { CStr::from_ptr(at.name) };
            let place: &[u8] = if level == 0 { b"In " } else { b"From " };
            debugger.say(&[place, name.to_bytes(), b":"].concat());
            debugger.say_line(usize::try_from(at.currentline).unwrap_or(0));
        }
        level += 1;
    }
    if level == 0 {
        debugger.say(b"<error> Can't retrieve Lua stack.");
    }
}

/// Runs a command for the client, and shows it with its reply.
unsafe fn call(shared: *mut Shared, host: *mut dyn Host, words: &[Vec<u8>]) {
    let bytes = words.concat();
    let mut start = 0;
    let spans: Vec<Span> = words
        .iter()
        .map(|word| {
            let span = Span::new(start, word.len() as u32);
            start += word.len() as u32;
            span
        })
        .collect();
    note_call(shared, &Args::new(&bytes, &spans, &mut []));
    match (*host).call(&mut Args::new(&bytes, &spans, &mut [])) {
        Ok(reply) => {
            if reply.first() == Some(&b'-') {
                note_error(shared, reply[1..].split(|&byte| byte == b'\r').next().unwrap_or_default(), true);
            }
            note_reply(shared, reply);
        }
        Err(text) => note_error(shared, &text, false),
    }
}

/// What [`evaluate_protected`] gets.
struct Evaluation<'a> {
    shared: *mut Shared,
    code: &'a [u8],
}

/// Runs some code, and shows its result.
unsafe fn evaluate(state: *mut lua_State, shared: *mut Shared, code: &[u8]) {
    let mut evaluation = Evaluation { shared, code };
    if lua::lua_cpcall(state, evaluate_protected, (&raw mut evaluation).cast::<c_void>()) != lua::LUA_OK {
        lua::lua_settop(state, -2);
        say(shared, b"<error> not enough memory");
    }
}

unsafe extern "C-unwind" fn evaluate_protected(state: *mut lua_State) -> c_int {
    const CHUNK: &CStr = c"@ldb_eval";
    let Evaluation { shared, code } = *lua::lua_touserdata(state, 1).cast::<Evaluation<'_>>();
    lua::luaL_checkstack_(state, STACK, c"no room for a value".as_ptr());
    lua::lua_settop(state, 0);
    let thread = lua::lua_newthread(state);
    lua::lua_sethook(thread, Some(on_count), lua::LUA_MASKCOUNT, INSTRUCTIONS);
    // An expression, if it can be one.
    (*shared).text.clear();
    (*shared).text.extend_from_slice(b"return ");
    (*shared).text.extend_from_slice(code);
    let mut status = sandbox::load_text(state, &(*shared).text, CHUNK);
    if status != lua::LUA_OK {
        lua::lua_settop(state, 1);
        status = sandbox::load_text(state, code, CHUNK);
    }
    if status == lua::LUA_OK {
        lua::lua_xmove(state, thread, 1);
        status = lua::lua_pcall(thread, 0, 1, 0);
        lua::lua_xmove(thread, state, 1);
    }
    if status == lua::LUA_OK {
        say_value(state, shared, b"<retval> ", -1);
        return 0;
    }
    if lua::lua_type(state, -1) == lua::LUA_TTABLE {
        lua::lua_pushstring_(state, c"err".as_ptr());
        lua::lua_rawget_(state, -2);
    }
    // A number becomes a string here, which takes memory.
    let text = if lua::lua_isstring(state, -1) != 0 { string_at(state, -1) } else { b"unknown error" };
    if let Some(debugger) = (*shared).debugger.as_deref_mut() {
        let line = [b"<error> ", text].concat();
        debugger.say_limited(&line);
    }
    0
}

/// Shows a command that the script, or its client, is about to run, if it is to be shown.
#[cold]
pub unsafe fn note_call(shared: *mut Shared, args: &Args<'_>) {
    if let Some(debugger) = (*shared).debugger.as_deref_mut() {
        let words: Vec<&[u8]> = args.iter_from(0).collect();
        debugger.say_call(words.into_iter());
    }
}

/// Shows the reply to it.
#[cold]
pub unsafe fn note_reply(shared: *mut Shared, reply: &[u8]) {
    if let Some(debugger) = (*shared).debugger.as_deref_mut() {
        debugger.say_reply(reply);
    }
}

/// Shows an error; see [`Debugger::say_error`].
#[cold]
pub unsafe fn note_error(shared: *mut Shared, text: &[u8], replied: bool) {
    if let Some(debugger) = (*shared).debugger.as_deref_mut() {
        debugger.say_error(text, replied);
    }
}

/// Whether what the script calls is to be shown.
#[inline]
pub unsafe fn is_shown(shared: *mut Shared) -> bool {
    (*shared).debugger.as_deref().is_some_and(Debugger::is_stepping)
}

/// `redis.breakpoint()`: stops the script before its next line. Returns whether anybody debugs it.
pub unsafe extern "C-unwind" fn breakpoint(state: *mut lua_State) -> c_int {
    let debugger = (*super::shared_of(state)).debugger.as_deref_mut();
    let debugged = debugger.map(Debugger::call_breakpoint).is_some();
    lua::lua_pushboolean(state, debugged.into());
    1
}

/// `redis.debug(...)`: shows its arguments.
pub unsafe extern "C-unwind" fn debug(state: *mut lua_State) -> c_int {
    let shared = super::shared_of(state);
    if (*shared).debugger.is_none() {
        return 0;
    }
    let count = lua::lua_gettop(state);
    lua::luaL_checkstack_(state, STACK, c"no room for a value".as_ptr());
    if let Some(debugger) = (*shared).debugger.as_deref_mut() {
        let mut line = format!("<debug> line {}: ", debugger.line).into_bytes();
        for index in 1..=count {
            if index > 1 {
                line.extend_from_slice(b", ");
            }
            write_value(state, index, &mut line, Debugger::most(), 0);
        }
        debugger.say(&line);
    }
    0
}

/// Writes a value so that it can be read, up to about `most` bytes in all. Raises no errors; there must be room on the stack.
unsafe fn write_value(state: *mut lua_State, index: c_int, out: &mut Vec<u8>, most: usize, depth: usize) {
    if depth == DEPTH_MAX {
        return out.extend_from_slice(b"<max recursion level reached! Nested table?>");
    }
    let kind = lua::lua_type(state, index);
    match kind {
        lua::LUA_TSTRING => {
            let text = string_at(state, index);
            out.extend_from_slice(quote_bytes(&text[..text.len().min(most + 1)]).as_bytes());
        }
        lua::LUA_TBOOLEAN if lua::lua_toboolean(state, index) != 0 => out.extend_from_slice(b"true"),
        lua::LUA_TBOOLEAN => out.extend_from_slice(b"false"),
        lua::LUA_TNUMBER => match lua::lua_tonumber(state, index) {
            number if number.is_nan() => {
                out.extend_from_slice(if number.is_sign_negative() { b"-nan" } else { b"nan" });
            }
            number => write_number(out, number, PRECISION),
        },
        lua::LUA_TNIL => out.extend_from_slice(b"nil"),
        lua::LUA_TTABLE => write_table(state, index, out, most, depth),
        _ => {
            let name = match kind {
                lua::LUA_TFUNCTION => "function",
                lua::LUA_TUSERDATA => "userdata",
                lua::LUA_TTHREAD => "thread",
                lua::LUA_TLIGHTUSERDATA => "light-userdata",
                _ => "unknown",
            };
            out.extend_from_slice(format!("\"{name}@{:p}\"", lua::lua_topointer(state, index)).as_bytes());
        }
    }
}

unsafe fn write_table(state: *mut lua_State, index: c_int, out: &mut Vec<u8>, most: usize, depth: usize) {
    let top = lua::lua_gettop(state);
    // What scripts share they have as proxies, which are empty.
    if !sandbox::push_real(state, index) {
        lua::lua_pushvalue(state, index);
    }
    let is_array = is_array(state);
    out.push(b'{');
    let mut first = true;
    lua::lua_pushnil(state);
    while lua::lua_next(state, -2) != 0 {
        if out.len() > most {
            // It will be cut before this.
            break;
        }
        if !std::mem::take(&mut first) {
            out.extend_from_slice(b"; ");
        }
        if !is_array {
            out.push(b'[');
            write_value(state, -2, out, most, depth + 1);
            out.extend_from_slice(b"]=");
        }
        write_value(state, -1, out, most, depth + 1);
        lua::lua_settop(state, -2);
    }
    out.push(b'}');
    lua::lua_settop(state, top);
}

/// Whether the keys of the table on the stack are 1, 2, 3 … in the order in which they come.
unsafe fn is_array(state: *mut lua_State) -> bool {
    let top = lua::lua_gettop(state);
    let mut expected = 1.0;
    lua::lua_pushnil(state);
    while lua::lua_next(state, top) != 0 {
        if lua::lua_type(state, -2) != lua::LUA_TNUMBER || lua::lua_tonumber(state, -2) != expected {
            lua::lua_settop(state, top);
            return false;
        }
        expected += 1.0;
        lua::lua_settop(state, -2);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::fuzz;
    use crate::resp::{Proto, Reply};
    use crate::script::Kind;

    /// A server that echoes, and a client that asks one thing after the other and then goes.
    #[derive(Default)]
    struct Session {
        requests: std::vec::IntoIter<Vec<u8>>,
        shown: Vec<u8>,
        calls: Reply,
        reply: Reply,
        /// How often a script may go on.
        patience: u32,
        overdue: bool,
    }

    impl Host for Session {
        fn call(&mut self, args: &mut Args<'_>) -> Result<&[u8], Vec<u8>> {
            self.calls.out.truncate(0);
            match &args[0] {
                b"echo" => self.calls.bulk(args.get(1).unwrap_or_default()),
                b"fail" => self.calls.error(b"WRONG thing"),
                _ => return Err(b"ERR refused".to_vec()),
            }
            Ok(self.calls.out.flatten())
        }

        fn may_call(&mut self, _: &mut Args<'_>) -> Option<bool> {
            None
        }

        fn set_proto(&mut self, _: Proto) {}

        fn proto(&self) -> Proto {
            Proto::Resp2
        }

        fn set_propagation(&mut self, _: bool, _: bool) {}

        fn log(&mut self, _: u8, _: &[u8]) {}

        fn interrupt(&mut self) -> Option<&'static str> {
            self.patience = self.patience.saturating_sub(1);
            (self.patience == 0).then_some("enough")
        }

        fn show(&mut self, text: &[u8]) {
            self.shown.extend_from_slice(text);
        }

        fn await_input(&mut self, input: &mut Vec<u8>) -> Input {
            match self.requests.next() {
                Some(request) => {
                    input.extend_from_slice(&request);
                    Input::Came
                }
                None => Input::Gone,
            }
        }

        fn is_overdue(&mut self) -> bool {
            self.overdue
        }

        fn reply(&mut self) -> &mut Reply {
            &mut self.reply
        }

        fn error(&mut self, text: &[u8], _: bool) {
            self.reply.error(text);
        }
    }

    fn encoded(request: &str) -> Vec<u8> {
        // What is behind eval is one word, as redis-cli has it.
        let words: Vec<&str> =
            if request.starts_with("e ") { request.splitn(2, ' ').collect() } else { request.split(' ').collect() };
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
        bytes
    }

    fn engine() -> Engine {
        Engine::new(Kind::Eval, "7.4.0", 1).expect("there is memory for an interpreter")
    }

    /// Debugs a script; what is shown, line by line, and its reply.
    fn debug(engine: &Engine, code: &str, session: &mut Session) -> (Vec<String>, String) {
        let function = engine.compile(code.as_bytes(), c"@user_script").expect("it can be compiled");
        let spans = [Span::new(0, 1), Span::new(1, 1)];
        engine.begin_debugging(Debugger::new(code.as_bytes()));
        engine.run(function, &Args::new(b"ka", &spans, &mut []), 0..1, 1..2, b"name", session);
        let mut debugger = engine.end_debugging().expect("it has been debugged");
        engine.forget(function);
        session.shown.append(&mut debugger.take_log());
        let shown = String::from_utf8_lossy(&session.shown);
        let lines = shown.split_terminator("\r\n").filter(|line| !line.starts_with('*'));
        let lines = lines.map(|line| line.trim_start_matches('+').to_owned()).collect();
        (lines, String::from_utf8_lossy(session.reply.out.flatten()).into_owned())
    }

    fn asking(requests: &[&str]) -> Session {
        let requests: Vec<Vec<u8>> = requests.iter().map(|request| encoded(request)).collect();
        Session { requests: requests.into_iter(), patience: 1000, ..Session::default() }
    }

    #[test]
    fn a_script_is_stepped_through() {
        let engine = engine();
        let code = "local a = {1, 'x'}\nredis.call('echo', a[2])\nredis.pcall('fail')\nreturn redis.call('nosuch')";
        let requests = ["s", "p", "p KEYS", "r echo b", "e #ARGV", "e redis.call('fail')", "s", "s", "s"];
        let (shown, reply) = debug(&engine, code, &mut asking(&requests));
        let expected = [
            "* Stopped at 1, stop reason = step over",
            "-> 1   local a = {1, 'x'}",
            "* Stopped at 2, stop reason = step over",
            "-> 2   redis.call('echo', a[2])",
            "<value> a = {1; \"x\"}",
            "<value> {\"k\"}",
            "<redis> echo b",
            "<reply> \"b\"",
            "<retval> 1",
            "<error> WRONG thing",
            "<redis> echo x",
            "<reply> \"x\"",
            "* Stopped at 3, stop reason = step over",
            "-> 3   redis.pcall('fail')",
            "<redis> fail",
            "<error> -WRONG thing",
            "<reply> \"-WRONG thing\"",
            "* Stopped at 4, stop reason = step over",
            "-> 4   return redis.call('nosuch')",
            "<redis> nosuch",
            "<error> refused",
        ];
        // The first lines of arrays begin like those of stops.
        let expected: Vec<&str> = expected.into_iter().filter(|line| !line.starts_with('*')).collect();
        let shown: Vec<&str> = shown.iter().map(String::as_str).filter(|line| !line.starts_with('*')).collect();
        assert_eq!(shown, expected);
        assert!(reply.starts_with("-ERR refused script: name, on @user_script:4."), "{reply}");
        // The next script is not debugged.
        let mut session = Session { patience: 1, ..asking(&["a"]) };
        let function = engine.compile(b"return redis.breakpoint()", c"@user_script").expect("it can be compiled");
        engine.run(function, &Args::new(b"", &[], &mut []), 0..0, 0..0, b"name", &mut session);
        assert_eq!(session.reply.out.flatten(), b"$-1\r\n");
        assert_eq!(session.requests.len(), 1);
    }

    #[test]
    fn every_script_ends() {
        let engine = engine();
        for (code, requests, overdue, ends) in [
            ("pcall(function()\nlocal x = 1\nend)\nreturn 1", &["s", "a"][..], false, "-ERR script aborted"),
            ("return 1", &["e while true do end"], false, "-ERR enough"),
            ("while true do end", &[], true, "-ERR timeout during Lua debugging with client closing connection"),
            ("while true do end", &["c", "c", "a"], true, "-ERR script aborted"),
            ("loadstring('while true do end')()", &["c"], false, "-ERR enough"),
            ("return 7", &[], false, ":7"),
            ("coroutine.wrap(function() local x = 1 end)()\nreturn 2", &["s", "a"], false, "-ERR script aborted"),
        ] {
            let mut session = Session { overdue, patience: 20, ..asking(requests) };
            let (_, reply) = debug(&engine, code, &mut session);
            assert!(reply.starts_with(ends), "{code}: {reply}");
        }
    }

    #[test]
    fn values_of_any_size_are_cut() {
        let engine = engine();
        let code =
            "local t = {}\nfor i = 1, 20 do t[i] = t; t[{}] = t end\nlocal s = ('x'):rep(1e7)\nlocal g = _G\nreturn 1";
        let (shown, _) = debug(&engine, code, &mut asking(&["b 5", "c", "p", "m 0", "p"]));
        assert!(shown.iter().all(|line| line.len() < (1 << 20) + 100));
        assert!(shown.iter().any(|line| line.starts_with("<value> g = {") && line.contains("\"math\"")));
    }

    /// Requests that are made at random, of these words.
    const WORDS: &[&str] = &[
        "s", "s", "s", "n", "c", "p", "p a", "t", "b 2", "b -2", "w", "l", "m 0", "m 80", "e a", "e redis", "e f()",
        "r echo a",
    ];

    #[test]
    fn hostile_sessions_do_no_harm() {
        let engine = engine();
        let code = "local a = {KEYS[1], ARGV}\nlocal function f(n)\n if n == 0 then return a end\n a[n] = a\n \
                    return f(n - 1)\nend\nlocal c = coroutine.wrap(function()\n f(5)\n coroutine.yield(1)\n error({})\nend)\n\
                    c()\npcall(c)\nreturn redis.call('echo', f(9)[1])";
        fuzz(300, |rng| {
            let count = rng.usize(..60);
            let mut requests: Vec<Vec<u8>> = (0..count).map(|_| encoded(WORDS[rng.usize(..WORDS.len())])).collect();
            if rng.bool() {
                requests.push((0..rng.usize(..10)).map(|_| b"*1\r\n$9ps"[rng.usize(..8)]).collect());
            }
            let mut session = Session { requests: requests.into_iter(), patience: 100, ..Session::default() };
            let (_, reply) = debug(&engine, code, &mut session);
            assert!(!reply.is_empty());
        });
    }
}
