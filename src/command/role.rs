//! What follows from the part that the server plays in replication: who may write, what is read of data that may be old, and what
//! becomes of keys whose time is over.

use super::blocking;
use super::error::{Error, Outcome};
use super::state::Server;
use crate::observe::process;
use crate::observe::reason;

impl Server {
    /// Whether it is a replica that lets nobody but its master write.
    pub fn is_read_only(&self) -> bool {
        self.replication.is_replica() && self.settings.replica_read_only
    }

    /// Whether it has no connection to its master, and is not to answer from old data.
    pub fn refuses_stale(&self) -> bool {
        !self.settings.replica_serve_stale_data && self.replication.is_stale()
    }

    /// Whether it is a master with fewer replicas than it needs to write.
    pub(super) fn is_lonely_master(&self) -> bool {
        !self.replication.is_replica() && self.lacks_replicas()
    }

    /// Checks whether clients may write, as far as replication goes.
    ///
    /// # Errors
    /// If this is a replica, or has too few.
    pub(super) fn check_role(&self) -> Outcome {
        if self.is_read_only() {
            Err(Error::READ_ONLY)
        } else if self.is_lonely_master() {
            Err(Error::NO_REPLICAS)
        } else {
            Ok(())
        }
    }

    /// Puts into effect what the server is now. To be called when it has begun to follow a master, or another one, and when it has
    /// ceased to.
    pub fn role_changed(&mut self) {
        if self.replication.is_replica() {
            blocking::end_all(self);
        }
        self.decide_expiry();
        self.look_for_troubles();
        if let Err(error) = process::set_oom_score(&self.settings, self.replication.is_replica()) {
            log::warn!("Unable to write oom_score_adj: {}", reason(&error));
        }
    }

