//! How replies are shown to people.

use super::line_at;
use crate::config::words::quote_bytes;
use crate::types::number::parse_i64;

/// Replies are nested at most so deep; nothing that the server answers is.
const DEPTH_MAX: usize = 64;

/// Writes a reply so that it can be read, up to about `most` bytes in all.
pub fn write_reply(out: &mut Vec<u8>, reply: &[u8], most: usize) {
    write_at(out, reply, 0, most, 0);
}

/// Writes what begins at `at`; returns where the next begins.
fn write_at(out: &mut Vec<u8>, reply: &[u8], at: usize, most: usize, depth: usize) -> usize {
    let (line, next) = line_at(reply, at);
    let number = || parse_i64(line).unwrap_or(0);
    let quoted = |out: &mut Vec<u8>, bytes: &[u8]| {
        // Each byte takes at least as much room.
        out.extend_from_slice(quote_bytes(&bytes[..bytes.len().min(most)]).as_bytes());
    };
    match reply.get(at) {
        Some(b'+' | b'-') => quoted(out, &reply[at..at + 1 + line.len()]),
        Some(b'$' | b'=') => {
            let Ok(len) = usize::try_from(number()) else {
                out.extend_from_slice(b"NULL");
                return next;
            };
            let bytes = reply.get(next..).and_then(|rest| rest.get(..len)).unwrap_or_default();
            quoted(out, if reply[at] == b'=' { bytes.get(4..).unwrap_or_default() } else { bytes });
            return next + len + 2;
        }
        Some(kind @ (b'*' | b'~' | b'>' | b'%')) => {
            let Ok(count) = usize::try_from(number()) else {
                out.extend_from_slice(b"NULL");
                return next;
            };
            let (open, close): (&[u8], &[u8]) = match kind {
                b'~' => (b"~(", b")"),
                b'%' => (b"{", b"}"),
                _ => (b"[", b"]"),
            };
            out.extend_from_slice(open);
            let mut next = next;
            for index in 0..count {
                if out.len() > most || depth == DEPTH_MAX {
                    // It will be cut before this.
                    return reply.len();
                }
                if index > 0 {
                    out.push(b',');
                }
                next = write_at(out, reply, next, most, depth + 1);
                if *kind == b'%' {
                    out.extend_from_slice(b" => ");
                    next = write_at(out, reply, next, most, depth + 1);
                }
            }
            out.extend_from_slice(close);
            return next;
        }
        Some(b'_') => out.extend_from_slice(b"(null)"),
        Some(b'#') => out.extend_from_slice(if line == b"t" { b"#true" } else { b"#false" }),
        Some(b',') => {
            out.extend_from_slice(b"(double) ");
            out.extend_from_slice(line);
        }
        Some(_) => out.extend_from_slice(line),
        None => {}
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_reply_can_be_read() {
        for (reply, shown) in [
            (":12\r\n", "12"),
            ("+OK\r\n", r#""+OK""#),
            ("-ERR no\r\n", r#""-ERR no""#),
            ("$-1\r\n", "NULL"),
            ("*-1\r\n", "NULL"),
            ("$4\r\na\n\"b\r\n", r#""a\n\"b""#),
            ("*3\r\n:1\r\n*1\r\n$1\r\nx\r\n*0\r\n", r#"[1,["x"],[]]"#),
            ("%2\r\n+a\r\n:1\r\n+b\r\n~2\r\n:1\r\n:2\r\n", r#"{"+a" => 1,"+b" => ~(1,2)}"#),
            ("*5\r\n_\r\n#t\r\n#f\r\n,1.5\r\n(123\r\n", "[(null),#true,#false,(double) 1.5,123]"),
            ("=8\r\ntxt:text\r\n", r#""text""#),
        ] {
            let mut out = Vec::new();
            write_reply(&mut out, reply.as_bytes(), 1000);
            assert_eq!(String::from_utf8_lossy(&out), shown, "{reply:?}");
        }
    }

    #[test]
    fn long_and_deep_replies_are_not_written_in_full() {
        let mut out = Vec::new();
        write_reply(&mut out, ["*1\r\n".repeat(100_000).as_str(), ":1\r\n"].concat().as_bytes(), 1000);
        assert!(out.len() <= 2 * DEPTH_MAX + 2);
        let long = format!("*100000\r\n{}", ":1234567\r\n".repeat(100_000));
        out.clear();
        write_reply(&mut out, long.as_bytes(), 1000);
        assert!((1000..1100).contains(&out.len()));
    }
}
