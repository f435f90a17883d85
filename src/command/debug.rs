//! DEBUG: looking inside, and making things happen that tests wait for. It is one command to the table, it is off unless
//! `enable-debug-command` allows it, and nothing here is a promise to applications.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::hint::black_box;
use std::io;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use super::digest;
use super::error::{Error, Outcome};
use super::load::{Manner, load_now};
use super::save::{Purpose, give_up, save_now};
use super::script::NO_SCRIPT;
use super::server;
use super::state::DebugSwitches;
use super::table::{Command, Doc, Flags};
use super::{Ctx, UNKNOWN_SHOWN};
use crate::config::parse_size;
use crate::effects::Event;
use crate::keyspace::entry::{Encoding, Object, Type};
use crate::keyspace::hashmap::HashView;
use crate::keyspace::{Expiry, Overdue, StringValue, Touch};
use crate::net::Client;
use crate::observe::heap::{self, NewText};
use crate::observe::process;
use crate::resp::{Args, Proto};
use crate::script::Sha;
use crate::types::glob;
use crate::types::listpack;
use crate::types::number::{hex, parse_f64, parse_i64};
use crate::types::quicklist::List;
use crate::types::set::SetRef;
use crate::types::stream::{Id, Stream};
use crate::types::zset::ZsetRef;

pub const COMMANDS: &[Command] = &[Command {
    name: "debug",
    arity: -2,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE).union(Flags::DEBUG_GATE),
    doc: Doc {
        summary: "Holds the commands that look inside the server.",
        since: "1.0.0",
        group: "server",
        complexity: "Depends on the subcommand.",
        internal: true,
        ..Command::NONE.doc
    },
    handler: debug,
    ..Command::NONE
}];

/// The largest threshold that QUICKLIST-PACKED-THRESHOLD takes, in bytes: a little below 4 GiB.
const PLAIN_FROM_MAX: u64 = (1 << 32) - (1 << 20);

const HELP: &[&str] = &[
    "ASSERT",
    "    Crash by a failed assertion.",
    "CHANGE-REPL-ID",
    "    Give the stream of changes another name: replicas that come back need all data.",
    "CLIENT-EVICTION",
    "    Tell what clients take by their size, if there is a limit for all together.",
    "CLUSTERLINK KILL <to|from|all> <node-id>",
    "    Refused: there is no cluster.",
    "CONFIG-REWRITE-FORCE-ALL",
    "    Write all settings into the settings file, those at their defaults, too.",
    "CRASH-AND-RECOVER [<milliseconds>]",
    "    Stop where it stands, saving nothing, and start again after a delay.",
    "DICT-RESIZING <0|1>",
    "    Accepted, but without effect: tables grow and shrink piece by piece.",
    "DIGEST",
    "    Answer a signature of all data.",
    "DIGEST-VALUE <key> [<key> ...]",
    "    Answer a signature of each key's value.",
    "DROP-CLUSTER-PACKET-FILTER <packet-type>",
    "    Accepted, but without effect: there is no cluster.",
    "ERROR <text>",
    "    Answer an error with this text.",
    "AOF-FLUSH-SLEEP <microseconds>",
    "    Sleep before each write to the append-only file.",
    "HTSTATS <dbid> [full]",
    "    Tell the sizes of a database's table and of its expiry wheel.",
    "HTSTATS-KEY <key> [full]",
    "    Tell the sizes of the table that a key's value is kept in.",
    "LEAK <text>",
    "    Lose memory of the size of this text.",
    "LISTPACK <key>",
    "    Write the elements of a listpack to the log.",
    "LOADAOF",
    "    Drop all data and load the append-only file.",
    "LOG <message>",
    "    Write a line to the log.",
    "MALLCTL <name> [<number>]",
    "    Answer one of the allocator's numbers, and set it.",
    "MALLCTL-STR <name> [<text>]",
    "    Answer one of the allocator's texts, and set it; with VOID, do what the name stands for.",
    "OBJECT <key>",
    "    Tell how a key is kept.",
    "OOM",
    "    Ask for more memory than there can be, and crash.",
    "PANIC",
    "    Crash by a panic.",
    "PAUSE-CRON <0|1>",
    "    Let the periodic work rest.",
    "POPULATE <count> [<prefix>] [<size>]",
    "    Create keys <prefix>:<number>, `key` being the usual prefix, with values",
    "    value:<number>, filled up with zeros or cut to <size> bytes.",
    "PROTOCOL <type>",
    "    Answer a reply of this type: string, integer, double, bignum, null, array, set,",
    "    map, attrib, push, verbatim, true or false.",
    "QUICKLIST <key> [<0|1>]",
    "    Write the nodes of a long list to the log, with 1 their elements, too.",
    "QUICKLIST-PACKED-THRESHOLD <size>",
    "    From this size on, elements of new long lists become nodes by themselves; 0 lets the settings decide.",
    "RELOAD [option ...]",
    "    Write a snapshot, delete all keys, and take the snapshot in again. With NOSAVE the file",
    "    is taken as it is; with NOFLUSH the keys stay, and must not be in it; with MERGE those that",
    "    are in it are replaced.",
    "REPLICATE <command> [<arg> ...]",
    "    Send a command to the replicas as it is.",
    "REPLYBUFFER PEAK-RESET-TIME <never|reset|milliseconds>",
    "    Set after which time the peak of a reply buffer is forgotten; `reset` is the default.",
    "REPLYBUFFER RESIZING <0|1>",
    "    Let reply buffers change their size.",
    "RESTART [<milliseconds>]",
    "    End in good order, with the settings and the data written, and start again after a delay.",
    "SCRIPT <LIST|<sha1>>",
    "    Write the SHA-1 of all scripts, or of one, to the log, with the size of its text.",
    "SDSLEN <key>",
    "    Tell the lengths and the memory of a key and its string.",
    "SEGFAULT",
    "    Crash by a wrong memory access.",
    "SET-DISABLE-DENY-SCRIPTS <0|1>",
    "    Let scripts call any command, or not.",
    "SET-ACTIVE-EXPIRE <0|1>",
    "    Let keys that have expired be removed ahead of being looked at.",
    "SET-SKIP-CHECKSUM-VALIDATION <0|1>",
    "    Let RESTORE take payloads with wrong checksums.",
    "SLEEP <seconds>",
    "    Stop the server for so long. Fractions are allowed.",
    "STRINGMATCH-TEST",
    "    Match random texts with random patterns.",
    "STRUCTSIZE",
    "    Tell the sizes of some structures, in bytes.",
];

