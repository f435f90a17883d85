//! The arguments of a command, where they lie: in the read buffer, or in memory of their own.

use std::ops::Index;

use crate::effects::journal;
use crate::observe::slowlog::cut_arg;

/// Where an argument lies: bytes of the read buffer, or an owned argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    start: u32,
    /// The length in bytes; [`OWNED`] says that `start` is an index into the owned arguments.
    len: u32,
}

const OWNED: u32 = u32::MAX;

impl Span {
    /// The bytes of a buffer from `start` on.
    pub fn new(start: u32, len: u32) -> Span {
        debug_assert_ne!(len, OWNED);
        Span { start, len }
    }

    /// An argument that is owned, by its place among those.
    pub fn owned(place: usize) -> Span {
        Span { start: place as u32, len: OWNED }
    }

    /// The bytes of the argument, given the buffer and the owned arguments of its command.
    #[inline]
    pub fn bytes<'a>(self, buf: &'a [u8], owned: &'a [Vec<u8>]) -> &'a [u8] {
        match self.len {
            OWNED => &owned[self.start as usize],
            len => &buf[self.start as usize..][..len as usize],
        }
    }
}

/// The arguments of a command, its name included: `args[0]` is the name.
pub struct Args<'a> {
    buf: &'a [u8],
    spans: &'a [Span],
    owned: &'a mut [Vec<u8>],
    /// Somebody reads them after the handler: nothing may be taken.
    pinned: bool,
    /// What logs show of those that have been taken, or stand for others.
    shown: Vec<(usize, Vec<u8>)>,
}

impl<'a> Args<'a> {
    /// The arguments that `spans` describe, which stand in `buf` in this order. `owned` are those the parser owned for the same
    /// command.
    pub fn new(buf: &'a [u8], spans: &'a [Span], owned: &'a mut [Vec<u8>]) -> Args<'a> {
        Args { buf, spans, owned, shown: Vec::new(), pinned: false }
    }

    /// How many there are, with the name.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "a command has a name at least")]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// The argument at a position, if there is one.
    #[inline]
    pub fn get(&self, at: usize) -> Option<&[u8]> {
        Some(self.spans.get(at)?.bytes(self.buf, self.owned))
    }

    /// The arguments from a position on.
    #[inline]
    pub fn iter_from(&self, at: usize) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        (at.min(self.len())..self.len()).map(|at| &self[at])
    }

    /// From here on no argument can be taken, because somebody reads them after the handler.
    pub fn pin(&mut self) {
        self.pinned = true;
    }

    /// Takes an argument that has its own memory; it is empty afterwards. `None` if it is a part of the read buffer, or
    /// has to stay.
    pub fn take_owned(&mut self, at: usize) -> Option<Vec<u8>> {
        if self.pinned {
            return None;
        }
        let span = self.spans.get(at).filter(|span| span.len == OWNED)?;
        let taken = std::mem::take(&mut self.owned[span.start as usize]);
        self.shown.push((at, cut_arg(&taken)));
        Some(taken)
    }

    /// What a log shows of an argument, also of one that has been taken or stands for another.
    pub fn shown(&self, at: usize) -> Vec<u8> {
        match self.shown.iter().find(|(place, _)| *place == at) {
            Some((_, shown)) => shown.clone(),
            None => cut_arg(&self[at]),
        }
    }

    /// Copies what has to be kept when the command is to run later; arguments with their own memory move.
    pub fn keep(&mut self) -> KeptArgs {
        let mut kept = KeptArgs { spans: Vec::with_capacity(self.len()), ..KeptArgs::default() };
        kept.bytes.reserve_exact(
            self.spans.iter().filter(|span| span.len != OWNED).map(|span| span.len as usize).sum::<usize>(),
        );
        for at in 0..self.len() {
            let span = self.spans[at];
            if span.len == OWNED {
                kept.spans.push(Span::owned(kept.owned.len()));
                kept.owned.push(std::mem::take(&mut self.owned[span.start as usize]));
            } else {
                kept.spans.push(Span::new(kept.bytes.len() as u32, span.len));
                kept.bytes.extend_from_slice(&self[at]);
            }
        }
        kept
    }

