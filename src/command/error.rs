//! What goes wrong in a command, as the client reads it: a code in capitals, then a text.

use std::borrow::Cow;

use crate::keyspace::WrongType;

/// An error reply without its dash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Cow<'static, [u8]>);

impl Error {
    pub const WRONG_TYPE: Error = Error::fixed("WRONGTYPE Operation against a key holding the wrong kind of value");
    pub const SYNTAX: Error = Error::fixed("ERR syntax error");
    pub const NOT_AN_INTEGER: Error = Error::fixed("ERR value is not an integer or out of range");
    pub const NOT_A_FLOAT: Error = Error::fixed("ERR value is not a valid float");
    pub const OUT_OF_RANGE: Error = Error::fixed("ERR value is out of range");
    pub const NOT_POSITIVE: Error = Error::fixed("ERR value is out of range, must be positive");
    pub const NO_SUCH_KEY: Error = Error::fixed("ERR no such key");
    pub const SAME_OBJECT: Error = Error::fixed("ERR source and destination objects are the same");
    pub const DB_OUT_OF_RANGE: Error = Error::fixed("ERR DB index is out of range");
    pub const NO_AUTH: Error = Error::fixed("NOAUTH Authentication required.");
    pub const LOADING: Error = Error::fixed("LOADING Redis is loading the dataset in memory");
    pub const MISCONF: Error = Error::fixed(
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that \
         may modify the data set are disabled, because this instance is configured to report errors during writes if RDB \
         snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB \
         error.",
    );
    pub const READ_ONLY: Error = Error::fixed("READONLY You can't write against a read only replica.");
    pub const MASTER_DOWN: Error =
        Error::fixed("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.");
    pub const NO_REPLICAS: Error = Error::fixed("NOREPLICAS Not enough good replicas to write.");
    pub const OUT_OF_MEMORY: Error = Error::fixed("OOM command not allowed when used memory > 'maxmemory'.");
    pub const NAMESPACE_FULL: Error =
        Error::fixed("OOM command not allowed when the namespace takes more memory than it may");
    pub const TOO_LONG: Error = Error::fixed("ERR string exceeds maximum allowed size (proto-max-bulk-len)");

    /// An error with a fixed text, code included.
    pub const fn fixed(text: &'static str) -> Error {
        Error(Cow::Borrowed(text.as_bytes()))
    }

    /// An error with a text made for the occasion, code included. It may hold bytes of the client.
    pub fn new(text: impl Into<Vec<u8>>) -> Error {
        Error(Cow::Owned(text.into()))
    }

    /// The text as logs show it: without the code, if that only says that it is an error.
    pub fn message(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.0.strip_prefix(b"ERR ").unwrap_or(&self.0))
    }

    /// The whole text.
    pub fn text(&self) -> &[u8] {
        &self.0
    }
}

impl From<WrongType> for Error {
    fn from(_: WrongType) -> Error {
        Error::WRONG_TYPE
    }
}

/// What a handler returns: its reply is written, or this error is to be.
pub type Outcome = Result<(), Error>;
