//! Functions, and the libraries that bring them.
//!
//! A library is code with a first line that names it, `#!lua name=mylib`. It runs once, when it is loaded, and registers
//! functions under names that no other library has. All libraries share one interpreter; it is made when the first is loaded,
//! and goes with all of them ([`Libraries::clear`]).

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use super::{Engine, Function, Kind, Register, Registration, ScriptFlags, free_aside};
use crate::resp::request::split_words;

/// The one language in which libraries are written, under its name in replies.
pub const LANGUAGE: &str = "LUA";
const BAD_NAME: &str =
    "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";

/// A function that can be called.
pub struct Callable {
    pub name: Vec<u8>,
    pub description: Option<Vec<u8>>,
    pub flags: ScriptFlags,
    pub function: Function,
    /// The interpreter in which it is.
    pub engine: Rc<Engine>,
}

impl Drop for Callable {
    fn drop(&mut self) {
        self.engine.forget(self.function);
    }
}

/// A library that is loaded.
pub struct Library {
    /// All of its code, the first line too.
    pub code: Vec<u8>,
    /// Its functions, in the order in which they were registered.
    pub functions: Vec<Rc<Callable>>,
}

/// What becomes of libraries that are there when others are restored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// They go.
    Flush,
    /// They stay; none that is restored may have the name of one.
    Append,
    /// Those go whose names are restored.
    Replace,
}

/// What a library is loaded with.
#[derive(Clone, Copy)]
pub struct Loading<'a> {
    /// One of the same name goes for it.
    pub replace: bool,
    /// So long its code may run.
    pub limit: Option<Duration>,
    /// The version that it is told, and the seed of its random numbers, if the interpreter has to be made for it.
    pub version: &'a str,
    pub seed: i32,
    /// Takes what it writes to the log.
    pub log: fn(u8, &[u8]),
}

/// All libraries.
#[derive(Default)]
pub struct Libraries {
    engine: Option<Rc<Engine>>,
    /// By name.
    libraries: BTreeMap<Vec<u8>, Library>,
    /// All functions, by their names in lower case.
    functions: HashMap<Vec<u8>, Rc<Callable>, RandomState>,
}

impl Libraries {
    /// How many libraries there are.
    pub fn len(&self) -> usize {
        self.libraries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.libraries.is_empty()
    }

    /// How many functions there are.
    pub fn function_count(&self) -> usize {
        self.functions.len()
    }

