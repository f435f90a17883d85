//! What a change causes.
//!
//! The keyspace reports every change of a key here, exactly once, with the event it amounts to; everything that
//! follows from a change starts from this report. Handlers never call it.

pub mod journal;
pub mod tracking;
pub mod waiting;
pub mod watch;

use crate::config::{KeyspaceEvents, Settings};
use crate::types::hash::KeyHasher;
use journal::Journal;
use tracking::Trackers;
use waiting::Waiting;
use watch::Watches;

/// An event of a key, by the name that keyspace notifications give it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event(pub &'static str);

impl Event {
    pub const SET: Event = Event("set");
    pub const APPEND: Event = Event("append");
    pub const SETRANGE: Event = Event("setrange");
    pub const SETBIT: Event = Event("setbit");
    pub const INCRBY: Event = Event("incrby");
    pub const DECRBY: Event = Event("decrby");
    pub const INCRBYFLOAT: Event = Event("incrbyfloat");
    pub const EXPIRE: Event = Event("expire");
    pub const PERSIST: Event = Event("persist");
    pub const DEL: Event = Event("del");
    pub const EXPIRED: Event = Event("expired");
    pub const EVICTED: Event = Event("evicted");
    /// A tag of the key was invalidated.
    pub const INVALIDATED: Event = Event("invalidated");
    pub const HEXPIRED: Event = Event("hexpired");
    pub const RENAME_FROM: Event = Event("rename_from");
    pub const RENAME_TO: Event = Event("rename_to");
    pub const COPY_TO: Event = Event("copy_to");
    pub const MOVE_FROM: Event = Event("move_from");
    pub const MOVE_TO: Event = Event("move_to");
    /// A change of bytes that means nothing to clients, of which no notification tells.
    pub const SILENT: Event = Event("");
    pub const XDEL: Event = Event("xdel");
    pub const XTRIM: Event = Event("xtrim");
    pub const RESTORE: Event = Event("restore");
    /// A key came into being; what did it is an event of its own.
    pub const NEW: Event = Event("new");
    /// A key was looked for that does not exist.
    pub const MISS: Event = Event("keymiss");

    /// Whether it says that what a reader has seen of the key may be wrong now.
    pub fn is_change(self) -> bool {
        !matches!(self, Event::NEW | Event::MISS)
    }

    /// Whether somebody who waits for a key may find in it what was not there: nobody waits for a stream to become shorter, or for
    /// another time to live.
    fn may_be_waited_for(self) -> bool {
        !matches!(self, Event::XDEL | Event::XTRIM | Event::EXPIRE | Event::PERSIST)
    }

    /// The class by which notify-keyspace-events knows it.
    fn class(self) -> KeyspaceEvents {
        match self.0 {
            "del" | "expire" | "persist" | "rename_from" | "rename_to" | "copy_to" | "move_from" | "move_to"
            | "restore" => KeyspaceEvents::GENERIC,
            "expired" => KeyspaceEvents::EXPIRED,
            "evicted" => KeyspaceEvents::EVICTED,
            "invalidated" => KeyspaceEvents::INVALIDATED,
            "new" => KeyspaceEvents::NEW,
            "" => KeyspaceEvents::empty(),
            "keymiss" => KeyspaceEvents::KEY_MISS,
            "lpush" | "rpush" | "lpop" | "rpop" | "linsert" | "lset" | "lrem" | "ltrim" | "sortstore" => {
                KeyspaceEvents::LIST
            }
            "sadd" | "srem" | "spop" | "sinterstore" | "sunionstore" | "sdiffstore" => KeyspaceEvents::SET,
            other if other.starts_with('h') => KeyspaceEvents::HASH,
            other if other.starts_with('z') || other.starts_with("geo") => KeyspaceEvents::ZSET,
            other if other.starts_with('x') => KeyspaceEvents::STREAM,
            _ => KeyspaceEvents::STRING,
        }
    }
}

