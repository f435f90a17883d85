//! Scripts against a host that only answers, and scripts of the worst intentions.

use super::*;
use crate::fuzz::fuzz;
use crate::resp::{Limits, request::Parsed};
use crate::resp::{Proto, Reply, RequestParser};

/// A server of a few commands.
#[derive(Default)]
struct Answers {
    calls: Reply,
    reply: Reply,
    proto: Proto,
    /// How often a script may go on.
    patience: u32,
    /// How many commands have run.
    called: u32,
    log: Vec<u8>,
}

impl Host for Answers {
    fn call(&mut self, args: &mut Args<'_>) -> Result<&[u8], Vec<u8>> {
        self.calls.out.truncate(0);
        self.calls.proto = self.proto;
        self.called += 1;
        let reply = &mut self.calls;
        match &args[0] {
            b"echo" => reply.bulk(args.get(1).unwrap_or_default()),
            b"count" => reply.count(args.len()),
            b"least" => reply.integer(i64::MIN),
            b"minus" => reply.integer(-1_234_567),
            b"ok" => reply.ok(),
            b"fail" => reply.error(b"WRONG thing"),
            b"null" => reply.null(),
            b"truth" => reply.boolean(true),
            b"double" => reply.double(1.5),
            b"big" => reply.big_number("123456789012345678901"),
            b"verbatim" => reply.verbatim("txt", b"text"),
            b"map" => {
                reply.map(1);
                reply.bulk(b"key");
                reply.array(2);
                reply.integer(1);
                reply.integer(2);
            }
            b"set" => {
                reply.set(1);
                reply.bulk(b"member");
            }
            b"deep" => {
                (0..20_000).for_each(|_| reply.array(1));
                reply.ok();
            }
            b"cut" => reply.out.tail().extend_from_slice(args.get(1).unwrap_or_default()),
            _ => return Err(b"ERR refused".to_vec()),
        }
        Ok(self.calls.out.flatten())
    }

    fn may_call(&mut self, args: &mut Args<'_>) -> Option<bool> {
        (&args[0] != b"none").then(|| &args[0] == b"ok")
    }

    fn set_proto(&mut self, proto: Proto) {
        self.proto = proto;
    }

    fn proto(&self) -> Proto {
        self.proto
    }

    fn set_propagation(&mut self, _: bool, _: bool) {}

    fn log(&mut self, level: u8, line: &[u8]) {
        self.log.push(b'0' + level);
        self.log.extend_from_slice(line);
    }

    fn interrupt(&mut self) -> Option<&'static str> {
        self.patience = self.patience.saturating_sub(1);
        (self.patience == 0).then_some("patience is over")
    }

    fn reply(&mut self) -> &mut Reply {
        &mut self.reply
    }

    fn refuses_reply(&mut self) -> Option<&'static str> {
        (self.reply.out.len() > 1 << 20).then_some("too large")
    }

    fn error(&mut self, text: &[u8], _: bool) {
        self.reply.error(text);
    }
}

fn engine() -> Engine {
    Engine::new(Kind::Eval, "7.4.0", 1).expect("there is memory for an interpreter")
}

/// Compiles and runs a script with one key, `k`, and one argument, `a`; its reply, or the compiler's message.
fn eval_with(engine: &Engine, code: &[u8], host: &mut Answers) -> String {
    let (mut parser, mut at, mut spans) = (RequestParser::default(), 0, Vec::new());
    let request = b"*2\r\n$1\r\nk\r\n$1\r\na\r\n";
    let parsed = parser.parse(request, &mut at, &mut spans, Limits { max_bulk: 100, authenticated: true });
    assert_eq!(parsed, Ok(Parsed::Command));
    let args = Args::new(request, &spans, &mut []);
    let function = match engine.compile(code, c"@user_script") {
        Ok(function) => function,
        Err(message) => return String::from_utf8_lossy(&message).into_owned(),
    };
    engine.run(function, &args, 0..1, 1..2, b"name", host);
    engine.forget(function);
    String::from_utf8_lossy(host.reply.out.flatten()).into_owned()
}