    /// The libraries by name.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Library)> {
        self.libraries.iter().map(|(name, library)| (&name[..], library))
    }

    /// The code of each library.
    pub fn sources(&self) -> impl Iterator<Item = &[u8]> {
        self.libraries.values().map(|library| &library.code[..])
    }

    /// Bytes of memory that the interpreter and all it holds take.
    pub fn engine_bytes(&self) -> usize {
        self.engine.as_ref().map_or(0, |engine| engine.memory_bytes())
    }

    /// Bytes of memory that the libraries take besides what they take in the interpreter.
    pub fn memory_bytes(&self) -> usize {
        let of_function = |function: &Rc<Callable>| {
            size_of::<Callable>() + 2 * function.name.len() + function.description.as_ref().map_or(0, Vec::len)
        };
        let of_library = |(name, library): (&Vec<u8>, &Library)| {
            name.len() + library.code.len() + library.functions.iter().map(of_function).sum::<usize>()
        };
        self.functions.capacity() * size_of::<(Vec<u8>, Rc<Callable>)>()
            + self.libraries.len() * size_of::<(Vec<u8>, Library)>()
            + self.libraries.iter().map(of_library).sum::<usize>()
    }

    /// The function with a name, in any case.
    pub fn function(&self, name: &[u8]) -> Option<&Rc<Callable>> {
        if name.iter().any(u8::is_ascii_uppercase) {
            return self.functions.get(&name.to_ascii_lowercase());
        }
        self.functions.get(name)
    }

    /// Removes all, and the interpreter with them; if `aside`, what takes long of that does not happen here.
    pub fn clear(&mut self, aside: bool) {
        let old = std::mem::take(self);
        // One is ours, each function has one, and so has who runs a function.
        let alone = |engine: &Rc<Engine>| Rc::strong_count(engine) == 1 + old.functions.len();
        if aside && old.engine.as_ref().is_some_and(|engine| engine.is_large() && alone(engine)) {
            // SAFETY: whoever keeps a function keeps its interpreter, too, and nobody else does.
            unsafe { free_aside(old) };
        }
    }

    /// Removes a library; false if there is none of that name.
    pub fn delete(&mut self, name: &[u8]) -> bool {
        let Some(library) = self.libraries.remove(name) else { return false };
        for function in &library.functions {
            self.functions.remove(&function.name.to_ascii_lowercase());
        }
        true
    }

    /// Loads a library, and returns its name.
    ///
    /// # Errors
    /// A text without a code. Nothing has changed then.
    pub fn load(&mut self, code: &[u8], loading: Loading<'_>) -> Result<Vec<u8>, Vec<u8>> {
        let Head { name, body } = Head::read(code)?;
        if !loading.replace && self.libraries.contains_key(&name) {
            return Err([b"Library '", name.as_slice(), b"' already exists"].concat());
        }
        let engine = self.engine(loading)?;
        let mut loader = Loader { engine: &engine, functions: Vec::new(), loading, started: Instant::now() };
        let loaded = engine.load_library(body, &mut loader);
        let library = Library { code: code.to_vec(), functions: loader.functions };
        loaded?;
        if library.functions.is_empty() {
            return Err(b"No functions registered".to_vec());
        }
        self.check_functions(&library, |owner| owner == name)?;
        self.delete(&name);
        self.insert(name.clone(), library);
        Ok(name)
    }

    /// Adds libraries.
    ///
    /// # Errors
    /// A text without a code, if one cannot be loaded or is in the way of another. Nothing has changed then.
    pub fn restore(&mut self, sources: &[Vec<u8>], policy: Policy, loading: Loading<'_>) -> Result<(), Vec<u8>> {
        let mut restored = Libraries { engine: Some(self.engine(loading)?), ..Libraries::default() };
        for source in sources {
            restored.load(source, loading)?;
        }
        if policy == Policy::Flush {
            *self = restored;
            return Ok(());
        }
        if policy == Policy::Append
            && let Some(name) = restored.libraries.keys().find(|name| self.libraries.contains_key(*name))
        {
            return Err([b"Library ", name.as_slice(), b" already exists"].concat());
        }
        for library in restored.libraries.values() {
            self.check_functions(library, |owner| restored.libraries.contains_key(owner))?;
        }
        for name in restored.libraries.keys() {
            self.delete(name);
        }
        for (name, library) in restored.libraries {
            self.insert(name, library);
        }
        Ok(())
    }

    fn engine(&mut self, loading: Loading<'_>) -> Result<Rc<Engine>, Vec<u8>> {
        if let Some(engine) = &self.engine {
            return Ok(engine.clone());
        }
        let engine = Engine::new(Kind::Functions, loading.version, loading.seed)
            .map_err(|error| format!("The interpreter cannot be made: {error}").into_bytes())?;
        Ok(self.engine.insert(Rc::new(engine)).clone())
    }

    /// Checks that no library has functions of another's names, but for those that `leaves` says are about to go.
    fn check_functions(&self, library: &Library, leaves: impl Fn(&[u8]) -> bool) -> Result<(), Vec<u8>> {
        for function in &library.functions {
            let Some(taken) = self.function(&function.name) else { continue };
            let stays = |(name, library): (&Vec<u8>, &Library)| {
                !leaves(name) && library.functions.iter().any(|function| Rc::ptr_eq(function, taken))
            };
            if self.libraries.iter().any(stays) {
                return Err([b"Function ", function.name.as_slice(), b" already exists"].concat());
            }
        }
        Ok(())
    }

    fn insert(&mut self, name: Vec<u8>, library: Library) {
        for function in &library.functions {
            self.functions.insert(function.name.to_ascii_lowercase(), function.clone());
        }
        self.libraries.insert(name, library);
    }
}

