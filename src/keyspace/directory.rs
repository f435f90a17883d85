//! The directory of namespaces: what each is called, which slot of the keyspace it has, and what holds for its keys.
//!
//! The first slots are those that SELECT knows by number: 0 is `default`, n is `db<n>`. They are always there. A namespace
//! with another name gets a slot behind them when it is created, and gives it back when it is deleted. What is said here of
//! a namespace stays with its name, whatever becomes of its keys: emptying or exchanging databases does not change it.
//!
//! A *hidden* namespace has no name: data gather there that nobody is to see yet.

use std::collections::{BTreeMap, BTreeSet};

use super::eviction::Evictor;
use super::{Key, Keyspace, Overdue};
use crate::config::{NamespaceLimits, Settings};

/// Namespaces with names of their own that there may be at one time.
pub const MAX_NAMED: usize = 10_000;

/// What holds for the keys of a namespace, and what has been counted of them.
pub struct Profile {
    /// Its name; none if it is hidden.
    pub name: Box<str>,
    /// The time to live of keys that are written without one, in milliseconds; 0 for none.
    pub default_ttl_ms: u64,
    /// Bytes that its keys may take; 0 for any number.
    pub max_memory: u64,
    /// When it was created, in Unix milliseconds.
    pub created_ms: u64,
    /// How often a key was looked for and found, or not.
    pub hits: u64,
    pub misses: u64,
    /// What holds comes from the settings, and goes with them.
    declared: bool,
    /// Which of its keys goes next when it takes too much memory.
    pub(super) evictor: Evictor,
}

impl Profile {
    fn new(name: &str, created_ms: u64) -> Profile {
        Profile {
            name: name.into(),
            default_ttl_ms: 0,
            max_memory: 0,
            created_ms,
            hits: 0,
            misses: 0,
            declared: false,
            evictor: Evictor::default(),
        }
    }

    /// Whether the settings name it.
    pub fn is_declared(&self) -> bool {
        self.declared
    }

    /// Whether something holds for its keys.
    pub fn is_special(&self) -> bool {
        self.default_ttl_ms != 0 || self.max_memory != 0
    }
}

/// There are as many namespaces as there may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooMany;

/// All namespaces that there are.
pub struct Directory {
    /// How many slots SELECT knows by number.
    numbered: usize,
    /// By slot.
    profiles: Vec<Option<Profile>>,
    by_name: BTreeMap<Box<str>, usize>,
    /// What the settings say.
    declared: Vec<NamespaceLimits>,
    /// Slots of namespaces that may not take any number of bytes.
    limited: Vec<usize>,
    /// Those among them that may take more than they may: something was written there, or their limit has changed.
    crowded: BTreeSet<usize>,
}

impl Directory {
    pub(super) fn new(numbered: usize, now_ms: u64) -> Directory {
        let mut directory = Directory {
            numbered,
            profiles: Vec::new(),
            by_name: BTreeMap::new(),
            declared: Vec::new(),
            limited: Vec::new(),
            crowded: BTreeSet::new(),
        };
        for number in 0..numbered {
            let name = if number == 0 { "default".to_string() } else { format!("db{number}") };
            directory.by_name.insert(name.as_str().into(), number);
            directory.profiles.push(Some(Profile::new(&name, now_ms)));
        }
        directory
    }

    /// How many slots SELECT knows by number.
    pub fn numbered(&self) -> usize {
        self.numbered
    }

    /// How many namespaces have names of their own.
    pub fn named(&self) -> usize {
        self.by_name.len() - self.numbered
    }

