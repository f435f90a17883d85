//! What a master sends before the stream: lines, and the snapshot with what stands around it.

use crate::replication::{ID_LEN, MOST_OFFSET};

/// Bytes that a line may have: more is no answer to anything that was asked.
const LINE_MAX: usize = 1024;

/// A line has not ended where every line has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLong;

/// Takes the first line from what has come, without its end; `None` if it has not ended. Empty lines, by which a busy master shows
/// that it is there, are passed over.
///
/// # Errors
/// If it is longer than any line may be.
pub fn take_line(input: &mut Vec<u8>) -> Result<Option<Vec<u8>>, TooLong> {
    let ends = input.iter().take_while(|&&byte| matches!(byte, b'\r' | b'\n')).count();
    let empty = memchr::memrchr(b'\n', &input[..ends]).map_or(0, |last| last + 1);
    input.drain(..empty);
    match memchr::memchr(b'\n', &input[..input.len().min(LINE_MAX)]) {
        Some(end) => {
            let mut line: Vec<u8> = input.drain(..=end).collect();
            line.truncate(end - usize::from(end > 0 && line[end - 1] == b'\r'));
            Ok(Some(line))
        }
        None if input.len() >= LINE_MAX => Err(TooLong),
        None => Ok(None),
    }
}

/// The answer to PSYNC.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// A snapshot comes, which amounts to so many bytes of the stream of this name.
    Full { id: String, offset: u64 },
    /// As [`Answer::Full`], but it cannot be read what it amounts to.
    Malformed,
    /// The stream goes on, under another name perhaps.
    Continue(Option<String>),
    /// Not now.
    Later,
    /// The master does not know the command, or cannot carry it out.
    Refused,
}

impl Answer {
    pub fn parse(line: &[u8]) -> Answer {
        let text = String::from_utf8_lossy(line);
        let mut words = text.split(' ');
        match words.next().unwrap_or_default() {
            word if word.starts_with("+FULLRESYNC") => {
                let id = words.next().filter(|id| is_id(id));
                let offset =
                    words.next().and_then(|offset| offset.parse().ok()).filter(|&offset| offset <= MOST_OFFSET);
                match (id, offset) {
                    (Some(id), Some(offset)) => Answer::Full { id: id.to_string(), offset },
                    _ => Answer::Malformed,
                }
            }
            word if word.starts_with("+CONTINUE") => {
                Answer::Continue(words.next().filter(|id| is_id(id)).map(str::to_string))
            }
            word if word.starts_with("-NOMASTERLINK") || word.starts_with("-LOADING") => Answer::Later,
            _ => Answer::Refused,
        }
    }
}

/// Whether a text may be the name of a stream.
pub fn is_id(text: &str) -> bool {
    text.len() == ID_LEN && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Where a snapshot ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// After so many bytes.
    After(u64),
    /// Before these bytes, behind which nothing comes until the replica has said that it has all.
    Mark([u8; ID_LEN]),
}

impl End {
    /// Reads the line that announces a snapshot.
    pub fn parse(line: &[u8]) -> Option<End> {
        let text = line.strip_prefix(b"$")?;
        if let Some(mark) = text.strip_prefix(b"EOF:") {
            return Some(End::Mark(*mark.first_chunk()?));
        }
        let digits = std::str::from_utf8(text).ok()?;
        digits.parse().ok().filter(|bytes| (1..=MOST_OFFSET).contains(bytes)).map(End::After)
    }
}

/// A snapshot that is coming.
#[derive(Debug)]
pub struct Body {
    end: End,
    /// The last bytes that have come, which may be the mark, or its beginning.
    tail: Vec<u8>,
}

impl Body {
    pub fn new(end: End) -> Body {
        Body { end, tail: Vec::new() }
    }

