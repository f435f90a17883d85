//! HyperLogLog: about how many different elements there were, from the longest run of zero bits that their hashes
//! showed (P. Flajolet et al., "HyperLogLog: the analysis of a near-optimal cardinality estimation algorithm", 2007).
//!
//! A value is a string, which clients may read, copy and break, so its bytes are those of Redis:
//!
//! ```text
//!   "HYLL"    4 bytes
//!   form      1 byte: 0 dense, 1 sparse
//!   unused    3 bytes
//!   estimate  8 bytes, little-endian; while the highest bit is set, it is out of date
//!   ------------------------------------------------------------------------------------------
//!   dense     16,384 registers of 6 bits; the first one in the low bits of the first byte
//!   sparse    runs of registers, in order, which must cover all 16,384:
//!               00nnnnnn             n+1 registers (up to 64) are 0
//!               01nnnnnn nnnnnnnn    n+1 registers (up to 16,384) are 0
//!               1vvvvvnn             n+1 registers (up to 4) are v+1 (up to 32)
//! ```
//!
//! An element's hash chooses a register by its low 14 bits; the register keeps the greatest rank, which is the place of the
//! lowest one among the other 50. A value starts sparse and becomes dense when it has more bytes than a setting allows, or
//! a rank beyond 32. Two servers that are given the same elements in the same order keep the same bytes, so the way in
//! which runs are split and joined is a part of the format.
//!
//! What is not such a value is refused by [`form`]. A sparse one whose runs do not fit passes there, and is [`Corrupt`] when
//! it is found out; its last run may lack its second byte, which then counts as 0.

use std::ops::Range;

/// Bits of a hash that choose a register.
const INDEX_BITS: u32 = 14;
/// How many registers there are.
pub const REGISTERS: usize = 1 << INDEX_BITS;
/// The highest rank that a hash can have: 50 bits without a one count as if a one followed.
const RANK_MAX: usize = 64 - INDEX_BITS as usize + 1;
/// Bits of a dense register.
const REGISTER_BITS: usize = 6;
/// What a dense register can hold.
const REGISTER_MASK: u8 = (1 << REGISTER_BITS) - 1;

/// Bytes before the registers.
const HEADER: usize = 16;
const FORM_AT: usize = 4;
const ESTIMATE: Range<usize> = 8..16;
const OUT_OF_DATE: u8 = 0x80;
/// Bytes of a dense value.
pub const DENSE_LEN: usize = HEADER + REGISTERS * REGISTER_BITS / 8;

const ZEROS_MAX: usize = 64;
const VALUES_MAX: usize = 4;
const SPARSE_RANK_MAX: u8 = 32;
/// Runs that are looked at for joining after a change.
const JOINED_MAX: usize = 5;
/// Bytes of a run at most.
const RUN_BYTES: usize = 2;
/// Bytes of the runs that one run is split into at most.
const SPLIT_BYTES: usize = 2 * RUN_BYTES + 1;
/// Bytes behind a changed run that joining can look at: those of the other runs that it looks at, and the first one of the run
/// that may be joined to the last of them.
const JOINED_BEHIND: usize = (JOINED_MAX - 1) * RUN_BYTES + 1;

/// How registers are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    Dense,
    Sparse,
}

/// The runs of a sparse value do not cover the registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Corrupt;

/// A value without elements.
pub fn empty() -> Vec<u8> {
    let mut value = vec![0; HEADER];
    value[..4].copy_from_slice(b"HYLL");
    value[FORM_AT] = 1;
    let mut run = Runs::NONE;
    run.push(0, REGISTERS);
    value.extend_from_slice(run.bytes());
    value
}

/// The form of a value; `None` if a string is none.
pub fn form(value: &[u8]) -> Option<Form> {
    if value.len() < HEADER || !value.starts_with(b"HYLL") {
        return None;
    }
    match value[FORM_AT] {
        0 => (value.len() == DENSE_LEN).then_some(Form::Dense),
        1 => Some(Form::Sparse),
        _ => None,
    }
}

/// The estimate that a value holds, if it is up to date.
pub fn known_estimate(value: &[u8]) -> Option<i64> {
    let estimate = value.get(ESTIMATE)?.first_chunk()?;
    Some(i64::from_le_bytes(*estimate)).filter(|&estimate| estimate >= 0)
}

/// Makes a value hold an estimate.
pub fn set_estimate(value: &mut [u8], estimate: i64) {
    value[ESTIMATE].copy_from_slice(&estimate.to_le_bytes());
}

/// Marks the estimate that a value holds as out of date.
pub fn outdate(value: &mut [u8]) {
    value[ESTIMATE.end - 1] |= OUT_OF_DATE;
}

