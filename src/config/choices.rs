//! Settings that are one of a few words, or a set of them.

use super::kind::{Field, Kind, single};

/// Declares an enum whose variants are words of a setting; `|` gives a second word for the same variant.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal $(| $other:literal)?,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every word that is accepted.
            pub const WORDS: &'static [&'static str] = &[$($word, $($other,)?)+];
            const VARIANTS: &'static [(&'static str, Self)] =
                &[$(($word, Self::$variant), $(($other, Self::$variant),)?)+];

            /// The word for this variant.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::VARIANTS[0].1
            }
        }

        impl Field for $name {
            fn assign(&mut self, _: &Kind, words: &[&str], _: bool) -> Result<(), String> {
                let word = single(words)?;
                let found = Self::VARIANTS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
                *self = found.ok_or_else(|| not_one_of(Self::WORDS))?.1;
                Ok(())
            }

            fn show(&self, _: &Kind) -> String {
                self.word().to_owned()
            }
        }
    };
}

fn not_one_of(names: &[&str]) -> String {
    format!("argument(s) must be one of the following: {}", names.join(", "))
}

choice! {
    /// How much the log tells.
    LogLevel { Debug = "debug", Verbose = "verbose", Notice = "notice", Warning = "warning", Nothing = "nothing", }
}
choice! {
    /// How a log line looks.
    LogFormat { Console = "console", Json = "json", }
}
choice! {
    /// The facility that syslog files messages under.
    SyslogFacility {
        User = "user", Local0 = "local0", Local1 = "local1", Local2 = "local2", Local3 = "local3",
        Local4 = "local4", Local5 = "local5", Local6 = "local6", Local7 = "local7",
    }
}
choice! {
    /// What is evicted when memory is full.
    EvictionPolicy {
        VolatileLru = "volatile-lru", VolatileLfu = "volatile-lfu", VolatileRandom = "volatile-random",
        VolatileTtl = "volatile-ttl", AllkeysLru = "allkeys-lru", AllkeysLfu = "allkeys-lfu",
        AllkeysRandom = "allkeys-random", AllkeysTinylfu = "allkeys-tinylfu", NoEviction = "noeviction",
    }
}
choice! {
    /// The process supervisor to report to.
    Supervised { Upstart = "upstart", Systemd = "systemd", Auto = "auto", No = "no", }
}
choice! {
    /// When the append-only file reaches the disk.
    AppendFsync { EverySecond = "everysec", Always = "always", No = "no", }
}
choice! {
    /// How a replica takes in a full sync without a file.
    DisklessLoad { Disabled = "disabled", OnEmptyDb = "on-empty-db", SwapDb = "swapdb", }
}
choice! {
    /// Whether TLS clients must show a certificate.
    TlsAuthClients { No = "no", Yes = "yes", Optional = "optional", }
}
choice! {
    /// Whether the out-of-memory scores are set, and from where they count.
    OomScoreAdj { No = "no", Relative = "yes" | "relative", Absolute = "absolute", }
}
choice! {
    /// Channels that a new ACL user may use.
    AclPubsubDefault { AllChannels = "allchannels", ResetChannels = "resetchannels", }
}
choice! {
    /// Whether RESTORE and snapshots are checked in depth while loading.
    SanitizeDumpPayload { No = "no", Yes = "yes", Clients = "clients", }
}
choice! {
    /// Who may do something dangerous.
    ProtectedAction { No = "no", Yes = "yes", Local = "local", }
}
choice! {
    /// What a cluster redirection names as the target.
    ClusterEndpointType { Ip = "ip", Hostname = "hostname", UnknownEndpoint = "unknown-endpoint", }
}
choice! {
    /// What to do when a replicated or stored command fails.
    PropagationErrorBehavior { Ignore = "ignore", Panic = "panic", PanicOnReplicas = "panic-on-replicas", }
}

impl ProtectedAction {
    /// Whether a client may; `local` says that it is connected from this host.
    pub fn allows(self, local: bool) -> bool {
        self == ProtectedAction::Yes || self == ProtectedAction::Local && local
    }
}

