//! Counters that INFO tells.

use std::collections::BTreeMap;

use super::histogram::Histogram;

/// Counters of the whole server. They start at 0 and CONFIG RESETSTAT sets them back.
#[derive(Clone, Default, Debug)]
pub struct Stats {
    pub connections_received: u64,
    pub connections_rejected: u64,
    pub commands_processed: u64,
    pub net_input_bytes: u64,
    pub net_output_bytes: u64,
    pub reads_processed: u64,
    pub writes_processed: u64,
    pub error_replies: u64,
    /// Replicas that got a snapshot, that went on where they had left off, and that wanted to but could not.
    pub sync_full: u64,
    pub sync_partial_ok: u64,
    pub sync_partial_err: u64,
    /// Bytes of the stream and of snapshots that came from the master, and that were sent to replicas.
    pub replication_input_bytes: u64,
    pub replication_output_bytes: u64,
    pub unexpected_error_replies: u64,
    pub query_buffer_limit_disconnections: u64,
    pub output_buffer_limit_disconnections: u64,
    /// Clients ended because all together took too much memory.
    pub evicted_clients: u64,
    /// Time for which more memory was used than maxmemory allows, until it was over.
    pub short_of_memory_us: u64,
    pub reply_buffer_shrinks: u64,
    pub reply_buffer_expands: u64,
    /// Payloads of RESTORE that were checked in depth.
    pub payloads_checked: u64,
    /// Turns of the loop, and their time without waiting in microseconds.
    pub turns: u64,
    pub turns_us: u64,
    /// The longest turn of the loop without waiting, in microseconds.
    pub longest_turn_us: u64,
    /// The most commands in one turn.
    pub most_commands_in_turn: u64,
    pub commands_per_second: Rate,
    pub input_bytes_per_second: Rate,
    pub output_bytes_per_second: Rate,
    pub replication_input_per_second: Rate,
    pub replication_output_per_second: Rate,
    pub turns_per_second: Rate,
    /// How long turns are, without waiting, in microseconds.
    pub turn_length: Rate,
    /// Time spent on looking after clients and on removing keys that were due, in microseconds, and how often there were
    /// more of these than a turn may remove.
    pub cron_us: u64,
    pub expire_us: u64,
    pub expire_slices_cut: u64,
    /// Time spent on writing the append-only file, in microseconds.
    pub aof_us: u64,
    /// The largest query and reply buffers of late, in bytes.
    pub recent_max_input: RecentMax,
    pub recent_max_output: RecentMax,
}

/// How often a command ran.
#[derive(Clone, Default)]
pub struct CommandStats {
    pub calls: u64,
    /// Time spent in it, in ticks of the cycle clock.
    pub ticks: u64,
    /// How often it was refused before it ran.
    pub rejected: u64,
    /// How often it answered with an error.
    pub failed: u64,
    /// How long it took, in ticks, if latency-tracking is on.
    pub latency: Option<Histogram>,
}

/// Samples that a rate is averaged over.
const RATE_SAMPLES: usize = 16;

/// How fast a counter grows: the average of the last samples, taken every 100 ms or so.
#[derive(Clone, Default, Debug)]
pub struct Rate {
    samples: [f64; RATE_SAMPLES],
    next: usize,
    last_count: u64,
    last_base: u64,
}

impl Rate {
    /// Takes a sample: the counter's value at a time in microseconds.
    pub fn sample(&mut self, count: u64, now_us: u64) {
        self.take(count, now_us, 1e6);
    }

    /// Takes a sample of a counter that grows with another: how much it grew for each by which the other did.
    pub fn sample_per(&mut self, count: u64, base: u64) {
        self.take(count, base, 1.0);
    }

    fn take(&mut self, count: u64, base: u64, factor: f64) {
        let grown = base.saturating_sub(self.last_base);
        if grown > 0 && self.last_base > 0 {
            self.samples[self.next] = count.saturating_sub(self.last_count) as f64 * factor / grown as f64;
            self.next = (self.next + 1) % RATE_SAMPLES;
        }
        (self.last_count, self.last_base) = (count, base);
    }

    /// Growth in a second, or for each of the other counter.
    pub fn average(&self) -> f64 {
        self.samples.iter().sum::<f64>() / RATE_SAMPLES as f64
    }
}