/// The register of an element, and its rank there.
#[inline]
pub fn place(element: &[u8]) -> (usize, u8) {
    /// So that hashes, and with them values, are those of Redis.
    const SEED: u64 = 0xadc8_3b19;
    let hash = murmur(element, SEED);
    let rank = (hash >> INDEX_BITS).trailing_zeros().min(RANK_MAX as u32 - 1) + 1;
    (hash as usize % REGISTERS, rank as u8)
}

/// MurmurHash64A (A. Appleby, 2008; in the public domain) with the bytes of words taken as little-endian.
fn murmur(bytes: &[u8], seed: u64) -> u64 {
    const FACTOR: u64 = 0xc6a4_a793_5bd1_e995;
    const SHIFT: u32 = 47;
    let shake = |word: u64| word ^ word >> SHIFT;
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(FACTOR);
    let (words, rest) = bytes.as_chunks::<8>();
    for &word in words {
        let mixed = shake(u64::from_le_bytes(word).wrapping_mul(FACTOR)).wrapping_mul(FACTOR);
        hash = (hash ^ mixed).wrapping_mul(FACTOR);
    }
    if !rest.is_empty() {
        let word = rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        hash = (hash ^ word).wrapping_mul(FACTOR);
    }
    shake(shake(hash).wrapping_mul(FACTOR))
}

// --- dense -----------------------------------------------------------------------------------------------------------

/// The three bytes that hold four registers, one of which is `index`, and how far that one is shifted.
#[inline]
fn quartet(index: usize) -> (Range<usize>, usize) {
    let at = HEADER + index / 4 * 3;
    (at..at + 3, index % 4 * REGISTER_BITS)
}

/// Raises a register of a dense value to a rank. Returns whether it was lower; then the estimate is out of date.
///
/// # Panics
/// If the value is not dense.
#[inline]
pub fn raise_dense(value: &mut [u8], index: usize, rank: u8) -> bool {
    let (bytes, shift) = quartet(index);
    let bytes = &mut value[bytes];
    let word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]);
    if (word >> shift) as u8 & REGISTER_MASK >= rank {
        return false;
    }
    let word = word & !(u32::from(REGISTER_MASK) << shift) | u32::from(rank) << shift;
    bytes.copy_from_slice(&word.to_le_bytes()[..3]);
    outdate(value);
    true
}

/// Eight 6-bit numbers, one behind the other, as eight bytes: halves move apart until each number has its byte.
#[inline]
fn spread(packed: u64) -> u64 {
    let fours = packed & 0x0000_0000_00ff_ffff | (packed & 0x0000_ffff_ff00_0000) << 8;
    let pairs = fours & 0x0000_0fff_0000_0fff | (fours & 0x00ff_f000_00ff_f000) << 4;
    pairs & 0x003f_003f_003f_003f | (pairs & 0x0fc0_0fc0_0fc0_0fc0) << 2
}

/// What [`spread`] undoes.
#[inline]
fn squeeze(bytes: u64) -> u64 {
    let pairs = bytes & 0x003f_003f_003f_003f | (bytes & 0x3f00_3f00_3f00_3f00) >> 2;
    let fours = pairs & 0x0000_0fff_0000_0fff | (pairs & 0x0fff_0000_0fff_0000) >> 4;
    fours & 0x0000_0000_00ff_ffff | (fours & 0x00ff_ffff_0000_0000) >> 8
}

/// All registers, a byte each.
pub struct Registers([u8; REGISTERS]);

/// Those of a value without elements.
impl Default for Registers {
    fn default() -> Registers {
        Registers([0; REGISTERS])
    }
}

impl Registers {
    /// Those of a dense value.
    fn of_dense(value: &[u8]) -> Registers {
        let mut all = Registers::default();
        for (packed, bytes) in value[HEADER..].chunks_exact(6).zip(all.0.chunks_exact_mut(8)) {
            let word = u64::from_le_bytes([packed[0], packed[1], packed[2], packed[3], packed[4], packed[5], 0, 0]);
            bytes.copy_from_slice(&spread(word).to_le_bytes());
        }
        all
    }

    /// Those of a value.
    ///
    /// # Errors
    /// If it is corrupt.
    pub fn of(value: &[u8]) -> Result<Registers, Corrupt> {
        let mut all = Registers::default();
        all.merge(value)?;
        Ok(all)
    }

