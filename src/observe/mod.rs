//! Looking at the server: time, counters, logs.

pub mod clock;
pub mod stats;