    /// Takes of what has come what belongs to the snapshot. Returns it, and whether that was all.
    pub fn take(&mut self, input: &mut Vec<u8>) -> (Vec<u8>, bool) {
        match &mut self.end {
            End::After(left) => {
                let rest = match usize::try_from(*left) {
                    Ok(here) if here < input.len() => input.split_off(here),
                    _ => Vec::new(),
                };
                let bytes = std::mem::replace(input, rest);
                *left -= bytes.len() as u64;
                (bytes, *left == 0)
            }
            End::Mark(mark) => {
                let mut bytes = std::mem::take(&mut self.tail);
                bytes.append(input);
                let whole = bytes.ends_with(mark);
                let tail = bytes.split_off(bytes.len().saturating_sub(ID_LEN));
                if !whole {
                    self.tail = tail;
                }
                (bytes, whole)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn lines_end_somewhere() {
        let mut input = b"+PONG\r\n\n-ERR\nrest".to_vec();
        assert_eq!(take_line(&mut input), Ok(Some(b"+PONG".to_vec())));
        assert_eq!(take_line(&mut input), Ok(Some(b"-ERR".to_vec())));
        assert_eq!(take_line(&mut input), Ok(None));
        assert_eq!(input, b"rest");
        input = b"\n\r\n".repeat(1_000_000);
        assert_eq!((take_line(&mut input), input.len()), (Ok(None), 0));
        input = vec![b'x'; LINE_MAX - 1];
        assert_eq!(take_line(&mut input), Ok(None));
        input.push(b'x');
        assert_eq!(take_line(&mut input), Err(TooLong));
        input.push(b'\n');
        assert_eq!(take_line(&mut input), Err(TooLong));
    }

    #[test]
    fn answers_to_psync() {
        let cases = [
            (format!("+FULLRESYNC {ID} 17"), Answer::Full { id: ID.to_string(), offset: 17 }),
            (format!("+FULLRESYNC {ID} -17"), Answer::Malformed),
            (format!("+FULLRESYNC {ID} 9223372036854775808"), Answer::Malformed),
            (format!("+FULLRESYNC {} 17", &ID[1..]), Answer::Malformed),
            (format!("+FULLRESYNC {ID}"), Answer::Malformed),
            ("+FULLRESYNC".to_string(), Answer::Malformed),
            ("+CONTINUE".to_string(), Answer::Continue(None)),
            (format!("+CONTINUE {ID}"), Answer::Continue(Some(ID.to_string()))),
            ("+CONTINUE abc".to_string(), Answer::Continue(None)),
            ("-NOMASTERLINK Can't SYNC".to_string(), Answer::Later),
            ("-LOADING".to_string(), Answer::Later),
            ("-ERR unknown command".to_string(), Answer::Refused),
            ("+OK".to_string(), Answer::Refused),
            (String::new(), Answer::Refused),
        ];
        for (line, answer) in cases {
            assert_eq!(Answer::parse(line.as_bytes()), answer, "{line}");
        }
        assert_eq!(Answer::parse(b"\xff\xfe"), Answer::Refused);
    }

    #[test]
    fn snapshots_are_announced() {
        assert_eq!(End::parse(b"$17"), Some(End::After(17)));
        let mark = [b'm'; ID_LEN];
        assert_eq!(End::parse(&[b"$EOF:", &mark[..]].concat()), Some(End::Mark(mark)));
        for wrong in
            [&b""[..], b"$", b"$0", b"$-1", b"$x", b"$\xff", b"$EOF:", b"$EOF:mmm", b"+OK", b"$18446744073709551615"]
        {
            assert_eq!(End::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_snapshot_is_the_same_in_whatever_pieces_it_comes() {
        let mut rng = fastrand::Rng::with_seed(3);
        let mark: [u8; ID_LEN] = std::array::from_fn(|at| b'a' + (at % 20) as u8);
        for round in 0..300 {
            let size = rng.usize(1..400);
            let mut data: Vec<u8> = (0..size).map(|_| rng.u8(..)).collect();
            // The beginning of the mark is no end.
            data.extend_from_slice(&mark[..rng.usize(0..ID_LEN)]);
            let marked = round % 2 == 0;
            let (end, behind): (_, &[u8]) =
                if marked { (End::Mark(mark), &mark) } else { (End::After(data.len() as u64), b"*1\r\n") };
            let all = [&data, behind].concat();
            let (mut body, mut got, mut whole, mut input) = (Body::new(end), Vec::new(), false, Vec::new());
            let mut rest = &all[..];
            while !rest.is_empty() {
                let piece = rng.usize(1..=rest.len().min(100));
                input.extend_from_slice(&rest[..piece]);
                rest = &rest[piece..];
                if !whole {
                    let (bytes, now) = body.take(&mut input);
                    got.extend(bytes);
                    whole = now;
                }
            }
            assert!(whole, "{round}");
            assert_eq!((&got, &input[..]), (&data, if marked { &b""[..] } else { behind }), "{round}");
        }
    }
}