    /// Raises each to what it is in a value.
    ///
    /// # Errors
    /// If the value is corrupt; then some have been raised.
    pub fn merge(&mut self, value: &[u8]) -> Result<(), Corrupt> {
        if form(value) == Some(Form::Dense) {
            let other = Registers::of_dense(value);
            for (register, other) in self.0.iter_mut().zip(other.0) {
                *register = (*register).max(other);
            }
            return Ok(());
        }
        let mut index = 0;
        let mut at = HEADER;
        while let Some(run) = Run::at(value, at) {
            let registers = index..index + run.len;
            if run.value > 0 {
                // Values behind the last register are ignored, zeros are not: that is how Redis reads it.
                let Some(registers) = self.0.get_mut(registers.clone()) else { break };
                registers.iter_mut().for_each(|register| *register = (*register).max(run.value));
            }
            index = registers.end;
            at += run.bytes;
        }
        if index == REGISTERS { Ok(()) } else { Err(Corrupt) }
    }

    /// Writes them into a dense value.
    fn pack(&self, value: &mut [u8]) {
        for (packed, bytes) in value[HEADER..].chunks_exact_mut(6).zip(self.0.as_chunks::<8>().0) {
            packed.copy_from_slice(&squeeze(u64::from_le_bytes(*bytes)).to_le_bytes()[..6]);
        }
    }

    /// Raises those of a value to these, which are at least as high, and keeps the value sparse as long as it has no more
    /// than `most` bytes, unless it is to be `dense`.
    ///
    /// # Errors
    /// If the value is corrupt; then it may have changed.
    pub fn store(&self, value: &mut Vec<u8>, dense: bool, most: usize) -> Result<(), Corrupt> {
        if dense {
            densify(value)?;
        }
        if form(value) == Some(Form::Sparse) {
            let mut from = Spot::START;
            for (index, &rank) in self.0.iter().enumerate().filter(|(_, rank)| **rank > 0) {
                let (raise, next) = plan_from(value, from, index, rank, most)?;
                raise.apply(value)?;
                from = next;
                if form(value) == Some(Form::Dense) {
                    break;
                }
            }
        }
        if form(value) == Some(Form::Dense) {
            self.pack(value);
        }
        outdate(value);
        Ok(())
    }

    /// About how many elements raised them so.
    pub fn estimate(&self) -> i64 {
        // Several histograms, because a counter that was just written takes a while until it can be read.
        let mut counts = [[0u32; 64]; 4];
        for registers in self.0.as_chunks::<8>().0 {
            // In what was sparse, most are 0.
            if *registers == [0; 8] {
                counts[0][0] += 8;
                continue;
            }
            for fours in registers.as_chunks::<4>().0 {
                for (counts, &register) in counts.iter_mut().zip(fours) {
                    counts[(register & REGISTER_MASK) as usize] += 1;
                }
            }
        }
        estimate_by(|rank| counts.iter().map(|counts| counts[rank]).sum())
    }

    /// Each register.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u8> {
        self.0.iter().copied()
    }
}

// --- sparse ----------------------------------------------------------------------------------------------------------

/// A run of equal registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// What the registers are; 0 in a run of zeros.
    pub value: u8,
    /// How many there are.
    pub len: usize,
    /// Bytes that the run takes.
    pub bytes: usize,
}

impl Run {
    /// The run at an offset; `None` at the end.
    #[inline]
    fn at(value: &[u8], at: usize) -> Option<Run> {
        let byte = *value.get(at)?;
        let bits = |mask: u8| (byte & mask) as usize;
        Some(match byte >> 6 {
            0 => Run { value: 0, len: bits(0x3f) + 1, bytes: 1 },
            1 => {
                let low = value.get(at + 1).copied().unwrap_or(0);
                Run { value: 0, len: (bits(0x3f) << 8 | low as usize) + 1, bytes: 2 }
            }
            _ => Run { value: (byte >> 2 & 0x1f) + 1, len: bits(3) + 1, bytes: 1 },
        })
    }
}

/// The byte of a run of registers that are not zero.
fn values(value: u8, len: usize) -> u8 {
    0x80 | (value - 1) << 2 | (len - 1) as u8
}

/// The runs of a sparse value.
pub fn runs(value: &[u8]) -> impl Iterator<Item = Run> {
    let mut at = HEADER;
    std::iter::from_fn(move || {
        let run = Run::at(value, at)?;
        at += run.bytes;
        Some(run)
    })
}

/// Some runs in a row, as their bytes and what is behind them.
#[derive(Clone, Copy)]
struct Runs {
    bytes: [u8; RUN_BYTES + SPLIT_BYTES + JOINED_BEHIND],
    len: usize,
}

