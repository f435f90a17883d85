//! Strings: the one place where all ways of setting and changing them meet.

use std::rc::Rc;

use super::entry::{Encoding, Entry, EntryRef, INLINE_MAX, NewValue, Object, Type};
use super::tags::set::TagSet;
use super::{EMBSTR_MAX, Expiry, Key, Keyspace, Retag, StringValue, Touch};
use crate::effects::Event;
use crate::types::number::is_canonical_i64;
use crate::types::table::Position;

impl Keyspace {
    /// Sets a key to a string, whatever it was.
    #[inline]
    pub fn set_string(&mut self, db: usize, key: Key<'_>, value: StringValue<'_>, expiry: Expiry, event: Event) {
        let encoding = string_encoding(value.bytes());
        let found = self.find(db, key);
        self.write_string(db, key, found, value, encoding, (expiry, Retag::Drop), event);
    }

    /// Sets a key to a string under an encoding that its bytes alone do not tell. Tags stay if the time to live does: then it
    /// is a change of the value that is there.
    #[inline]
    pub fn set_string_as(
        &mut self,
        db: usize,
        key: Key<'_>,
        value: StringValue<'_>,
        encoding: Encoding,
        expiry: Expiry,
        event: Event,
    ) {
        let found = self.find(db, key);
        let tags = if expiry == Expiry::Keep { Retag::Keep } else { Retag::Drop };
        self.write_string(db, key, found, value, encoding, (expiry, tags), event);
    }

    /// Sets a key to a string provided that it `exists`, or provided that it does not. Returns whether it was set.
    #[expect(clippy::too_many_arguments, reason = "a condition on top of what setting a string takes")]
    pub fn set_string_if(
        &mut self,
        exists: bool,
        db: usize,
        key: Key<'_>,
        touch: Touch,
        value: StringValue<'_>,
        expiry: Expiry,
        event: Event,
    ) -> bool {
        let found = self.reach(db, key, touch);
        if found.is_some() != exists {
            return false;
        }
        let encoding = string_encoding(value.bytes());
        self.write_string(db, key, found, value, encoding, (expiry, Retag::Drop), event);
        true
    }

    /// Sets a key to the integer that `compute` makes of what the key holds, and keeps the time to live. Returns the
    /// integer.
    ///
    /// # Errors
    /// Those of `compute`; then nothing has changed.
    #[inline]
    pub fn update_integer<E>(
        &mut self,
        db: usize,
        key: Key<'_>,
        event: Event,
        compute: impl FnOnce(Option<EntryRef<'_>>) -> Result<i64, E>,
    ) -> Result<i64, E> {
        let found = self.find(db, key);
        let integer = compute(self.entry_at(db, found))?;
        let mut buffer = itoa::Buffer::new();
        let text = StringValue::Borrowed(buffer.format(integer).as_bytes());
        self.write_string(db, key, found, text, Encoding::Int, (Expiry::Keep, Retag::Keep), event);
        Ok(integer)
    }

    #[inline]
    pub(super) fn entry_at(&self, db: usize, position: Option<Position>) -> Option<EntryRef<'_>> {
        Some(self.database(db)?.entry(position?))
    }