    /// Says what becomes of keys whose time is over: they stay while writing is paused, and on a replica, whose master removes
    /// them.
    pub fn decide_expiry(&mut self) {
        let replica = self.replication.is_replica();
        self.keys.hide_overdue(self.pause.is_some() || replica);
        self.keys.keep_own(replica && !self.settings.replica_read_only);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mio::net::UnixStream;
    use mio::{Poll, Token, Waker};

    use crate::command::{Ctx, Verdict};
    use crate::config::Endpoint;
    use crate::config::{Invocation, Rights, Settings};
    use crate::helper::mailbox;
    use crate::keyspace::Overdue;
    use crate::net::{Client, Closing, Listeners, Stream};
    use crate::plugin::Plugins;
    use crate::replication::link::{Following, Stage};
    use crate::resp::{Args, Limits, RequestParser};

    use super::*;

    fn server() -> Server {
        let poll = Poll::new().expect("a poll");
        let waker = Waker::new(poll.registry(), Token(0)).expect("a waker");
        let listeners = Listeners::new(poll.registry().try_clone().expect("a registry"));
        let settings = Settings::load(&["--port".to_string(), "0".to_string()], &|_| None, &mut std::io::empty());
        let Ok(Invocation::Serve(loaded)) = settings else { panic!("settings") };
        let (outbox, _) = mailbox(Arc::new(waker));
        Server::new(loaded.settings, loaded.source, listeners, outbox, 1, Plugins::default()).expect("a server")
    }

    /// A client that nobody is connected to. Returns its token.
    fn client(server: &mut Server) -> usize {
        let (stream, _) = UnixStream::pair().expect("a pair of sockets");
        let mut client = Client::new(Stream::Unix(stream), server.next_client_id, 0);
        server.next_client_id += 1;
        client.authenticated = true;
        server.clients.insert(Box::new(client))
    }

    /// What a client is answered to a command; nothing if it has to wait.
    fn ask(server: &mut Server, token: usize, words: &[&str]) -> String {
        let mut request = Vec::new();
        crate::effects::journal::encode(&mut request, words.iter().map(|word| word.as_bytes()));
        let (mut parser, mut at, mut spans) = (RequestParser::default(), 0, Vec::new());
        let limits = Limits { max_bulk: u64::MAX, authenticated: true };
        parser.parse(&request, &mut at, &mut spans, limits).expect("a request");
        let mut owned = parser.take_owned();
        let mut args = Args::new(&request, &spans, &mut owned);
        let command = server.names.find(words[0].as_bytes());
        let mut cx = Ctx::new(server, token);
        let verdict = cx.run(command, &mut args, None);
        cx.finish();
        if verdict == Verdict::Postponed {
            return "postponed".to_string();
        }
        take_reply(server, token)
    }

    fn take_reply(server: &mut Server, token: usize) -> String {
        let mut output = std::mem::take(&mut server.clients[token].output);
        String::from_utf8_lossy(output.flatten()).replace("\r\n", " ").trim_end().to_string()
    }

    fn set(server: &mut Server, name: &str, value: &str) {
        server
            .change_settings(&[(name.as_bytes(), value.as_bytes())], Rights { protected: true, loading: false })
            .expect(name);
    }

    /// Makes the server a replica, or a master.
    fn follow(server: &mut Server, stage: Option<Stage>) {
        server.replication.following = stage.map(|stage| {
            let mut following = Following::new(Endpoint { host: "there".to_string(), port: 1 }, true);
            following.stage = stage;
            Box::new(following)
        });
        server.role_changed();
    }

    #[test]
    fn who_may_do_what() {
        const READ_ONLY: &str = "-READONLY You can't write against a read only replica.";
        const STALE: &str = "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
        const UP: Option<Stage> = Some(Stage::Online);
        const DOWN: Option<Stage> = Some(Stage::Connecting);
        // Of which stage, with which settings, is what answered how.
        /// How far the link is, settings, a command, and its reply.
        type Case<'a> = (Option<Stage>, &'a [(&'a str, &'a str)], &'a [&'a str], &'a str);
        let cases: &[Case<'_>] = &[
            (None, &[], &["SET", "k", "v"], "+OK"),
            (UP, &[], &["SET", "k", "v"], READ_ONLY),
            (UP, &[], &["GET", "k"], "$-1"),
            (UP, &[], &["PUBLISH", "c", "m"], ":0"),
            (UP, &[], &["FUNCTION", "FLUSH"], READ_ONLY),
            (UP, &[], &["SCRIPT", "FLUSH"], "+OK"),
            (UP, &[], &["EVAL", "return 1", "0"], ":1"),
            (UP, &[], &["EVAL", "#!lua\nreturn 1", "0"], READ_ONLY),
            (UP, &[], &["EVAL", "#!lua flags=no-writes\nreturn 1", "0"], ":1"),
            (
                UP,
                &[],
                &["EVAL", "return redis.pcall('set', 'k', 'v').err", "0"],
                "$53 READONLY You can't write against a read only replica.",
            ),
            (UP, &[("replica-read-only", "no")], &["SET", "k", "v"], "+OK"),
            (UP, &[("min-replicas-to-write", "1"), ("replica-read-only", "no")], &["EVAL", "return 1", "0"], ":1"),
            (
                None,
                &[("min-replicas-to-write", "1")],
                &["SET", "k", "v"],
                "-NOREPLICAS Not enough good replicas to write.",
            ),
            (DOWN, &[], &["GET", "k"], "$-1"),
            (DOWN, &[], &["SET", "k", "v"], READ_ONLY),
            (DOWN, &[("replica-serve-stale-data", "no")], &["GET", "k"], STALE),
            (DOWN, &[("replica-serve-stale-data", "no")], &["SET", "k", "v"], READ_ONLY),
            (DOWN, &[("replica-serve-stale-data", "no")], &["PING"], STALE),
            (DOWN, &[("replica-serve-stale-data", "no")], &["CLIENT", "ID"], ":1"),
            (UP, &[("replica-serve-stale-data", "no")], &["GET", "k"], "$-1"),
            (DOWN, &[("replica-serve-stale-data", "no")], &["EVAL", "return 1", "0"], STALE),
            (DOWN, &[("replica-serve-stale-data", "no")], &["EVAL", "#!lua flags=no-writes\nreturn 1", "0"], STALE),
            (
                DOWN,
                &[("replica-serve-stale-data", "no")],
                &["EVAL", "#!lua flags=no-writes,allow-stale\nreturn redis.pcall('get', 'k').err", "0"],
                "$50 ERR Can not execute the command on a stale replica",
            ),
            (
                DOWN,
                &[("replica-serve-stale-data", "no")],
                &["EVAL", "#!lua flags=no-writes,allow-stale\nreturn redis.call('echo', 'k')", "0"],
                "$1 k",
            ),
        ];
        for &(stage, settings, words, expected) in cases {
            let mut server = server();
            let token = client(&mut server);
            follow(&mut server, stage);
            settings.iter().for_each(|(name, value)| set(&mut server, name, value));
            assert_eq!(ask(&mut server, token, words), expected, "{stage:?} {settings:?} {words:?}");
        }
    }

