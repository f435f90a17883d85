use mlua::{Lua, LuaOptions, StdLib};

use super::install;
use crate::fuzz::{fuzz, spoil};

/// An interpreter with the libraries.
fn interpreter() -> Lua {
    let lua = Lua::new_with(StdLib::STRING | StdLib::MATH | StdLib::TABLE, LuaOptions::new().catch_rust_panics(false))
        .expect("an interpreter");
    lua.set_memory_limit(256 << 20).expect("a limit");
    // SAFETY: it runs in protected mode.
    unsafe { lua.exec_raw::<()>((), |state| install(state)) }.expect("libraries");
    lua
}

/// What some code returns, or its error after a "!".
fn run(lua: &Lua, code: &str) -> String {
    let caught = format!(
        "local function gather(...) return {{n = select('#', ...), ...}} end
         local fine, results = pcall(function() return gather((function() {code} end)()) end)
         if not fine then return '!' .. tostring(results) end
         for at = 1, results.n do results[at] = tostring(results[at]) end
         return table.concat(results, ' ')"
    );
    let text: mlua::String = lua.load(caught).set_name("=x").eval().expect("errors are caught");
    text.to_string_lossy()
}

fn check(cases: &[(&str, &str)]) {
    let lua = interpreter();
    for (code, expected) in cases {
        assert_eq!(run(&lua, code), *expected, "{code}");
    }
}

#[test]
fn bits() {
    check(&[
        (
            "return bit.tobit(0xffffffff), bit.tobit(2^31), bit.tobit(2^32 + 5), bit.tobit(-0.5), bit.tobit(1.5)",
            "-1 -2147483648 5 0 2",
        ),
        ("return bit.tobit('0x10')", "16"),
        ("return bit.bnot(0), bit.band(7, 3, 6), bit.bor(1, 2, 8), bit.bxor(255, 15)", "-1 2 11 240"),
        (
            "return bit.lshift(1, 31), bit.lshift(1, 33), bit.rshift(-1, 28), bit.arshift(-256, 8)",
            "-2147483648 2 15 -1",
        ),
        ("return bit.rol(0x12345678, 12) == bit.tobit(0x45678123), bit.ror(1, 1), bit.ror(5, 0)", "true -2147483648 5"),
        (
            "return bit.tohex(bit.bswap(0x12345678)), bit.tohex(255, 2), bit.tohex(255, -4), bit.tohex(1, 0)",
            "78563412 ff 00FF ",
        ),
        ("return bit.tohex(-1, 100), bit.tohex(-1, -2^31)", "ffffffff FFFFFFFF"),
        ("bit.band()", "!x:2: bad argument #1 to 'band' (number expected, got no value)"),
        ("bit.band(1, {})", "!x:2: bad argument #2 to 'band' (number expected, got table)"),
    ]);
}

