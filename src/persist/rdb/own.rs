//! Fields of our own, for what Redis has no word for: auxiliary fields with names that it does not know, which it skips
//! wherever they stand.
//!
//! ```text
//!   "cs-tags"  text …          the tags of the key that follows
//!   "cs-link"  parent child    a link between two tags of the database chosen last
//! ```

use super::error::Error;
use super::source::{Slice, Source};

/// The tags of the next key.
pub const TAGS: &str = "cs-tags";
/// A link between tags.
pub const LINK: &str = "cs-link";

/// The texts that a field of ours consists of.
///
/// # Errors
/// If it does not consist of texts.
pub fn texts(value: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let (mut source, mut texts) = (Slice::new(value), Vec::new());
    while source.left() > 0 {
        texts.push(source.text()?);
    }
    Ok(texts)
}
