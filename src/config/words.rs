//! Words of a redis.conf line: how a line is cut into words, and how a word is written so that it is read back.
//!
//! Words are separated by blanks. A word, or the rest of one, may stand in double quotes, where `\n \r \t \b \a`,
//! `\xHH` and a backslash before any other character are escapes, or in single quotes, where only `\'` is one.
//! After a closing quote a blank or the end of the line must follow. Words are bytes here; as text, those
//! that are not UTF-8 are escaped as [`super::text`] says.

use super::text;

/// Cuts `line` into words. `None` if a quote is left open or closed in the middle of a word.
pub fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = &rest[rest.iter().take_while(|byte| is_blank(**byte)).count()..];
        if rest.is_empty() {
            return Some(words);
        }
        let mut word = Vec::new();
        rest = take_word(rest, &mut word)?;
        words.push(word);
    }
}

/// As [`split`], for text. `Err` says what is wrong with the line.
pub fn split_text(line: &[u8]) -> Result<Vec<String>, &'static str> {
    let words = split(line).ok_or("Unbalanced quotes in configuration line")?;
    Ok(words.iter().map(|word| text::from_bytes(word)).collect())
}

/// Writes `word` in double quotes, with everything escaped that is not printable ASCII.
pub fn quote(word: &str) -> String {
    quote_bytes(&text::to_bytes(word))
}

/// As [`quote`], for bytes.
pub fn quote_bytes(word: &[u8]) -> String {
    let mut out = String::with_capacity(word.len() + 2);
    out.push('"');
    for &byte in word {
        match byte {
            b'"' | b'\\' => out.extend(['\\', byte as char]),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x07 => out.push_str("\\a"),
            0x08 => out.push_str("\\b"),
            b' '..=b'~' => out.push(byte as char),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
    out
}

/// Writes `word` as it is where that is safe, in double quotes otherwise. It must not be a line's first, where `#` begins a comment.
pub fn quote_if_needed(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
    if !word.is_empty() && word.bytes().all(plain) { word.to_owned() } else { quote(word) }
}

/// Reads one word at the start of `rest` into `word`; returns what follows it.
fn take_word<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => return Some(rest),
            b'"' | b'\'' => {
                rest = if byte == b'"' { take_double(after, word) } else { take_single(after, word) }?;
                let ends = rest.first().is_none_or(|byte| is_blank(*byte));
                return ends.then_some(rest);
            }
            _ => {
                word.push(byte);
                rest = after;
            }
        }
    }
    Some(rest)
}

fn take_double<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                word.push(hex_digit(*high) * 16 + hex_digit(*low));
                after
            }
            [b'\\', escaped, after @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                after
            }
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
            [] => return None,
        }
    }
}

fn take_single<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        rest = match rest {
            [b'\'', after @ ..] => return Some(after),
            [b'\\', b'\'', after @ ..] => {
                word.push(b'\'');
                after
            }
            [byte, after @ ..] => {
                word.push(*byte);
                after
            }
            [] => return None,
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_into_words() {
        let cases: &[(&str, Option<&[&str]>)] = &[
            ("", Some(&[])),
            ("  \t ", Some(&[])),
            ("port 6380", Some(&["port", "6380"])),
            ("save 900 1\t300  10\r", Some(&["save", "900", "1", "300", "10"])),
            (r#"logfile """#, Some(&["logfile", ""])),
            ("logfile ''", Some(&["logfile", ""])),
            (r#"a "b c" 'd "e'"#, Some(&["a", "b c", "d \"e"])),
            (r#"a "\x41\n\r\t\b\a\"\\\q""#, Some(&["a", "A\n\r\t\u{8}\u{7}\"\\q"])),
            (r"a '\n\'x'", Some(&["a", r"\n'x"])),
            (r#"a "\x4""#, Some(&["a", "x4"])),
            (r#"pre"fix""#, Some(&["prefix"])),
            (r#"a "b"c"#, None),
            (r#"a "b"#, None),
            (r#"a "b\"#, None),
            ("a 'b", None),
            ("a 'b'c", None),
        ];
        for (line, expected) in cases {
            let words = split(line.as_bytes());
            let expected = expected.map(|words| words.iter().map(|word| word.as_bytes().to_vec()).collect());
            assert_eq!(words, expected, "{line}");
        }
    }

    #[test]
    fn a_quoted_word_is_read_back() {
        let every_ascii: String = (0u8..128).map(char::from).collect();
        for word in ["", "plain", "two words", "#x", "it's", "é ü 日本", "a\"b\\c", &every_ascii] {
            assert_eq!(split_text(quote(word).as_bytes()), Ok(vec![word.to_owned()]));
            assert_eq!(split_text(quote_if_needed(word).as_bytes()), Ok(vec![word.to_owned()]));
        }
        assert_eq!(quote_if_needed("127.0.0.1"), "127.0.0.1");
        assert_eq!(quote("\0é"), r#""\x00\xc3\xa9""#);
    }

    #[test]
    fn text_carries_bytes_that_are_not_utf8() {
        for line in [&br#"a "\xff""#[..], b"a \xff"] {
            let words = split_text(line).unwrap();
            assert_eq!(text::to_bytes(&words[1]), b"\xff");
            assert_eq!(quote(&words[1]), r#""\xff""#);
        }
        assert_eq!(split_text(b"a 'b"), Err("Unbalanced quotes in configuration line"));
    }
}
