//! For tests: a seeded source of valid values, and directories that vanish.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// xorshift64*, seeded.
pub struct Random(u64);

impl Random {
    pub fn seeded(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % bound
    }

    fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len() as u64) as usize]
    }

    fn many(&mut self, most: u64, mut item: impl FnMut(&mut Random) -> String) -> String {
        let count = self.below(most + 1);
        (0..count).map(|_| item(self)).collect::<Vec<_>>().join(" ")
    }

    fn text(&mut self) -> String {
        let letters: Vec<char> = "abcXYZ019-_./:#'\"\\ {}[],&*!|>%@`\t\n\u{7}\u{1b}éß日😀".chars().collect();
        let length = self.below(12);
        (0..length).map(|_| letters[self.below(letters.len() as u64) as usize]).collect()
    }

    /// A value that this setting accepts, as CONFIG SET takes it.
    pub fn value(&mut self, setting: &Setting) -> String {
        match setting.kind {
            Kind::YesNo => self.pick(&["yes", "no", "YES"]).to_owned(),
            Kind::Integer { min, max } => {
                let span = (max as i128 - min as i128).min(u64::MAX as i128 - 1) as u64 + 1;
                let near = self.below(span.min(1000));
                let offset = if self.below(2) == 0 { near } else { self.below(span) };
                (min as i128 + offset as i128).to_string()
            }
            Kind::Memory { min, max } => match self.below(3) {
                0 => min.to_string(),
                1 => max.to_string(),
                _ => format!("{}{}", 1024 + self.below(5000), self.pick(&["kb", "mb", "m", "GB"])),
            },
            Kind::MemoryOrPercent => format!("{}{}", self.below(101), self.pick(&["", "mb", "%"])),
            Kind::Octal { max } => format!("{:o}", self.below(u64::from(max) + 1)),
            Kind::Choice(words) => self.pick(words).to_owned(),
            Kind::Choices(_) => self.pick(&["default", "save now", "force nosave", "now"]).to_owned(),
            Kind::Text(check) => {
                let candidates = (0..50).map(|_| self.text());
                let fitting = candidates.filter(|text| check(text).is_ok()).last();
                fitting.unwrap_or_else(|| setting.default.to_owned())
            }
            Kind::Directory => self.pick(&[".", "/", "/tmp"]).to_owned(),
            Kind::Words { .. } => {
                self.many(5, |random| random.pick(&["*", "-::*", "127.0.0.1", "a:1", "#x"]).to_owned())
            }
            Kind::SavePoints => self.many(4, |random| format!("{} {}", 1 + random.below(90_000), random.below(4))),
            Kind::OutputBufferLimits => self.many(3, |random| {
                format!("{} {}mb 10 60", random.pick(&["normal", "replica", "pubsub"]), random.below(9))
            }),
            Kind::OomScores => format!("{} 0 {}", self.below(2001), -(self.below(2001) as i64)),
            Kind::Percentiles => self.many(4, |random| format!("{}.{}", random.below(100), random.below(1000))),
            Kind::EventClasses => self.pick(&["", "KEA", "Kg$lshzxetdn", "AKEmn", "xE"]).to_owned(),
            Kind::Endpoint => self.pick(&["no one", "10.0.0.1 6379", "host.example 0"]).to_owned(),
            Kind::Namespaces => {
                self.many(3, |random| format!("n{} {}m {}kb", random.below(5), random.below(99), random.below(99)))
            }
            Kind::Lines { .. } | Kind::Users => unreachable!("directives have no value for CONFIG SET"),
        }
    }

    /// Settings of which about one in `rarity` has a random value.
    pub fn settings(&mut self, rarity: u64) -> Settings {
        let mut settings = Settings::default();
        for setting in SETTINGS.iter().filter(|setting| !setting.kind.is_directive()) {
            if self.below(rarity) == 0 {
                let value = self.value(setting);
                let assigned = settings.assign_line(setting, &value);
                assert_eq!(assigned, Ok(()), "{} {value:?}", setting.name);
            }
        }
        settings.memory_pressure_critical = settings.memory_pressure_critical.max(settings.memory_pressure_warning);
        if settings.cluster_enabled {
            settings.replicaof = None;
        }
        settings.settle();
        settings
    }
}

/// A directory of its own for one test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("cachestorm-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// Writes a file, with the folders above it, and returns its path.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Differences between two settings, for messages.
pub fn differences(left: &Settings, right: &Settings) -> Vec<(&'static str, String, String)> {
    let rows = SETTINGS.iter().map(|row| (row.name, left.value(row), right.value(row)));
    rows.filter(|(_, left, right)| left != right).collect()
}