    /// The slot of the namespace with a name.
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        self.by_name.get(str::from_utf8(name).ok()?).copied()
    }

    /// The namespace in a slot.
    pub fn profile(&self, slot: usize) -> Option<&Profile> {
        self.profiles.get(slot)?.as_ref()
    }

    pub(super) fn profile_mut(&mut self, slot: usize) -> Option<&mut Profile> {
        self.profiles.get_mut(slot)?.as_mut()
    }

    /// Whether a slot is that of a hidden namespace.
    pub fn is_hidden(&self, slot: usize) -> bool {
        self.profile(slot).is_some_and(|profile| profile.name.is_empty())
    }

    /// The name of a namespace that has one of its own: one that no number stands for.
    pub fn own_name(&self, slot: usize) -> Option<&str> {
        self.profile(slot).filter(|_| slot >= self.numbered).map(|profile| &*profile.name)
    }

    /// All namespaces in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Profile)> {
        self.by_name.values().filter_map(|&slot| Some((slot, self.profile(slot)?)))
    }

    /// More may be in all namespaces with limits than before.
    pub(super) fn note_all_crowded(&mut self) {
        self.crowded.extend(&self.limited);
    }

    /// The time to live that keys written without one get, in milliseconds; 0 for none.
    #[inline]
    pub(super) fn default_ttl_ms(&self, slot: usize) -> u64 {
        self.profile(slot).map_or(0, |profile| profile.default_ttl_ms)
    }

    #[inline]
    pub(super) fn hit(&mut self, slot: usize) {
        if let Some(profile) = self.profile_mut(slot) {
            profile.hits += 1;
        }
    }

    #[inline]
    pub(super) fn missed(&mut self, slot: usize) {
        if let Some(profile) = self.profile_mut(slot) {
            profile.misses += 1;
        }
    }

    /// Begins to count anew.
    pub fn reset_stats(&mut self) {
        for profile in self.profiles.iter_mut().flatten() {
            (profile.hits, profile.misses) = (0, 0);
        }
    }

    fn note_limits(&mut self) {
        let limited = |profile: &Option<Profile>| profile.as_ref().is_some_and(|profile| profile.max_memory > 0);
        self.limited = (0..self.profiles.len()).filter(|&slot| limited(&self.profiles[slot])).collect();
    }

    /// Puts what the settings say of a namespace into effect, if they say something.
    fn declare(&mut self, slot: usize) {
        let Some(profile) = self.profiles[slot].as_mut() else { return };
        if let Some(limits) = self.declared.iter().find(|limits| limits.name == *profile.name) {
            profile.default_ttl_ms = u64::try_from(limits.default_ttl.as_millis()).unwrap_or(u64::MAX);
            profile.max_memory = limits.max_memory;
            profile.declared = true;
            self.crowded.insert(slot);
        }
    }
}

impl Keyspace {
    /// All namespaces that there are.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// As [`Keyspace::directory`], to count anew.
    pub fn directory_mut(&mut self) -> &mut Directory {
        &mut self.directory
    }

    /// Creates a namespace, whose name must be free and allowed; see [`NamespaceLimits::is_name`]. What the settings say of it
    /// holds from the beginning. Returns its slot.
    ///
    /// # Errors
    /// If there are too many.
    pub fn create_namespace(&mut self, name: &str) -> Result<usize, TooMany> {
        let slot = self.take_slot(name)?;
        let directory = &mut self.directory;
        directory.by_name.insert(name.into(), slot);
        directory.declare(slot);
        directory.note_limits();
        self.effects.journal.name(slot, Some(name));
        Ok(slot)
    }

    /// Creates a hidden namespace, which [`Keyspace::delete_namespace`] deletes. Returns its slot.
    ///
    /// # Errors
    /// If there are too many.
    pub fn create_hidden_namespace(&mut self) -> Result<usize, TooMany> {
        self.take_slot("")
    }

    /// Finds a slot for a namespace.
    fn take_slot(&mut self, name: &str) -> Result<usize, TooMany> {
        let directory = &mut self.directory;
        if directory.profiles.iter().flatten().count() >= directory.numbered + MAX_NAMED {
            return Err(TooMany);
        }
        let free = directory.profiles.iter().position(Option::is_none);
        let slot = free.unwrap_or(directory.profiles.len());
        if slot == directory.profiles.len() {
            directory.profiles.push(None);
        }
        directory.profiles[slot] = Some(Profile::new(name, self.now_ms));
        if self.databases.len() <= slot {
            self.databases.resize_with(slot + 1, || None);
        }
        Ok(slot)
    }

    /// Deletes a namespace with all its keys, whose memory is freed in slices; what holds for one that has a number ends. All
    /// who watch its keys see a change.
    pub fn delete_namespace(&mut self, slot: usize) {
        self.flush(slot);
        self.effects.watches.spoil_all(slot);
        self.databases[slot] = None;
        let directory = &mut self.directory;
        if let Some(profile) = directory.profiles[slot].take() {
            if slot < directory.numbered {
                directory.profiles[slot] = Some(Profile::new(&profile.name, self.now_ms));
            } else {
                directory.by_name.remove(&profile.name);
                self.effects.journal.name(slot, None);
            }
        }
        directory.note_limits();
    }