/// What has happened and is to be told to clients.
#[derive(PartialEq, Eq, Debug)]
pub enum News {
    /// An event of a key.
    Key { db: usize, event: Event, key: Box<[u8]> },
    /// An event of a key whose value is what it was, or has been told to be another.
    Within { db: usize, event: Event, key: Box<[u8]> },
    /// A tag was invalidated, by a command that removed so many keys.
    Tag { db: usize, tag: Box<[u8]>, count: usize },
    /// One or all databases were emptied.
    Flushed,
}

/// Room for so many news is kept for the next ones.
const NEWS_KEPT: usize = 64;

/// The receiver of change reports.
pub struct Effects {
    /// Changes since the data was last made durable.
    pub dirty: u64,
    /// Who wants to know of a change before a transaction runs.
    pub watches: Watches,
    /// Whose commands wait for a change.
    pub waiting: Waiting,
    /// What the append-only file and replicas are told.
    pub journal: Journal,
    /// Who has copies of keys.
    pub trackers: Trackers,
    /// Which events are published.
    published: KeyspaceEvents,
    /// Removals that plugins are told of.
    reported: KeyspaceEvents,
    /// Whether clients or plugins are told of anything at all.
    told: bool,
    /// What happens will be undone: nobody is told of it.
    hushed: bool,
    /// What they are still to be told.
    news: Vec<News>,
}

impl Effects {
    /// Nothing has changed, and nobody is to be told. The hashes of keys are those of `hasher`.
    pub fn new(hasher: KeyHasher) -> Effects {
        Effects {
            dirty: 0,
            watches: Watches::new(hasher.clone()),
            waiting: Waiting::new(hasher.clone()),
            journal: Journal::default(),
            trackers: Trackers::new(hasher),
            published: KeyspaceEvents::empty(),
            reported: KeyspaceEvents::empty(),
            told: false,
            hushed: false,
            news: Vec::new(),
        }
    }

    /// A key of database `db` changed.
    #[inline]
    pub fn changed(&mut self, db: usize, key: &[u8], event: Event) {
        self.dirty += 1;
        self.reach(db, key, event, Waiting::changed);
        log::trace!(target: "keyspace", "db {db}: {} of a key of {} bytes", event.0, key.len());
    }

    /// As [`Effects::changed`], for a key that was given another value in the place of the one it had. Redis takes only keys that
    /// come into being for what is waited for, and those that a client waits to be gone.
    pub fn replaced(&mut self, db: usize, key: &[u8], event: Event) {
        self.dirty += 1;
        self.reach(db, key, event, Waiting::replaced);
        log::trace!(target: "keyspace", "db {db}: {} of a key of {} bytes", event.0, key.len());
    }

    /// As [`Effects::changed`], for a command that made `changes` changes of one key, such as an element pushed each.
    pub fn changed_by(&mut self, db: usize, key: &[u8], event: Event, changes: u64) {
        self.dirty += changes;
        self.reach(db, key, event, Waiting::changed);
        log::trace!(target: "keyspace", "db {db}: {changes} times {} of a key of {} bytes", event.0, key.len());
    }

    /// As [`Effects::changed`], for what does not count as a change of its own: a key expired, or it was moved away and
    /// counts where it went.
    #[inline]
    pub fn changed_uncounted(&mut self, db: usize, key: &[u8], event: Event) {
        self.reach(db, key, event, Waiting::changed);
        if self.journal.is_on() {
            match event {
                Event::EXPIRED => self.journal.expired(db, key),
                Event::EVICTED => self.journal.evicted(db, key),
                _ => {}
            }
        }
        log::trace!(target: "keyspace", "db {db}: {} of a key of {} bytes", event.0, key.len());
    }

    /// As [`Effects::changed_by`], for what belongs to a key but is no part of its value, such as a stream's consumer
    /// groups: it spoils no transaction and wakes nobody.
    pub fn changed_within(&mut self, db: usize, key: &[u8], changes: u64) {
        self.dirty += changes;
        log::trace!(target: "keyspace", "db {db}: {changes} times within a key of {} bytes", key.len());
    }