fn debug(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let subcommand = args[1].to_ascii_uppercase();
    match (subcommand.as_slice(), args.len() - 2) {
        (b"AOF-FLUSH-SLEEP", 1) => {
            let microseconds = parse_i64(&args[2]).and_then(|number| u64::try_from(number).ok());
            cx.server.aof.flush_sleep_us = microseconds.ok_or(Error::NOT_AN_INTEGER)?;
        }
        (b"ASSERT", 0) => panic!("assertion failed: DEBUG ASSERT was not called"),
        (b"CHANGE-REPL-ID", 0) => {
            log::info!("Changing replication IDs after receiving DEBUG change-repl-id");
            cx.server.replication.begin_stream();
        }
        (b"CLIENT-EVICTION", 0) => return client_sizes(cx),
        (b"CLUSTERLINK", 3) if args[2].eq_ignore_ascii_case(b"kill") => {
            return Err(Error::fixed("ERR Debug option only available for cluster mode enabled setup!"));
        }
        (b"CONFIG-REWRITE-FORCE-ALL", 0) => {
            let file = cx.server.source.file.as_ref();
            let file = file.ok_or(Error::fixed("ERR The server is running without a config file"))?;
            let written = cx.server.settings.rewrite(file, true);
            written.map_err(|error| Error::new(format!("ERR CONFIG-REWRITE-FORCE-ALL failed: {error}")))?;
        }
        (b"CRASH-AND-RECOVER", 0 | 1) => {
            let delay = delay(args)?;
            log::warn!("Crashing and starting again for DEBUG CRASH-AND-RECOVER");
            return Err(not_restarted(&process::restart(delay)));
        }
        (b"DICT-RESIZING", 1) => {}
        (b"DIGEST", 0) => {
            let digest = digest::of_all(&mut cx.server.keys);
            cx.reply.status(&hex(&digest));
            return Ok(());
        }
        (b"DIGEST-VALUE", _) => return digest_values(cx, args),
        (b"DROP-CLUSTER-PACKET-FILTER", 1) => drop(parse_i64(&args[2]).ok_or(Error::NOT_AN_INTEGER)?),
        (b"ERROR", 1) => {
            cx.reply.error(&args[2]);
            return Ok(());
        }
        (b"HELP", 0) => return cx.help(args, HELP),
        (b"HTSTATS", 1 | 2) => return table_sizes(cx, args),
        (b"HTSTATS-KEY", 1 | 2) => return key_table_sizes(cx, args),
        (b"LEAK", 1) => drop(args[2].to_vec().leak()),
        (b"LISTPACK", 1) => return log_listpack(cx, args),
        // It would take the place of what is loading.
        (b"LOADAOF" | b"RELOAD", _) if cx.server.loading.is_some() => return Err(Error::LOADING),
        (b"LOADAOF", 0) => cx.server.reload_aof().map_err(|why| {
            log::warn!("{why}");
            Error::fixed("ERR Error trying to load the AOF files, check server logs.")
        })?,
        (b"LOG", 1) => log::warn!("DEBUG LOG: {}", String::from_utf8_lossy(&args[2])),
        (b"MALLCTL", 1 | 2) => return mallctl(cx, args),
        (b"MALLCTL-STR", 1 | 2) => return mallctl_text(cx, args),
        (b"OBJECT", 1) => {
            // A key whose time is over is shown, too, as long as it is there.
            let before = cx.server.keys.set_overdue(Overdue::Ignored);
            let shown = object(cx, args);
            cx.server.keys.set_overdue(before);
            return shown;
        }
        (b"OOM", 0) => drop(black_box(Vec::<u8>::with_capacity(isize::MAX as usize))),
        (b"PANIC", 0) => panic!("DEBUG PANIC was called"),
        (b"PAUSE-CRON", 1) => cx.server.debug.pause_cron = is_on(&args[2]),
        (b"POPULATE", 1..=3) => populate(cx, args)?,
        (b"PROTOCOL", 1) => return protocol(cx, args),
        (b"QUICKLIST", 1 | 2) => return log_quicklist(cx, args),
        (b"QUICKLIST-PACKED-THRESHOLD", 1) => {
            let bytes = std::str::from_utf8(&args[2]).ok().and_then(parse_size);
            let bytes = bytes
                .filter(|&bytes| bytes <= PLAIN_FROM_MAX)
                .ok_or(Error::fixed("ERR argument must be a memory value bigger than 1 and smaller than 4gb"));
            cx.server.debug.plain_list_nodes_from = bytes? as usize;
        }
        (b"RELOAD", _) => reload(cx, args)?,
        (b"REPLICATE", 1..) => {
            let db = cx.db;
            cx.server.keys.effects.journal.append_message(db, args.iter_from(2));
        }
        (b"REPLYBUFFER", 2) => reply_buffer(cx, args)?,
        (b"RESTART", 0 | 1) => return restart(cx, args),
        (b"SCRIPT", 1) => log_scripts(cx, args)?,
        (b"SDSLEN", 1) => return string_memory(cx, args),
        (b"SEGFAULT", 0) => segfault(),
        (b"SET-SKIP-CHECKSUM-VALIDATION", 1) => cx.server.debug.skip_checksums = is_on(&args[2]),
        (b"SET-DISABLE-DENY-SCRIPTS", 1) => cx.server.scripts.all_commands = is_on(&args[2]),
        (b"SET-ACTIVE-EXPIRE", 1) => cx.server.keys.active_expiry = is_on(&args[2]),
        (b"SLEEP", 1) => {
            let seconds = parse_f64(&args[2]).unwrap_or(0.0);
            thread::sleep(Duration::try_from_secs_f64(seconds).unwrap_or_default());
            cx.look_at_clock();
        }
        (b"STRINGMATCH-TEST", 0) => {
            match_at_random(cx.server.clock.unix_us);
            cx.reply.status("Apparently Redis did not crash: test passed");
            return Ok(());
        }
        (b"STRUCTSIZE", 0) => {
            let (object, client) = (size_of::<Object>(), size_of::<Client>());
            cx.reply.bulk(format!("bits:{} slot:8 object:{object} client:{client} ", usize::BITS).as_bytes());
            return Ok(());
        }
        _ => return Err(unknown(&args[1])),
    }
    cx.reply.ok();
    Ok(())
}

