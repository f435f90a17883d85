//! A server with a plugin of its own: the whole of CacheStorm, and a guard beside it.
//!
//!     cargo run --example plugin -- --port 7000
//!     redis-cli -p 7000 flushall          the guard refuses it
//!     redis-cli -p 7000 guard.counts      a command that the guard brings
//!
//! The guard counts commands, keys that expire or are evicted, and tags that are invalidated; refuses commands that delete everything; and brings a
//! command that tells what it has counted. The command appears in COMMAND, COMMAND DOCS and ACL CAT like any other.

use std::process::ExitCode;

use cachestorm::Server;
use cachestorm::command::Ctx;
use cachestorm::command::error::{Error, Outcome};
use cachestorm::command::table::{Command, Doc, Flags};
use cachestorm::config::{Invocation, Settings};
use cachestorm::effects::Event;
use cachestorm::keyspace::{Expiry, StringValue};
use cachestorm::memory::Allocator;
use cachestorm::plugin::{Call, Hooks, Plugin};
use cachestorm::resp::Args;

// What the server counts as used memory is what this allocator has given out.
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// The plugin.
#[derive(Default)]
struct Guard {
    ran: i64,
    failed: i64,
    refused: i64,
    expired: i64,
    evicted: i64,
    invalidated: i64,
}

impl Plugin for Guard {
    fn name(&self) -> &'static str {
        "guard"
    }

    fn version(&self) -> &'static str {
        "1.0.0"
    }

    fn hooks(&self) -> Hooks {
        Hooks::all()
    }

    fn commands(&self) -> &'static [Command] {
        COMMANDS
    }

    fn before_command(&mut self, call: &Call<'_>) -> Outcome {
        if matches!(call.command.full_name.as_str(), "flushall" | "flushdb") {
            self.refused += 1;
            return Err(Error::fixed("GUARDED nobody deletes everything here"));
        }
        Ok(())
    }

    fn after_command(&mut self, _call: &Call<'_>, outcome: &Outcome) {
        match outcome {
            Ok(()) => self.ran += 1,
            Err(_) => self.failed += 1,
        }
    }

    fn on_expire(&mut self, _db: usize, _key: &[u8]) {
        self.expired += 1;
    }

    fn on_evict(&mut self, _db: usize, _key: &[u8]) {
        self.evicted += 1;
    }

    fn on_tag_invalidate(&mut self, _db: usize, _tag: &[u8], _count: usize) {
        self.invalidated += 1;
    }

    fn on_startup(&mut self, server: &mut Server) {
        // What a plugin does to the keyspace is a change like any other.
        let key = server.keys.key(b"guard:started");
        let now = server.clock.unix_ms().to_string();
        server.keys.set_string(0, key, StringValue::Borrowed(now.as_bytes()), Expiry::Clear, Event::SET);
    }

    fn close(&mut self) {
        println!("The guard has seen {} commands and refused {}.", self.ran + self.failed, self.refused);
    }
}

const COMMANDS: &[Command] = &[Command {
    name: "guard.counts",
    arity: 1,
    flags: Flags::FAST.union(Flags::LOADING),
    doc: Doc {
        summary: "Tells what the guard has counted.",
        since: "1.0.0",
        group: "guard",
        complexity: "O(1)",
        ..Command::NONE.doc
    },
    handler: counts,
    ..Command::NONE
}];

fn counts(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    let Some(guard) = cx.server.plugins.get::<Guard>() else { return Err(Error::fixed("ERR there is no guard")) };
    let counts = [
        ("ran", guard.ran),
        ("failed", guard.failed),
        ("refused", guard.refused),
        ("expired", guard.expired),
        ("evicted", guard.evicted),
        ("invalidated", guard.invalidated),
    ];
    cx.reply.map(counts.len());
    for (name, count) in counts {
        cx.reply.bulk(name.as_bytes());
        cx.reply.integer(count);
    }
    Ok(())
}

