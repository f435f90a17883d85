//! The Redis serialization protocol: requests are parsed where they lie in the read buffer, replies are encoded
//! straight into the output buffer. RESP2 and RESP3 differ only in how replies look.

pub mod args;
pub mod output;
pub mod reply;
pub mod request;

pub use args::{Args, KeptArgs};
pub use output::Output;
pub use reply::{Deferred, Proto, Reply};
pub use request::{Limits, ProtocolError, RequestParser};