impl Runs {
    const NONE: Runs = Runs { bytes: [0; RUN_BYTES + SPLIT_BYTES + JOINED_BEHIND], len: 0 };

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    #[inline]
    fn put_byte(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    /// Adds a run, unless it has no registers.
    #[inline]
    fn push(&mut self, value: u8, len: usize) {
        if len == 0 {
            return;
        }
        if value > 0 {
            self.put_byte(values(value, len));
        } else if len <= ZEROS_MAX {
            self.put_byte((len - 1) as u8);
        } else {
            self.put_byte(0x40 | ((len - 1) >> 8) as u8);
            self.put_byte((len - 1) as u8);
        }
    }

    /// Joins equal neighbours among the first few.
    #[inline]
    fn join(&mut self) {
        let mut at = 0;
        for _ in 0..JOINED_MAX {
            let Some(run) = Run::at(self.bytes(), at) else { return };
            if run.value > 0
                && let Some(next) = Run::at(self.bytes(), at + 1).filter(|next| next.value == run.value)
                && run.len + next.len <= VALUES_MAX
            {
                self.bytes[at + 1] = values(run.value, run.len + next.len);
                self.bytes.copy_within(at + 1..self.len, at);
                self.len -= 1;
            } else {
                at += run.bytes;
            }
        }
    }
}

/// Where a run begins: its offset in the value, and its first register.
#[derive(Clone, Copy)]
struct Spot {
    at: usize,
    first: usize,
}

impl Spot {
    const START: Spot = Spot { at: HEADER, first: 0 };

    /// The spot so many bytes with so many registers behind this one.
    #[inline]
    fn behind(self, bytes: usize, registers: usize) -> Spot {
        Spot { at: self.at + bytes, first: self.first + registers }
    }
}

/// The runs that are whole within eight bytes, counted without looking at one after the other: how long a run is depends on
/// the elements, and branches on what is as good as random cost more than all else that is done here.
#[derive(PartialEq, Eq, Debug)]
struct Block {
    /// Bytes that the runs take, 7 or 8.
    bytes: usize,
    /// Registers that they have.
    registers: usize,
    /// The offset of the last of them.
    last: usize,
}

impl Block {
    /// Those from a run's offset on; `None` if there are no eight bytes.
    #[inline]
    fn at(value: &[u8], at: usize) -> Option<Block> {
        /// 1 in each byte, and in every other; all of every other byte; and the low six bits of each.
        const ONES: u64 = 0x0101_0101_0101_0101;
        const EVEN_ONES: u64 = 0x0001_0001_0001_0001;
        const EVENS: u64 = 0x00ff_00ff_00ff_00ff;
        const SIX_BITS: u64 = 0x3f3f_3f3f_3f3f_3f3f;
        const LAST: u32 = u64::BITS - 8;
        let word = u64::from_le_bytes(*value.get(at..)?.first_chunk()?);
        // What looks like the first byte of two may be the second one. So in a row of such looks every other is a first one,
        // counted from the row's beginning: a carry that runs through all the rows that begin at even bytes tells them apart.
        let looks = word >> 6 & !(word >> 7) & ONES;
        let rows = looks * 0xff;
        let even_rows = rows & !rows.wrapping_add(looks & !(looks << 8) & EVEN_ONES);
        let firsts = even_rows & EVENS | (rows ^ even_rows) & !EVENS;
        let seconds = firsts << 8;
        // The last byte is left to the next block if it is a first one.
        let bytes = 8 - (firsts >> LAST & 1);
        // Each byte's part of the registers: six bits of zeros, two of values, all of a second byte; a first byte's count for
        // 256 each. Each run has one more.
        let values = (word >> 7 & ONES) * 0x3c;
        let low = word & ((SIX_BITS ^ values) & !firsts | seconds);
        let high = word & seconds >> 8 & SIX_BITS;
        let low = ((low & EVENS) + (low >> 8 & EVENS)).wrapping_mul(EVEN_ONES) >> (u64::BITS - 16);
        let high = high.wrapping_mul(ONES) >> LAST;
        let runs = bytes - ((seconds & ONES).wrapping_mul(ONES) >> LAST);
        Some(Block {
            bytes: bytes as usize,
            registers: (low + (high << 8) + runs) as usize,
            last: (bytes - 1 - (seconds >> (8 * (bytes - 1)) & 1)) as usize,
        })
    }
}

/// A run that has been looked for.
struct Found {
    run: Run,
    spot: Spot,
    /// The offset of the run before.
    before: Option<usize>,
    /// A spot in front of the run before.
    older: Option<Spot>,
}

/// Looks for a register's run in a sparse value, from a spot on.
///
/// # Errors
/// If there is none.
#[inline]
fn find(value: &[u8], from: Spot, index: usize) -> Result<Found, Corrupt> {
    let (mut spot, mut before, mut older) = (from, None, None);
    while let Some(block) = Block::at(value, spot.at)
        && index >= spot.first + block.registers
    {
        (older, before) = (Some(spot), Some(spot.at + block.last));
        spot = spot.behind(block.bytes, block.registers);
    }
    let mut stepped_from = None;
    loop {
        let run = Run::at(value, spot.at).ok_or(Corrupt)?;
        if index < spot.first + run.len {
            return Ok(Found { run, spot, before, older });
        }
        older = stepped_from.or(older);
        (stepped_from, before) = (Some(spot), Some(spot.at));
        spot = spot.behind(run.bytes, run.len);
    }
}

/// What raising a register of a value to a rank takes.
pub enum Raise {
    /// It is as high already.
    Nothing,
    /// Some of a sparse value's runs become others.
    Runs(Splice),
    /// The value becomes dense, in which the register of an index is then raised to a rank.
    Dense(usize, u8),
}

/// A change of some runs of a sparse value.
pub struct Splice {
    range: Range<usize>,
    runs: Runs,
}

impl Splice {
    /// How many bytes longer a value becomes; `None` if it becomes shorter.
    #[inline]
    pub fn growth(&self) -> Option<usize> {
        self.runs.len.checked_sub(self.range.len())
    }

