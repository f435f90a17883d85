//! The slow log: the last commands that took longer than a setting allows, the latest first.
//!
//! An entry must not hold a request of any size in memory for an unknown time, so it keeps a cut: the first arguments,
//! and of each the first bytes, and in place of the rest how much of it there was.

use std::collections::VecDeque;

/// Arguments of an entry, the one that counts the missing ones included.
const ARGS_KEPT: usize = 32;
/// Bytes kept of an argument.
const BYTES_KEPT: usize = 128;

/// A command that took long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Counts entries since the start; never used again.
    pub id: u64,
    /// When it was over, in seconds since the Unix epoch.
    pub unix_seconds: u64,
    /// How long it took, in microseconds.
    pub micros: u64,
    /// The arguments, the command's name first, cut.
    pub args: Vec<Vec<u8>>,
    /// Address and name of the client.
    pub addr: String,
    pub client_name: Vec<u8>,
}

/// The last entries.
#[derive(Default)]
pub struct SlowLog {
    /// The latest first.
    entries: VecDeque<Entry>,
    next_id: u64,
}

impl SlowLog {
    /// Takes an entry, whose number it sets, and forgets the oldest ones so that `most` are left.
    pub fn push(&mut self, entry: Entry, most: usize) {
        self.entries.push_front(Entry { id: self.next_id, ..entry });
        self.next_id += 1;
        self.entries.truncate(most);
    }

    /// Forgets all but the latest entries.
    pub fn truncate(&mut self, most: usize) {
        self.entries.truncate(most);
    }

    /// Forgets all entries; numbers go on.
    pub fn clear(&mut self) {
        self.entries = VecDeque::new();
    }

    /// The entries, the latest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }
}

/// So many arguments as an entry keeps them, `cut` being what it keeps of each.
pub fn cut_args(count: usize, cut: impl FnMut(usize) -> Vec<u8>) -> Vec<Vec<u8>> {
    let kept = if count > ARGS_KEPT { ARGS_KEPT - 1 } else { count };
    let mut cut: Vec<Vec<u8>> = (0..kept).map(cut).collect();
    if kept < count {
        cut.push(format!("... ({} more arguments)", count - kept).into_bytes());
    }
    cut
}

/// An argument as an entry keeps it.
pub fn cut_arg(arg: &[u8]) -> Vec<u8> {
    match arg.split_at_checked(BYTES_KEPT) {
        Some((head, rest)) if !rest.is_empty() => {
            [head, format!("... ({} more bytes)", rest.len()).as_bytes()].concat()
        }
        _ => arg.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_arguments_are_cut() {
        let cases =
            [(0, 0, ""), (128, 128, ""), (129, 128, "... (1 more bytes)"), (5000, 128, "... (4872 more bytes)")];
        for (len, kept, rest) in cases {
            let cut = cut_arg(&vec![b'A'; len]);
            assert_eq!(cut, ["A".repeat(kept).as_bytes(), rest.as_bytes()].concat(), "{len} bytes");
        }
    }

    #[test]
    fn many_arguments_are_counted() {
        for (count, kept, last) in [(1, 1, "x"), (32, 32, "x"), (33, 32, "... (2 more arguments)")] {
            let cut = cut_args(count, |_| b"x".to_vec());
            assert_eq!((cut.len(), cut.last().map(Vec::as_slice)), (kept, Some(last.as_bytes())), "{count} arguments");
        }
    }

    #[test]
    fn the_oldest_entries_go_and_numbers_go_on() {
        let entry = |micros| Entry {
            id: 0,
            unix_seconds: 1,
            micros,
            args: Vec::new(),
            addr: String::new(),
            client_name: Vec::new(),
        };
        let mut log = SlowLog::default();
        (0..5).for_each(|micros| log.push(entry(micros), 3));
        let ids = |log: &SlowLog| log.iter().map(|entry| (entry.id, entry.micros)).collect::<Vec<_>>();
        assert_eq!(ids(&log), [(4, 4), (3, 3), (2, 2)]);
        log.truncate(1);
        assert_eq!(ids(&log), [(4, 4)]);
        log.clear();
        log.push(entry(9), 3);
        assert_eq!(ids(&log), [(5, 9)]);
    }
}