    /// Copies all that [`Args::keep`] takes. There may be very many, so they are copied in one piece, with what stands before
    /// and between them.
    pub fn copy(&self) -> KeptArgs {
        let last = self.spans.iter().rfind(|span| span.len != OWNED);
        let end = last.map_or(0, |last| last.start + last.len);
        KeptArgs {
            bytes: self.buf[..end as usize].to_vec(),
            spans: self.spans.to_vec(),
            owned: self.owned.to_vec(),
            shown: self.shown.clone(),
        }
    }

    /// Appends the command as a request.
    pub fn encode(&self, out: &mut Vec<u8>) {
        journal::encode(out, self.iter_from(0));
    }

    /// Bytes of all arguments.
    pub fn total_bytes(&self) -> usize {
        self.iter_from(0).map(<[u8]>::len).sum()
    }
}

/// The arguments of a command that is to run later.
#[derive(Clone, Default)]
pub struct KeptArgs {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    owned: Vec<Vec<u8>>,
    /// What logs show of those that stand for others.
    shown: Vec<(usize, Vec<u8>)>,
}

impl KeptArgs {
    /// Copies of these arguments.
    pub fn of<'a>(args: impl Iterator<Item = &'a [u8]>) -> KeptArgs {
        let mut kept = KeptArgs::default();
        for arg in args {
            kept.spans.push(Span::new(kept.bytes.len() as u32, arg.len() as u32));
            kept.bytes.extend_from_slice(arg);
        }
        kept
    }

    /// Lets an argument stand for another, which is what logs show.
    pub fn stands_for(&mut self, at: usize, other: &[u8]) {
        self.shown.push((at, cut_arg(other)));
    }

    /// The arguments, as a handler takes them.
    pub fn args(&mut self) -> Args<'_> {
        Args { shown: self.shown.clone(), ..Args::new(&self.bytes, &self.spans, &mut self.owned) }
    }

    /// The argument at a position, if there is one.
    pub fn get(&self, at: usize) -> Option<&[u8]> {
        Some(self.spans.get(at)?.bytes(&self.bytes, &self.owned))
    }

    /// Bytes of memory they take.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
            + self.spans.capacity() * size_of::<Span>()
            + self.owned.iter().map(|bytes| bytes.capacity() + size_of::<Vec<u8>>()).sum::<usize>()
            + self.shown.iter().map(|shown| shown.1.capacity() + size_of_val(shown)).sum::<usize>()
    }
}

impl Index<usize> for Args<'_> {
    type Output = [u8];

    #[inline]
    fn index(&self, at: usize) -> &[u8] {
        self.get(at).expect("the arity was checked before the handler ran")
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::{Limits, Parsed, RequestParser};
    use super::*;

    #[test]
    fn kept_arguments_are_the_same() {
        let limits = Limits { max_bulk: 512 << 20, authenticated: true };
        let request = b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$2\r\nab\r\nSET 'a b' \"\"\r\n";
        let (mut parser, mut at, mut whole) = (RequestParser::default(), 0, 0);
        for expected in [[&b"SET"[..], b"", b"ab"], [b"SET", b"a b", b""]] {
            let mut spans = Vec::new();
            assert_eq!(parser.parse(&request[whole..], &mut at, &mut spans, limits), Ok(Parsed::Command));
            let mut owned = parser.take_owned();
            let mut args = Args::new(&request[whole..], &spans, &mut owned);
            for mut kept in [args.copy(), args.keep()] {
                assert!(kept.args().iter_from(0).eq(expected));
                assert!((0..4).map(|at| kept.get(at)).eq(expected.into_iter().map(Some).chain([None])));
                assert!(kept.args().copy().args().iter_from(0).eq(expected));
            }
            (whole, at) = (whole + at, 0);
        }
    }
}