    /// Says what holds for the keys of a namespace from now on: the time to live of those written without one, in milliseconds,
    /// and how many bytes they may take; 0 for none and for any number.
    pub fn set_limits(&mut self, slot: usize, default_ttl_ms: u64, max_memory: u64) {
        if let Some(profile) = self.directory.profile_mut(slot) {
            (profile.default_ttl_ms, profile.max_memory, profile.declared) = (default_ttl_ms, max_memory, false);
            self.directory.note_limits();
            self.note_crowded(slot);
        }
    }

    /// Says when a namespace was created, in Unix milliseconds.
    pub fn set_created(&mut self, slot: usize, created_ms: u64) {
        if let Some(profile) = self.directory.profile_mut(slot) {
            profile.created_ms = created_ms;
        }
    }

    /// The default namespace, those with names of their own, and of the others those in which something is or holds, in the
    /// order of their names.
    pub fn namespaces(&self) -> impl Iterator<Item = (usize, &Profile)> {
        self.directory.iter().filter(|&(slot, profile)| {
            let used = || self.database(slot).is_some_and(|database| !database.is_empty());
            slot == 0 || slot >= self.directory.numbered || profile.is_special() || used()
        })
    }

    /// Creates the namespaces that the settings name, and puts into effect what they say. What they said before and do not
    /// say any more ends.
    pub fn follow_namespaces(&mut self, settings: &Settings) {
        self.directory.declared.clone_from(&settings.namespaces);
        for profile in self.directory.profiles.iter_mut().flatten().filter(|profile| profile.declared) {
            (profile.default_ttl_ms, profile.max_memory, profile.declared) = (0, 0, false);
        }
        for limits in &settings.namespaces {
            match self.directory.find(limits.name.as_bytes()) {
                Some(slot) => self.directory.declare(slot),
                None => {
                    if self.create_namespace(&limits.name).is_err() {
                        log::warn!("There are too many namespaces: {} of the settings is left out.", limits.name);
                    }
                }
            }
        }
        self.directory.note_limits();
    }

    /// The deadline of a key that is written without one, which readers of the journal are told.
    #[inline]
    pub(super) fn default_deadline(&mut self, db: usize, key: Key<'_>) -> Option<u64> {
        match self.directory.default_ttl_ms(db) {
            0 => None,
            ttl_ms => self.given_deadline(db, key, ttl_ms),
        }
    }

    #[cold]
    fn given_deadline(&mut self, db: usize, key: Key<'_>, ttl_ms: u64) -> Option<u64> {
        // What is loaded, or comes from a master, says itself when its time is over.
        if self.overdue == Overdue::Ignored {
            return None;
        }
        let deadline = self.now_ms.saturating_add(ttl_ms).min(i64::MAX as u64);
        self.effects.journal.given(db, key.bytes, deadline);
        Some(deadline)
    }

    /// What all databases weigh; see [`Namespace::weight`](super::namespace::Namespace::weight).
    pub fn weight(&mut self) -> usize {
        self.databases.iter_mut().flatten().map(|database| database.weight()).sum()
    }

    /// Whether there is a namespace that may not take any number of bytes.
    #[inline]
    pub fn is_limited(&self) -> bool {
        !self.directory.limited.is_empty()
    }

    /// More may be in a namespace than before.
    pub fn note_crowded(&mut self, slot: usize) {
        if self.directory.profile(slot).is_some_and(|profile| profile.max_memory > 0) {
            self.directory.crowded.insert(slot);
        }
    }

    /// The namespaces that may take more memory than they may since this was asked last.
    pub fn take_crowded(&mut self) -> BTreeSet<usize> {
        std::mem::take(&mut self.directory.crowded)
    }

    /// Bytes by which a namespace takes more memory than it may.
    pub fn excess(&mut self, slot: usize) -> u64 {
        let Some(most) = self.directory.profile(slot).map(|profile| profile.max_memory).filter(|&most| most > 0) else {
            return 0;
        };
        (self.databases[slot].as_mut().map_or(0, |database| database.weight()) as u64).saturating_sub(most)
    }
}
