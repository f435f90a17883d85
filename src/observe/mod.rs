//! Looking at the server: time, counters, logs, the process as the operating system sees it.

pub mod clock;
pub mod crash;
pub mod heap;
pub mod histogram;
pub mod hotkeys;
pub mod latency;
pub mod log;
mod memtest;
pub mod process;
pub mod processors;
pub mod slowlog;
pub mod stats;
mod symbols;
pub mod syslog;
pub mod usage;

use std::io;

/// The operating system's words for an error, without the number that Rust adds.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error ").next().unwrap_or_default().to_owned()
}
