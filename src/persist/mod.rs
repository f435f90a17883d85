//! What outlives the process.
//!
//! A snapshot is produced by the event loop slice by slice (see [`crate::keyspace::snapshot`]): a [`writer::Writer`] makes
//! the bytes of an RDB file of what it is told, and they go to a [`Sink`]: a file for BGSAVE, the base of a rewritten
//! append-only file, or whoever else wants the state of one instant. A file is written by a thread of its own
//! ([`disk::Background`]), which sums up, syncs and renames it.
//!
//! The append-only file ([`aof`]) holds what changed since, command by command.

pub mod aof;
pub mod disk;
pub mod rdb;
pub mod writer;

/// Where the bytes of a snapshot go. One that is dropped before its end leaves nothing behind.
pub trait Sink {
    /// Whether it takes more for now. It takes what it gets in any case, but what it has not passed on is memory.
    fn has_room(&self) -> bool;

    /// Takes the next bytes.
    fn write(&mut self, bytes: Vec<u8>);

    /// So many bytes have been passed on.
    fn passed_on(&mut self, bytes: usize);

    /// Those were all bytes, but for the checksum, which is the sink's. It reports when it is done.
    fn finish(&mut self);
}

/// Buffers that came back. There are no more of them than a sink takes at once.
#[derive(Default)]
pub struct Spare(Vec<Vec<u8>>);

impl Spare {
    /// A buffer that is larger than this was for a large value, and is not kept.
    const KEPT: usize = 256 << 10;

    /// Keeps an empty buffer.
    pub fn keep(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() <= Self::KEPT {
            self.0.push(buffer);
        }
    }

    /// An empty buffer; if it is a new one, with some room.
    pub fn buffer(&mut self, room: usize) -> Vec<u8> {
        self.0.pop().unwrap_or_else(|| Vec::with_capacity(room))
    }
}
