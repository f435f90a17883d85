//! What is to be sent to a client: small replies gathered in one buffer, long strings by reference.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::rc::Rc;

/// From this many bytes on, a string is queued by reference instead of being copied.
pub const BY_REFERENCE: usize = 16 * 1024;
/// A tail of so many bytes becomes a piece of its own when a reply is complete: one that grew with all replies of a long pipeline
/// would be copied each time it doubles, into memory that is new to the process.
const PIECE: usize = 64 * 1024;
/// Bytes that have been sent are dropped from the tail when they are so many, and more than those that have not.
const SENT_MAX: usize = 64 * 1024;
/// Chunks handed to one write call.
const CHUNKS_A_WRITE: usize = 64;

/// A piece of output that is complete.
enum Chunk {
    Bytes(Vec<u8>),
    /// A value of the keyspace, shared: a writer that changes it meanwhile makes its own copy.
    Shared(Rc<Vec<u8>>),
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Chunk::Bytes(bytes) => bytes,
            Chunk::Shared(blob) => blob,
        }
    }
}

/// The pieces that stand before the tail.
#[derive(Default)]
struct Queue {
    chunks: VecDeque<Chunk>,
    /// Bytes in the chunks.
    bytes: usize,
}

impl Queue {
    fn push(&mut self, chunk: Chunk) {
        self.bytes += chunk.bytes().len();
        self.chunks.push_back(chunk);
    }
}

/// A queue of bytes. Empty, it owns no memory. It is passed around by value, and most never hold more than the tail: so what
/// stands before that is kept apart.
#[derive(Default)]
pub struct Output {
    queue: Option<Box<Queue>>,
    /// What comes behind the queue.
    tail: Vec<u8>,
    /// Bytes of the first piece that have been sent already.
    sent: usize,
}

impl Output {
    /// Bytes that wait to be sent.
    #[inline]
    pub fn len(&self) -> usize {
        self.queued() + self.tail.len() - self.sent
    }

