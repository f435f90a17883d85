//! Looking at the server: time, counters, logs, the process as the operating system sees it.

pub mod clock;
pub mod heap;
pub mod histogram;
pub mod hotkeys;
pub mod latency;
pub mod log;
pub mod process;
pub mod slowlog;
pub mod stats;
pub mod syslog;
pub mod usage;