    #[test]
    fn exec_is_what_its_commands_are_when_it_comes() {
        let queued: &[(&[&str], bool, &str)] = &[
            (&["SET", "k", "v"], true, "-EXECABORT Transaction discarded because of: READONLY "),
            (&["EVAL", "#!lua\nreturn 1", "0"], true, "-EXECABORT Transaction discarded because of: READONLY "),
            (&["EVAL", "return redis.call('set', 'k', 'v')", "0"], true, "*1 -READONLY You can't write against"),
            (&["GET", "k"], true, "*1 $-1"),
            (&["GET", "k"], false, "-EXECABORT Transaction discarded because of: MASTERDOWN "),
            (&["ECHO", "k"], false, "*1 $1 k"),
        ];
        for &(words, serves_stale, expected) in queued {
            let mut server = server();
            let token = client(&mut server);
            set(&mut server, "replica-serve-stale-data", if serves_stale { "yes" } else { "no" });
            ask(&mut server, token, &["MULTI"]);
            // One that may run on a stale replica makes the others no better.
            ask(&mut server, token, if words[0] == "GET" { &["GET", "k"] } else { words });
            assert!(words[0] != "GET" || ask(&mut server, token, &["CLIENT", "ID"]) == "+QUEUED");
            follow(&mut server, Some(Stage::Down));
            let answer = ask(&mut server, token, &["EXEC"]).replace("*2 $-1 :1", "*1 $-1");
            assert!(answer.starts_with(expected), "{words:?}: {answer}");
        }
    }

    #[test]
    fn the_master_is_obeyed() {
        let mut server = server();
        let (link, token) = (client(&mut server), client(&mut server));
        server.clients[link].link = Some(Box::default());
        follow(&mut server, Some(Stage::Online));
        set(&mut server, "min-replicas-to-write", "1");
        assert_eq!(ask(&mut server, link, &["SET", "k", "v"]), "+OK");
        assert_eq!(ask(&mut server, link, &["EVAL", "#!lua\nreturn redis.call('incr', 'n')", "0"]), ":1");
        // To a client the key is gone; to the master it is not, and so it stays.
        let now_ms = server.keys.now_ms();
        assert_eq!(ask(&mut server, link, &["PEXPIRE", "n", "10"]), ":1");
        server.keys.set_now(now_ms + 100);
        assert!(!server.keys.expire_slice(10));
        assert_eq!(ask(&mut server, token, &["GET", "n"]), "$-1");
        assert_eq!(ask(&mut server, token, &["EXISTS", "n"]), ":0");
        assert_eq!(ask(&mut server, token, &["TTL", "n"]), ":-2");
        assert_eq!(ask(&mut server, token, &["TYPE", "n"]), "+none");
        assert_eq!(ask(&mut server, token, &["KEYS", "*"]), "*1 $1 k");
        assert_eq!(ask(&mut server, token, &["SCAN", "0"]), "*2 $1 0 *1 $1 k");
        assert_eq!(ask(&mut server, token, &["DBSIZE"]), ":2");
        assert_eq!(ask(&mut server, link, &["INCR", "n"]), ":2");
        assert_eq!(ask(&mut server, token, &["GET", "n"]), "$-1");
        assert_eq!(ask(&mut server, link, &["PERSIST", "n"]), ":1");
        assert_eq!(ask(&mut server, token, &["GET", "n"]), "$1 2");
        assert_eq!(server.keys.stats.expired, 0);
        // What was hidden goes when the replica becomes a master.
        assert_eq!(ask(&mut server, link, &["SET", "n", "1", "PXAT", "1"]), "+OK");
        follow(&mut server, None);
        assert!(!server.keys.expire_slice(10));
        assert_eq!((server.keys.stats.expired, ask(&mut server, token, &["DBSIZE"])), (1, ":1".to_string()));
    }

    #[test]
    fn fields_of_hashes_stay_as_keys_do() {
        let mut server = server();
        let (link, token) = (client(&mut server), client(&mut server));
        server.clients[link].link = Some(Box::default());
        follow(&mut server, Some(Stage::Online));
        assert_eq!(ask(&mut server, link, &["HSET", "h", "f", "v", "g", "w"]), ":2");
        assert_eq!(ask(&mut server, link, &["HPEXPIREAT", "h", "1", "FIELDS", "1", "f"]), "*1 :1");
        assert_eq!(ask(&mut server, token, &["HGET", "h", "f"]), "$-1");
        assert_eq!(ask(&mut server, token, &["HGETALL", "h"]), "*2 $1 g $1 w");
        assert_eq!(ask(&mut server, token, &["HLEN", "h"]), ":2");
        assert_eq!(ask(&mut server, link, &["HPERSIST", "h", "FIELDS", "1", "f"]), "*1 :1");
        assert_eq!(ask(&mut server, token, &["HGET", "h", "f"]), "$1 v");
    }