/// Error codes that are counted one by one. Clients can make up codes, through scripts for one.
const ERROR_CODES: usize = 128;
/// What is counted in their place once there are more.
const TOO_MANY_CODES: &str = "ERRORSTATS_DISABLED";

/// How often each error code was replied.
#[derive(Clone, Default, Debug)]
pub struct ErrorStats {
    counts: BTreeMap<String, u64>,
    /// There were too many codes: nothing is counted any more.
    stopped: bool,
}

impl ErrorStats {
    /// Counts an error reply by its code, which is its first word.
    pub fn count(&mut self, code: &str) {
        if let Some(count) = self.counts.get_mut(code) {
            *count += u64::from(!self.stopped);
        } else if self.stopped {
            // Until CONFIG RESETSTAT.
        } else if self.counts.len() < ERROR_CODES {
            self.counts.insert(code.to_string(), 1);
        } else {
            let codes: Vec<&str> = self.counts.keys().map(String::as_str).collect();
            log::warn!(
                "Errorstats stopped adding new errors because the number of errors reached the limit, may be misuse of \
                 lua error_reply, please check INFO ERRORSTATS, this can be re-enabled via CONFIG RESETSTAT."
            );
            log::warn!("Current errors code list: {}", codes.join(", "));
            self.counts = BTreeMap::from([(TOO_MANY_CODES.to_string(), 1)]);
            self.stopped = true;
        }
    }

    /// The codes in their order and how often each was replied.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().map(|(code, &count)| (code.as_str(), count))
    }
}

/// Seconds that a largest value is remembered for.
const RECENT_SECONDS: usize = 8;

/// The largest value of the last seconds.
#[derive(Clone, Default, Debug)]
pub struct RecentMax {
    /// The largest of each second, in a ring.
    seconds: [usize; RECENT_SECONDS],
    /// The present second.
    now: u64,
}

impl RecentMax {
    /// Takes a value.
    #[inline]
    pub fn note(&mut self, value: usize) {
        let largest = &mut self.seconds[self.now as usize % RECENT_SECONDS];
        *largest = value.max(*largest);
    }

    /// Lets time pass up to a second, and forgets what was long ago.
    pub fn advance(&mut self, now: u64) {
        for second in (self.now + 1..=now).take(RECENT_SECONDS) {
            self.seconds[second as usize % RECENT_SECONDS] = 0;
        }
        self.now = self.now.max(now);
    }

    /// The largest value.
    pub fn largest(&self) -> usize {
        self.seconds.into_iter().max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_value_is_forgotten_after_a_while() {
        let mut recent = RecentMax::default();
        recent.note(7);
        recent.advance(3);
        recent.note(5);
        assert_eq!(recent.largest(), 7);
        recent.advance(7);
        assert_eq!(recent.largest(), 7, "the eighth second");
        recent.advance(8);
        assert_eq!(recent.largest(), 5);
        recent.advance(1000);
        assert_eq!(recent.largest(), 0);
        recent.note(2);
        recent.advance(999);
        assert_eq!(recent.largest(), 2, "time does not go back");
    }

    #[test]
    fn too_many_codes_stop_the_count() {
        let mut stats = ErrorStats::default();
        (0..ERROR_CODES).for_each(|code| stats.count(&code.to_string()));
        stats.count("7");
        assert_eq!(stats.iter().count(), ERROR_CODES);
        assert_eq!(stats.iter().map(|(_, count)| count).sum::<u64>(), ERROR_CODES as u64 + 1);
        for code in ["one", "more", TOO_MANY_CODES] {
            stats.count(code);
        }
        assert_eq!(stats.iter().collect::<Vec<_>>(), [(TOO_MANY_CODES, 1)]);
    }

    #[test]
    fn rates_are_averages_of_samples() {
        let (mut rate, mut length) = (Rate::default(), Rate::default());
        for turn in 1..=20 {
            rate.sample(turn * 5, turn * 100_000);
            length.sample_per(turn * 30, turn * 10);
        }
        assert_eq!((rate.average(), length.average()), (50.0, 3.0));
        length.sample_per(600, 200);
        assert_eq!(length.average(), 3.0, "without turns there is nothing to learn");
    }
}
