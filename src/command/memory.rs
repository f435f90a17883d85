//! MEMORY: where the memory goes. All figures come from the allocator's count of what is in use, from its own books, and
//! from the sizes of what the server holds; nothing is estimated but a key's share of its table.

use std::fmt::Write as _;

use super::Ctx;
use super::error::{Error, Outcome};
use super::state::Server;
use super::table::{Command, Doc, Flags, KeyFlags, KeySpec};
use crate::keyspace::entry::EntryRef;
use crate::keyspace::weight::{FIELDS_CELL_BYTES, SLOT_BYTES, WHEEL_CELL_BYTES};
use crate::memory;
use crate::net::client::Class;
use crate::observe::heap::{self, Heap};
use crate::observe::usage;
use crate::persist::aof::writer::Writer;
use crate::replication::feed::ReplicaMemory;
use crate::resp::Args;
use crate::types::number::parse_i64;

const DOC: Doc = Doc { group: "server", since: "4.0.0", ..Command::NONE.doc };
const REPORT: &[&str] = &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];

pub const COMMANDS: &[Command] = &[Command {
    name: "memory",
    arity: -2,
    doc: Doc { summary: "Holds the commands about memory.", complexity: "Depends on the subcommand.", ..DOC },
    subcommands: &[
        Command {
            name: "doctor",
            arity: 2,
            tips: REPORT,
            doc: Doc {
                summary: "Tells in words what is wrong with the use of memory.",
                complexity: "O(N) where N is the number of clients and databases.",
                ..DOC
            },
            handler: doctor,
            ..Command::NONE
        },
        Command {
            name: "help",
            arity: 2,
            flags: Flags::LOADING.union(Flags::STALE),
            doc: Doc { summary: "Lists the subcommands.", complexity: "O(1)", ..DOC },
            handler: help,
            ..Command::NONE
        },
        Command {
            name: "malloc-stats",
            arity: 2,
            tips: REPORT,
            doc: Doc {
                summary: "Prints the statistics of the allocator.",
                complexity: "O(1) as far as the data is concerned; it takes some milliseconds.",
                ..DOC
            },
            handler: malloc_stats,
            ..Command::NONE
        },
        Command {
            name: "purge",
            arity: 2,
            tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
            doc: Doc {
                summary: "Gives the allocator's unused pages back to the kernel.",
                complexity: "O(N) where N is the number of unused pages.",
                ..DOC
            },
            handler: purge,
            ..Command::NONE
        },
        Command {
            name: "stats",
            arity: 2,
            tips: REPORT,
            doc: Doc {
                summary: "Tells in numbers where the memory goes.",
                complexity: "O(N) where N is the number of clients and databases.",
                ..DOC
            },
            handler: stats,
            ..Command::NONE
        },
        Command {
            name: "usage",
            arity: -3,
            flags: Flags::READONLY,
            keys: &[KeySpec::one(2, KeyFlags::LOOKS)],
            doc: Doc {
                summary: "Tells how many bytes a key takes, its value and its place in the database included.",
                complexity: "O(N) where N is the number of samples.",
                syntax: "key [SAMPLES count]",
                ..DOC
            },
            handler: memory_usage,
            ..Command::NONE
        },
    ],
    ..Command::NONE
}];

/// What the allocator and the kernel know of the memory. To ask them takes longer than all the rest of INFO.
#[derive(Clone, Copy)]
pub struct Footprint {
    heap: Heap,
    /// In RAM, in bytes.
    resident: usize,
    /// When they are asked again, in milliseconds of uptime.
    until_ms: u64,
}

/// For so many milliseconds what they said is good enough, as in Redis.
const FOOTPRINT_MS: u64 = 100;

impl Footprint {
    /// As of now, or a moment ago.
    fn of(server: &Server) -> Footprint {
        let now_ms = server.clock.uptime_ms();
        match server.footprint.get() {
            Some(known) if now_ms < known.until_ms => known,
            _ => {
                let (heap, resident) = (heap::books(), usage::resident_bytes());
                let footprint = Footprint { heap, resident, until_ms: now_ms + FOOTPRINT_MS };
                server.footprint.set(Some(footprint));
                footprint
            }
        }
    }
}

/// Where the memory goes, at one moment. All numbers are bytes, save for the number of keys.
pub struct Account {
    /// In use, as the server counts it.
    pub used: usize,
    /// The most that was in use at any time, and what was before the first client came.
    pub peak: usize,
    pub startup: usize,
    /// Taken by clients and their buffers, those of replicas not among them.
    pub clients: usize,
    /// Taken by the replication stream and what waits for replicas.
    pub replication: ReplicaMemory,
    /// Taken by the table and by the expiry wheel of each database that was ever used.
    pub databases: Vec<(usize, usize, usize)>,
    /// Taken by the scripts that are known, and by libraries of functions, besides what they take in their interpreters.
    pub scripts: usize,
    pub functions: usize,
    pub keys: usize,
    pub heap: Heap,
    /// In RAM.
    pub resident: usize,
}