    #[test]
    fn on_a_replica_that_lets_clients_write_they_remove_what_is_overdue() {
        let mut server = server();
        let (link, token) = (client(&mut server), client(&mut server));
        server.clients[link].link = Some(Box::default());
        set(&mut server, "replica-read-only", "no");
        follow(&mut server, Some(Stage::Online));
        for key in ["a", "b"] {
            assert_eq!(ask(&mut server, link, &["SET", key, "1", "PXAT", "1"]), "+OK");
        }
        assert_eq!(ask(&mut server, token, &["GET", "a"]), "$-1");
        assert_eq!(ask(&mut server, token, &["DBSIZE"]), ":2");
        assert_eq!(ask(&mut server, token, &["INCR", "a"]), ":1");
        assert_eq!((server.keys.stats.expired, ask(&mut server, token, &["DBSIZE"])), (1, ":2".to_string()));
        assert_eq!(
            server.keys.set_overdue(Overdue::Hidden),
            Overdue::Hidden,
            "nobody is left with what a command needs"
        );
        // What has a time to live from a client goes with time.
        assert_eq!(ask(&mut server, token, &["SET", "c", "1", "PX", "10"]), "+OK");
        server.keys.set_now(server.keys.now_ms() + 100);
        server.keys.expire_own(10);
        assert_eq!((server.keys.stats.expired, ask(&mut server, token, &["DBSIZE"])), (2, ":2".to_string()));
        set(&mut server, "replica-read-only", "yes");
        assert!(!server.keys.keeps_own());
    }

    #[test]
    fn a_transaction_that_pauses_or_begins_to_follow_writes_what_is_over() {
        for script in [false, true] {
            let mut server = server();
            let token = client(&mut server);
            assert_eq!(ask(&mut server, token, &["SET", "k", "1", "PX", "10"]), "+OK");
            server.keys.set_now(server.keys.now_ms() + 100);
            ask(&mut server, token, &["MULTI"]);
            ask(&mut server, token, &["CLIENT", "PAUSE", "100000", "WRITE"]);
            ask(&mut server, token, &["GET", "k"]);
            ask(
                &mut server,
                token,
                if script { &["EVAL", "return redis.call('incr', 'k')", "0"] } else { &["INCR", "k"] },
            );
            ask(&mut server, token, &["DBSIZE"]);
            assert_eq!(ask(&mut server, token, &["EXEC"]), "*4 +OK $-1 :1 :1");
            assert_eq!(server.keys.overdue(), Overdue::Hidden);
            assert_eq!(ask(&mut server, token, &["CLIENT", "UNPAUSE"]), "+OK");
            assert_eq!(server.keys.overdue(), Overdue::Removed);
        }
        // Who ceases to follow leaves nothing behind that holds for a replica.
        let mut server = server();
        let token = client(&mut server);
        set(&mut server, "replica-read-only", "no");
        follow(&mut server, Some(Stage::Down));
        assert_eq!(ask(&mut server, token, &["REPLICAOF", "NO", "ONE"]), "+OK");
        assert_eq!((server.keys.overdue(), server.keys.keeps_own()), (Overdue::Removed, false));
    }

    #[test]
    fn waits_end_when_a_master_becomes_a_replica() {
        let mut server = server();
        let (waits, blocked, idle) = (client(&mut server), client(&mut server), client(&mut server));
        assert_eq!(ask(&mut server, waits, &["WAIT", "1", "0"]), "");
        assert_eq!(ask(&mut server, blocked, &["BLPOP", "l", "0"]), "");
        follow(&mut server, Some(Stage::Down));
        for token in [waits, blocked] {
            let expected =
                "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)";
            assert_eq!(take_reply(&mut server, token), expected);
            assert_eq!(server.clients[token].closing, Some(Closing::AfterReply));
        }
        assert_eq!((take_reply(&mut server, idle), server.clients[idle].closing), (String::new(), None));
    }

    #[test]
    fn replicas_may_not_touch_keys_and_are_not_held_up() {
        let mut server = server();
        let (replica, token) = (client(&mut server), client(&mut server));
        let mut state = crate::replication::replica::Replica::new(0);
        state.stage = crate::replication::replica::Stage::Online;
        server.clients[replica].replica = Some(Box::new(state));
        assert_eq!(ask(&mut server, replica, &["GET", "k"]), "-ERR Replica can't interact with the keyspace");
        assert_eq!(ask(&mut server, token, &["CLIENT", "PAUSE", "100000"]), "+OK");
        assert_eq!(ask(&mut server, token, &["PING"]), "postponed");
        assert_eq!(ask(&mut server, replica, &["PING"]), "+PONG");
    }
}
