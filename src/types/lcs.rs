//! The longest common subsequence of two strings, for the LCS command.
//!
//! The textbook way fills a table of len(a)+1 rows and len(b)+1 columns with the length L[i][j] for the first i bytes
//! of `a` and the first j bytes of `b`. Two neighbours in a row differ by 0 or 1, so a row is kept as one bit for each
//! column, and a whole row follows from the one above with a few machine operations for each 64 columns (H. Hyyrö,
//! Bit-parallel LCS-length computation revisited, 2004). That takes 1/32 of the table's memory, and far less time.
//!
//! The bits are also enough to walk back from the last cell: where the bytes of a cell differ, Redis goes up if
//! L[i-1][j] > L[i][j-1] and left otherwise; L[i][j] being the larger of those two, the first holds exactly if
//! L[i][j] ≠ L[i][j-1], which is the bit of the cell. So among several longest subsequences the same one is found.
//!
//! Redis refuses strings for which its table would be too large. The same strings are refused here, although there is
//! no need, so that a command does not succeed on one server and fail on the other.

use std::fmt;

/// A common subsequence and where its parts are.
#[derive(Debug, PartialEq, Eq)]
pub struct Alignment {
    /// The subsequence itself.
    pub common: Vec<u8>,
    /// The runs of which it consists, from the last one to the first.
    pub runs: Vec<Run>,
}

/// `length` bytes of the one string that are the same as those of the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where it starts in the first string.
    pub a: usize,
    /// Where it starts in the second string.
    pub b: usize,
    /// How many bytes it has, at least one.
    pub length: usize,
}

/// Why a subsequence was not computed. It displays as the text for the client, without the `ERR` before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LcsError {
    /// A string of 4 GiB.
    TooLong,
    /// Redis' table would be larger than the setting proto-max-bulk-len.
    ExceedsBulkLimit,
    /// The memory is not there.
    OutOfMemory,
}

impl fmt::Display for LcsError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            LcsError::TooLong => "String too long for LCS",
            LcsError::ExceedsBulkLimit => "Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
            LcsError::OutOfMemory => "Insufficient memory, failed allocating transient memory for LCS",
        })
    }
}

impl std::error::Error for LcsError {}

/// The length of the longest common subsequence of `a` and `b`. `bulk_limit` is proto-max-bulk-len in bytes.
pub fn length(a: &[u8], b: &[u8], bulk_limit: u64) -> Result<usize, LcsError> {
    check_size(a.len(), b.len(), bulk_limit)?;
    let occurrences = Occurrences::find(a, b)?;
    let mut row = filled(occurrences.words, !0)?;
    for &byte in a {
        next_row(&mut row, occurrences.of(byte));
    }
    Ok(row.iter().map(|word| word.count_zeros() as usize).sum())
}