impl Account {
    /// Adds up what there is now.
    pub fn new(cx: &Ctx<'_>) -> Account {
        let server = &cx.server;
        let used = memory::used();
        let footprint = Footprint::of(server);
        let others = server.clients.iter().filter(|(_, client)| client.class() != Class::Replica);
        let clients: usize = others.map(|(token, _)| server.client_bytes(token)).sum();
        let databases = (0..server.keys.databases()).filter_map(|db| Some((db, server.keys.database(db)?)));
        Account {
            used,
            peak: server.peak_memory.max(used),
            startup: server.startup_memory,
            // While a client's command runs, its replies are here.
            clients: clients + cx.reply.out.memory_bytes(),
            replication: server.replica_memory(),
            scripts: server.scripts.cache.memory_bytes(),
            functions: server.functions.memory_bytes(),
            keys: databases.clone().map(|(_, database)| database.len()).sum(),
            databases: databases
                .map(|(db, database)| {
                    let (table, wheel) = database.overhead_bytes();
                    (db, table, wheel)
                })
                .collect(),
            heap: footprint.heap,
            resident: footprint.resident,
        }
    }

    /// What is not the data itself.
    pub fn overhead(&self) -> usize {
        let replication = self.replication.backlog + self.replication.clients;
        self.startup + self.clients + replication + self.scripts + self.functions + self.tables()
    }

    /// The tables and wheels of all databases.
    pub fn tables(&self) -> usize {
        self.databases.iter().map(|(_, table, wheel)| table + wheel).sum()
    }

    /// The data itself.
    pub fn dataset(&self) -> usize {
        self.used.saturating_sub(self.overhead())
    }

    /// What has come since the start.
    fn net(&self) -> usize {
        self.used.saturating_sub(self.startup)
    }

    /// The data's part of what has come since the start.
    pub fn dataset_percent(&self) -> f64 {
        100.0 * ratio(self.dataset(), self.net())
    }

    /// The part of the peak that is still in use.
    pub fn peak_percent(&self) -> f64 {
        100.0 * ratio(self.used, self.peak)
    }

    /// Ratio and difference of what is in RAM to what is in use.
    pub fn fragmentation(&self) -> (f64, i64) {
        over(self.resident, self.used)
    }

    /// The same of the allocator's pages in use to its blocks in use: what is lost between blocks.
    pub fn heap_fragmentation(&self) -> (f64, i64) {
        over(self.heap.active, self.heap.allocated)
    }

    /// The same of the allocator's pages in RAM to its pages in use: what it keeps for later.
    pub fn heap_resident(&self) -> (f64, i64) {
        over(self.heap.resident, self.heap.active)
    }