fn eval(engine: &Engine, code: &str) -> String {
    eval_with(engine, code.as_bytes(), &mut Answers { patience: 1000, ..Answers::default() })
}

#[test]
fn values_go_both_ways() {
    let engine = engine();
    let cases = [
        ("return {KEYS[1], ARGV[1]}", "*2\r\n$1\r\nk\r\n$1\r\na\r\n"),
        ("return redis.call('echo', 'x')", "$1\r\nx\r\n"),
        ("return redis.call('echo', 1.5)", "$3\r\n1.5\r\n"),
        ("return redis.call('echo', -0.0)", "$1\r\n0\r\n"),
        ("return redis.call('echo', 2^62)", "$19\r\n4611686018427387904\r\n"),
        ("return redis.call('count', 1, 2)", ":3\r\n"),
        ("return redis.call('least')", ":-9223372036854775808\r\n"),
        ("return redis.call('minus')", ":-1234567\r\n"),
        ("return redis.call('ok')", "+OK\r\n"),
        ("return redis.pcall('fail')", "-WRONG thing\r\n"),
        ("return redis.call('fail')", "-WRONG thing script: name, on @user_script:1.\r\n"),
        ("\n\nredis.call('what')", "-ERR refused script: name, on @user_script:3.\r\n"),
        ("return redis.call('null')", "$-1\r\n"),
        ("return tostring(redis.call('null'))", "$5\r\nfalse\r\n"),
        ("redis.setresp(3) return tostring(redis.call('null'))", "$3\r\nnil\r\n"),
        ("redis.setresp(3) return redis.call('truth')", ":1\r\n"),
        ("redis.setresp(3) return redis.call('double')", "$3\r\n1.5\r\n"),
        ("redis.setresp(3) return redis.call('big')", "$21\r\n123456789012345678901\r\n"),
        ("redis.setresp(3) return redis.call('verbatim')", "$4\r\ntext\r\n"),
        ("redis.setresp(3) return redis.call('map')", "*2\r\n$3\r\nkey\r\n*2\r\n:1\r\n:2\r\n"),
        ("redis.setresp(3) return redis.call('map').map.key[2]", ":2\r\n"),
        ("redis.setresp(3) return redis.call('set')", "*1\r\n$6\r\nmember\r\n"),
        ("return redis.call('deep')", "-ERR reached lua stack limit script: name, on @user_script:1.\r\n"),
        ("return redis.acl_check_cmd('ok')", ":1\r\n"),
        ("return {ok = 'a\\r\\nb'}", "+a  b\r\n"),
        ("return {err = 'a\\0b'}", "-a\r\n"),
        ("return 1e19", ":-9223372036854775808\r\n"),
        ("return {1, nil, 3}", "*1\r\n:1\r\n"),
        ("return return", "user_script:1: unexpected symbol near 'return'"),
        ("\x1bLua", "user_script:1: unexpected symbol near 'char(27)'"),
    ];
    for (code, reply) in cases {
        assert_eq!(eval(&engine, code), reply, "{code}");
    }
}

#[test]
fn what_is_nested_without_end_has_an_end() {
    let reply = eval(&engine(), "local t = {} t[1] = t return t");
    assert!(reply.starts_with("*1\r\n*1\r\n") && reply.ends_with("-ERR reached lua stack limit\r\n"));
}