/// A library's first line, and what follows.
struct Head<'a> {
    name: Vec<u8>,
    /// The code from the end of the first line on, so that lines keep their numbers.
    body: &'a [u8],
}

impl<'a> Head<'a> {
    fn read(code: &'a [u8]) -> Result<Head<'a>, Vec<u8>> {
        if !code.starts_with(b"#!") {
            return Err(b"Missing library metadata".to_vec());
        }
        let invalid = || b"Invalid library metadata".to_vec();
        let end = memchr::memchr(b'\n', code).ok_or_else(invalid)?;
        let words = split_words(&code[..end]).ok_or_else(invalid)?;
        let (language, options) = words.split_first().ok_or_else(invalid)?;
        let mut name = None;
        for option in options {
            let (word, value) = option.split_at(option.len().min(5));
            if !word.eq_ignore_ascii_case(b"name=") {
                return Err([b"Invalid metadata value given: ", option.as_slice()].concat());
            }
            if name.replace(value.to_vec()).is_some() {
                return Err(b"Invalid metadata value, name argument was given multiple times".to_vec());
            }
        }
        let name = name.ok_or_else(|| b"Library name was not given".to_vec())?;
        if !is_name(&name) {
            return Err(BAD_NAME.into());
        }
        let language = language.get(2..).unwrap_or_default();
        if !language.eq_ignore_ascii_case(LANGUAGE.as_bytes()) {
            return Err([b"Engine '", language, b"' not found"].concat());
        }
        Ok(Head { name, body: &code[end..] })
    }
}

/// Whether libraries and functions may have such a name.
fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// Takes the functions of a library that is being loaded.
struct Loader<'a> {
    engine: &'a Rc<Engine>,
    functions: Vec<Rc<Callable>>,
    loading: Loading<'a>,
    started: Instant,
}

