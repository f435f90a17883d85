//! The numbers behind `math.random`: POSIX' 48-bit linear congruential generator, so that a seed gives a script the same
//! numbers on every machine, and the same as Redis gives it.

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const INCREMENT: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;
/// What stands in the low bits after seeding.
const SEED_LOW: u64 = 0x330E;

/// A generator.
pub struct Random(u64);

impl Random {
    /// A generator that begins as after `srand48(seed)`.
    pub fn new(seed: i32) -> Random {
        Random((u64::from(seed as u32) << 16) | SEED_LOW)
    }

    /// The next number, at least 0 and less than 1.
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & MASK;
        let most = f64::from(i32::MAX);
        ((self.0 >> 17) % i32::MAX as u64) as f64 / most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_lrand48() {
        // srand48(10); lrand48() three times, by glibc.
        let mut random = Random::new(10);
        let numbers: Vec<u64> = (0..3).map(|_| (random.next() * f64::from(i32::MAX)).round() as u64).collect();
        assert_eq!(numbers, LRAND48_SEED_10);
    }

    const LRAND48_SEED_10: [u64; 3] = [1887318415, 1708981709, 1032568723];
}