/// Serves with the settings of a command line until something asks for the end.
fn serve(args: &[String]) -> Result<(), String> {
    let loaded = match Settings::load(args, &|_| None, &mut std::io::empty()) {
        Ok(Invocation::Serve(loaded)) => *loaded,
        Ok(Invocation::Print(text)) => {
            println!("{text}");
            return Ok(());
        }
        Err(problems) => return Err(problems.to_string()),
    };
    let built = Server::builder(loaded).plugin(Guard::default()).build();
    built.map_err(|error| format!("The server cannot start: {error:?}"))?.run()
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match serve(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixStream;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::serve;

    /// Connects as soon as somebody listens.
    fn connect(path: &Path) -> BufReader<UnixStream> {
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            match UnixStream::connect(path) {
                Ok(stream) => return BufReader::new(stream),
                Err(error) => assert!(Instant::now() < patience, "nobody listens: {error}"),
            }
            std::thread::yield_now();
        }
    }

    /// Sends a command as one line; returns so many lines of the answer.
    fn ask(client: &mut BufReader<UnixStream>, command: &str, lines: usize) -> Vec<String> {
        write!(client.get_mut(), "{command}\r\n").expect("the server is there");
        let mut answer = Vec::new();
        for _ in 0..lines {
            let mut line = String::new();
            client.read_line(&mut line).expect("the server answers");
            answer.push(line.trim_end().to_string());
        }
        answer
    }

    #[test]
    fn a_server_with_a_guard() {
        let socket = std::env::temp_dir().join(format!("cachestorm-guard-{}.sock", std::process::id()));
        let path = socket.to_str().expect("a path of text");
        let flags = ["--port", "0", "--unixsocket", path, "--persistence-enabled", "no"].map(str::to_string);
        let server = std::thread::spawn(move || serve(&flags));
        let client = &mut connect(&socket);

        let cases: &[(&str, &[&str])] = &[
            ("STRLEN guard:started", &[":13"]),
            ("SET k v", &["+OK"]),
            ("FLUSHALL", &["-GUARDED nobody deletes everything here"]),
            ("LPUSH k v", &["-WRONGTYPE Operation against a key holding the wrong kind of value"]),
            ("MULTI", &["+OK"]),
            ("FLUSHDB", &["+QUEUED"]),
            ("INCR n", &["+QUEUED"]),
            ("EXEC", &["*2", "-GUARDED nobody deletes everything here", ":1"]),
            ("EVAL \"return redis.pcall('FLUSHALL')\" 0", &["-GUARDED nobody deletes everything here"]),
            ("EXISTS k", &[":1"]),
            ("COMMAND LIST FILTERBY PATTERN guard*", &["*1", "$12", "guard.counts"]),
            ("ACL SETUSER someone on nopass ~* +@all -guard.counts", &["+OK"]),
            (
                "ACL DRYRUN someone guard.counts",
                &["$65", "User someone has no permissions to run the 'guard.counts' command"],
            ),
            ("SETTAG tagged v TAG some", &["+OK"]),
            ("INVALIDATE some", &[":1"]),
            ("SET soon v PX 1", &["+OK"]),
        ];
        for (command, expected) in cases {
            assert_eq!(ask(client, command, expected.len()), *expected, "{command}");
        }
        // Each count stands behind a length and a name, and all behind their number; how many ran differs.
        let mut counts = || ask(client, "GUARD.COUNTS", 19).split_off(4).join(" ");
        let patience = Instant::now() + Duration::from_secs(60);
        // Nobody has to look for a key that expires.
        while counts() != "$6 failed :4 $7 refused :3 $7 expired :1 $7 evicted :0 $11 invalidated :1" {
            assert!(Instant::now() < patience, "{}", counts());
        }
        ask(client, "CONFIG SET maxmemory 1 maxmemory-policy allkeys-random", 1);
        let evicted = ask(client, "GUARD.COUNTS", 19).swap_remove(15);
        assert_eq!(evicted, ":3", "all keys");
        ask(client, "SHUTDOWN", 0);
        server.join().expect("no panic").expect("a good end");
    }
}
