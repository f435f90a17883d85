//! The end of the replication stream, in blocks, for everybody who reads it.

use std::collections::VecDeque;

/// Bytes of a block.
pub(super) const BLOCK: usize = 16 * 1024;

/// The last bytes of the stream. Offsets are those of bytes, the first of which has 1, as PSYNC counts.
pub struct Backlog {
    blocks: VecDeque<Vec<u8>>,
    /// The offset of the first byte of the first block.
    first: u64,
    /// The offset of the next byte to come.
    end: u64,
}

impl Backlog {
    /// An empty backlog of a stream that has so many bytes already.
    pub fn new(offset: u64) -> Backlog {
        Backlog { blocks: VecDeque::new(), first: offset + 1, end: offset + 1 }
    }

    /// The offset of the first byte that is kept.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The offset of the next byte to come.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// How many bytes are kept.
    pub fn len(&self) -> usize {
        (self.end - self.first) as usize
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that it takes.
    pub fn memory_bytes(&self) -> usize {
        self.blocks.len() * BLOCK + self.blocks.capacity() * size_of::<Vec<u8>>()
    }

    /// Adds the next bytes of the stream.
    pub fn append(&mut self, mut bytes: &[u8]) {
        self.end += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.blocks.back().is_none_or(|block| block.len() == BLOCK) {
                self.blocks.push_back(Vec::with_capacity(BLOCK));
            }
            let Some(block) = self.blocks.back_mut() else { return };
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - block.len()));
            block.extend_from_slice(now);
            bytes = later;
        }
    }

    /// The bytes from an offset on, as far as they lie in one piece: none at the end, or if they are not kept any more.
    pub fn from(&self, offset: u64) -> &[u8] {
        let Some(at) = offset.checked_sub(self.first) else { return &[] };
        let (block, within) = ((at / BLOCK as u64) as usize, (at % BLOCK as u64) as usize);
        self.blocks.get(block).and_then(|block| block.get(within..)).unwrap_or_default()
    }

    /// Forgets what lies before an offset, but for the last `kept` bytes. Whole blocks go.
    pub fn trim(&mut self, before: u64, kept: u64) {
        let before = before.min(self.end.saturating_sub(kept));
        while self.first + BLOCK as u64 <= before && self.blocks.pop_front().is_some() {
            self.first += BLOCK as u64;
        }
        if self.blocks.capacity() / 8 > self.blocks.len() {
            // Somebody was slow for long.
            self.blocks.shrink_to(2 * self.blocks.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything from an offset on.
    fn rest(backlog: &Backlog, mut offset: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while offset < backlog.end() {
            let piece = backlog.from(offset);
            offset += piece.len() as u64;
            bytes.extend_from_slice(piece);
        }
        bytes
    }

    #[test]
    fn what_is_kept_is_found_again() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut stream: Vec<u8> = Vec::new();
        let mut backlog = Backlog::new(100);
        assert!(backlog.is_empty() && backlog.from(101).is_empty());
        for _ in 0..300 {
            let piece: Vec<u8> = (0..rng.usize(0..2000)).map(|_| rng.u8(..)).collect();
            backlog.append(&piece);
            stream.extend_from_slice(&piece);
            backlog.trim(backlog.end() - rng.u64(0..1000).min(stream.len() as u64), 40_000);
            assert_eq!(backlog.end(), 101 + stream.len() as u64);
            assert!(backlog.len() <= 40_000 + BLOCK && backlog.len() >= stream.len().min(40_000));
            assert!(backlog.memory_bytes() >= backlog.len());
            assert_eq!(rest(&backlog, backlog.first()), stream[(backlog.first() - 101) as usize..]);
            let some = rng.u64(backlog.first()..=backlog.end());
            let here = backlog.from(some);
            assert_eq!(*here, stream[(some - 101) as usize..][..here.len()]);
            assert_eq!(here.is_empty(), some == backlog.end());
        }
        assert!(backlog.from(backlog.first() - 1).is_empty() && backlog.from(backlog.end() + 1).is_empty());
    }

    #[test]
    fn who_is_slow_is_waited_for() {
        let mut backlog = Backlog::new(0);
        backlog.append(&vec![b'x'; 10 * BLOCK]);
        backlog.trim(BLOCK as u64, 0);
        assert_eq!(backlog.first(), 1);
        backlog.trim(BLOCK as u64 + 1, 0);
        assert_eq!(backlog.first(), 1 + BLOCK as u64);
        backlog.trim(u64::MAX, 3 * BLOCK as u64);
        assert_eq!(backlog.len(), 3 * BLOCK);
    }
}