fn unknown(subcommand: &[u8]) -> Error {
    let shown = &subcommand[..subcommand.len().min(UNKNOWN_SHOWN)];
    let text = [b"ERR unknown subcommand or wrong number of arguments for '", shown, b"'. Try DEBUG HELP."];
    Error::new(text.concat())
}

/// Answers the digest of each key's value, of keys whose time is over, too, as long as they are there.
fn digest_values(cx: &mut Ctx<'_>, args: &Args<'_>) -> Outcome {
    cx.reply.array(args.len() - 2);
    let before = cx.server.keys.set_overdue(Overdue::Ignored);
    for at in 2..args.len() {
        let key = cx.key(args, at);
        let digest = cx.server.keys.peek(cx.db, key).map_or([0; 20], digest::of_value);
        cx.reply.status(&hex(&digest));
    }
    cx.server.keys.set_overdue(before);
    Ok(())
}

/// The delay before a restart, in milliseconds in the command; none where it is negative.
fn delay(args: &Args<'_>) -> Result<Duration, Error> {
    let milliseconds = args.get(2).map_or(Some(0), parse_i64).ok_or(Error::NOT_AN_INTEGER)?;
    Ok(Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0)))
}

/// Ends the server in good order and starts it again.
fn restart(cx: &mut Ctx<'_>, args: &Args<'_>) -> Outcome {
    let delay = delay(args)?;
    if let Some(file) = cx.server.source.file.clone() {
        cx.server.write_settings(&file).map_err(|error| not_restarted(&error))?;
    }
    server::restart(cx, args, delay)
}

