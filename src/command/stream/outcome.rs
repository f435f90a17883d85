//! What the commands of consumer groups amount to, for those who repeat them elsewhere: which entries became pending for
//! whom, and how far the group has read. What they find depends on time and on what was read before, so they are never
//! repeated themselves.

use super::Id;
use crate::command::Ctx;
use crate::types::stream::{Group, Pending};

/// What a command has done to a group for one of its consumers.
#[derive(Default)]
pub struct GroupOutcome {
    /// Somebody wants to know.
    told: bool,
    /// Entries that are pending for the consumer now, or that turned out to have been deleted and are not pending any more,
    /// with when and how often they were delivered.
    claimed: Vec<(Id, i64, u64)>,
    /// The group has read on.
    read_on: bool,
    /// The consumer is new.
    pub new_consumer: bool,
    /// Where the group is now.
    last_id: Id,
    entries_read: Option<i64>,
    /// How many changes that were, to be saved.
    pub changes: u64,
}

impl GroupOutcome {
    /// Nothing yet.
    pub fn begin(cx: &Ctx<'_>) -> GroupOutcome {
        GroupOutcome { told: cx.propagates(), ..GroupOutcome::default() }
    }

    /// An entry became pending like this.
    pub fn claimed(&mut self, id: Id, pending: &Pending) {
        if self.told {
            self.claimed.push((id, pending.delivered_ms, pending.deliveries));
        }
    }

    /// An entry is pending no more, because it has been deleted: claimed elsewhere, it will be found so there, too.
    pub fn forgotten(&mut self, id: Id, now_ms: i64) {
        if self.told {
            self.claimed.push((id, now_ms, 1));
        }
    }

    /// The group has read on.
    pub fn read_on(&mut self) {
        self.read_on = true;
    }

    /// That is all.
    pub fn end(&mut self, group: &Group) {
        self.last_id = group.last_id;
        self.entries_read = group.entries_read;
    }

    /// Propagates it, for a group and a consumer.
    pub fn propagate(&self, cx: &mut Ctx<'_>, key: &[u8], group: &[u8], consumer: &[u8]) {
        cx.propagate_nothing();
        if !self.told {
            return;
        }
        if self.new_consumer && self.claimed.is_empty() {
            cx.propagate(&[b"XGROUP", b"CREATECONSUMER", key, group, consumer]);
        }
        let last_id = self.last_id.to_vec();
        for &(id, delivered_ms, deliveries) in &self.claimed {
            let mut numbers = (itoa::Buffer::new(), itoa::Buffer::new());
            let (time, count) = (numbers.0.format(delivered_ms).as_bytes(), numbers.1.format(deliveries).as_bytes());
            let id = id.to_vec();
            cx.propagate(&[
                b"XCLAIM",
                key,
                group,
                consumer,
                b"0",
                &id,
                b"TIME",
                time,
                b"RETRYCOUNT",
                count,
                b"FORCE",
                b"JUSTID",
                b"LASTID",
                &last_id,
            ]);
        }
        if self.read_on {
            let mut number = itoa::Buffer::new();
            let read = number.format(self.entries_read.unwrap_or(-1)).as_bytes();
            cx.propagate(&[b"XGROUP", b"SETID", key, group, &last_id, b"ENTRIESREAD", read]);
        }
    }
}