impl Register for Loader<'_> {
    fn register(&mut self, registration: Registration<'_>) -> Result<(), Vec<u8>> {
        let Registration { name, description, flags, function } = registration;
        if !is_name(name) {
            return Err(BAD_NAME.into());
        }
        // Redis lets two names differ in case only, calls the first under both, and dies of deleting them.
        if self.functions.iter().any(|known| known.name.eq_ignore_ascii_case(name)) {
            return Err(b"Function already exists in the library".to_vec());
        }
        let (name, description) = (name.to_vec(), description.map(<[u8]>::to_vec));
        self.functions.push(Rc::new(Callable { name, description, flags, function, engine: self.engine.clone() }));
        Ok(())
    }

    fn interrupt(&mut self) -> Option<&'static str> {
        let limit = self.loading.limit?;
        (self.started.elapsed() >= limit).then_some("FUNCTION LOAD timeout")
    }

    fn log(&mut self, level: u8, line: &[u8]) {
        (self.loading.log)(level, line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOADING: Loading<'_> = Loading { replace: false, limit: None, version: "7.4.0", seed: 1, log: |_, _| {} };

    /// A library that registers functions.
    fn library(name: &str, functions: &[&str]) -> Vec<u8> {
        let registered: Vec<String> = functions
            .iter()
            .map(|function| format!("redis.register_function('{function}', function() return '{name}' end)"))
            .collect();
        format!("#!lua name={name}\n{}", registered.join("\n")).into_bytes()
    }

    /// What there is: libraries, and functions of each.
    fn shown(libraries: &Libraries) -> String {
        let shown: Vec<String> = libraries
            .iter()
            .map(|(name, library)| {
                let functions: Vec<_> =
                    library.functions.iter().map(|function| String::from_utf8_lossy(&function.name)).collect();
                format!("{}:{}", String::from_utf8_lossy(name), functions.join(","))
            })
            .collect();
        let count: usize = libraries.iter().map(|(_, library)| library.functions.len()).sum();
        assert_eq!(libraries.function_count(), count);
        shown.join(" ")
    }

    fn text<T>(result: Result<T, Vec<u8>>) -> String {
        result.err().map_or_else(String::new, |text| String::from_utf8_lossy(&text).into_owned())
    }

    #[test]
    fn first_lines() {
        for (code, error) in [
            ("return 1", "Missing library metadata"),
            ("", "Missing library metadata"),
            ("#!lua name=a", "Invalid library metadata"),
            ("#!lua 'a\n", "Invalid library metadata"),
            ("#!lua\n", "Library name was not given"),
            ("#!lua name=a name=b\n", "Invalid metadata value, name argument was given multiple times"),
            ("#!lua name=a x\n", "Invalid metadata value given: x"),
            ("#!lua name=a-b\n", BAD_NAME),
            ("#!lua name=\n", BAD_NAME),
            ("#!js name=a\n", "Engine 'js' not found"),
            ("#!LUA NAME=a\n", "No functions registered"),
        ] {
            assert_eq!(text(Libraries::default().load(code.as_bytes(), LOADING)), error, "{code:?}");
        }
    }

    #[test]
    fn libraries_come_and_go() {
        let mut libraries = Libraries::default();
        assert_eq!(libraries.load(&library("a", &["f", "g"]), LOADING), Ok(b"a".to_vec()));
        assert_eq!(libraries.load(&library("b", &["h"]), LOADING), Ok(b"b".to_vec()));
        assert_eq!(text(libraries.load(&library("a", &["x"]), LOADING)), "Library 'a' already exists");
        assert_eq!(text(libraries.load(&library("c", &["F"]), LOADING)), "Function F already exists");
        let twice = "Error registering functions: ERR Function already exists in the library";
        assert_eq!(text(libraries.load(&library("c", &["i", "i"]), LOADING)), twice);
        let replacing = Loading { replace: true, ..LOADING };
        assert_eq!(text(libraries.load(&library("a", &["h"]), replacing)), "Function h already exists");
        assert_eq!(shown(&libraries), "a:f,g b:h");
        assert!(libraries.load(&library("a", &["g", "x"]), replacing).is_ok());
        assert_eq!(shown(&libraries), "a:g,x b:h");
        assert!(libraries.function(b"G").is_some() && libraries.function(b"f").is_none());
        assert!(libraries.delete(b"a") && !libraries.delete(b"a"));
        assert_eq!(shown(&libraries), "b:h");
        libraries.clear(false);
        assert!(libraries.is_empty() && libraries.engine_bytes() == 0);
    }

    #[test]
    fn restored_libraries_are_all_there_or_none() {
        let mut libraries = Libraries::default();
        let both = [library("a", &["f"]), library("b", &["g"])];
        assert!(libraries.restore(&both, Policy::Append, LOADING).is_ok());
        assert_eq!(text(libraries.restore(&both, Policy::Append, LOADING)), "Library a already exists");
        let crossed = [library("a", &["g"]), library("b", &["f"])];
        assert!(libraries.restore(&crossed, Policy::Replace, LOADING).is_ok());
        assert_eq!(shown(&libraries), "a:g b:f");
        let taken = [library("c", &["x"]), library("d", &["f"])];
        assert_eq!(text(libraries.restore(&taken, Policy::Replace, LOADING)), "Function f already exists");
        let broken = [library("c", &["x"]), b"#!lua name=d\n?".to_vec()];
        assert!(text(libraries.restore(&broken, Policy::Flush, LOADING)).starts_with("Error compiling function"));
        assert_eq!(shown(&libraries), "a:g b:f");
        assert!(libraries.restore(&taken, Policy::Flush, LOADING).is_ok());
        assert_eq!(shown(&libraries), "c:x d:f");
    }

    #[test]
    fn loading_ends_in_time() {
        let endless = b"#!lua name=a\nredis.register_function('f', print) while true do end";
        let limited = Loading { limit: Some(Duration::ZERO), ..LOADING };
        let mut libraries = Libraries::default();
        let code = String::from_utf8_lossy(endless).replace("print", "function() end");
        assert!(text(libraries.load(code.as_bytes(), limited)).contains("FUNCTION LOAD timeout"));
        assert!(libraries.is_empty());
    }
}