fn not_restarted(error: &io::Error) -> Error {
    log::warn!("Can't restart: {error}");
    Error::fixed("ERR failed to restart the server. Check server logs.")
}

/// Whether a switch's word is a number other than 0.
fn is_on(word: &[u8]) -> bool {
    parse_i64(word).is_some_and(|number| number != 0)
}

/// Crashes as a wrong memory access does.
fn segfault() -> ! {
    match signal_hook::low_level::raise(libc::SIGSEGV) {
        Ok(()) => std::process::abort(),
        Err(error) => panic!("SIGSEGV could not be raised: {error}"),
    }
}

// --- how much of a snapshot values take ---------------------------------------------------------------------------------

/// How many bytes a hash takes in a snapshot: as a listpack with Redis' header, or field by field behind their number.
fn hash_serialized_bytes(hash: HashView<'_>, encoding: Encoding) -> usize {
    match hash {
        HashView::Compact(bytes, _) if !encoding.is_outgrown() => text_bytes(bytes.len() + 5),
        hash => {
            let mut bytes = count_bytes(hash.len());
            // A deadline is written relative to the earliest, as a number of its own.
            let deadline = hash.earliest().map_or(0, |_| 8);
            hash.each(|name, value, _| {
                bytes += deadline + name.with_bytes(serialized_bytes) + value.with_bytes(serialized_bytes);
            });
            bytes
        }
    }
}

/// How many bytes a stream takes in a snapshot: its nodes under their IDs, the numbers beside them, and the groups.
fn stream_serialized_bytes(stream: &Stream) -> usize {
    const ID: usize = 16;
    let number = |number: u64| if number > u64::from(u32::MAX) { 9 } else { count_bytes(number as usize) };
    let numbers = |id: Id| number(id.ms) + number(id.seq);
    let (log, counters) = (&stream.log, stream.log.counters());
    let nodes = log.nodes().map(|(_, bytes)| text_bytes(ID) + text_bytes(bytes.len() + 5));
    let mut bytes = count_bytes(log.node_count()) + nodes.sum::<usize>() + number(log.len());
    bytes += numbers(counters.last_id) + numbers(log.first_id()) + numbers(counters.max_deleted_id);
    bytes += number(counters.entries_added) + count_bytes(stream.groups.len());
    for (name, group) in &stream.groups {
        bytes += text_bytes(name.len()) + numbers(group.last_id) + number(group.entries_read.unwrap_or(-1) as u64);
        bytes += count_bytes(group.pending_len()) + count_bytes(group.consumers_len());
        // Eight bytes for the time of delivery, and for both times of a consumer.
        bytes += group.pending_from(Id::MIN).map(|(_, one)| ID + 8 + number(one.deliveries)).sum::<usize>();
        for consumer in group.consumers() {
            bytes += text_bytes(consumer.name().len()) + 16;
            bytes += count_bytes(consumer.pending_len()) + ID * consumer.pending_len();
        }
    }
    bytes
}

// --- how things are kept --------------------------------------------------------------------------------------

/// What the allocator calls by a name.
fn allocator_name<'a>(args: &'a Args<'_>) -> Result<&'a str, Error> {
    str::from_utf8(&args[2]).map_err(|_| Error::fixed("ERR No such file or directory"))
}

fn refused(why: heap::Refusal) -> Error {
    Error::new(format!("ERR {why}"))
}

fn mallctl(cx: &mut Ctx<'_>, args: &Args<'_>) -> Outcome {
    let new = args.get(3).map(|new| parse_i64(new).ok_or(Error::NOT_AN_INTEGER)).transpose()?;
    match heap::exchange(allocator_name(args)?, new).map_err(refused)? {
        Some(old) => cx.reply.integer(old),
        None => cx.reply.ok(),
    }
    Ok(())
}