    /// Bytes before the tail.
    #[inline]
    fn queued(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.bytes)
    }

    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that the queue holds on to, shared values included.
    pub fn memory_bytes(&self) -> usize {
        let queue = |queue: &Queue| size_of::<Queue>() + queue.chunks.capacity() * size_of::<Chunk>();
        self.queued() + self.tail.capacity() + self.queue.as_deref().map_or(0, queue)
    }

    /// How many pieces stand before the tail.
    pub fn chunks(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.chunks.len())
    }

    /// The buffer that replies are appended to.
    #[inline]
    pub fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.tail
    }

    /// Gives the tail a buffer to use, if it has none.
    #[inline]
    pub fn lend(&mut self, buffer: Vec<u8>) {
        debug_assert!(self.tail.capacity() == 0 && buffer.is_empty());
        self.tail = buffer;
    }

    /// Whether the tail has memory of its own.
    #[inline]
    pub fn has_buffer(&self) -> bool {
        self.tail.capacity() > 0
    }

    /// Whether it has any memory, even if nothing is in it.
    #[inline]
    pub fn owns_memory(&self) -> bool {
        self.has_buffer() || self.queue.is_some()
    }

    /// Takes the buffer back when everything has been sent.
    #[inline]
    pub fn reclaim(&mut self) -> Vec<u8> {
        debug_assert!(self.is_empty());
        std::mem::take(&mut self.tail)
    }

    /// Ends the piece that replies are appended to, if it is long. To be called where a reply is complete.
    #[inline]
    pub fn end_long_piece(&mut self) {
        if self.tail.len() >= PIECE {
            self.end_piece();
        }
    }

    #[cold]
    fn end_piece(&mut self) {
        let piece = std::mem::replace(&mut self.tail, Vec::with_capacity(PIECE + PIECE / 4));
        self.queue.get_or_insert_default().push(Chunk::Bytes(piece));
    }

    /// Queues a value by reference.
    pub fn push_shared(&mut self, blob: &Rc<Vec<u8>>) {
        self.push(Chunk::Shared(Rc::clone(blob)));
    }

    fn push(&mut self, chunk: Chunk) {
        let queue = self.queue.get_or_insert_default();
        if !self.tail.is_empty() {
            queue.push(Chunk::Bytes(std::mem::take(&mut self.tail)));
        }
        queue.push(chunk);
    }

    /// Everything in one piece, of which nothing may have been sent. What is shared is copied.
    pub fn flatten(&mut self) -> &[u8] {
        debug_assert_eq!(self.sent, 0, "what is being sent stays where it is");
        if let Some(queue) = self.queue.take() {
            let mut bytes = Vec::with_capacity(queue.bytes + self.tail.len());
            queue.chunks.iter().for_each(|chunk| bytes.extend_from_slice(chunk.bytes()));
            bytes.append(&mut self.tail);
            self.tail = bytes;
        }
        &self.tail
    }

    /// Moves all of `other` behind what is here.
    pub fn append(&mut self, other: &mut Output) {
        if other.is_empty() {
            return;
        }
        debug_assert_eq!(other.sent, 0, "what is being sent stays where it is");
        if self.is_empty() && !self.has_buffer() {
            return std::mem::swap(self, other);
        }
        for chunk in other.queue.take().into_iter().flat_map(|queue| queue.chunks) {
            match chunk {
                Chunk::Bytes(bytes) if bytes.len() < PIECE => self.tail.extend_from_slice(&bytes),
                Chunk::Bytes(bytes) => self.push(Chunk::Bytes(bytes)),
                Chunk::Shared(blob) => self.push(Chunk::Shared(blob)),
            }
        }
        self.tail.append(&mut other.tail);
        other.tail = Vec::new();
    }

    /// Forgets everything from byte `len` of the queue on: what a client that wants no replies was about to get.
    pub fn truncate(&mut self, len: usize) {
        let len = len + self.sent;
        let Some(queue) = self.queue.as_mut().filter(|queue| queue.bytes > len) else {
            return self.tail.truncate(len - self.queued());
        };
        self.tail.clear();
        while queue.bytes > len
            && let Some(chunk) = queue.chunks.pop_back()
        {
            queue.bytes -= chunk.bytes().len();
            match chunk {
                Chunk::Bytes(bytes) => self.tail = bytes,
                // It goes whole.
                Chunk::Shared(_) => self.tail.clear(),
            }
        }
        self.tail.truncate(len - queue.bytes);
    }

    /// Forgets everything, even what of a piece has been sent.
    pub fn clear(&mut self) {
        (self.queue, self.sent) = (None, 0);
        self.tail.clear();
    }

    /// Sends as much as one write call takes. Returns the bytes sent.
    ///
    /// # Errors
    /// Those of the socket, `WouldBlock` included.
    pub fn write_to(&mut self, socket: &mut impl Write) -> io::Result<usize> {
        let written = match &mut self.queue {
            None => {
                let written = socket.write(&self.tail[self.sent..])?;
                self.sent += written;
                written
            }
            Some(queue) => {
                let mut slices = [IoSlice::new(&[]); CHUNKS_A_WRITE];
                let pieces = queue.chunks.iter().map(Chunk::bytes).chain([self.tail.as_slice()]);
                let mut used = 0;
                for (slice, piece) in slices.iter_mut().zip(pieces) {
                    *slice = IoSlice::new(if used == 0 { &piece[self.sent..] } else { piece });
                    used += 1;
                }
                let written = socket.write_vectored(&slices[..used])?;
                self.sent += written;
                while let Some(first) = queue.chunks.front() {
                    let len = first.bytes().len();
                    if self.sent < len {
                        return Ok(written);
                    }
                    self.sent -= len;
                    queue.bytes -= len;
                    queue.chunks.pop_front();
                }
                self.queue = None;
                written
            }
        };
        if self.sent == self.tail.len() {
            self.sent = 0;
            self.tail.clear();
        } else if self.sent > SENT_MAX && self.sent > self.tail.len() / 2 {
            // A client that is always a little behind would have it grow for ever.
            self.tail.drain(..self.sent);
            self.sent = 0;
        }
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket that takes a few bytes at a time.
    struct Narrow {
        taken: Vec<u8>,
        width: usize,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.width);
            self.taken.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn bytes_and_shared_values_leave_in_order() {
        for width in [1, 3, 10, 1000] {
            let mut socket = Narrow { taken: Vec::new(), width };
            let mut output = Output::default();
            let mut expected = Vec::new();
            for round in 0u8..20 {
                let blob = Rc::new(vec![round; round as usize * 3]);
                output.tail().extend_from_slice(b"head");
                expected.extend_from_slice(b"head");
                if round % 3 == 0 {
                    output.push_shared(&blob);
                    expected.extend_from_slice(&blob);
                }
                let _ = output.write_to(&mut socket);
                assert_eq!(socket.taken.len() + output.len(), expected.len());
            }
            while !output.is_empty() {
                assert!(output.write_to(&mut socket).is_ok_and(|sent| sent > 0));
            }
            assert_eq!(socket.taken, expected);
        }
    }

    #[test]
    fn long_pieces_leave_in_order() {
        for width in [1000, PIECE - 1, PIECE, 10 * PIECE] {
            let (mut output, mut earlier) = (Output::default(), Output::default());
            let mut socket = Narrow { taken: Vec::new(), width };
            let mut expected = Vec::new();
            for n in 0..200_usize {
                let reply = vec![n as u8; n * 37];
                output.tail().extend_from_slice(&reply);
                output.end_long_piece();
                assert!(output.tail().len() < PIECE);
                expected.extend_from_slice(&reply);
            }
            assert!(output.chunks() > 5);
            earlier.tail().extend_from_slice(b"earlier");
            earlier.append(&mut output);
            assert_eq!(earlier.len(), 7 + expected.len());
            earlier.truncate(7 + expected.len() / 2);
            while !earlier.is_empty() {
                assert!(earlier.write_to(&mut socket).is_ok_and(|sent| sent > 0));
            }
            assert_eq!(socket.taken, [b"earlier", &expected[..expected.len() / 2]].concat());
        }
    }

    #[test]
    fn a_client_that_is_always_behind_costs_what_it_is_behind() {
        let mut output = Output::default();
        let mut socket = Narrow { taken: Vec::new(), width: 1000 };
        output.tail().extend_from_slice(&[b'x'; 5000]);
        for _ in 0..10_000 {
            output.tail().extend_from_slice(&[b'x'; 1000]);
            assert!(output.write_to(&mut socket).is_ok());
        }
        assert_eq!(output.len(), 5000);
        assert!(output.memory_bytes() < 4 * SENT_MAX);
    }

    #[test]
    fn truncation_forgets_the_newest_bytes_only() {
        let blob = Rc::new(vec![b'x'; 10]);
        for len in 0..=27 {
            let mut output = Output::default();
            let mut socket = Narrow { taken: Vec::new(), width: 2 };
            output.tail().extend_from_slice(b"__0123");
            output.push_shared(&blob);
            output.tail().extend_from_slice(b"456");
            output.push_shared(&blob);
            assert!(output.write_to(&mut socket).is_ok_and(|sent| sent == 2));
            output.truncate(len);
            output.tail().push(b'!');
            socket.width = 100;
            while !output.is_empty() {
                assert!(output.write_to(&mut socket).is_ok());
            }
            let mut expected = b"0123xxxxxxxxxx456xxxxxxxxxx".to_vec();
            expected.truncate(len);
            // A shared value is dropped whole.
            if len < 14 && len > 4 {
                expected.truncate(4);
            } else if len > 17 && len < 27 {
                expected.truncate(17);
            }
            expected.push(b'!');
            assert_eq!(&socket.taken[2..], expected, "truncated to {len}");
        }
    }
}