    /// Changes a value that has already been made longer by the growth. The estimate is then out of date.
    ///
    /// # Panics
    /// If it becomes shorter, or the value is not the one that this was planned for.
    #[inline]
    pub fn apply_in(&self, value: &mut [u8]) {
        let Splice { range, runs } = self;
        let end = range.start + runs.len;
        let tail = value.len() - end;
        value.copy_within(range.end..range.end + tail, end);
        value[range.start..end].copy_from_slice(runs.bytes());
        outdate(value);
    }
}

impl Raise {
    /// Raises the register of the value that this was planned for. Returns whether it was lower; then the estimate is out of
    /// date.
    ///
    /// # Errors
    /// If the value is to become dense and is corrupt.
    pub fn apply(&self, value: &mut Vec<u8>) -> Result<bool, Corrupt> {
        match self {
            Raise::Nothing => Ok(false),
            Raise::Runs(splice) => {
                if let Some(growth) = splice.growth() {
                    value.resize(value.len() + growth, 0);
                    splice.apply_in(value);
                } else {
                    value.splice(splice.range.clone(), splice.runs.bytes().iter().copied());
                    outdate(value);
                }
                Ok(true)
            }
            &Raise::Dense(index, rank) => {
                densify(value)?;
                Ok(raise_dense(value, index, rank))
            }
        }
    }
}

/// What raising a register of a sparse value to a rank takes. The value becomes dense if the rank is too high for it, or if
/// it would have more than `most` bytes.
///
/// # Errors
/// If the value is corrupt and that stands in the way.
#[inline]
pub fn plan(value: &[u8], index: usize, rank: u8, most: usize) -> Result<Raise, Corrupt> {
    Ok(plan_from(value, Spot::START, index, rank, most)?.0)
}

/// As [`plan`]. The register is looked for from a spot on, and the spot from which to look for a register behind it, once this
/// is done, is returned, too. Such a spot is in front of the run before the one that is looked for, so that this is found, too.
#[inline]
fn plan_from(value: &[u8], from: Spot, index: usize, rank: u8, most: usize) -> Result<(Raise, Spot), Corrupt> {
    if rank > SPARSE_RANK_MAX {
        return Ok((Raise::Dense(index, rank), Spot::START));
    }
    let Found { run, spot, before, older } = find(value, from, index)?;
    if run.value >= rank {
        return Ok((Raise::Nothing, older.unwrap_or(from)));
    }
    let start = before.unwrap_or(spot.at);
    let mut runs = Runs::NONE;
    runs.put(&value[start..spot.at]);
    let front = runs.len;
    runs.push(run.value, index - spot.first);
    runs.push(rank, 1);
    runs.push(run.value, spot.first + run.len - 1 - index);
    let split = runs.len - front;
    if split > run.bytes && value.len() + split - run.bytes > most {
        return Ok((Raise::Dense(index, rank), Spot::START));
    }
    let mut end = spot.at + run.bytes;
    if end > value.len() {
        // The value ends within this run. What takes its place is a byte shorter, too, so that the length is as reckoned.
        end = value.len();
        runs.len -= 1;
    }
    let joined = value.len().min(end + JOINED_BEHIND);
    runs.put(&value[end..joined]);
    runs.join();
    // The run that was changed may have been joined to the one before.
    Ok((Raise::Runs(Splice { range: start..joined, runs }), older.unwrap_or(Spot::START)))
}

/// Raises a register of a value to a rank; see [`plan`]. Returns whether the register was lower; then the estimate is out of
/// date.
///
/// # Errors
/// If the value is corrupt and that stands in the way.
pub fn raise(value: &mut Vec<u8>, index: usize, rank: u8, most: usize) -> Result<bool, Corrupt> {
    match form(value) {
        Some(Form::Dense) => Ok(raise_dense(value, index, rank)),
        Some(Form::Sparse) => plan(value, index, rank, most)?.apply(value),
        None => Err(Corrupt),
    }
}

/// Makes a value dense.
///
/// # Errors
/// If it is corrupt; then it stays as it is.
pub fn densify(value: &mut Vec<u8>) -> Result<(), Corrupt> {
    if form(value) == Some(Form::Dense) {
        return Ok(());
    }
    let registers = Registers::of(value)?;
    value.resize(DENSE_LEN, 0);
    value[FORM_AT] = 0;
    registers.pack(value);
    Ok(())
}

// --- estimating --------------------------------------------------------------------------------------------------------

/// About how many different elements were added to a value, counted anew.
///
/// # Errors
/// If it is corrupt.
pub fn estimate(value: &[u8]) -> Result<i64, Corrupt> {
    if form(value) == Some(Form::Dense) {
        return Ok(Registers::of_dense(value).estimate());
    }
    let mut counts = [0usize; 64];
    let mut registers = 0;
    for run in runs(value) {
        counts[run.value as usize] += run.len;
        registers += run.len;
    }
    if registers == REGISTERS { Ok(estimate_by(|rank| counts[rank] as u32)) } else { Err(Corrupt) }
}

/// About how many elements there were when so many registers have each rank (O. Ertl, "New cardinality estimation
/// algorithms for HyperLogLog sketches", arXiv:1702.01284, algorithm 6). The steps are taken in one order only, so that
/// the estimate is the same everywhere.
fn estimate_by(count: impl Fn(usize) -> u32) -> i64 {
    /// 1 / (2 ln 2)
    const ALPHA: f64 = 0.721_347_520_444_481_7;
    let m = REGISTERS as f64;
    let mut z = m * tau((m - f64::from(count(RANK_MAX))) / m);
    for rank in (1..RANK_MAX).rev() {
        z += f64::from(count(rank));
        z *= 0.5;
    }
    z += m * sigma(f64::from(count(0)) / m);
    let estimate = (ALPHA * m * m / z).round();
    // Registers that no hash can raise so high leave nothing to divide by. Redis then says the lowest integer.
    if estimate < i64::MAX as f64 { estimate as i64 } else { i64::MIN }
}

/// The sum of x^(2^k) 2^(k-1) for k ≥ 1, and x.
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// A third of 1 - x minus the sum of (1 - x^(2^-k))^2 2^-k for k ≥ 1.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::{fuzz, spoil};

