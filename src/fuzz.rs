//! Tests with random input that can go on for as long as one likes: `make fuzz` runs all whose names begin with `fuzz_`.

use std::time::Instant;

/// Runs a test `rounds` times with random numbers that are the same each time; or, if `FUZZ_SECONDS` is set, with others for so
/// many seconds. Then it tells how many rounds there were, and if it fails, of which seed; `FUZZ_SEED` repeats that.
pub fn fuzz(rounds: u64, mut test: impl FnMut(&mut fastrand::Rng)) {
    let setting = |name| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let seconds = setting("FUZZ_SECONDS");
    let seed = setting("FUZZ_SEED").unwrap_or_else(|| seconds.map_or(1, |_| fastrand::u64(..)));
    let started = Instant::now();
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut round = 0;
    while seconds.map_or(round < rounds, |seconds| started.elapsed().as_secs() < seconds) {
        round += 1;
        test(&mut rng);
    }
    println!("{round} rounds");
}

/// Spoils bytes in one of the ways in which a file or a client may: changed, lost and repeated bytes, a part of them, others
/// behind them.
pub fn spoil(bytes: &mut Vec<u8>, rng: &mut fastrand::Rng) {
    let at = rng.usize(..=bytes.len());
    match rng.u8(..6) {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, rng.u8(..)),
        2 => bytes.extend_from_slice(&rng.u64(..).to_le_bytes()[..rng.usize(..8)]),
        3 if at < bytes.len() => drop(bytes.remove(at)),
        // Edges, which lengths and tags are near to.
        4 if at < bytes.len() => {
            bytes[at] = rng.choice([0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xf0, 0xfe, 0xff]).unwrap_or(0)
        }
        _ if at < bytes.len() => bytes[at] = rng.u8(..),
        _ => {}
    }
}
