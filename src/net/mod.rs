//! Sockets: listening, accepting, and what the server knows of each client.

pub mod budget;
pub mod client;
pub mod limits;
pub mod listen;
pub mod stream;

pub use client::{Class, Client, Closing, Debugging, ReplyMode};
pub use listen::Listeners;
pub use stream::Stream;