    const MOST: usize = 3000;

    /// The registers that elements raise, without any of the above but [`place`].
    fn model<'e>(elements: impl Iterator<Item = &'e [u8]>) -> Vec<u8> {
        let mut registers = vec![0; REGISTERS];
        for (index, rank) in elements.map(place) {
            registers[index] = rank.max(registers[index]);
        }
        registers
    }

    fn registers(value: &[u8]) -> Vec<u8> {
        Registers::of(value).expect("the value is whole").iter().collect()
    }

    #[test]
    fn both_forms_agree_with_plain_registers() {
        let mut rng = fastrand::Rng::with_seed(7);
        for round in 0..40 {
            let most = [MOST, 100, 18, 0, 20_000][round % 5];
            let count = [3, 30, 300, 3000][round % 4];
            let elements: Vec<[u8; 8]> = (0..count).map(|_| rng.u64(..).to_le_bytes()).collect();
            let (mut value, mut dense) = (empty(), empty());
            densify(&mut dense).unwrap();
            for (n, element) in elements.iter().enumerate() {
                let (index, rank) = place(element);
                set_estimate(&mut value, 1);
                let raised = raise(&mut value, index, rank, most).unwrap();
                assert_eq!(raise_dense(&mut dense, index, rank), raised);
                assert_eq!(known_estimate(&value).is_none(), raised);
                assert!(form(&value) == Some(Form::Dense) || value.len() <= most.max(empty().len()));
                if n % 100 == 0 {
                    assert_eq!(registers(&value), registers(&dense));
                }
            }
            assert_eq!(registers(&value), model(elements.iter().map(|element| &element[..])));
            assert_eq!(estimate(&value), estimate(&dense));
            assert_eq!(estimate(&value).unwrap(), Registers::of(&value).unwrap().estimate());
            let estimate = estimate(&value).unwrap() as f64;
            assert!((estimate / f64::from(count) - 1.0).abs() < 0.05, "{count} elements, estimated {estimate}");
        }
    }

    #[test]
    fn storing_registers_is_raising_them_one_by_one() {
        let mut rng = fastrand::Rng::with_seed(8);
        for round in 0..60 {
            // Few registers, so that runs meet.
            let width = [40, 400, REGISTERS][round % 3];
            let most = [MOST, 60][round % 2];
            let mut value = empty();
            let mut all = Registers::default();
            for _ in 0..rng.usize(0..200) {
                let (index, rank) = (rng.usize(..width), rng.u8(1..4));
                raise(&mut value, index, rank, most).unwrap();
                all.0[index] = all.0[index].max(rank);
            }
            for _ in 0..rng.usize(0..200) {
                let index = rng.usize(..width);
                all.0[index] = all.0[index].max(rng.u8(1..4));
            }
            let mut one_by_one = value.clone();
            for (index, rank) in all.iter().enumerate().filter(|(_, rank)| *rank > 0) {
                raise(&mut one_by_one, index, rank, most).unwrap();
            }
            outdate(&mut one_by_one);
            all.store(&mut value, false, most).unwrap();
            assert_eq!(value, one_by_one);
            assert_eq!(registers(&value), all.0);
        }
    }

    /// Raising a register by the book: run by run, with the value spliced, then joined.
    fn raise_plainly(value: &mut Vec<u8>, index: usize, rank: u8, most: usize) -> Result<bool, Corrupt> {
        let promote = |value: &mut Vec<u8>| densify(value).map(|()| raise_dense(value, index, rank));
        if rank > SPARSE_RANK_MAX {
            return promote(value);
        }
        let (mut at, mut first, mut before) = (HEADER, 0, HEADER);
        let run = loop {
            let run = Run::at(value, at).ok_or(Corrupt)?;
            if index < first + run.len {
                break run;
            }
            (before, at, first) = (at, at + run.bytes, first + run.len);
        };
        if run.value >= rank {
            return Ok(false);
        }
        let mut split = Runs::NONE;
        split.push(run.value, index - first);
        split.push(rank, 1);
        split.push(run.value, first + run.len - 1 - index);
        let len = value.len() + split.len - run.bytes;
        if split.len > run.bytes && len > most {
            return promote(value);
        }
        let end = (at + run.bytes).min(value.len());
        value.splice(at..end, split.bytes().iter().copied());
        value.truncate(len);
        let mut at = before;
        for _ in 0..JOINED_MAX {
            let Some(run) = Run::at(value, at) else { break };
            let next = Run::at(value, at + 1).filter(|next| run.value > 0 && next.value == run.value);
            if let Some(next) = next.filter(|next| run.len + next.len <= VALUES_MAX) {
                value[at + 1] = values(run.value, run.len + next.len);
                value.remove(at);
            } else {
                at += run.bytes;
            }
        }
        outdate(value);
        Ok(true)
    }

    #[test]
    fn a_change_in_place_leaves_the_bytes_of_a_plain_one() {
        let mut rng = fastrand::Rng::with_seed(9);
        let (mut grown, mut shrunk, mut whole) = (0, 0, 0);
        for round in 0..600 {
            // Few registers and ranks, so that runs meet; and random bytes, with runs that no server writes.
            let width = [30, 300, REGISTERS][round % 3];
            let most = [MOST, 60][round / 3 % 2];
            let mut value = empty();
            if round % 4 == 3 {
                let kind = [0x3f, 0x7f, 0xff][rng.usize(..3)];
                value.truncate(HEADER);
                value.extend((0..rng.usize(..60)).map(|_| rng.u8(..) & kind));
            }
            for _ in 0..rng.usize(..200) {
                let (index, rank) = (rng.usize(..width), rng.u8(1..5));
                let mut plain = value.clone();
                let expected = raise_plainly(&mut plain, index, rank, most);
                let raise = plan(&value, index, rank, most);
                if let Ok(Raise::Runs(splice)) = &raise
                    && let Some(growth) = splice.growth()
                {
                    let mut longer = value.clone();
                    longer.resize(value.len() + growth, 0);
                    splice.apply_in(&mut longer);
                    assert_eq!(longer, plain);
                    grown += 1;
                } else if let Ok(Raise::Runs(_)) = &raise {
                    shrunk += 1;
                }
                assert_eq!(raise.and_then(|raise| raise.apply(&mut value)), expected);
                assert_eq!(value, plain);
                if expected.is_err() || form(&value) == Some(Form::Dense) {
                    break;
                }
                whole += 1;
            }
        }
        assert!(grown > 5000 && shrunk > 500 && whole > 20_000, "{grown} {shrunk} {whole}");
    }

    #[test]
    fn eight_bytes_at_once_are_their_runs() {
        let mut rng = fastrand::Rng::with_seed(10);
        for round in 0..20_000 {
            let looks = [0x00, 0x40, 0x80][round % 3];
            let mut bytes: [u8; 9] = std::array::from_fn(|_| rng.u8(..));
            bytes.iter_mut().filter(|_| rng.bool()).for_each(|byte| *byte = *byte & 0x3f | looks);
            let mut expected = Block { bytes: 0, registers: 0, last: 0 };
            while let Some(run) = Run::at(&bytes, expected.bytes).filter(|run| expected.bytes + run.bytes <= 8) {
                expected.last = expected.bytes;
                expected.bytes += run.bytes;
                expected.registers += run.len;
            }
            assert_eq!(Block::at(&bytes, 0), Some(expected));
            assert_eq!(Block::at(&bytes, 2), None);
        }
    }

    #[test]
    fn runs_are_split_and_joined() {
        let shown =
            |value: &[u8]| runs(value).map(|run| format!("{}x{}", run.value, run.len)).collect::<Vec<_>>().join(" ");
        let mut value = empty();
        let steps: &[(usize, u8, &str)] = &[
            (100, 2, "0x100 2x1 0x16283"),
            (101, 2, "0x100 2x2 0x16282"),
            (103, 2, "0x100 2x2 0x1 2x1 0x16280"),
            (102, 2, "0x100 2x4 0x16280"),
            (104, 2, "0x100 2x4 2x1 0x16279"),
            (101, 5, "0x100 2x1 5x1 2x3 0x16279"),
            (102, 5, "0x100 2x1 5x2 2x2 0x16279"),
            (103, 5, "0x100 2x1 5x3 2x1 0x16279"),
            (16_383, 32, "0x100 2x1 5x3 2x1 0x16278 32x1"),
            (0, 1, "1x1 0x99 2x1 5x3 2x1 0x16278 32x1"),
            (50, 1, "1x1 0x49 1x1 0x49 2x1 5x3 2x1 0x16278 32x1"),
        ];
        for &(index, rank, expected) in steps {
            assert_eq!(raise(&mut value, index, rank, MOST), Ok(true));
            assert_eq!(shown(&value), expected);
            assert_eq!(raise(&mut value, index, rank, MOST), Ok(false));
        }
        assert_eq!(raise(&mut value, 7, 33, MOST), Ok(true));
        assert_eq!(form(&value), Some(Form::Dense));
        assert_eq!(registers(&value)[7], 33);
    }

    /// Whatever the bytes, nothing breaks, and what is corrupt is found out.
    #[test]
    fn fuzz_hyperloglog() {
        let mut corrupt = 0u64;
        fuzz(4000, |rng| {
            let mut value = empty();
            for _ in 0..rng.usize(..60) {
                let (index, rank) = place(&rng.u64(..).to_le_bytes());
                raise(&mut value, index, rank, MOST).unwrap();
            }
            if rng.u8(..4) == 0 {
                densify(&mut value).unwrap();
            }
            let mut runs = value.split_off(HEADER);
            for _ in 0..rng.usize(1..4) {
                spoil(&mut runs, rng);
            }
            value.append(&mut runs);
            let Some(form) = form(&value) else { return };
            corrupt += u64::from(estimate(&value).is_err());
            let merged = Registers::of(&value);
            assert!(form == Form::Sparse || merged.is_ok());
            if let Ok(registers) = merged {
                registers.store(&mut value.clone(), false, MOST).unwrap();
            }
            for _ in 0..20 {
                let (index, rank) = (rng.usize(..REGISTERS), rng.u8(1..40));
                if raise(&mut value, index, rank, MOST).is_err() {
                    break;
                }
            }
            let _ = densify(&mut value);
        });
        assert!(corrupt > 500, "{corrupt}");
    }

    #[test]
    fn registers_at_their_limits() {
        let mut value = empty();
        densify(&mut value).unwrap();
        assert_eq!(estimate(&value), Ok(0));
        value[HEADER..].fill(0xff);
        assert_eq!(estimate(&value), Ok(i64::MIN));
        assert!(registers(&value).iter().all(|&register| register == 63));
        for (bytes, spread_out) in [(0, 0), (u64::MAX >> 16, 0x3f3f_3f3f_3f3f_3f3f), (0b11_000001, 0x0301)] {
            assert_eq!(spread(bytes), spread_out);
            assert_eq!(squeeze(spread_out), bytes);
        }
    }
}
