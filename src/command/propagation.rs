//! What of a command is journalled, for the append-only file and replicas.
//!
//! By default a command that writes and changed something is journalled as it came. A handler whose command depends on time,
//! chance or waiting says instead what it amounts to ([`Ctx::propagate`]). What a command causes besides, such as keys that
//! it found expired, comes before it in the same unit; see [`crate::effects::journal`].

use super::Ctx;
use super::table::Flags;
use crate::effects::journal::{Journal, removal};
use crate::resp::Args;

impl Ctx<'_> {
    fn journal(&mut self) -> &mut Journal {
        &mut self.server.keys.effects.journal
    }

    /// Whether it matters what the command propagates. A handler need not ask; it can spare the work.
    #[inline]
    pub fn propagates(&self) -> bool {
        self.server.keys.effects.journal.is_on()
    }

    /// Propagates this in the place of the command itself. Several calls propagate several commands.
    pub fn propagate(&mut self, args: &[&[u8]]) {
        let db = self.db;
        self.propagate_in(db, args.iter().copied());
    }

    /// As [`Ctx::propagate`], for a command on some database with arguments from anywhere.
    pub fn propagate_in<'a>(&mut self, db: usize, args: impl ExactSizeIterator<Item = &'a [u8]>) {
        self.journal().rewrite();
        self.journal().append_wanted(db, args);
    }

    /// Propagates that a key is gone because its time was over when the command set it.
    pub fn propagate_expired(&mut self, key: &[u8]) {
        let lazily = self.journal().lazy.expiry;
        self.propagate(&[removal(lazily), key]);
    }

    /// Propagates that the command removed a whole key.
    pub fn propagate_removal(&mut self, key: &[u8]) {
        let lazily = self.journal().lazy.server;
        self.propagate(&[removal(lazily), key]);
    }

    /// Propagates a message, of which replicas alone are to know.
    pub fn propagate_message(&mut self, args: &Args<'_>) {
        let db = self.db;
        if self.propagates() {
            self.journal().append_message(db, args.iter_from(0));
        }
    }

    /// Does not propagate the command. For what changes nothing that lasts, or has been propagated piece by piece.
    pub fn propagate_nothing(&mut self) {
        self.journal().rewrite();
    }

    /// The command's unit begins.
    #[inline]
    pub(super) fn begin_unit(&mut self, args: &mut Args<'_>) {
        args.pin();
        self.journal().begin();
    }

    /// The command's unit ends. `dirty` is how many changes there had been before it.
    pub(super) fn end_unit(&mut self, args: &Args<'_>, dirty: u64) {
        let command = self.command.command;
        let changed = self.server.keys.effects.dirty != dirty;
        let db = self.db;
        let writes = command.flags.intersects(Flags::WRITE | Flags::MAY_REPLICATE);
        if changed && writes && !self.journal().is_rewritten() {
            self.journal().append_wanted(db, args.iter_from(0));
        }
        self.journal().append_given();
        // A command that goes through all keys may find any number of expired ones, which have nothing to do with each other.
        let at_random = command.flags.contains(Flags::READONLY) && command.keys.is_empty();
        if self.journal().end(!at_random) {
            self.server.clients[self.token].written = self.journal().offset();
        }
    }
}