fn mallctl_text(cx: &mut Ctx<'_>, args: &Args<'_>) -> Outcome {
    let new = match args.get(3) {
        None => NewText::Old,
        Some(b"VOID") => NewText::Void,
        Some(new) => NewText::These(str::from_utf8(new).map_err(|_| Error::fixed("ERR Invalid argument"))?),
    };
    match heap::exchange_text(allocator_name(args)?, new).map_err(refused)? {
        Some(old) => cx.reply.bulk(&old),
        None => cx.reply.ok(),
    }
    Ok(())
}

fn object(cx: &mut Ctx<'_>, args: &Args<'_>) -> Outcome {
    let now_ms = cx.server.keys.now_ms();
    let clock = cx.server.keys.access;
    let key = cx.key(args, 2);
    let entry = cx.server.keys.peek(cx.db, key).ok_or(Error::NO_SUCH_KEY)?;
    let references = match entry.object() {
        Some(Object::Blob(blob)) => Rc::strong_count(blob),
        _ => 1,
    };
    let serialized = match (entry.list(), entry.set()) {
        // As a listpack with Redis' header, or as such listpacks with a byte before each that tells what it is.
        (Some(List::Compact(bytes)), _) => text_bytes(bytes.len() + 5),
        (_, Some(SetRef::List(bytes))) if !entry.encoding().is_outgrown() => text_bytes(bytes.len() + 5),
        (Some(List::Nodes(list)), _) => list.node_sizes().map(|size| 1 + text_bytes(size)).sum(),
        // Redis' header is seven bytes longer than ours.
        (_, Some(SetRef::Ints(bytes))) => text_bytes(bytes.len() + 7),
        (_, Some(set)) => {
            count_bytes(set.len()) + set.iter().map(|member| member.with_bytes(serialized_bytes)).sum::<usize>()
        }
        (None, None) => match HashView::of(entry) {
            Some(hash) => hash_serialized_bytes(hash, entry.encoding()),
            None => match entry.zset() {
                Some(ZsetRef::List(bytes)) => text_bytes(bytes.len() + 5),
                // Scores take eight bytes each.
                Some(ZsetRef::Tree(tree)) => {
                    let members = tree.iter(0..tree.len()).map(|entry| serialized_bytes(entry.member()) + 8);
                    count_bytes(tree.len()) + members.sum::<usize>()
                }
                None => match entry.stream() {
                    Some(stream) => stream_serialized_bytes(stream),
                    None => serialized_bytes(entry.string()),
                },
            },
        },
    };
    let mut text = format!(
        "Value at:{:p} refcount:{references} encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{}",
        entry.as_ptr(),
        entry.encoding().name(),
        serialized,
        entry.access(),
        clock.idle_seconds(entry.access(), now_ms),
    );
    if let Some(List::Nodes(list)) = entry.list() {
        let written = write!(
            text,
            " ql_nodes:{} ql_avg_node:{:.2} ql_listpack_max:{} ql_compressed:{} ql_uncompressed_size:{}",
            list.nodes(),
            list.len() as f64 / list.nodes() as f64,
            list.rules().fill,
            u8::from(list.rules().depth > 0),
            list.node_sizes().sum::<usize>(),
        );
        debug_assert!(written.is_ok());
    }
    cx.reply.status(&text);
    Ok(())
}

/// How many bytes a string takes in a snapshot, before compression: a small integer in one, two or four bytes behind one
/// that says so, or its length in one, two or five bytes and the bytes themselves.
fn serialized_bytes(bytes: &[u8]) -> usize {
    if let Some(integer) = parse_i64(bytes) {
        let sizes = [(i8::MAX as i64, 1), (i16::MAX as i64, 2), (i32::MAX as i64, 4)];
        let fitting = sizes.into_iter().find(|(most, _)| (-most - 1..=*most).contains(&integer));
        if let Some((_, size)) = fitting {
            return 1 + size;
        }
    }
    text_bytes(bytes.len())
}

/// How many bytes text takes in a snapshot, with its length.
fn text_bytes(len: usize) -> usize {
    count_bytes(len) + len
}

/// How many bytes a length takes in a snapshot.
fn count_bytes(len: usize) -> usize {
    match len {
        0..64 => 1,
        64..16384 => 2,
        _ => 5,
    }
}