#[test]
fn json_is_written() {
    check(&[
        ("return cjson.encode({1, 2.5, 'a', true, cjson.null})", r#"[1,2.5,"a",true,null]"#),
        ("return cjson.encode({}), cjson.encode({{}}), cjson.encode({[1] = 1, [3] = 3})", "{} [{}] [1,null,3]"),
        ("return cjson.encode({a = {b = 'c'}}), cjson.encode({[1.5] = 2})", r#"{"a":{"b":"c"}} {"1.5":2}"#),
        (
            "return cjson.encode('\\0\\1\\31\\127/\"\\\\\\n\\200')",
            "\"\\u0000\\u0001\\u001f\\u007f\\/\\\"\\\\\\n\u{fffd}\"",
        ),
        (
            "return cjson.encode(0), cjson.encode(-1 / math.huge), cjson.encode(1e14), cjson.encode(99999999999999)",
            "0 -0 1e+14 99999999999999",
        ),
        (
            "return cjson.encode(0.1), cjson.encode(1/3), cjson.encode(-1e-5), cjson.encode(0.0001)",
            "0.1 0.33333333333333 -1e-05 0.0001",
        ),
        (
            "return cjson.encode(123456.75), cjson.encode(1e300), cjson.encode(5e-324), cjson.encode(100.5)",
            "123456.75 1e+300 4.9406564584125e-324 100.5",
        ),
        (
            "return cjson.encode_number_precision(3), cjson.encode(1234.5), cjson.encode(999.9), cjson.encode(1)",
            "3 1.23e+03 1e+03 1",
        ),
        (
            "cjson.encode_number_precision(15)",
            "!x:2: bad argument #1 to 'encode_number_precision' (expected integer between 1 and 14)",
        ),
        ("return cjson.encode_number_precision(14)", "14"),
        ("cjson.encode(1/0)", "!x:2: Cannot serialise number: must not be NaN or Inf"),
        ("return cjson.encode_invalid_numbers(true), cjson.encode({1/0, -1/0, 0/0})", "true [inf,-inf,nan]"),
        (
            "return cjson.encode_invalid_numbers('null'), cjson.encode({1/0}), cjson.encode_invalid_numbers('off')",
            "null [null] false",
        ),
        (
            "cjson.encode_invalid_numbers('what')",
            "!x:2: bad argument #1 to 'encode_invalid_numbers' (invalid option 'what')",
        ),
        ("cjson.encode({[1000] = 1})", "!x:2: Cannot serialise table: excessively sparse array"),
        ("return cjson.encode_sparse_array(true, 3, 5), cjson.encode({[1000] = 1})", r#"true {"1000":1}"#),
        ("return cjson.encode_sparse_array()", "true 3 5"),
        ("cjson.encode(print)", "!x:2: Cannot serialise function: type not supported"),
        ("cjson.encode({[true] = 1})", "!x:2: Cannot serialise boolean: table key must be a number or string"),
        ("cjson.encode(string.rep)", "!x:2: Cannot serialise function: type not supported"),
        ("cjson.encode()", "!x:2: bad argument #1 to 'encode' (expected 1 argument)"),
        ("local t = {} t[1] = t cjson.encode(t)", "!x:2: Cannot serialise, excessive nesting (1001)"),
        (
            "return cjson.encode_max_depth(2), cjson.encode({{1}}), pcall(cjson.encode, {{{1}}})",
            "2 [[1]] false Cannot serialise, excessive nesting (3)",
        ),
        ("return cjson.encode_keep_buffer(false), cjson.encode({1}), cjson.encode_keep_buffer('on')", "false [1] true"),
        (
            "local own = cjson.new() return own.encode_max_depth(), cjson.encode_max_depth(), own.encode({1})",
            "1000 2 [1]",
        ),
        ("return cjson._NAME, cjson._VERSION", "cjson 2.1.0"),
    ]);
}

#[test]
fn json_is_read() {
    check(&[
        (
            "local t = cjson.decode('[1, -2.5e1, \"x\\\\u20ac\", true, false, null]') return t[1], t[2], t[3], t[4], t[5], t[6] == cjson.null",
            "1 -25 x\u{20ac} true false true",
        ),
        (
            "return cjson.decode('{\"a\":{\"b\":[]}}').a.b ~= nil, cjson.decode(' 7 '), cjson.decode('\"\\\\ud83d\\\\ude00\"')",
            "true 7 \u{1f600}",
        ),
        (
            "return cjson.decode('0x1F'), cjson.decode('inf'), cjson.decode('-Infinity'), cjson.decode('007'), cjson.decode('1234567890123456789')",
            "31 inf -inf 7 1.2345678901235e+18",
        ),
        ("return cjson.decode('1\\0 garbage')", "!x:2: JSON parser does not support UTF-16 or UTF-32"),
        ("return cjson.decode('12\\0 garbage')", "12"),
        ("return #cjson.decode('\"\\\\u0000\"')", "1"),
        ("cjson.decode('')", "!x:2: Expected value but found T_END at character 1"),
        ("cjson.decode('{1:2}')", "!x:2: Expected object key string but found T_NUMBER at character 2"),
        ("cjson.decode('{\"a\" 1}')", "!x:2: Expected colon but found T_NUMBER at character 6"),
        ("cjson.decode('{\"a\":1 1}')", "!x:2: Expected comma or object end but found T_NUMBER at character 8"),
        ("cjson.decode('[1 1]')", "!x:2: Expected comma or array end but found T_NUMBER at character 4"),
        ("cjson.decode('[1,]')", "!x:2: Expected value but found T_ARR_END at character 4"),
        ("cjson.decode('1 1')", "!x:2: Expected the end but found T_NUMBER at character 3"),
        ("cjson.decode('\"abc')", "!x:2: Expected value but found unexpected end of string at character 5"),
        ("cjson.decode('\"\\\\x\"')", "!x:2: Expected value but found invalid escape code at character 2"),
        ("cjson.decode('\"\\\\udc00\"')", "!x:2: Expected value but found invalid unicode escape code at character 2"),
        ("cjson.decode('nope')", "!x:2: Expected value but found invalid token at character 1"),
        ("cjson.decode('-')", "!x:2: Expected value but found invalid number at character 1"),
        (
            "return cjson.decode_invalid_numbers(false), pcall(cjson.decode, '[01]')",
            "false false Expected value but found invalid number at character 2",
        ),
        ("return pcall(cjson.decode, 'inf')", "false Expected value but found invalid token at character 1"),
        ("cjson.decode(string.rep('[', 1001))", "!x:2: Found too many nested data structures (1001) at character 1001"),
        (
            "return cjson.decode_max_depth(1), pcall(cjson.decode, '[[')",
            "1 false Found too many nested data structures (2) at character 2",
        ),
        ("cjson.decode(nil)", "!x:2: bad argument #1 to 'decode' (string expected, got nil)"),
        ("cjson.decode('1', 2)", "!x:2: bad argument #1 to 'decode' (expected 1 argument)"),
        ("cjson.decode_max_depth(1, 2)", "!x:2: bad argument #2 to 'decode_max_depth' (found too many arguments)"),
    ]);
}

/// What MessagePack makes of values, in hexadecimal digits.
#[test]
fn message_pack() {
    let hex =
        "(function(text) return (text:gsub('.', function(byte) return string.format('%02x', byte:byte()) end)) end)";
    let pack = |values: &str| format!("return {hex}(cmsgpack.pack({values}))");
    let cases = [
        ("1, 127, 128, 256, 65536, 2^32, 2^53", "017fcc80cd0100ce00010000cf0000000100000000cf0020000000000000"),
        (
            "-1, -32, -33, -129, -32769, -2^31 - 1, -2^63",
            "ffe0d0dfd1ff7fd2ffff7fffd3ffffffff7fffffffd38000000000000000",
        ),
        ("0.5, 0.1, 1/0, 2^63, -1 / math.huge", "ca3f000000cb3fb999999999999aca7f800000ca5f00000000"),
        ("nil, true, false, string.rep", "c0c3c2c0"),
        ("'', 'ab', string.rep('x', 32)", &format!("a0a26162d920{}", "78".repeat(32))),
        ("{}, {1, 2}, {a = 1}, {[2] = 1}, {[0] = 1}, {1, nil, 3}", "9092010281a161018102018100018201010303"),
        ("{[1.5] = 1}", "81ca3fc0000001"),
    ];
    let lua = interpreter();
    for (values, expected) in cases {
        assert_eq!(run(&lua, &pack(values)), expected, "{values}");
    }
    assert_eq!(run(&lua, &pack("string.rep('x', 256)")), format!("da0100{}", "78".repeat(256)));
    assert_eq!(run(&lua, "return #cmsgpack.pack(string.rep('x', 65536))"), "65541");
    assert_eq!(
        run(&lua, &format!("local t = {{}} t[1] = t return {hex}(cmsgpack.pack(t))")),
        format!("{}c0", "91".repeat(16))
    );
    check(&[
        (
            "local t = {} for i = 1, 70000 do t[i] = i end local u = cmsgpack.unpack(cmsgpack.pack(t)) return #u, u[70000]",
            "70000 70000",
        ),
        ("return cmsgpack.unpack('\\1\\2\\161a\\192\\195')", "1 2 a nil true"),
        ("return cmsgpack.unpack('')", ""),
        ("return cmsgpack.unpack('\\207\\255\\255\\255\\255\\255\\255\\255\\255')", "-1"),
        ("return cmsgpack.unpack_one('\\1\\2'), cmsgpack.unpack_one('\\1\\2', 1)", "1 -1 2"),
        ("return cmsgpack.unpack_limit('\\1\\2\\3', 2), cmsgpack.unpack_limit('\\1\\2\\3', 0, 1)", "2 1"),
        ("return cmsgpack.unpack_limit('\\1\\2\\3', 2)", "2 1 2"),
        ("cmsgpack.unpack_one('a', -1)", "!x:2: Invalid request to unpack with offset of -1 and limit of 1."),
        ("cmsgpack.unpack_one('a', 2)", "!x:2: Start offset 2 greater than input length 1."),
        ("cmsgpack.unpack('\\161')", "!x:2: Missing bytes in input."),
        ("cmsgpack.unpack('\\193')", "!x:2: Bad data format in input."),
        ("cmsgpack.unpack('\\221\\255\\255\\255\\255\\1')", "!x:2: Missing bytes in input."),
        ("cmsgpack.unpack('\\129\\192\\1')", "!table index is nil"),
        ("cmsgpack.pack()", "!x:2: bad argument #0 to 'pack' (MessagePack pack needs input.)"),
        ("cmsgpack.unpack()", "!x:2: bad argument #1 to 'unpack' (string expected, got no value)"),
        (
            "cmsgpack.unpack(string.rep('\\1', 9000))",
            "!x:2: stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)",
        ),
        ("cmsgpack.unpack(string.rep('\\145', 9000))", "!x:2: stack overflow (in function mp_decode_to_lua_array)"),
        (
            "cmsgpack.unpack(string.rep('\\129', 9000))",
            "!x:2: stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)",
        ),
        ("return cmsgpack._NAME, cmsgpack._VERSION", "cmsgpack lua-cmsgpack 0.4.0"),
    ]);
}

#[test]
fn structs() {
    check(&[
        ("return struct.unpack('>HbBc2s', struct.pack('>HbBc2s', 258, -1, 255, 'xyz', 'hi'))", "258 -1 255 xy hi 10"),
        ("return struct.pack('<i3', 0x010203):byte(1, -1)", "3 2 1"),
        ("return struct.pack('>i3', 0x010203):byte(1, -1)", "1 2 3"),
        (
            "return struct.unpack('>lLdf', struct.pack('>lLdf', -5, 2^63, 0.1, 0.5))",
            "-5 9.2233720368548e+18 0.1 0.5 29",
        ),
        ("return struct.unpack('<i16 I9', struct.pack('<i16 I9', -1, 7))", "-1 7 26"),
        (
            "return struct.size('!4bi'), struct.size('bi'), struct.size('!bd'), struct.size('z'), struct.size('x c5')",
            "8 5 16 0 6",
        ),
        ("return #struct.pack('!4bi', 1, 1), #struct.pack('c0', 'abc'), #struct.pack('x')", "8 3 1"),
        ("return struct.unpack('bc0', struct.pack('bc0', 3, 'abc') .. 'd')", "abc 5"),
        ("return struct.unpack('b', 'abc', 3), struct.unpack('', 'abc', 100)", "99 100"),
        ("struct.unpack('b', 'abc', 0)", "!x:2: bad argument #3 to 'unpack' (offset must be 1 or greater)"),
        ("struct.unpack('b', 'abc', 4)", "!x:2: bad argument #2 to 'unpack' (data string too short)"),
        ("struct.unpack('b', 'abc', -1)", "!x:2: bad argument #2 to 'unpack' (data string too short)"),
        ("struct.unpack('c2147483647', 'abc')", "!x:2: bad argument #2 to 'unpack' (data string too short)"),
        ("struct.unpack('s', 'abc')", "!x:2: unfinished string in data"),
        ("struct.unpack('c0', 'abc')", "!x:2: format 'c0' needs a previous size"),
        ("struct.pack('i33', 1)", "!x:2: integral size 33 is larger than limit of 32"),
        ("struct.pack('c99999999999', 1)", "!x:2: integral size overflow"),
        ("struct.size('!3')", "!x:2: alignment 3 is not a power of 2"),
        ("struct.size('!0')", "!x:2: alignment 0 is not a power of 2"),
        ("struct.size('s')", "!x:2: bad argument #1 to 'size' (option 's' has no fixed size)"),
        ("struct.size('c0')", "!x:2: bad argument #1 to 'size' (option 'c0' has no fixed size)"),
        ("struct.pack('z')", "!x:2: bad argument #1 to 'pack' (invalid format option 'z')"),
        ("struct.pack('c5', 'abc')", "!x:2: bad argument #3 to 'pack' (string too short)"),
        ("struct.pack('b')", "!x:2: bad argument #2 to 'pack' (number expected, got nil)"),
    ]);
}

/// An encoded value may not take all memory.
#[test]
fn a_value_that_never_ends_is_refused() {
    check(&[
        (
            "local t = {string.rep('x', 1000)} for i = 1, 100 do t = {t, t} end cjson.encode(t)",
            "!x:2: not enough memory",
        ),
        (
            "local t = {string.rep('x', 100000)} for i = 1, 14 do local u = {} for j = 1, 20 do u[j] = t end t = u end cmsgpack.pack(t)",
            "!x:2: not enough memory",
        ),
        ("return cjson.encode({1}), #cmsgpack.pack({1})", "[1] 2"),
    ]);
}

/// Values that JSON and MessagePack know, as Lua writes them.
fn random_value(rng: &mut fastrand::Rng, depth: u32, out: &mut String) {
    match rng.u8(..if depth < 5 { 8 } else { 6 }) {
        0 => out.push_str(if rng.bool() { "true" } else { "false" }),
        1 => out.push_str(&rng.i32(..).to_string()),
        2 => out.push_str(&f64::from(rng.f32()).to_string()),
        3 => out.push_str(&(rng.i64(..) as f64).to_string()),
        4 | 5 => {
            out.push('\'');
            for _ in 0..rng.usize(..40) {
                out.push_str(&format!("\\{:03}", rng.u8(..)));
            }
            out.push('\'');
        }
        kind => {
            out.push('{');
            for _ in 0..rng.usize(..6) {
                if kind == 7 {
                    out.push_str(&format!("k{}=", rng.u8(..100)));
                }
                random_value(rng, depth + 1, out);
                out.push(',');
            }
            out.push('}');
        }
    }
}

/// Values come back from MessagePack and JSON, and spoiled bytes do no harm.
#[test]
fn fuzz_values() {
    let lua = interpreter();
    let same = "function same(left, right)
        if type(left) ~= 'table' or type(right) ~= 'table' then
            return left == right or math.abs(left - right) <= math.abs(left) * 1e-13
        end
        for key, value in pairs(left) do if not same(value, right[key]) then return false end end
        for key in pairs(right) do if left[key] == nil then return false end end
        return true
    end";
    lua.load(same).exec().expect("a function");
    fuzz(300, |rng| {
        let mut value = String::new();
        random_value(rng, 0, &mut value);
        for library in ["cmsgpack.unpack(text)", "cjson.decode(text)"] {
            let encoding = if library.starts_with("cjson") { "cjson.encode(v)" } else { "cmsgpack.pack(v)" };
            let code = format!("local v = {value} text = {encoding} return same(v, {library})");
            assert_eq!(run(&lua, &code), "true", "{code}");
            let mut text = lua.globals().raw_get::<mlua::String>("text").expect("text").as_bytes().to_vec();
            for _ in 0..rng.usize(1..4) {
                spoil(&mut text, rng);
            }
            lua.globals().raw_set("text", lua.create_string(&text).expect("a string")).expect("a global");
            // One result of many: the interpreter's own `pcall` forgets to ask for room for what it adds to them.
            run(&lua, &format!("return pcall(function() return ({library}) end)"));
        }
    });
    assert!(run(&lua, "collectgarbage() return collectgarbage('count') < 10000") == "true", "nothing stays");
}

/// Formats and data of any kind.
#[test]
fn fuzz_structs() {
    let lua = interpreter();
    fuzz(3000, |rng| {
        let mut format = String::new();
        for _ in 0..rng.usize(..8) {
            format.push(char::from(rng.choice(b"bBhHlLTiIcsfdx !<>z0123456789").copied().unwrap_or(b'b')));
        }
        let data: String = (0..rng.usize(..60)).map(|_| format!("\\{:03}", rng.u8(..))).collect();
        run(&lua, &format!("return struct.unpack('{format}', '{data}', {})", rng.i32(-2..20)));
        run(&lua, &format!("return struct.size('{format}')"));
        let packed =
            run(&lua, &format!("return #struct.pack('{format}', 1, -1, 'abcdefgh', 2^70, 1/0, 0/0, '5', 'x')"));
        assert!(packed.starts_with('!') || packed.parse::<usize>().is_ok(), "{format}: {packed}");
    });
}

/// Bytes of any kind.
#[test]
fn fuzz_hostile_text() {
    let lua = interpreter();
    fuzz(3000, |rng| {
        let len = rng.usize(..50);
        let pieces: &[u8] = rng
            .choice([&b"{}[],:\"\\u0019dabefnultsri.-+ \0"[..], b"\x91\xdd\xdf\x82\xff\x00\xc1\xdb\xcb"])
            .unwrap_or(b"[");
        let text: Vec<u8> = (0..len)
            .map(|_| if rng.u8(..4) > 0 { rng.choice(pieces).copied().unwrap_or(0) } else { rng.u8(..) })
            .collect();
        lua.globals().raw_set("text", lua.create_string(&text).expect("a string")).expect("a global");
        for code in
            ["return cjson.decode(text)", "return cmsgpack.unpack(text)", "return cmsgpack.unpack_limit(text, 3, 1)"]
        {
            run(&lua, code);
        }
    });
}