    /// Writes a string over what a key's search has found.
    #[expect(clippy::too_many_arguments, reason = "the one place where all ways of setting a string meet")]
    pub(super) fn write_string(
        &mut self,
        db: usize,
        key: Key<'_>,
        found: Option<Position>,
        value: StringValue<'_>,
        encoding: Encoding,
        (expiry, tags): (Expiry, Retag<'_>),
        event: Event,
    ) {
        let access = match self.entry_at(db, found) {
            Some(entry) => self.access.used(entry.access(), self.now_ms, &mut self.rng),
            None => self.access.new_entry(self.now_ms),
        };
        if let Some(position) = found {
            self.preserve(db, position);
            if self.tiny.is_some() {
                self.count_use(db, position);
            }
        }
        let deadline = match (expiry, found) {
            (Expiry::At(deadline), _) => Some(deadline),
            (Expiry::Keep, Some(position)) => self.database_mut(db).entry(position).deadline(),
            _ => self.default_deadline(db, key),
        };
        let database = self.database_mut(db);
        let same_tags = found.is_some_and(|position| match tags {
            Retag::Drop => !database.entry(position).is_tagged(),
            Retag::Keep => true,
            Retag::These(names) => database.has_tags(position, names),
        });
        if let (Some(position), bytes) = (found, value.bytes()) {
            // A string of the same size class and tags, with a deadline where there was one, is written in place.
            let mut entry = database.entry_mut(position);
            let old = entry.as_ref();
            if old.kind() == Type::String
                && same_tags
                && old.object().is_none()
                && old.deadline().is_some() == deadline.is_some()
                && entry.resize_inline(bytes.len())
            {
                entry.inline_mut().copy_from_slice(bytes);
                entry.set_encoding(encoding);
                entry.set_access(access);
                database.set_deadline(position, deadline);
                if deadline.is_some() {
                    self.note_own(db, key);
                }
                self.effects.changed(db, key.bytes, event);
                if let Expiry::At(_) = expiry {
                    self.effects.changed_uncounted(db, key.bytes, Event::EXPIRE);
                }
                return;
            }
        }
        let value = match value {
            StringValue::Borrowed(bytes) if bytes.len() <= INLINE_MAX => NewValue::Inline(bytes),
            StringValue::Owned(ref bytes) if bytes.len() <= INLINE_MAX => NewValue::Inline(bytes),
            StringValue::Borrowed(bytes) => boxed(Rc::new(bytes.to_vec())),
            StringValue::Owned(mut bytes) => {
                bytes.shrink_to_fit();
                boxed(Rc::new(bytes))
            }
            StringValue::Shared(blob) => boxed(blob),
        };
        let tags = match (tags, found) {
            (Retag::These(names), _) if !same_tags => database.tag_set(names.iter().copied()),
            (Retag::These(_) | Retag::Keep, Some(position)) => database.entry_mut(position).take_tags(),
            _ => TagSet::EMPTY,
        };
        let entry = Entry::with_tags(key.bytes, Type::String, encoding, value, deadline, access, tags);
        match found {
            Some(position) => {
                let old = database.replace(position, entry);
                self.discard(old);
            }
            None => {
                database.insert(key.hash, entry);
                self.entered(db, key);
            }
        }
        if deadline.is_some() {
            self.note_own(db, key);
        }
        self.effects.changed(db, key.bytes, event);
        if let Expiry::At(_) = expiry {
            self.effects.changed_uncounted(db, key.bytes, Event::EXPIRE);
        }
    }

    /// Changes a string in place and keeps the time to live: `resize` decides on the new length, seeing what the key
    /// holds; `write` then changes the bytes, of which new ones are zero, and says whether it did, or how many changes it
    /// made. A key that does not exist begins as an empty string. The event is reported if the bytes or their number
    /// changed.
    ///
    /// # Errors
    /// Those of `resize`; then nothing has changed.
    ///
    /// # Panics
    /// If `resize` accepts a key of another type.
    pub fn change_string<E, C: Into<u64>>(
        &mut self,
        db: usize,
        key: Key<'_>,
        touch: Touch,
        event: Event,
        resize: impl FnOnce(Option<EntryRef<'_>>) -> Result<usize, E>,
        write: impl FnOnce(&mut [u8]) -> C,
    ) -> Result<(), E> {
        let found = self.reach(db, key, touch);
        let len = resize(self.entry_at(db, found))?;
        let Some(position) = found else {
            let mut bytes = vec![0; len];
            let changes = write(&mut bytes).into();
            let anew = (Expiry::Clear, Retag::Drop);
            self.write_string(db, key, None, StringValue::Owned(bytes), Encoding::Raw, anew, event);
            self.effects.dirty += changes.saturating_sub(1);
            return Ok(());
        };
        self.preserve(db, position);
        let database = self.database_mut(db);
        let old = database.entry(position);
        assert_eq!(old.kind(), Type::String, "only strings are changed as strings");
        let resized = old.string().len() != len;
        let changes = write(database.resize_string(position, len)).into().max(u64::from(resized));
        if changes > 0 {
            self.effects.changed_by(db, key.bytes, event, changes);
        }
        Ok(())
    }
}

fn boxed(blob: Rc<Vec<u8>>) -> NewValue<'static> {
    NewValue::Boxed(Box::new(Object::Blob(blob)))
}

/// The encoding of a string that is set as a whole.
#[inline]
pub fn string_encoding(bytes: &[u8]) -> Encoding {
    if is_canonical_i64(bytes) {
        Encoding::Int
    } else if bytes.len() <= EMBSTR_MAX {
        Encoding::Embstr
    } else {
        Encoding::Raw
    }
}