    /// An event of a key that comes with a change which has been reported, or that is within the key.
    pub fn happened(&mut self, db: usize, key: &[u8], event: Event) {
        if self.published.contains(event.class()) && !self.hushed {
            self.news.push(News::Within { db, event, key: key.into() });
        }
        log::trace!(target: "keyspace", "db {db}: {} of a key of {} bytes", event.0, key.len());
    }

    /// Tells those who wait for a change of this key; `wake` those whose commands do.
    #[inline]
    fn reach(&mut self, db: usize, key: &[u8], event: Event, wake: fn(&mut Waiting, usize, &[u8])) {
        if !self.watches.is_empty() | self.waiting.any() | self.told {
            if self.hushed && event != Event::EXPIRED {
                return;
            }
            if !self.watches.is_empty() {
                self.watches.changed(db, key, matches!(event, Event::EXPIRED | Event::INVALIDATED));
            }
            if self.waiting.any() && event.may_be_waited_for() {
                wake(&mut self.waiting, db, key);
            }
            if self.told {
                self.tell(db, key, event);
            }
        }
    }

    /// A key came into being. That it changed is reported apart.
    #[inline]
    pub fn created(&mut self, db: usize, key: &[u8]) {
        if self.told {
            self.tell(db, key, Event::NEW);
        }
    }

    /// A key was looked for that does not exist.
    #[inline]
    pub fn missed(&mut self, db: usize, key: &[u8]) {
        if self.told {
            self.tell(db, key, Event::MISS);
        }
    }

    /// Notes an event that clients may be told of.
    #[cold]
    fn tell(&mut self, db: usize, key: &[u8], event: Event) {
        if self.hushed && event != Event::EXPIRED {
            return;
        }
        let wanted = self.published | self.reported;
        if wanted.intersects(event.class()) || event.is_change() && self.trackers.any() {
            self.news.push(News::Key { db, event, key: key.into() });
        }
    }

    /// Tags of a database were invalidated by one command, which removed `count` keys. That these are gone is reported apart.
    #[cold]
    pub fn invalidated(&mut self, db: usize, tags: Vec<Box<[u8]>>, count: usize) {
        log::trace!(target: "keyspace", "db {db}: tags were invalidated, and {count} keys with them");
        if self.tells_invalidations() {
            self.news.extend(tags.into_iter().map(|tag| News::Tag { db, tag, count }));
        }
    }

    /// Whether anybody is told which tags were invalidated.
    pub fn tells_invalidations(&self) -> bool {
        (self.published | self.reported).contains(KeyspaceEvents::INVALIDATED)
    }

    /// Whether clients are told of anything, so that there may be news.
    #[inline]
    pub fn told(&self) -> bool {
        self.told
    }

    /// Which news are published.
    pub fn publishes(&self, event: Event) -> KeyspaceEvents {
        if self.published.intersects(event.class()) { self.published } else { KeyspaceEvents::empty() }
    }

    /// Takes the news; the empty vector, given back, is used again.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// Gives back what the news were in.
    pub fn reuse(&mut self, news: Vec<News>) {
        if self.news.is_empty() && news.capacity() <= NEWS_KEPT {
            self.news = news;
        }
    }

    /// Says whether what happens from here on is to be told to nobody, because it will be undone. That a key's time is over is told
    /// all the same.
    pub fn hush(&mut self, hushed: bool) {
        self.hushed = hushed;
    }

    /// Publishes the events that the settings ask for.
    pub fn follow(&mut self, settings: &Settings) {
        let wanted = settings.notify_keyspace_events;
        let somewhere = wanted.intersects(KeyspaceEvents::KEYSPACE | KeyspaceEvents::KEYEVENT);
        self.published = if somewhere { wanted } else { KeyspaceEvents::empty() };
        self.listen();
    }

    /// Says whether plugins are told of keys that are evicted, of keys that expire and of tags that are invalidated.
    pub fn report_removals(&mut self, evicted: bool, expired: bool, invalidated: bool) {
        self.reported.set(KeyspaceEvents::EVICTED, evicted);
        self.reported.set(KeyspaceEvents::EXPIRED, expired);
        self.reported.set(KeyspaceEvents::INVALIDATED, invalidated);
        self.listen();
    }