bitflags::bitflags! {
    /// How a signal shuts the server down; none set is the default behaviour.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct ShutdownFlags: u8 {
        /// Write a snapshot even without save points.
        const SAVE = 1;
        /// Write no snapshot.
        const NOSAVE = 2;
        /// Do not wait for replicas that lag.
        const NOW = 4;
        /// Exit even if the snapshot fails.
        const FORCE = 8;
    }

    /// Classes of keyspace events.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct KeyspaceEvents: u32 {
        /// Publish to `__keyspace@N__:KEY`.
        const KEYSPACE = 1 << 0;
        /// Publish to `__keyevent@N__:EVENT`.
        const KEYEVENT = 1 << 1;
        /// Commands of no particular type, such as DEL and RENAME.
        const GENERIC = 1 << 2;
        /// String commands.
        const STRING = 1 << 3;
        /// List commands.
        const LIST = 1 << 4;
        /// Set commands.
        const SET = 1 << 5;
        /// Hash commands.
        const HASH = 1 << 6;
        /// Sorted-set commands.
        const ZSET = 1 << 7;
        /// A key expired.
        const EXPIRED = 1 << 8;
        /// A key was evicted.
        const EVICTED = 1 << 9;
        /// Stream commands.
        const STREAM = 1 << 10;
        /// Events of modules.
        const MODULE = 1 << 11;
        /// A key was read that does not exist. Not part of `A`.
        const KEY_MISS = 1 << 12;
        /// A key came into being. Not part of `A`.
        const NEW = 1 << 13;
        /// A key was removed because one of its tags was invalidated.
        const INVALIDATED = 1 << 14;
        /// What the letter `A` stands for.
        const ALL = Self::GENERIC.bits() | Self::STRING.bits() | Self::LIST.bits() | Self::SET.bits()
            | Self::HASH.bits() | Self::ZSET.bits() | Self::EXPIRED.bits() | Self::EVICTED.bits()
            | Self::STREAM.bits() | Self::MODULE.bits() | Self::INVALIDATED.bits();
    }
}

impl ShutdownFlags {
    /// Every word that is accepted.
    pub const WORDS: &'static [&'static str] = &["default", "save", "nosave", "now", "force"];
    const LETTERS: [(&'static str, Self); 5] = [
        ("default", Self::empty()),
        ("save", Self::SAVE),
        ("nosave", Self::NOSAVE),
        ("now", Self::NOW),
        ("force", Self::FORCE),
    ];
}

impl Field for ShutdownFlags {
    fn assign(&mut self, _: &Kind, words: &[&str], _: bool) -> Result<(), String> {
        let mut flags = ShutdownFlags::empty();
        for word in words {
            let found = Self::LETTERS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
            flags |= found.ok_or_else(|| not_one_of(Self::WORDS))?.1;
        }
        if words.is_empty() {
            return Err(not_one_of(Self::WORDS));
        }
        if flags.contains(ShutdownFlags::SAVE | ShutdownFlags::NOSAVE) {
            return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".to_owned());
        }
        *self = flags;
        Ok(())
    }

    fn show(&self, _: &Kind) -> String {
        if self.is_empty() {
            return "default".to_owned();
        }
        let set = Self::LETTERS.iter().filter(|(_, flag)| !flag.is_empty() && self.contains(*flag));
        set.map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
    }
}

impl KeyspaceEvents {
    /// In the order in which they are shown.
    const LETTERS: [(char, Self); 16] = [
        ('A', Self::ALL),
        ('g', Self::GENERIC),
        ('$', Self::STRING),
        ('l', Self::LIST),
        ('s', Self::SET),
        ('h', Self::HASH),
        ('z', Self::ZSET),
        ('x', Self::EXPIRED),
        ('e', Self::EVICTED),
        ('t', Self::STREAM),
        ('d', Self::MODULE),
        ('i', Self::INVALIDATED),
        ('n', Self::NEW),
        ('K', Self::KEYSPACE),
        ('E', Self::KEYEVENT),
        ('m', Self::KEY_MISS),
    ];
}

impl Field for KeyspaceEvents {
    fn assign(&mut self, _: &Kind, words: &[&str], _: bool) -> Result<(), String> {
        let mut events = KeyspaceEvents::empty();
        for letter in single(words)?.chars() {
            let found = Self::LETTERS.iter().find(|(name, _)| *name == letter);
            events |= found.ok_or("Invalid event class character. Use 'Ag$lshzxeKEtmdni'.")?.1;
        }
        // Who names all classes that Redis has is shown an `A`, so it is what that stands for.
        if events.contains(Self::ALL.difference(Self::INVALIDATED)) {
            events |= Self::INVALIDATED;
        }
        *self = events;
        Ok(())
    }

    fn show(&self, _: &Kind) -> String {
        let mut left = *self;
        let mut letters = String::new();
        for (letter, events) in Self::LETTERS {
            if left.contains(events) {
                letters.push(letter);
                left -= events;
            }
        }
        letters
    }
}
