//! A histogram of durations: sixteen buckets to each doubling, so that a percentile is at most 6 % off, at the cost of a
//! shift and an increment for each value.

/// Bits of a value, behind its highest, that choose the bucket.
const DETAIL: u32 = 4;
const BUCKETS: usize = ((64 - DETAIL as usize) + 1) << DETAIL;

/// How often which values came. Its unit is the caller's.
#[derive(Clone)]
pub struct Histogram {
    counts: Box<[u32; BUCKETS]>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: vec![0; BUCKETS].into_boxed_slice().try_into().expect("the length fits"), total: 0 }
    }
}

impl Histogram {
    /// Counts a value.
    #[inline]
    pub fn record(&mut self, value: u64) {
        let count = &mut self.counts[bucket(value)];
        *count = count.saturating_add(1);
        self.total += 1;
    }

    /// How many values were counted.
    pub fn len(&self) -> u64 {
        self.total
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The buckets that values fell into: the largest value of each, and how many fell into it.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u32)> {
        self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(at, &count)| (upper_bound(at), count))
    }

    /// The least bound that `percent` of the values do not exceed; 0 without values.
    pub fn percentile(&self, percent: f64) -> u64 {
        let wanted = (self.total as f64 * percent / 100.0).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (at, &count) in self.counts.iter().enumerate() {
            seen += count as u64;
            if count > 0 && seen >= wanted {
                return upper_bound(at);
            }
        }
        0
    }
}

#[inline]
fn bucket(value: u64) -> usize {
    // Values below 2^DETAIL have buckets of their own; then come 2^DETAIL buckets for each doubling.
    let doublings = (u64::BITS - value.leading_zeros()).saturating_sub(DETAIL + 1);
    ((doublings as usize) << DETAIL) + (value >> doublings) as usize
}

/// The largest value that falls into a bucket.
fn upper_bound(bucket: usize) -> u64 {
    let doublings = (bucket >> DETAIL).saturating_sub(1);
    let detail = (bucket - (doublings << DETAIL)) as u128;
    u64::try_from(((detail + 1) << doublings) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_a_bucket_that_is_narrow_around_it() {
        let values = (0..1000).chain((0..64).flat_map(|shift| [1 << shift, (1 << shift) - 1, 3 << shift >> 1]));
        for value in values.chain([u64::MAX]) {
            let at = bucket(value);
            assert!(at < BUCKETS, "{value} has no bucket");
            assert!(upper_bound(at) >= value && (upper_bound(at) - value) as f64 <= value as f64 / 15.0, "{value}");
            assert!(at == 0 || upper_bound(at - 1) < value, "{value} belongs lower");
        }
    }

    #[test]
    fn percentiles_of_the_numbers_to_a_thousand() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(50.0), 0);
        (1..=1000).for_each(|value| histogram.record(value));
        for percent in [1.0, 50.0, 99.0, 99.9, 100.0] {
            let found = histogram.percentile(percent) as f64;
            let exact = percent * 10.0;
            assert!(found >= exact && found <= exact * 1.07, "{percent}: {found}");
        }
    }
}