    /// Finds out anew whether anybody is told of anything: somebody has begun to track, or ceased to.
    pub fn listen(&mut self) {
        self.told = !self.published.is_empty() || !self.reported.is_empty() || self.trackers.any();
    }

    /// Two databases were exchanged; they may be one and the same.
    pub fn swapped(&mut self, a: usize, b: usize) {
        self.dirty += 1;
        if self.waiting.any() {
            self.waiting.changed_all(a);
            self.waiting.changed_all(b);
        }
        log::trace!(target: "keyspace", "db {a} and db {b} were exchanged");
    }

    /// A database lost all of its `keys` keys at once; there may have been none.
    pub fn flushed(&mut self, db: usize, keys: usize) {
        self.dirty += keys as u64;
        if self.trackers.any() && self.news.last() != Some(&News::Flushed) {
            self.news.push(News::Flushed);
        }
        if self.waiting.any() {
            self.waiting.gone_all(db);
        }
        log::trace!(target: "keyspace", "db {db}: flushed {keys} keys");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_the_class_of_their_command() {
        let cases: &[(KeyspaceEvents, &[&str])] = &[
            (KeyspaceEvents::GENERIC, &["del", "expire", "persist", "rename_to", "restore", "copy_to", "move_from"]),
            (KeyspaceEvents::STRING, &["set", "append", "setrange", "setbit", "incrby", "incrbyfloat", "pfadd"]),
            (KeyspaceEvents::LIST, &["lpush", "rpop", "linsert", "lrem", "ltrim", "sortstore"]),
            (KeyspaceEvents::SET, &["sadd", "spop", "sdiffstore"]),
            (KeyspaceEvents::HASH, &["hset", "hincrby", "hdel", "hexpire", "hexpired", "hpersist"]),
            (KeyspaceEvents::ZSET, &["zadd", "zincr", "zpopmin", "zrangestore", "geosearchstore"]),
            (KeyspaceEvents::STREAM, &["xadd", "xtrim", "xgroup-create"]),
            (KeyspaceEvents::EXPIRED, &["expired"]),
            (KeyspaceEvents::EVICTED, &["evicted"]),
            (KeyspaceEvents::INVALIDATED, &["invalidated"]),
            (KeyspaceEvents::NEW, &["new"]),
            (KeyspaceEvents::KEY_MISS, &["keymiss"]),
        ];
        for &(class, names) in cases {
            for name in names {
                assert_eq!(Event(name).class(), class, "{name}");
            }
        }
    }

    #[test]
    fn only_what_somebody_wants_to_know_is_news() {
        let mut effects = Effects::new(KeyHasher::new(1));
        effects.changed(0, b"a", Event::SET);
        assert_eq!(effects.take_news(), []);
        effects.trackers.join();
        effects.listen();
        effects.created(0, b"a");
        effects.changed(0, b"a", Event::SET);
        effects.missed(0, b"b");
        effects.flushed(0, 1);
        effects.flushed(1, 0);
        let key = News::Key { db: 0, event: Event::SET, key: (*b"a").into() };
        assert_eq!(effects.take_news(), [key, News::Flushed]);
    }

    #[test]
    fn of_what_will_be_undone_nobody_is_told() {
        let mut effects = Effects::new(KeyHasher::new(1));
        effects.trackers.join();
        effects.listen();
        effects.hush(true);
        effects.changed(0, b"a", Event::SET);
        effects.created(0, b"a");
        effects.changed_uncounted(0, b"b", Event::EXPIRED);
        let expired = News::Key { db: 0, event: Event::EXPIRED, key: (*b"b").into() };
        assert_eq!(effects.take_news(), [expired]);
        effects.hush(false);
        effects.changed(0, b"a", Event::SET);
        assert_eq!(effects.take_news().len(), 1);
    }
}
