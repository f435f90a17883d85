//! Counters that INFO tells.

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
    pub unexpected_error_replies: u64,
    pub query_buffer_limit_disconnections: u64,
    pub output_buffer_limit_disconnections: u64,
    /// Clients ended because all together took too much memory.
    pub evicted_clients: u64,
    pub reply_buffer_shrinks: u64,
    pub reply_buffer_expands: u64,
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
    pub turns_per_second: Rate,
    /// The largest query and reply buffers of late, in bytes.
    pub recent_max_input: usize,
    pub recent_max_output: usize,
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
    last_us: u64,
}

impl Rate {
    /// Takes a sample: the counter's value at a time in microseconds.
    pub fn sample(&mut self, count: u64, now_us: u64) {
        let elapsed = now_us.saturating_sub(self.last_us);
        if elapsed > 0 && self.last_us > 0 {
            self.samples[self.next] = count.saturating_sub(self.last_count) as f64 * 1e6 / elapsed as f64;
            self.next = (self.next + 1) % RATE_SAMPLES;
        }
        (self.last_count, self.last_us) = (count, now_us);
    }

    /// Growth in a second.
    pub fn per_second(&self) -> f64 {
        self.samples.iter().sum::<f64>() / RATE_SAMPLES as f64
    }
}