/// What scripts share, as text: every global and library with what is in it, and the metatable of strings.
const FINGERPRINT: &str = "
    local lines = {}
    local function tell(name, value)
        lines[#lines + 1] = name .. '=' .. tostring(value)
        if type(value) == 'table' and value ~= _G and name ~= 'KEYS' and name ~= 'ARGV' then
            for key, inner in pairs(value) do tell(name .. '.' .. tostring(key), inner) end
        end
    end
    for name, value in pairs(_G) do if name ~= 'KEYS' and name ~= 'ARGV' then tell(name, value) end end
    tell('strings', getmetatable('').__index)
    lines[#lines + 1] = tostring(getfenv(0) == _G) .. tostring(getfenv(1) == _G) .. tostring(#_G)
    table.sort(lines)
    return table.concat(lines, '\\n')";

#[test]
fn no_script_leaves_anything_behind() {
    let attacks = [
        "x = 1",
        "_G.x = 1",
        "_G[1] = 1",
        "rawset(_G, 'x', 1)",
        "rawset(getfenv(), 'x', 1)",
        "setmetatable(_G, nil)",
        "setmetatable(_G, {__index = function() return 1 end})",
        "getmetatable(_G).__index = nil",
        "rawset(getmetatable(_G), '__index', nil)",
        "setmetatable(getmetatable(_G), {})",
        "getmetatable('').__index = {}",
        "rawset(getmetatable(''), '__index', {})",
        "getmetatable('').__index.upper = nil",
        "getmetatable('').__metatable = nil",
        "redis.call = nil",
        "rawset(redis, 'call', nil)",
        "table.insert(redis, 1) table.insert(_G, 1, 2)",
        "table.insert(string, 'x') table.remove(string)",
        "table.sort(string) table.remove(redis, 'call')",
        "setfenv(0, {})",
        "setfenv(0, setmetatable({}, {__index = _G}))",
        "setfenv(1, {}) x = 1",
        "coroutine.wrap(function() setfenv(0, {}) end)()",
        "coroutine.wrap(function() setfenv(1, {}) x = 1 end)()",
        "setfenv(redis.call, {})",
        "setfenv(pcall, {})",
        "for k, v in pairs(_G) do pcall(function() _G[k] = nil end) pcall(rawset, _G, k, nil) end",
        "local n, t = pairs(string) rawset(t, 'upper', nil)",
        "local n, t = pairs(string) t.upper = nil",
        "local f = pairs({}) f(_G)",
        "local k, v = next(_G) v = nil",
        "for k in pairs(cjson) do rawset(cjson, k, nil) end",
        "xpcall(function() error() end, function() x = 1 end)",
        "local ok, e = pcall(error, redis) rawset(e, 'err', 'x')",
        "error(redis)",
        "error(setmetatable({}, {__index = redis, __newindex = redis}))",
        "local t = setmetatable({}, {__index = _G, __newindex = _G}) t.x = 1",
        "loadstring('x = 1')()",
        "load(function() return nil end)()",
        "getmetatable(newproxy(true)).__gc = function() x = 1 end",
        "rawset(getmetatable(newproxy(true)), '__gc', function() end)",
        "setmetatable(getmetatable(newproxy(true)), nil)",
        "local p = newproxy(true) local q = newproxy(p) getmetatable(q).__gc = error",
        "math.randomseed(1) math.random = nil",
        "collectgarbage('stop')",
        "collectgarbage('setpause', 1000000)",
        "string.gsub('abc', '.', _G)",
        "string.gsub('abc', '.', function() x = 1 end)",
        "table.foreach(_G, function(k) _G[k] = 1 end)",
        "KEYS.x = 1 setmetatable(KEYS, {__index = error})",
        "KEYS = nil",
        "local f = function() return getfenv(2) end f().x = 1",
        "tostring = nil",
        "return getfenv(0), getfenv(1), getfenv(getfenv)",
        "redis.setresp(3) redis.set_repl(redis.REPL_NONE)",
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "while true do coroutine.wrap(function() while true do end end)() end",
        "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
        "local function f() return pcall(f) end f()",
        "local function f() f() end f()",
        "local function f() return coroutine.wrap(f)() end f()",
        "local s = '(' s = s:rep(10000) loadstring('return ' .. s)",
        "return ('a'):rep(5000):find(('a?'):rep(4000))",
        "return string.format('%99.99f', 1e308) .. ('%d'):format(2^53)",
        "return unpack({}, 1, 1e8)",
        "return select('#', unpack({}, 0, 2^31 - 1))",
        "return select('#', unpack({}, -2^31, 2^31 - 1))",
        "return select('#', unpack({}, -2^31))",
        "local t = {} t[1] = t t[2] = t return t",
        "local t = {} t.map = {[t] = t} return t",
        "return select(-1, unpack({}, 1, 7000))",
        "return table.concat({}, 'x', 1, 2^31)",
        "redis.call('deep')",
        "redis.call(unpack({}, 1, 7000))",
        "return redis.sha1hex({})",
        "return redis.log(0, {}, 1, 'x')",
    ];
    let engine = engine();
    let before = eval(&engine, FINGERPRINT);
    assert!(before.contains("string.upper=function") && before.contains("strings.upper=function"), "{before}");
    for attack in attacks {
        eval_with(&engine, attack.as_bytes(), &mut Answers { patience: 3, ..Answers::default() });
        assert_eq!(eval(&engine, FINGERPRINT), before, "{attack}");
        assert_eq!(eval(&engine, "return ('x'):upper() .. KEYS[1]"), "$2\r\nXk\r\n", "{attack}");
    }
}

#[test]
fn a_script_that_has_to_end_runs_no_more_commands_in_any_coroutine() {
    let script = b"
        local outer = coroutine.create(function()
            local inner = coroutine.create(function() while true do end end)
            coroutine.resume(inner)
            for i = 1, 100 do redis.pcall('ok') end
        end)
        redis.call('ok')
        coroutine.resume(outer)
        return 1";
    let mut host = Answers { patience: 1, ..Answers::default() };
    eval_with(&engine(), script, &mut host);
    assert_eq!(host.called, 1);
}

#[test]
fn a_reply_that_is_not_whole_is_an_error() {
    let engine = engine();
    for reply in ["", "*", "*2\r\n:1\r\n", "$5\r\nab", "$5", "=9\r\ntxt", "%1\r\n+a\r\n", "~3\r\n", "|1\r\n", ":", "+"]
    {
        let got = eval(&engine, &format!("return redis.call('cut', {reply:?})"));
        assert!(got.starts_with("-ERR the reply of the command is not whole"), "{reply:?}: {got}");
    }
}

#[test]
fn memory_has_a_limit_and_comes_back() {
    let engine = engine();
    let limit = 16 << 20;
    engine.limit_memory(limit).expect("the interpreter is ours");
    let hoards = [
        "local t = {} while true do t[#t + 1] = {} end",
        "local t = {} for i = 1, 1e9 do t['k' .. i] = i end",
        "local s = 'x' while true do s = s .. s end",
        "return string.rep('x', 5e8)",
        "return table.concat({string.rep('x', 1e6), string.rep('y', 1e7), string.rep('z', 1e7)})",
        "local t = {} while true do t[#t + 1] = coroutine.create(function() end) end",
        "return loadstring('return \"' .. string.rep('x', 1e7) .. '\"')",
        "local t = {} for i = 1, 1e7 do t[i] = i end return t",
    ];
    for hoard in hoards {
        let mut host = Answers { patience: 300, ..Answers::default() };
        let reply = eval_with(&engine, hoard.as_bytes(), &mut host);
        assert!(reply.contains("not enough memory") || reply.contains("patience is over"), "{hoard}: {reply:.200}");
        assert!(engine.memory_bytes() <= limit);
        assert_eq!(eval(&engine, "return 1"), ":1\r\n", "{hoard}");
    }
}

#[test]
fn errors_carry_their_place_and_keep_their_text() {
    let engine = engine();
    let cases = [
        ("error('x')", "-ERR user_script:1: x script: name, on @user_script:1.\r\n"),
        ("error('x', 0)", "-ERR x script: name, on @user_script:1.\r\n"),
        ("error({err = 'A b'})", "-A b script: name, on @user_script:1.\r\n"),
        ("error()", "-ERR nil script: name, on @user_script:1.\r\n"),
        ("error({})", "-ERR unknown error script: name, on @user_script:1.\r\n"),
        ("local f = function()\nerror('x')\nend\nf()", "-ERR user_script:2: x script: name, on @user_script:2.\r\n"),
        ("return redis.error_reply('')", "-ERR \r\n"),
        ("return redis.error_reply('-A b\\n')", "-A b\r\n"),
        ("local ok, e = pcall(redis.call, 'fail') return e", "$11\r\nWRONG thing\r\n"),
        ("while true do end", "-ERR patience is over script: name, on @user_script:1.\r\n"),
    ];
    for (code, reply) in cases {
        let mut host = Answers { patience: 3, ..Answers::default() };
        assert_eq!(eval_with(&engine, code.as_bytes(), &mut host), reply, "{code}");
    }
    let mut host = Answers { patience: 3, ..Answers::default() };
    eval_with(&engine, b"redis.log(redis.LOG_WARNING, 'a', 1, {}, 'b')", &mut host);
    assert_eq!(host.log, b"3a 1 b");
}

/// Takes what libraries register.
#[derive(Default)]
struct Shelf {
    functions: Vec<(Vec<u8>, ScriptFlags, Function)>,
}

use crate::script::ScriptFlags;

impl Register for Shelf {
    fn register(&mut self, registration: Registration<'_>) -> Result<(), Vec<u8>> {
        if registration.name == b"bad" {
            return Err(b"no such name".to_vec());
        }
        self.functions.push((registration.name.to_vec(), registration.flags, registration.function));
        Ok(())
    }

    fn interrupt(&mut self) -> Option<&'static str> {
        Some("too long")
    }

    fn log(&mut self, _: u8, _: &[u8]) {}
}

#[test]
fn libraries_leave_functions_and_see_nothing_else() {
    let engine = Engine::new(Kind::Functions, "7.4.0", 1).expect("there is memory for an interpreter");
    let mut shelf = Shelf::default();
    let cases = [
        ("redis.register_function('f', function(keys, args) return {keys[1], args[1], redis.call('ok')} end)", ""),
        ("redis.register_function{function_name='g', callback=function() x = 1 end, flags={'no-writes'}}", ""),
        ("redis.register_function('bad', function() end)", "Error registering functions: ERR no such name"),
        ("return return", "Error compiling function: user_function:1: unexpected symbol near 'return'"),
        ("redis.call('ok')", "nonexistent global variable 'call'"),
        ("tostring(1)", "nonexistent global variable 'tostring'"),
        ("x = 1", "Attempt to modify a readonly table"),
        ("redis.x = 1", "Attempt to modify a readonly table"),
        ("redis.register_function('f')", "calling redis.register_function with a single argument is only applicable"),
        ("redis.register_function{callback=function() end}", "must get a function name argument"),
        ("redis.register_function{function_name='f'}", "must get a callback argument"),
        ("redis.register_function{function_name='f', callback=1}", "must be a function"),
        ("redis.register_function{function_name='f', what=1}", "unknown argument given to redis.register_function"),
        (
            "redis.register_function{function_name='f', callback=function() end, flags={'what'}}",
            "Error registering functions: ERR unknown flag given",
        ),
        ("while true do end", "Error registering functions: ERR too long"),
    ];
    for (code, error) in cases {
        match engine.load_library(code.as_bytes(), &mut shelf) {
            Ok(()) => assert_eq!(error, "", "{code}"),
            Err(text) => {
                let text = String::from_utf8_lossy(&text).into_owned();
                assert!(!error.is_empty() && text.contains(error), "{code}: {text}");
            }
        }
    }
    let [(_, _, f), (_, flags, g)] = &shelf.functions[..] else { panic!("two functions were registered") };
    assert_eq!(*flags, ScriptFlags::NO_WRITES);
    let run = |function| {
        let mut host = Answers::default();
        let spans = [Span::new(0, 1), Span::new(1, 1)];
        engine.run(function, &Args::new(b"ka", &spans, &mut []), 0..1, 1..2, b"name", &mut host);
        String::from_utf8_lossy(host.reply.out.flatten()).into_owned()
    };
    assert_eq!(run(*f), "*3\r\n$1\r\nk\r\n$1\r\na\r\n+OK\r\n");
    assert!(run(*g).contains("Attempt to modify a readonly table"));
}

/// Words that scripts are made of at random.
const WORDS: &[&str] = &[
    "local x =",
    "x",
    "y",
    "=",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "'a'",
    "''",
    "1",
    "0",
    "-1",
    "1e300",
    "nil",
    "true",
    "..",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "#",
    "==",
    "<",
    "and",
    "or",
    "not",
    ",",
    ";",
    ".",
    ":",
    "function(...)",
    "end",
    "return",
    "if",
    "then",
    "else",
    "while",
    "do",
    "for i = 1, 9 do",
    "for k, v in pairs(",
    "repeat",
    "until",
    "break",
    "...",
    "_G",
    "KEYS",
    "ARGV",
    "redis.call(",
    "redis.pcall(",
    "'echo'",
    "'fail'",
    "'map'",
    "'deep'",
    "redis.setresp(3)",
    "redis.error_reply(",
    "redis.status_reply(",
    "redis.sha1hex(",
    "redis.log(1,",
    "setmetatable(",
    "getmetatable(",
    "rawset(",
    "rawget(",
    "setfenv(",
    "getfenv(",
    "pcall(",
    "xpcall(",
    "error(",
    "loadstring(",
    "load(",
    "string.dump(",
    "string.rep('ab',",
    "string.format(",
    "('x'):gsub('.',",
    "string.find(",
    "table.insert(",
    "table.remove(",
    "table.sort(",
    "table.concat(",
    "unpack(",
    "coroutine.wrap(",
    "coroutine.yield(",
    "coroutine.resume(coroutine.create(",
    "newproxy(true)",
    "collectgarbage()",
    "next(",
    "select(",
    "tostring(",
    "tonumber(",
    "math.random(",
    "cjson.encode(",
    "cjson.decode(",
    "cmsgpack.pack(",
    "cmsgpack.unpack(",
    "bit.band(",
    "struct.pack(",
    "__index",
    "__gc",
    "__newindex",
    "__metatable",
    "'__index'",
    "'__gc'",
    "\n",
    "--",
];

#[test]
fn fuzz_scripts() {
    let engine = engine();
    engine.limit_memory(32 << 20).expect("the interpreter is ours");
    let before = eval(&engine, FINGERPRINT);
    // A statement that is right is more likely to be followed by others than words are to make one.
    let mut statements: Vec<String> = vec![
        "local x = {}".into(),
        "x = pcall(redis.call, 'fail')".into(),
        "local y = setmetatable({}, {__index = _G})".into(),
        "local f = function(...) return ... end".into(),
        "for k, v in pairs(_G) do pcall(rawset, v, k, v) end".into(),
    ];
    fuzz(4000, |rng| {
        let mut code = String::new();
        for _ in 0..rng.usize(0..4) {
            code.push_str(&statements[rng.usize(..statements.len())]);
            code.push(' ');
        }
        let kept = code.len();
        for _ in 0..rng.usize(1..14) {
            code.push_str(WORDS[rng.usize(..WORDS.len())]);
            code.push(' ');
        }
        let mut bytes = code.clone().into_bytes();
        if rng.u8(..) < 20 {
            crate::fuzz::spoil(&mut bytes, rng);
        }
        eval_with(&engine, &bytes, &mut Answers { patience: 3, ..Answers::default() });
        let statement = &code[kept..];
        if engine.compile(statement.as_bytes(), c"@x").map(|function| engine.forget(function)).is_ok()
            && !statement.contains("return")
            && statements.len() < 500
        {
            statements.push(statement.to_string());
        }
        if rng.u8(..) < 10 {
            assert_eq!(eval(&engine, FINGERPRINT), before, "{code}");
        }
    });
    assert_eq!(eval(&engine, FINGERPRINT), before);
}
