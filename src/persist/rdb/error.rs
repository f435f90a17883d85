//! What can be wrong with bytes that should be in the RDB format.

use std::borrow::Cow;
use std::fmt;
use std::io;

/// Why reading stopped.
#[derive(Debug)]
pub enum Reason {
    /// The bytes end too early.
    End,
    /// They could not be read.
    Io(io::Error),
    /// They cannot be right.
    Corrupt(Cow<'static, str>),
}

/// An error, and where it was seen: so many bytes from the beginning.
#[derive(Debug)]
pub struct Error {
    pub offset: u64,
    pub reason: Reason,
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::End => out.write_str("Unexpected EOF reading RDB file"),
            Reason::Io(error) => write!(out, "{error}"),
            Reason::Corrupt(text) => out.write_str(text),
        }
    }
}
