//! Scripts by their SHA-1. Those that came with EVAL are many and rarely called twice, so only the last
//! [`EVALUATED_MAX`] used of them are kept; those that came with SCRIPT LOAD stay.

use std::cell::Cell;
use std::collections::HashMap;

use foldhash::fast::RandomState;
use sha1::{Digest, Sha1};

use super::{Function, ScriptFlags};
use crate::types::number::hex_digits;

/// So many scripts are kept that nobody loaded.
const EVALUATED_MAX: usize = 500;

/// A SHA-1 as forty hexadecimal digits in lower case.
pub type Sha = [u8; 40];

/// The SHA-1 of some bytes.
pub fn sha1(bytes: &[u8]) -> Sha {
    let mut text = [0; 40];
    for (digits, byte) in text.chunks_exact_mut(2).zip(Sha1::digest(bytes)) {
        digits.copy_from_slice(&hex_digits(byte));
    }
    text
}

/// A compiled script.
#[derive(Clone, Copy)]
pub struct Script {
    pub function: Function,
    /// `None` if it says nothing of itself.
    pub flags: Option<ScriptFlags>,
    /// Its place among the evaluated ones, unless it was loaded.
    evaluated: Option<usize>,
    /// Bytes of its text.
    bytes: usize,
}

impl Script {
    /// Bytes of the text it was compiled from.
    pub fn text_bytes(&self) -> usize {
        self.bytes
    }
}

/// An evaluated script.
struct Evaluated {
    sha: Sha,
    /// When it was used last; later is more.
    used: u64,
}

/// The scripts that are known.
#[derive(Default)]
pub struct Cache {
    scripts: HashMap<Sha, Script, RandomState>,
    /// The one that was asked for last: a call asks more than once, and so does the next.
    last: Cell<Option<(Sha, Script)>>,
    evaluated: Vec<Evaluated>,
    uses: u64,
    /// Bytes of the texts of all scripts.
    bytes: usize,
}

impl Cache {
    /// How many scripts are known.
    pub fn len(&self) -> usize {
        self.scripts.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.scripts.is_empty()
    }

    /// Bytes that knowing them takes, besides what they take in the interpreter.
    pub fn memory_bytes(&self) -> usize {
        self.scripts.capacity() * (size_of::<Sha>() + size_of::<Script>())
            + self.evaluated.capacity() * size_of::<Evaluated>()
    }

    /// Bytes of the texts they were compiled from.
    pub fn text_bytes(&self) -> usize {
        self.bytes
    }

    /// Visits each script's digest, with the bytes of its text, in any order.
    pub fn each(&self, visit: impl Fn(&Sha, usize)) {
        self.scripts.iter().for_each(|(sha, script)| visit(sha, script.bytes));
    }

    /// The script whose digest is `text`, in any case, and its digest. It is not thereby used.
    pub fn named(&self, text: &[u8]) -> Option<(Sha, Script)> {
        match self.last.get() {
            Some(last) if last.0 == text => Some(last),
            _ => {
                let mut sha = Sha::try_from(text).ok()?;
                sha.make_ascii_lowercase();
                self.get(&sha).map(|script| (sha, script))
            }
        }
    }

    /// A script, which is not thereby used.
    pub fn get(&self, sha: &Sha) -> Option<Script> {
        match self.last.get() {
            Some((last, script)) if last == *sha => Some(script),
            _ => {
                let script = *self.scripts.get(sha)?;
                self.last.set(Some((*sha, script)));
                Some(script)
            }
        }
    }

    /// Notes that a script is used.
    pub fn touch(&mut self, script: &Script) {
        self.uses += 1;
        if let Some(evaluated) = script.evaluated.and_then(|at| self.evaluated.get_mut(at)) {
            evaluated.used = self.uses;
        }
    }

    /// Adds a script whose text has so many bytes; `loaded` says that it stays. Returns it, and the function of one that had to
    /// go for it.
    pub fn insert(
        &mut self,
        sha: Sha,
        function: Function,
        flags: Option<ScriptFlags>,
        bytes: usize,
        loaded: bool,
    ) -> (Script, Option<Function>) {
        let mut evicted = None;
        let mut evaluated = None;
        if !loaded {
            if self.evaluated.len() >= EVALUATED_MAX {
                evicted = self.evict();
            }
            self.uses += 1;
            evaluated = Some(self.evaluated.len());
            self.evaluated.push(Evaluated { sha, used: self.uses });
        }
        let script = Script { function, flags, evaluated, bytes };
        self.bytes += bytes;
        self.scripts.insert(sha, script);
        (script, evicted)
    }

    /// A script that was evaluated has been loaded: it stays.
    pub fn keep(&mut self, sha: &Sha) {
        if let Some(at) = self.scripts.get_mut(sha).and_then(|script| script.evaluated.take()) {
            self.remove_evaluated(at);
        }
    }

    /// Forgets the evaluated script that was used least recently.
    fn evict(&mut self) -> Option<Function> {
        let oldest = self.evaluated.iter().enumerate().min_by_key(|(_, script)| script.used)?.0;
        let sha = self.remove_evaluated(oldest);
        let script = self.scripts.remove(&sha)?;
        self.bytes -= script.bytes;
        Some(script.function)
    }

    fn remove_evaluated(&mut self, at: usize) -> Sha {
        // Another one changes its place.
        self.last.set(None);
        let removed = self.evaluated.swap_remove(at);
        if let Some(moved) = self.evaluated.get(at).and_then(|moved| self.scripts.get_mut(&moved.sha)) {
            moved.evaluated = Some(at);
        }
        removed.sha
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_the_published_one() {
        for (text, digest) in
            [("", "da39a3ee5e6b4b0d3255bfef95601890afd80709"), ("abc", "a9993e364706816aba3e25717850c26c9cd0d89d")]
        {
            assert_eq!(sha1(text.as_bytes()), digest.as_bytes());
        }
    }

    #[test]
    fn what_was_evaluated_goes_in_the_order_of_use_and_what_was_loaded_stays() {
        let mut cache = Cache::default();
        let name = |number: usize| sha1(&number.to_le_bytes());
        let add = |cache: &mut Cache, number: usize, loaded| {
            cache.insert(name(number), Function::numbered(number as i32), None, 10, loaded).1
        };
        for number in 0..EVALUATED_MAX {
            assert_eq!(add(&mut cache, number, false), None);
            assert_eq!(add(&mut cache, number + 10_000, true), None);
        }
        let first = cache.get(&name(0)).expect("it was just added");
        cache.touch(&first);
        cache.keep(&name(1));
        // There is a place now that 1 stays.
        assert_eq!(add(&mut cache, 20_000, false), None);
        assert_eq!(add(&mut cache, 20_001, false), Some(Function::numbered(2)));
        assert_eq!(add(&mut cache, 20_002, false), Some(Function::numbered(3)));
        let there: Vec<usize> = (0..6).filter(|&number| cache.get(&name(number)).is_some()).collect();
        assert_eq!(there, [0, 1, 4, 5]);
        assert_eq!(cache.len(), 2 * EVALUATED_MAX + 1);
        assert_eq!(cache.text_bytes(), 10 * cache.len());
    }
}