fn string_memory(cx: &mut Ctx<'_>, args: &Args<'_>) -> Outcome {
    let key = cx.key(args, 2);
    let entry = cx.server.keys.peek(cx.db, key).ok_or(Error::NO_SUCH_KEY)?;
    if entry.kind() != Type::String || entry.encoding() == Encoding::Int {
        return Err(Error::fixed("ERR Not an sds encoded string."));
    }
    // A short string has no memory of its own: it lies behind the key, in the same block.
    let (room, value_bytes) = match entry.object() {
        Some(object @ Object::Blob(blob)) => (blob.capacity() - blob.len(), object.memory_bytes()),
        _ => (0, 0),
    };
    let text = format!(
        "key_sds_len:{}, key_sds_avail:0, key_zmalloc: {}, val_sds_len:{}, val_sds_avail:{room}, val_zmalloc: {value_bytes}",
        entry.key().len(),
        entry.block_bytes(),
        entry.string().len(),
    );
    cx.reply.status(&text);
    Ok(())
}

fn table_sizes(cx: &mut Ctx<'_>, args: &Args<'_>) -> Outcome {
    let db = parse_i64(&args[2]).ok_or(Error::NOT_AN_INTEGER)?;
    let db = usize::try_from(db).ok().filter(|&db| db < cx.server.keys.databases());
    let db = db.ok_or(Error::fixed("ERR Out of range database"))?;
    let sizes = cx.server.keys.database(db).map(|database| {
        let expires = database.expires();
        [(database.capacity(), database.len()), (expires, expires)]
    });
    let mut text = String::new();
    for (title, which) in [("[Dictionary HT]", 0), ("[Expires HT]", 1)] {
        let written = match sizes.map(|sizes| sizes[which]) {
            None => writeln!(text, "{title}"),
            Some((_, 0)) => writeln!(
                text,
                "{title}\nHash table 0 stats (main hash table):\nNo stats available for empty dictionaries"
            ),
            Some((slots, used)) => writeln!(
                text,
                "{title}\nHash table 0 stats (main hash table):\n table size: {slots}\n number of elements: {used}"
            ),
        };
        debug_assert!(written.is_ok());
    }
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// How many elements of a listpack, and nodes of a list, are written to the log.
const LISTPACK_SHOWN: usize = 1000;

/// Writes to the log what a long list is made of, the first of its nodes one by one.
fn log_quicklist(cx: &mut Ctx<'_>, args: &Args<'_>) -> Outcome {
    let key = cx.key(args, 2);
    let entry = cx.server.keys.peek(cx.db, key).ok_or(Error::NO_SUCH_KEY)?;
    let Some(List::Nodes(list)) = entry.list() else {
        return Err(Error::fixed("ERR Not a quicklist encoded object."));
    };
    let rules = list.rules();
    for (name, number) in [("count", list.len() as i64), ("len", list.nodes() as i64), ("fill", i64::from(rules.fill))]
    {
        log::warn!("DEBUG QUICKLIST: {{{name} : {number}}}");
    }
    log::warn!("DEBUG QUICKLIST: {{compress : {}}}", rules.depth);
    let full = args.get(3).is_some_and(is_on);
    for at in 0..list.nodes().min(LISTPACK_SHOWN) {
        if let Some((bytes, is_plain)) = list.node_bytes(at) {
            log_node(at, bytes, is_plain, full);
        }
    }
    cx.reply.status("Quicklist structure printed on stdout");
    Ok(())
}

/// Writes a node of a list to the log: a listpack, or an element by itself. A compressed one has been opened, and so is owned.
fn log_node(at: usize, bytes: Cow<'_, [u8]>, is_plain: bool, full: bool) {
    log::warn!(
        "DEBUG QUICKLIST: node({at}) {{container : {}, encoding: {}, size: {}, count: {}}}",
        if is_plain { "PLAIN" } else { "PACKED" },
        if matches!(bytes, Cow::Borrowed(_)) { "RAW" } else { "LZF" },
        bytes.len(),
        if is_plain { 1 } else { listpack::len(&bytes) },
    );
    if full && is_plain {
        log::warn!("DEBUG QUICKLIST: {{ entry : {} }}", bytes.escape_ascii());
    } else if full {
        log_elements("QUICKLIST", &bytes);
    }
}

fn log_elements(subcommand: &str, listpack: &[u8]) {
    for (at, element) in listpack::iter(listpack).take(LISTPACK_SHOWN) {
        log::warn!("DEBUG {subcommand}: {at}: {}", element.with_bytes(|text| text.escape_ascii().to_string()));
    }
}

/// Writes the SHA-1 of scripts to the log. Their texts are not kept.
fn log_scripts(cx: &Ctx<'_>, args: &Args<'_>) -> Result<(), Error> {
    let cache = &cx.server.scripts.cache;
    let tell = |sha: &Sha, bytes: usize| {
        log::warn!("SCRIPT SHA: {}\n{bytes} bytes", String::from_utf8_lossy(sha));
    };
    if args[2].eq_ignore_ascii_case(b"list") {
        cache.each(tell);
    } else if args[2].len() == size_of::<Sha>() {
        let (sha, script) = cache.named(&args[2]).ok_or(NO_SCRIPT)?;
        tell(&sha, script.text_bytes());
    } else {
        return Err(unknown(&args[1]));
    }
    Ok(())
}

/// Answers how many clients there are of which size, and what they take together: those whose connections may be ended if all
/// take too much. Each line is of sizes up to a power of two.
fn client_sizes(cx: &mut Ctx<'_>) -> Outcome {
    const SMALLEST: u32 = 15;
    const LARGEST: u32 = 33;

    let budget = &cx.server.budget;
    if !budget.is_on() {
        return Err(Error::fixed("ERR maxmemory-clients is disabled."));
    }
    let mut lines = [(0, 0); (LARGEST - SMALLEST + 1) as usize];
    for bytes in budget.evictable_sizes() {
        let bits = usize::BITS - bytes.leading_zeros();
        let (total, clients) = &mut lines[(bits.clamp(SMALLEST, LARGEST) - SMALLEST) as usize];
        *total += bytes;
        *clients += 1;
    }
    let mut text = String::new();
    for (bits, (total, clients)) in (SMALLEST..).zip(lines) {
        let from = if bits == SMALLEST { 0 } else { 1u64 << (bits - 1) };
        let until = if bits == LARGEST { "+            ".to_string() } else { format!(" - {:10}", (1u64 << bits) - 1) };
        text += &format!("bucket {from:10}{until}: tot-mem: {total:10}, clients: {clients}\n");
    }
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn log_listpack(cx: &mut Ctx<'_>, args: &Args<'_>) -> Outcome {
    let key = cx.key(args, 2);
    let entry = cx.server.keys.peek(cx.db, key).ok_or(Error::NO_SUCH_KEY)?;
    if !matches!(entry.encoding(), Encoding::Listpack | Encoding::ListpackEx) {
        return Err(Error::fixed("ERR Not a listpack encoded object."));
    }
    let bytes = entry.compact();
    log::warn!("DEBUG LISTPACK: {} elements in {} bytes", listpack::len(bytes), bytes.len());
    log_elements("LISTPACK", bytes);
    cx.reply.status("Listpack structure printed on stdout");
    Ok(())
}

fn key_table_sizes(cx: &mut Ctx<'_>, args: &Args<'_>) -> Outcome {
    let key = cx.key(args, 2);
    let entry = cx.server.keys.peek(cx.db, key).ok_or(Error::NO_SUCH_KEY)?;
    let (capacity, len) = match entry.object() {
        Some(Object::Set(members)) => (members.capacity(), members.len()),
        Some(Object::Hash(fields)) => (fields.capacity(), fields.len()),
        Some(Object::Zset(tree)) => (tree.capacity(), tree.len()),
        _ if entry.encoding().is_outgrown() => {
            let len = entry.set().map(SetRef::len).or_else(|| HashView::of(entry).map(HashView::len)).unwrap_or(0);
            (len, len)
        }
        _ => {
            return Err(Error::fixed(
                "ERR The value stored at the specified key is not represented using an hash table",
            ));
        }
    };
    let text = format!("Hash table 0 stats (main hash table):\n table size: {capacity}\n number of elements: {len}\n");
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// Writes a snapshot and takes it in again.
fn reload(cx: &mut Ctx<'_>, args: &Args<'_>) -> Result<(), Error> {
    let (mut save, mut flush, mut merge) = (true, true, false);
    for option in args.iter_from(2) {
        match option.to_ascii_uppercase().as_slice() {
            b"NOSAVE" => save = false,
            b"NOFLUSH" => flush = false,
            b"MERGE" => merge = true,
            _ => return Err(Error::fixed("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.")),
        }
    }
    let server = &mut *cx.server;
    if save {
        // An older one would take the place of what is saved here.
        give_up(server, Purpose::File);
        if save_now(server, &mut || false).is_err() {
            return Err(Error::fixed("ERR"));
        }
    }
    // What is done here is no change of the data.
    let dirty = server.keys.effects.dirty;
    if flush {
        for db in 0..server.keys.databases() {
            server.keys.flush(db);
        }
        server.functions.clear(false);
    }
    let loaded = load_now(server, Manner { merge, ..Manner::default() });
    server.keys.effects.dirty = dirty;
    cx.look_at_clock();
    if loaded != Ok(true) {
        return Err(Error::fixed("ERR Error trying to load the RDB dump, check server logs."));
    }
    log::warn!("DB reloaded by DEBUG RELOAD");
    Ok(())
}

// --- making things happen -------------------------------------------------------------------------------------------

fn populate(cx: &mut Ctx<'_>, args: &Args<'_>) -> Result<(), Error> {
    let number = |at: usize| {
        let number = parse_i64(&args[at]).filter(|number| *number >= 0);
        number.map(|number| number as usize).ok_or(Error::NOT_POSITIVE)
    };
    let count = number(2)?;
    let prefix = args.get(3).unwrap_or(b"key");
    let size = if args.len() > 4 { number(4)? } else { 0 };
    for at in 0..count {
        let mut name = prefix.to_vec();
        name.extend_from_slice(format!(":{at}").as_bytes());
        let key = cx.server.keys.key(&name);
        let mut value = format!("value:{at}").into_bytes();
        if size > 0 {
            value.resize(size, 0);
        }
        let value = StringValue::Owned(value);
        cx.server.keys.set_string_if(false, cx.db, key, Touch::No, value, Expiry::Clear, Event::SET);
    }
    Ok(())
}

fn reply_buffer(cx: &mut Ctx<'_>, args: &Args<'_>) -> Result<(), Error> {
    let word = &args[3];
    let is = |expected: &str| word.eq_ignore_ascii_case(expected.as_bytes());
    if args[2].eq_ignore_ascii_case(b"peak-reset-time") {
        cx.server.debug.reply_peak_reset = if is("never") {
            None
        } else if is("reset") {
            DebugSwitches::default().reply_peak_reset
        } else {
            let milliseconds = parse_i64(word).ok_or(Error::NOT_AN_INTEGER)?;
            u64::try_from(milliseconds).ok().map(Duration::from_millis)
        };
    } else if args[2].eq_ignore_ascii_case(b"resizing") {
        cx.server.debug.reply_buffer_resizing = is_on(word);
    } else {
        return Err(unknown(&args[1]));
    }
    Ok(())
}

#[expect(clippy::approx_constant, reason = "clients expect this number, which is not meant to be pi")]
fn protocol(cx: &mut Ctx<'_>, args: &Args<'_>) -> Outcome {
    let reply = &mut cx.reply;
    match args[2].to_ascii_lowercase().as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.integer(12345),
        b"double" => reply.double(3.141),
        b"bignum" => reply.big_number("1234567999999999999999999999999999999"),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            (0..3).for_each(|number| reply.integer(number));
        }
        b"set" => {
            reply.set(3);
            (0..3).for_each(|number| reply.integer(number));
        }
        b"map" => {
            reply.map(3);
            for number in 0..3 {
                reply.integer(number);
                reply.boolean(number == 1);
            }
        }
        b"attrib" => {
            if reply.proto == Proto::Resp3 {
                reply.attribute(1);
                reply.bulk(b"key-popularity");
                reply.array(2);
                reply.bulk(b"key:123");
                reply.integer(90);
            }
            reply.bulk(b"Some real reply following the attribute");
        }
        b"push" => {
            if reply.proto == Proto::Resp2 {
                return Err(Error::fixed("ERR RESP2 is not supported by this command"));
            }
            // What is pushed during a command follows its reply.
            reply.bulk(b"Some real reply following the push reply");
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.integer(42);
        }
        b"verbatim" => reply.verbatim("txt", b"This is a verbatim\nstring"),
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        _ => {
            return Err(Error::fixed(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}

/// Matches random texts with random patterns made of what patterns are made of. There is nothing to expect but the end.
fn match_at_random(seed: u64) -> usize {
    const ROUNDS: usize = 200_000;
    const SYMBOLS: &[u8] = b"*?[]^-\\ab\xff";
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut random = |longest: usize| -> Vec<u8> {
        (0..rng.usize(0..=longest)).map(|_| SYMBOLS[rng.usize(0..SYMBOLS.len())]).collect()
    };
    (0..ROUNDS).filter(|_| glob::matches(&random(20), &random(30), false)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_in_a_snapshot() {
        let cases: &[(&[u8], usize)] = &[
            (b"", 1),
            (b"bar", 4),
            (b"127", 2),
            (b"-128", 2),
            (b"128", 3),
            (b"12345", 3),
            (b"-32769", 5),
            (b"2147483648", 11),
            (b"123456789012", 13),
            (b"007", 4),
            (&[b'x'; 63], 64),
            (&[b'x'; 64], 66),
            (&[b'x'; 16384], 16389),
        ];
        for (bytes, expected) in cases {
            assert_eq!(serialized_bytes(bytes), *expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn random_patterns_match_now_and_then() {
        let matched = match_at_random(1);
        assert!((1..200_000).contains(&matched), "{matched} matches");
    }
}