/// A longest common subsequence of `a` and `b`, the one that Redis finds. `bulk_limit` is proto-max-bulk-len in bytes.
pub fn align(a: &[u8], b: &[u8], bulk_limit: u64) -> Result<Alignment, LcsError> {
    check_size(a.len(), b.len(), bulk_limit)?;
    let occurrences = Occurrences::find(a, b)?;
    let words = occurrences.words;
    // Rows 0 to len(a), of which row 0 is all ones.
    let mut rows = filled((a.len() + 1) * words, !0)?;
    let mut start = 0;
    for &byte in a {
        rows.copy_within(start..start + words, start + words);
        start += words;
        next_row(&mut rows[start..start + words], occurrences.of(byte));
    }

    let (mut i, mut j) = (a.len(), b.len());
    let mut common = Vec::new();
    let mut runs = Vec::new();
    while i > 0 && j > 0 {
        let mut run_length = 0;
        while i > 0 && j > 0 && a[i - 1] == b[j - 1] {
            (i, j) = (i - 1, j - 1);
            common.push(a[i]);
            run_length += 1;
        }
        if run_length > 0 {
            runs.push(Run { a: i, b: j, length: run_length });
        } else if rows[i * words + (j - 1) / 64] >> ((j - 1) % 64) & 1 == 0 {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    common.reverse();
    Ok(Alignment { common, runs })
}

/// Refuses what Redis refuses.
fn check_size(a: usize, b: usize, bulk_limit: u64) -> Result<(), LcsError> {
    const CELL: u128 = 4;

    let too_long = u32::MAX as usize - 1;
    if a >= too_long || b >= too_long {
        return Err(LcsError::TooLong);
    }
    let table = (a as u128 + 1) * (b as u128 + 1) * CELL;
    if table >= u128::from(u64::MAX) {
        return Err(LcsError::OutOfMemory);
    }
    if table > u128::from(bulk_limit) {
        return Err(LcsError::ExceedsBulkLimit);
    }
    Ok(())
}

/// For each byte value of `a`, a row of bits that tells at which columns it stands in `b`.
struct Occurrences {
    /// The number of the row of each byte value.
    row_of: [u8; 256],
    rows: Vec<u64>,
    /// Words in a row.
    words: usize,
}

impl Occurrences {
    /// Only the values that are there get a row, so the memory stays below that of the table however short `a` is.
    fn find(a: &[u8], b: &[u8]) -> Result<Self, LcsError> {
        let words = b.len().div_ceil(64);
        let mut present = [false; 256];
        for &byte in a {
            present[byte as usize] = true;
        }
        let mut row_of = [0; 256];
        let mut count = 0;
        for (row, _) in row_of.iter_mut().zip(present).filter(|(_, present)| *present) {
            *row = count as u8;
            count += 1;
        }
        let mut rows = filled(count * words, 0)?;
        for (column, &byte) in b.iter().enumerate() {
            if present[byte as usize] {
                rows[row_of[byte as usize] as usize * words + column / 64] |= 1 << (column % 64);
            }
        }
        Ok(Occurrences { row_of, rows, words })
    }

    /// The row of a byte of `a`.
    fn of(&self, byte: u8) -> &[u64] {
        let start = self.row_of[byte as usize] as usize * self.words;
        &self.rows[start..start + self.words]
    }
}

/// Turns row i-1 into row i, given where the i-th byte of `a` stands in `b`. A bit is 0 where L[i][j] = L[i][j-1] + 1.
fn next_row(row: &mut [u64], occurrences: &[u64]) {
    let mut carry = false;
    for (word, here) in row.iter_mut().zip(occurrences) {
        let (sum, over) = word.overflowing_add(*word & here);
        let (sum, over_again) = sum.overflowing_add(u64::from(carry));
        *word = sum | (*word & !here);
        carry = over || over_again;
    }
}

fn filled(words: usize, value: u64) -> Result<Vec<u64>, LcsError> {
    let mut row = Vec::new();
    row.try_reserve_exact(words).map_err(|_| LcsError::OutOfMemory)?;
    row.resize(words, value);
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_LIMIT: u64 = u64::MAX;

    fn run(a: usize, b: usize, length: usize) -> Run {
        Run { a, b, length }
    }

    #[test]
    fn examples() {
        let cases = [
            ("", "", "", vec![]),
            ("abc", "", "", vec![]),
            ("", "abc", "", vec![]),
            ("abc", "xyz", "", vec![]),
            ("abc", "abc", "abc", vec![run(0, 0, 3)]),
            ("ohmytext", "mynewtext", "mytext", vec![run(4, 5, 4), run(2, 0, 2)]),
            // Of two equally long ones: to the left if the lengths are equal.
            ("ab", "ba", "b", vec![run(1, 0, 1)]),
            ("aXbYc", "abc", "abc", vec![run(4, 2, 1), run(2, 1, 1), run(0, 0, 1)]),
        ];
        for (a, b, common, runs) in cases {
            let (a, b) = (a.as_bytes(), b.as_bytes());
            assert_eq!(align(a, b, NO_LIMIT), Ok(Alignment { common: common.into(), runs }));
            assert_eq!(length(a, b, NO_LIMIT), Ok(common.len()));
        }
    }

    /// The whole table, and the way back through it.
    fn model(a: &[u8], b: &[u8]) -> Vec<(usize, usize)> {
        let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
        for i in 1..=a.len() {
            for j in 1..=b.len() {
                table[i][j] =
                    if a[i - 1] == b[j - 1] { table[i - 1][j - 1] + 1 } else { table[i - 1][j].max(table[i][j - 1]) };
            }
        }
        let (mut i, mut j) = (a.len(), b.len());
        let mut pairs = Vec::new();
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                (i, j) = (i - 1, j - 1);
                pairs.push((i, j));
            } else if table[i - 1][j] > table[i][j - 1] {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        assert_eq!(pairs.len(), table[a.len()][b.len()]);
        pairs
    }

    #[test]
    fn agrees_with_the_table() {
        let mut rng = fastrand::Rng::with_seed(8);
        for _ in 0..1_000 {
            let letters = rng.u8(1..6);
            let mut text = || -> Vec<u8> { (0..rng.usize(0..200)).map(|_| rng.u8(0..letters)).collect() };
            let (a, b) = (text(), text());
            let alignment = align(&a, &b, NO_LIMIT).unwrap();
            let pairs: Vec<_> = alignment
                .runs
                .iter()
                .flat_map(|run| (0..run.length).rev().map(|at| (run.a + at, run.b + at)))
                .collect();
            assert_eq!(pairs, model(&a, &b));
            assert_eq!(alignment.common, pairs.iter().rev().map(|&(at, _)| a[at]).collect::<Vec<u8>>());
            assert_eq!(length(&a, &b, NO_LIMIT), Ok(pairs.len()));
        }
    }

    #[test]
    fn every_byte_value() {
        let text: Vec<u8> = (0..=255).chain(0..=255).collect();
        assert_eq!(length(&text, &text, NO_LIMIT), Ok(512));
    }

    #[test]
    fn limit_of_the_table() {
        // 512 × 512 cells of four bytes are 1 MiB.
        let text = [b'a'; 512];
        assert_eq!(length(&text[..511], &text[..511], 1 << 20), Ok(511));
        assert_eq!(length(&text, &text[..511], 1 << 20), Err(LcsError::ExceedsBulkLimit));
        assert_eq!(align(&text[..511], &text, 1 << 20), Err(LcsError::ExceedsBulkLimit));
        assert_eq!(check_size(u32::MAX as usize - 1, 0, NO_LIMIT), Err(LcsError::TooLong));
        assert_eq!(check_size(0, u32::MAX as usize - 2, NO_LIMIT), Ok(()));
        assert_eq!(check_size(1 << 31, 1 << 31, NO_LIMIT), Err(LcsError::OutOfMemory));
    }
}
