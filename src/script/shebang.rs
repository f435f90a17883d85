//! The first line of a script that says what it is like: `#!lua flags=no-writes,allow-stale`.

use super::ScriptFlags;
use crate::resp::request::split_words;

/// A script's code without its first line if that is a shebang, and its flags; no flags if it says nothing of itself. The
/// line's end stays, so that lines keep their numbers.
///
/// # Errors
/// A text without a code if the line is not understood.
pub fn read(code: &[u8]) -> Result<(Option<ScriptFlags>, &[u8]), Vec<u8>> {
    if !code.starts_with(b"#!") {
        return Ok((None, code));
    }
    let end = memchr::memchr(b'\n', code).ok_or_else(|| b"Invalid script shebang".to_vec())?;
    let words = split_words(&code[..end]).unwrap_or_default();
    let (engine, options) = words.split_first().ok_or_else(|| b"Invalid engine in script shebang".to_vec())?;
    if engine != b"#!lua" {
        return Err([b"Unexpected engine in script shebang: ", engine.as_slice()].concat());
    }
    let mut flags = ScriptFlags::default();
    for option in options {
        let Some(names) = option.strip_prefix(b"flags=") else {
            return Err([b"Unknown lua shebang option: ", option.as_slice()].concat());
        };
        if names.is_empty() {
            continue;
        }
        for name in names.split(|&byte| byte == b',') {
            flags |= ScriptFlags::named(name).ok_or_else(|| [b"Unexpected flag in script shebang: ", name].concat())?;
        }
    }
    Ok((Some(flags), &code[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_first_line() {
        type Read<'a> = Result<(Option<ScriptFlags>, &'a str), &'a str>;
        let all = ScriptFlags::all();
        let cases: &[(&str, Read<'_>)] = &[
            ("return 1", Ok((None, "return 1"))),
            ("", Ok((None, ""))),
            ("#!lua\nreturn 1", Ok((Some(ScriptFlags::empty()), "\nreturn 1"))),
            ("#!lua flags=\n", Ok((Some(ScriptFlags::empty()), "\n"))),
            ("#!lua flags=no-writes\n", Ok((Some(ScriptFlags::NO_WRITES), "\n"))),
            (
                "#!lua flags=no-writes,allow-oom flags=allow-stale,no-cluster,allow-cross-slot-keys\n1",
                Ok((Some(all), "\n1")),
            ),
            ("#!lua", Err("Invalid script shebang")),
            ("#!lua 'x\n", Err("Invalid engine in script shebang")),
            ("#!python\n", Err("Unexpected engine in script shebang: #!python")),
            ("#!lua name=x\n", Err("Unknown lua shebang option: name=x")),
            ("#!lua flags=no-writes,what?\n", Err("Unexpected flag in script shebang: what?")),
            ("#!lua flags=no-writes,,\n", Err("Unexpected flag in script shebang: ")),
        ];
        for (code, expected) in cases {
            let read = read(code.as_bytes()).map(|(flags, code)| (flags, code.to_vec()));
            let expected = expected.map(|(flags, code)| (flags, code.into())).map_err(|text| text.into());
            assert_eq!(read, expected, "{code:?}");
        }
    }
}
