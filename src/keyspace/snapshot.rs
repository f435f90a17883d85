//! A snapshot: every key as it was at one instant, told while the keys go on changing.
//!
//! Every entry carries a mark, one bit. When a snapshot begins, the meaning of the marks is turned round, so that no entry
//! of the database has the right one, and all that enter from then on do. The snapshot walks the table in hash order, a
//! slice at a time, tells the [`Recorder`] each entry without the right mark, and gives it one. An entry that is about to
//! change before its turn is told first. So each key is told once, as it was in the beginning; that tables split, shrink
//! and exchange places meanwhile does not matter.
//!
//! Large values are told in parts. One that is about to change when it has been told in part is finished at once, however
//! long that takes; so is one whose turn has not come. Databases that are flushed meanwhile are kept until they have been
//! told. Links between tags, of which there are few beside keys, are told in the beginning, all at once. A snapshot that is given up leaves marks of both kinds, and the walk goes on without telling anybody.

use std::collections::VecDeque;

use super::entry::EntryRef;

/// Values with more items than this are told in parts.
pub const WHOLE_MAX: usize = 256;

/// Who is told.
pub trait Recorder {
    /// The tags of the key that is told next; none if it has no tags any more.
    fn record_tags(&mut self, tags: &mut dyn Iterator<Item = &[u8]>);

    /// A link between two tags of a database, from parent to child.
    fn record_link(&mut self, db: usize, parent: &[u8], child: &[u8]);

    /// A whole key of a database. It may come while another is being told in parts.
    fn record(&mut self, db: usize, entry: EntryRef<'_>);

    /// The next part of a key with a large value. Returns whether it was the last.
    fn record_part(&mut self, db: usize, entry: EntryRef<'_>) -> bool;

    /// All that is left of the key that is being told in parts.
    fn record_rest(&mut self, entry: EntryRef<'_>);

    /// There are no more keys.
    fn record_end(&mut self);

    /// How many bytes have been made of all that and are still here.
    fn recorded(&self) -> usize;

    /// Hands over those bytes.
    fn take_recorded(&mut self) -> Vec<u8>;
}

/// How far a database has been told.
pub(super) struct Walk {
    /// The database's number when the snapshot began.
    pub db: usize,
    /// Whether somebody is told.
    pub recording: bool,
    /// Where the table's walk goes on; `None` behind its end.
    pub cursor: Option<u64>,
    /// Keys with large values whose turn is to come.
    pub large: VecDeque<Box<[u8]>>,
    /// The key that has been told in part.
    pub half: Option<Box<[u8]>>,
}