    /// The same of what is in RAM to the allocator's part of it: code, stacks and the like.
    pub fn beside_heap(&self) -> (f64, i64) {
        over(self.resident, self.heap.resident)
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn over(larger: usize, smaller: usize) -> (f64, i64) {
    (ratio(larger, smaller), larger as i64 - smaller as i64)
}

/// Below this use of memory there is nothing to diagnose, in bytes.
const TOO_SMALL: usize = 5 << 20;
/// Losses below this are not worth a word, in bytes.
const WORTH_A_WORD: i64 = 10 << 20;
/// A ratio above which memory counts as lost.
const HIGH_RATIO: f64 = 1.4;
/// So much memory for each client is a lot, in bytes.
const LARGE_CLIENT: usize = 200 << 10;

fn doctor(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    let account = Account::new(cx);
    let text = diagnosis(&account, cx.server.clients.len());
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn diagnosis(account: &Account, clients: usize) -> String {
    if account.used < TOO_SMALL {
        return "There is too little data to tell anything from it.\n".to_string();
    }
    let mut found = Vec::new();
    if account.peak as f64 > 1.5 * account.used as f64 {
        found.push(format!(
            "The peak was {} bytes, much more than the {} bytes in use now. The kernel may not have got the difference \
             back, so the resident size may look too large. MEMORY PURGE gives back what is free.",
            account.peak, account.used
        ));
    }
    let (all, all_bytes) = account.fragmentation();
    let causes = [
        (account.heap_fragmentation(), "of the allocator's pages are half empty: values of changing sizes leave gaps"),
        (account.heap_resident(), "are free pages that the allocator keeps for later: MEMORY PURGE gives them back"),
        (account.beside_heap(), "belong to the process but not to the allocator: code, stacks, buffers of libraries"),
    ];
    let causes: Vec<_> =
        causes.iter().filter(|((ratio, bytes), _)| *ratio > HIGH_RATIO && *bytes > WORTH_A_WORD).collect();
    if all > HIGH_RATIO && all_bytes > WORTH_A_WORD && causes.is_empty() {
        found.push(format!("The process holds {all:.2} times the memory that is in use, {all_bytes} bytes too much."));
    }
    found.extend(causes.into_iter().map(|((_, bytes), cause)| format!("{bytes} bytes {cause}.")));
    if clients > 0 && account.clients / clients > LARGE_CLIENT {
        found.push(format!(
            "{clients} clients take {} bytes. Some may be reading too slowly: CLIENT LIST tells by omem and qbuf.",
            account.clients
        ));
    }
    if found.is_empty() {
        return "Nothing is wrong with the use of memory.\n".to_string();
    }
    let mut text = String::from("The use of memory could be better:\n\n");
    for point in found {
        let written = writeln!(text, " * {point}");
        debug_assert!(written.is_ok());
    }
    text
}

fn help(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    cx.help(
        args,
        &[
            "DOCTOR",
            "    Tell in words what is wrong with the use of memory.",
            "MALLOC-STATS",
            "    Print the statistics of the allocator.",
            "PURGE",
            "    Give the allocator's unused pages back to the kernel.",
            "STATS",
            "    Tell in numbers where the memory goes.",
            "USAGE <key> [SAMPLES <count>]",
            "    Tell how many bytes a key takes. Of a value with many members, <count> are",
            "    looked at; 0 stands for all, 5 is the default.",
        ],
    )
}

fn malloc_stats(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    cx.reply.verbatim("txt", &heap::report());
    Ok(())
}

fn purge(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    memory::give_back_free_pages();
    cx.server.footprint.set(None);
    cx.reply.ok();
    Ok(())
}

fn stats(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    enum Figure {
        Bytes(usize),
        Signed(i64),
        Fraction(f64),
        Database(usize, usize),
    }
    use Figure::{Bytes, Database, Fraction, Signed};

    let account = Account::new(cx);
    let mut figures = vec![
        ("peak.allocated".to_string(), Bytes(account.peak)),
        ("total.allocated".to_string(), Bytes(account.used)),
        ("startup.allocated".to_string(), Bytes(account.startup)),
        ("replication.backlog".to_string(), Bytes(account.replication.backlog)),
        ("clients.slaves".to_string(), Bytes(account.replication.clients)),
        ("clients.normal".to_string(), Bytes(account.clients)),
        // Nothing is clustered.
        ("cluster.links".to_string(), Bytes(0)),
        ("aof.buffer".to_string(), Bytes(cx.server.aof.writer().map_or(0, Writer::buffered))),
        ("lua.caches".to_string(), Bytes(account.scripts)),
        ("functions.caches".to_string(), Bytes(account.functions)),
    ];
    let directory = cx.server.keys.directory();
    let databases = account.databases.iter().filter(|(db, ..)| !directory.is_hidden(*db));
    figures.extend(databases.map(|(db, table, wheel)| {
        let name = directory.own_name(*db).map_or_else(|| db.to_string(), str::to_owned);
        (format!("db.{name}"), Database(*table, *wheel))
    }));
    let (fragmentation, fragmentation_bytes) = account.fragmentation();
    let (heap_fragmentation, heap_fragmentation_bytes) = account.heap_fragmentation();
    let (heap_resident, heap_resident_bytes) = account.heap_resident();
    let (beside_heap, beside_heap_bytes) = account.beside_heap();
    let rest = [
        ("overhead.db.hashtable.lut", Bytes(account.tables())),
        // A table grows segment by segment: nothing is ever held twice.
        ("overhead.db.hashtable.rehashing", Bytes(0)),
        ("overhead.total", Bytes(account.overhead())),
        ("db.dict.rehashing.count", Bytes(0)),
        ("keys.count", Bytes(account.keys)),
        ("keys.bytes-per-key", Bytes(account.net().checked_div(account.keys).unwrap_or(0))),
        ("dataset.bytes", Bytes(account.dataset())),
        ("dataset.percentage", Fraction(account.dataset_percent())),
        ("peak.percentage", Fraction(account.peak_percent())),
        ("allocator.allocated", Bytes(account.heap.allocated)),
        ("allocator.active", Bytes(account.heap.active)),
        ("allocator.resident", Bytes(account.heap.resident)),
        ("allocator.muzzy", Bytes(account.heap.muzzy)),
        ("allocator-fragmentation.ratio", Fraction(heap_fragmentation)),
        ("allocator-fragmentation.bytes", Signed(heap_fragmentation_bytes)),
        ("allocator-rss.ratio", Fraction(heap_resident)),
        ("allocator-rss.bytes", Signed(heap_resident_bytes)),
        ("rss-overhead.ratio", Fraction(beside_heap)),
        ("rss-overhead.bytes", Signed(beside_heap_bytes)),
        ("fragmentation", Fraction(fragmentation)),
        ("fragmentation.bytes", Signed(fragmentation_bytes)),
    ];
    figures.extend(rest.into_iter().map(|(name, figure)| (name.to_string(), figure)));

    let reply = &mut cx.reply;
    reply.map(figures.len());
    for (name, figure) in figures {
        reply.bulk(name.as_bytes());
        match figure {
            Bytes(bytes) => reply.count(bytes),
            Signed(bytes) => reply.integer(bytes),
            Fraction(fraction) => reply.double(fraction),
            Database(table, wheel) => {
                reply.map(2);
                reply.bulk(b"overhead.hashtable.main");
                reply.count(table);
                reply.bulk(b"overhead.hashtable.expires");
                reply.count(wheel);
            }
        }
    }
    Ok(())
}

/// Bytes of memory that a key takes: its entry's block, its value where that lives outside, its share of the table, and
/// of what knows when it or its fields expire.
fn key_bytes(entry: EntryRef<'_>) -> usize {
    let value = entry.object().map_or(0, |object| object.memory_bytes());
    let wheel = if entry.deadline().is_some() { WHEEL_CELL_BYTES } else { 0 };
    let fields = if entry.earliest_field().is_some() { FIELDS_CELL_BYTES } else { 0 };
    let tags = entry.tag_bytes() + size_of_val(entry.tags());
    entry.block_bytes() + value + SLOT_BYTES + wheel + fields + tags
}

fn memory_usage(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    for at in (3..args.len()).step_by(2) {
        let count = args.get(at + 1).filter(|_| args[at].eq_ignore_ascii_case(b"samples")).ok_or(Error::SYNTAX)?;
        // Strings have no members to sample.
        if parse_i64(count).ok_or(Error::NOT_AN_INTEGER)? < 0 {
            return Err(Error::SYNTAX);
        }
    }
    let key = cx.key(args, 2);
    match cx.server.keys.peek(cx.db, key) {
        Some(entry) => cx.reply.count(key_bytes(entry)),
        None => cx.reply.null(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: usize = 1 << 20;

    fn account() -> Account {
        Account {
            used: 100 * MB,
            peak: 100 * MB,
            startup: MB,
            replication: ReplicaMemory::default(),
            clients: MB,
            databases: vec![(0, 8 * MB, 2 * MB)],
            scripts: 0,
            functions: 0,
            keys: 1_000_000,
            heap: Heap { allocated: 101 * MB, active: 105 * MB, resident: 110 * MB, muzzy: 0 },
            resident: 120 * MB,
        }
    }

    #[test]
    fn the_parts_add_up() {
        let account = account();
        assert_eq!(account.overhead() + account.dataset(), account.used);
        assert_eq!(account.dataset(), 88 * MB);
        assert_eq!(account.fragmentation(), (1.2, 20 * MB as i64));
    }

    #[test]
    fn an_empty_server_divides_by_nothing() {
        let account = Account { used: 0, peak: 0, startup: MB, heap: Heap::default(), resident: 0, ..account() };
        assert_eq!((account.dataset(), account.dataset_percent(), account.peak_percent()), (0, 0.0, 0.0));
        assert_eq!(account.fragmentation(), (0.0, 0));
    }

    #[test]
    fn the_doctor_finds_what_is_wrong() {
        let heap = account().heap;
        let cases = [
            (Account { used: MB, ..account() }, 1, "too little data"),
            (account(), 50, "Nothing is wrong"),
            (Account { peak: 200 * MB, ..account() }, 1, "The peak was"),
            (Account { heap: Heap { active: 200 * MB, ..heap }, ..account() }, 50, "half empty"),
            (Account { heap: Heap { resident: 200 * MB, ..heap }, ..account() }, 50, "keeps for later"),
            (Account { resident: 200 * MB, ..account() }, 50, "not to the allocator"),
            (Account { resident: 143 * MB, ..account() }, 50, "1.43 times the memory"),
            (Account { clients: 10 * MB, ..account() }, 2, "2 clients take"),
        ];
        for (account, clients, expected) in cases {
            let text = diagnosis(&account, clients);
            assert!(text.contains(expected), "{text:?} does not say {expected:?}");
        }
    }
}
