//! The YAML settings file: sections of names, and `redis:` for every redis.conf name without one of its own.
//!
//! Values become the same words that redis.conf has. YAML adds durations (`5m`), true and false, lists, and its own
//! words for a few values. A file is bounded in size, depth and, for aliases can multiply, in the number of values.

use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::amount::{format_duration, format_size, parse_duration, parse_size};
use super::kind::Kind;
use super::layout::Layout;
use super::load::{Collector, Place};
use super::registry::{SETTINGS, Setting, Settings, Unit};
use super::words;

/// Values in a file, aliases followed.
const MAX_NODES: usize = 100_000;
/// Opening brackets in a file: the parser's time grows with the square of how deep they are nested.
const MAX_BRACKETS: usize = 20_000;

/// A YAML value.
enum Node {
    Null,
    Text(String),
    /// A number or a truth value, and how it is spelled.
    Other(String),
    List(Vec<Node>),
    Mapping(Vec<(String, Node)>),
}

/// Takes in all settings of `text`; `name` is the file in messages.
pub(super) fn read(collector: &mut Collector, text: &[u8], name: &str) {
    let Ok(text) = std::str::from_utf8(text) else {
        return collector.refuse(Place::File(name), "", "the file is not valid UTF-8");
    };
    if text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count() > MAX_BRACKETS {
        return collector.refuse(Place::File(name), "", "the file has too many brackets");
    }
    let left = Cell::new(MAX_NODES);
    let seed = NodeSeed { left: &left };
    let root = match seed.deserialize(serde_yaml::Deserializer::from_str(text)) {
        Ok(root) => root,
        Err(error) => {
            let number = error.location().map_or(1, |location| location.line());
            return collector.refuse(Place::Line { file: name, number }, "", error.to_string());
        }
    };
    let mut reader = Reader { collector, layout: Layout::of(text), name, given: HashSet::new() };
    match root {
        Node::Null => {}
        Node::Mapping(sections) => reader.section("", sections),
        _ => reader.collector.refuse(Place::File(name), "", "the file must be a mapping of sections"),
    }
}

struct Reader<'a> {
    collector: &'a mut Collector,
    layout: Layout<'a>,
    name: &'a str,
    given: HashSet<&'static str>,
}

impl Reader<'_> {
    /// Takes in the names under `path`.
    fn section(&mut self, path: &str, entries: Vec<(String, Node)>) {
        for (key, node) in entries {
            if self.collector.is_full() {
                return;
            }
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let own = SETTINGS.iter().find(|setting| setting.yaml == Some(&path));
            let setting = own.or_else(|| {
                let (section, name) = path.split_once('.')?;
                Setting::find(name).map(|(setting, _)| setting).filter(|_| section == "redis")
            });
            match (setting, node) {
                (Some(_), Node::Null) => {}
                (Some(setting), node) => self.setting(setting, &path, node),
                (None, Node::Mapping(entries)) if is_section(&path) => self.section(&path, entries),
                (None, Node::Null) if is_section(&path) => {}
                (None, node) if is_section(&path) => self.refuse(&path, &node, "this is a section, not a setting"),
                (None, node) => {
                    let known = names_beside(&path).join(", ");
                    self.refuse(&path, &node, &format!("unknown setting, here can stand: {known}"));
                }
            }
        }
    }

    fn setting(&mut self, setting: &'static Setting, path: &str, node: Node) {
        if !self.given.insert(setting.name) {
            return self.refuse(path, &node, &format!("{} is given twice", setting.name));
        }
        let shown = show(path, &node, setting.is_sensitive());
        let lines = match (node, &setting.kind) {
            (Node::List(lines), kind) if kind.is_directive() => {
                lines.iter().map(|line| node_words(setting, line)).collect()
            }
            (node, _) => node_words(setting, &node).map(|words| vec![words]),
        };
        match lines {
            Ok(lines) => {
                for line in &lines {
                    let words: Vec<&str> = line.iter().map(String::as_str).collect();
                    let place = self.place(path);
                    self.collector.assign(setting, &words, place, &shown);
                }
            }
            Err(reason) => {
                let place = self.place(path);
                self.collector.refuse(place, shown, reason);
            }
        }
    }

    fn refuse(&mut self, path: &str, node: &Node, reason: &str) {
        let place = self.place(path);
        self.collector.refuse(place, show(path, node, false), reason);
    }
}

impl<'a> Reader<'a> {
    fn place(&self, path: &str) -> Place<'a> {
        let path: Vec<&str> = path.splitn(if path.starts_with("redis.") { 2 } else { usize::MAX }, '.').collect();
        match self.layout.line_of(&path) {
            Some(number) => Place::Line { file: self.name, number },
            None => Place::File(self.name),
        }
    }
}

/// Whether settings stand below this path.
fn is_section(path: &str) -> bool {
    let below = |yaml: &str| yaml.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
    path == "redis" || SETTINGS.iter().filter_map(|setting| setting.yaml).any(below)
}

/// The names that can stand where the last name of `path` stands.
fn names_beside(path: &str) -> Vec<&'static str> {
    let section = path.rsplit_once('.').map_or("", |(section, _)| section);
    if section == "redis" {
        return vec!["any redis.conf name"];
    }
    let mut names: Vec<&str> = Vec::new();
    for yaml in SETTINGS.iter().filter_map(|setting| setting.yaml).chain(["redis"]) {
        let rest = if section.is_empty() {
            Some(yaml)
        } else {
            yaml.strip_prefix(section).and_then(|rest| rest.strip_prefix('.'))
        };
        let name = rest.and_then(|rest| rest.split('.').next());
        names.extend(name.filter(|name| !names.contains(name)));
    }
    names
}

/// The path and the value, for messages.
fn show(path: &str, node: &Node, is_secret: bool) -> String {
    match node {
        _ if is_secret => format!("{path}: (redacted)"),
        Node::Text(value) | Node::Other(value) => super::load::shorten(&format!("{path}: {value}")),
        Node::Null => format!("{path}:"),
        Node::List(_) => format!("{path}: […]"),
        Node::Mapping(_) => format!("{path}: {{…}}"),
    }
}

/// The words of redis.conf that a YAML value stands for.
fn node_words(setting: &Setting, node: &Node) -> Result<Vec<String>, String> {
    match (node, &setting.kind) {
        (Node::Other(value), Kind::Text(_)) => Err(format!(
            "this is text for {}: put it in quotes, for YAML reads {value} as something else",
            setting.name
        )),
        (Node::Text(value) | Node::Other(value), _) => scalar_words(setting, value),
        (Node::List(items), kind) if kind.takes_many_words() => {
            let words = items.iter().map(|item| node_words(setting, item)).collect::<Result<Vec<_>, _>>()?;
            Ok(words.concat())
        }
        (Node::Mapping(namespaces), Kind::Namespaces) => namespace_words(namespaces),
        (_, kind) => Err(format!("{} takes {}", setting.name, kind.allowed())),
    }
}

fn namespace_words(namespaces: &[(String, Node)]) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    for (name, limits) in namespaces {
        let (mut ttl, mut memory) = ("0", "0");
        let limits = match limits {
            Node::Null => &[],
            Node::Mapping(limits) => limits.as_slice(),
            _ => return Err(format!("namespace {name} takes default_ttl and max_memory")),
        };
        for (key, value) in limits {
            match (key.as_str(), value) {
                (_, Node::Null) => {}
                ("default_ttl", Node::Text(value) | Node::Other(value)) => ttl = value,
                ("max_memory", Node::Text(value) | Node::Other(value)) => memory = value,
                _ => return Err(format!("namespace {name} takes default_ttl and max_memory, not {key}")),
            }
        }
        words.extend([name.clone(), ttl.to_owned(), memory.to_owned()]);
    }
    Ok(words)
}

/// The words of redis.conf that the text of a YAML scalar or an environment variable stands for.
pub(super) fn scalar_words(setting: &Setting, value: &str) -> Result<Vec<String>, String> {
    if let Some((_, word)) = setting.words.iter().find(|(own, _)| own.eq_ignore_ascii_case(value)) {
        return Ok(vec![(*word).to_owned()]);
    }
    if let Some(unit) = setting.unit {
        return Ok(vec![in_unit(value, unit)?]);
    }
    let truth = if value.eq_ignore_ascii_case("true") { "yes" } else { "no" };
    let is_truth = truth == "yes" || value.eq_ignore_ascii_case("false");
    match setting.kind {
        Kind::YesNo if is_truth => Ok(vec![truth.to_owned()]),
        Kind::Choice(words) if is_truth && words.contains(&truth) => Ok(vec![truth.to_owned()]),
        // Sizes of terabytes, which redis.conf does not know, are passed on in bytes.
        Kind::Memory { .. } | Kind::MemoryOrPercent => {
            let bytes = parse_size(value).filter(|_| value.contains(['t', 'T']));
            Ok(vec![bytes.map_or_else(|| value.to_owned(), |bytes| bytes.to_string())])
        }
        Kind::SavePoints if parse_duration(value).is_some() => match in_unit(value, Unit::Seconds)?.as_str() {
            "0" => Ok(Vec::new()),
            seconds => Ok(vec![seconds.to_owned(), "1".to_owned()]),
        },
        ref kind if kind.takes_many_words() && !value.is_empty() => {
            let is_list = matches!(kind, Kind::Words { .. });
            let value = if is_list { value.replace(',', " ") } else { value.to_owned() };
            words::split_text(&super::text::to_bytes(&value)).map_err(str::to_owned)
        }
        _ => Ok(vec![value.to_owned()]),
    }
}

/// A duration as a bare number in this unit. Bare numbers are passed on.
fn in_unit(value: &str, unit: Unit) -> Result<String, String> {
    if value.parse::<i64>().is_ok() {
        return Ok(value.to_owned());
    }
    let duration = parse_duration(value).ok_or("argument must be a duration such as 500ms, 30s, 5m, 1h or 7d")?;
    match unit {
        Unit::Microseconds => Ok(duration.as_micros().to_string()),
        Unit::Milliseconds => Ok(duration.as_millis().to_string()),
        Unit::Seconds if duration.subsec_nanos() == 0 => Ok(duration.as_secs().to_string()),
        Unit::Seconds => Err("argument must be a whole number of seconds".to_owned()),
    }
}

/// The YAML value, on one line, of a setting: as people write it where it has a YAML name, as redis.conf has it
/// where it stands under `redis:`.
pub(super) fn render(setting: &Setting, settings: &Settings, under_redis: bool) -> String {
    use std::time::Duration;
    let value = settings.value(setting);
    let list =
        |items: Vec<String>| format!("[{}]", items.iter().map(|item| quote(item)).collect::<Vec<_>>().join(", "));
    if !under_redis {
        if let Some((own, _)) = setting.words.iter().find(|(_, word)| *word == value) {
            return (*own).to_owned();
        }
        if let (Some(unit), Ok(number @ 0..)) = (setting.unit, value.parse::<i64>()) {
            let number = number.unsigned_abs();
            return match unit {
                Unit::Microseconds if number % 1_000 != 0 => value,
                Unit::Microseconds => format_duration(Duration::from_micros(number)),
                Unit::Milliseconds => format_duration(Duration::from_millis(number)),
                Unit::Seconds => format_duration(Duration::from_secs(number)),
            };
        }
    }
    match setting.kind {
        Kind::YesNo if !under_redis => (value == "yes").to_string(),
        Kind::SavePoints if !under_redis && settings.save.is_empty() => "0".to_owned(),
        Kind::SavePoints if !under_redis && settings.save.len() == 1 && settings.save[0].changes == 1 => {
            format_duration(Duration::from_secs(settings.save[0].seconds))
        }
        Kind::YesNo | Kind::Integer { .. } | Kind::Octal { .. } | Kind::Choice(_) => value,
        Kind::Memory { .. } | Kind::MemoryOrPercent => parse_size(&value).map_or(value, format_size),
        Kind::Words { .. } => list(value.split_whitespace().map(str::to_owned).collect()),
        Kind::Lines { .. } | Kind::Users => list(value.lines().map(str::to_owned).collect()),
        Kind::Namespaces => {
            let limits = settings.namespaces.iter().map(|limits| {
                let ttl = format_duration(limits.default_ttl);
                let memory = format_size(limits.max_memory);
                format!("{}: {{default_ttl: {ttl}, max_memory: {memory}}}", quote(&limits.name))
            });
            format!("{{{}}}", limits.collect::<Vec<_>>().join(", "))
        }
        _ => quote(&value),
    }
}

/// A double-quoted scalar.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            ' '..='~' => out.push(letter),
            _ if letter.is_alphanumeric() => out.push(letter),
            _ => out.push_str(&format!("\\U{:08x}", u32::from(letter))),
        }
    }
    out + "\""
}

/// Builds a [`Node`], with a bound on their number.
#[derive(Clone, Copy)]
struct NodeSeed<'a> {
    left: &'a Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for NodeSeed<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| D::Error::custom("the file has too many values"))?;
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NodeSeed<'_> {
    type Value = Node;

    fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "a mapping, a list, or a plain value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    /// An empty document.
    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Other(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Other(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Other(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Other(format!("{value:?}")))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut mapping = Vec::new();
        let mut seen = HashSet::new();
        while let Some(key) = entries.next_key_seed(self)? {
            let (Node::Text(key) | Node::Other(key)) = key else {
                return Err(A::Error::custom("a name must be a plain value"));
            };
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format!("{key} is given twice")));
            }
            mapping.push((key, entries.next_value_seed(self)?));
        }
        Ok(Node::Mapping(mapping))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{Random, differences};
    use super::super::*;
    use super::*;

    fn read_all(text: impl AsRef<[u8]>) -> (Settings, Vec<(String, String, String)>) {
        let mut collector = Collector::default();
        read(&mut collector, text.as_ref(), "test.yaml");
        let problems = collector.problems.0.into_iter();
        (collector.settings, problems.map(|problem| (problem.place, problem.shown, problem.reason)).collect())
    }

    #[test]
    fn every_section_is_read() {
        let text = r#"
server:
  bind: ["127.0.0.1", "-::1"]
  port: 7000
  unix_socket: /run/c.sock
  max_connections: 5
  tcp_keepalive: 1m
  timeout: 300
  databases: 4
  protected_mode: false
  tls: {port: 7001, cert_file: a.pem, key_file: b.pem, ca_file: c.pem, auth_clients: no}
memory:
  max_memory: 2gb
  eviction_policy: allkeys-lru
  eviction_sample_size: 10
  pressure_warning: 60
  pressure_critical: 80
namespaces:
  sessions: {default_ttl: 30m, max_memory: 100mb}
  pages:
    default_ttl: 0
  raw:
persistence:
  enabled: yes
  data_dir: /
  aof: true
  aof_sync: always
  snapshot_interval: 5m
  max_aof_size: 1gb
cluster:
  enabled: false
  node_name: one
  bind_addr: 10.0.0.1
  bind_port: 7947
  advertise_addr: 10.0.0.2
  advertise_port: 7948
  seeds: ["a:7946", "b:7946"]
  replicas: 2
  gossip_interval: 100ms
  probe_interval: 2s
  probe_timeout: 1s
  suspicion_mult: 5
  migration_batch_size: 50
  replication_backlog: 64mb
plugins:
  stats: {enabled: false}
  metrics: {enabled: true, port: 9091, path: /m}
  auth: {enabled: true, password: "sesame"}
  slowlog: {enabled: true, threshold: 5ms, max_entries: 256}
logging:
  level: info
  format: console
  output: stderr
redis:
  hz: 20
  slave-priority: 7
  client-output-buffer-limit: ["replica 1mb 1mb 1", "pubsub 2mb 2mb 2"]
  oom-score-adj-values: [1, 2, 3]
  notify-keyspace-events: KEA
  latency-tracking-info-percentiles: [50, 99.9]
  user: ["alice on >x", "bob off"]
  rename-command: ["FLUSHALL \"\""]
  repl-timeout:
"#;
        let (settings, problems) = read_all(text);
        assert_eq!(problems, []);
        let expected = [
            ("bind", "127.0.0.1 -::1"),
            ("port", "7000"),
            ("unixsocket", "/run/c.sock"),
            ("maxclients", "5"),
            ("tcp-keepalive", "60"),
            ("timeout", "300"),
            ("databases", "4"),
            ("protected-mode", "no"),
            ("tls-port", "7001"),
            ("tls-cert-file", "a.pem"),
            ("tls-key-file", "b.pem"),
            ("tls-ca-cert-file", "c.pem"),
            ("tls-auth-clients", "no"),
            ("maxmemory", "2147483648"),
            ("maxmemory-policy", "allkeys-lru"),
            ("maxmemory-samples", "10"),
            ("memory-pressure-warning", "60"),
            ("memory-pressure-critical", "80"),
            ("namespace", "sessions 30m 104857600 pages 0 0 raw 0 0"),
            ("persistence-enabled", "yes"),
            ("dir", "/"),
            ("appendonly", "yes"),
            ("appendfsync", "always"),
            ("save", "300 1"),
            ("max-aof-size", "1073741824"),
            ("cluster-enabled", "no"),
            ("cluster-announce-human-nodename", "one"),
            ("cluster-bind-addr", "10.0.0.1"),
            ("cluster-gossip-port", "7947"),
            ("cluster-announce-ip", "10.0.0.2"),
            ("cluster-announce-bus-port", "7948"),
            ("cluster-seeds", "a:7946 b:7946"),
            ("cluster-replicas", "2"),
            ("cluster-gossip-interval", "100"),
            ("cluster-probe-interval", "2000"),
            ("cluster-probe-timeout", "1000"),
            ("cluster-suspicion-mult", "5"),
            ("cluster-migration-batch-size", "50"),
            ("repl-backlog-size", "67108864"),
            ("stats-enabled", "no"),
            ("metrics-enabled", "yes"),
            ("metrics-port", "9091"),
            ("metrics-path", "/m"),
            ("auth-enabled", "yes"),
            ("requirepass", "sesame"),
            ("slowlog-enabled", "yes"),
            ("slowlog-log-slower-than", "5000"),
            ("slowlog-max-len", "256"),
            ("loglevel", "notice"),
            ("logformat", "console"),
            ("logfile", "/dev/stderr"),
            ("hz", "20"),
            ("replica-priority", "7"),
            ("client-output-buffer-limit", "normal 0 0 0 slave 1048576 1048576 1 pubsub 2097152 2097152 2"),
            ("oom-score-adj-values", "1 2 3"),
            ("notify-keyspace-events", "AKE"),
            ("latency-tracking-info-percentiles", "50 99.9"),
            ("repl-timeout", "60"),
        ];
        for (name, value) in expected {
            assert_eq!(settings.get(name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(settings.user, [vec!["alice", "on", ">x"], vec!["bob", "off"]]);
        assert_eq!(settings.rename_command, [["FLUSHALL", ""]]);
        let given: Vec<&str> = expected.iter().map(|(name, _)| *name).collect();
        let forgotten = SETTINGS.iter().filter(|row| row.yaml.is_some() && !given.contains(&row.name));
        assert_eq!(forgotten.map(|row| row.name).collect::<Vec<_>>(), Vec::<&str>::new());
    }

    #[test]
    fn snapshot_intervals_are_save_points() {
        for (value, save) in [
            ("0", Ok("")),
            ("5m", Ok("300 1")),
            ("900 1 300 10", Ok("900 1 300 10")),
            ("[900 1, \"300 10\"]", Ok("900 1 300 10")),
            ("[]", Ok("")),
            ("500ms", Err("argument must be a whole number of seconds")),
            ("300", Err("Invalid save parameters")),
        ] {
            let (settings, problems) = read_all(format!("persistence:\n  snapshot_interval: {value}\n"));
            match save {
                Ok(save) => assert_eq!((settings.get("save").as_deref(), problems), (Some(save), vec![]), "{value}"),
                Err(reason) => assert_eq!(problems[0].2, reason, "{value}"),
            }
        }
    }

    #[test]
    fn problems_name_line_path_and_what_is_allowed() {
        let text = "\
# settings
server:
  prot: 1
  port: abc
  timeout: 5 minutes
  tls: yes
srever:
  port: 1
memory: {max_memory: -1, max_memorie: 5}
plugins:
  auth:
    password: 12345
redis:
  port: 7
  no-such: 1
  include: /etc/x
  hz: [1, 2]
namespaces:
  a: 5
  b: {ttl: 5}
";
        let place = |line: usize| format!("Reading test.yaml, at line {line}");
        let (_, problems) = read_all(text);
        let expected = [
            (
                3,
                "server.prot: 1",
                "unknown setting, here can stand: bind, port, unix_socket, timeout, tcp_keepalive, protected_mode, max_connections, tls, databases",
            ),
            (4, "server.port: abc", "argument couldn't be parsed into an integer"),
            (5, "server.timeout: 5 minutes", "argument must be a duration such as 500ms, 30s, 5m, 1h or 7d"),
            (6, "server.tls: yes", "this is a section, not a setting"),
            (
                7,
                "srever: {…}",
                "unknown setting, here can stand: server, logging, plugins, memory, namespaces, persistence, cluster, redis",
            ),
            (9, "memory.max_memory: -1", "argument must be a memory value"),
            (
                9,
                "memory.max_memorie: 5",
                "unknown setting, here can stand: max_memory, eviction_policy, eviction_sample_size, pressure_warning, pressure_critical",
            ),
            (
                12,
                "plugins.auth.password: (redacted)",
                "this is text for requirepass: put it in quotes, for YAML reads 12345 as something else",
            ),
            (14, "redis.port: 7", "port is given twice"),
            (15, "redis.no-such: 1", "unknown setting, here can stand: any redis.conf name"),
            (16, "redis.include: /etc/x", "unknown setting, here can stand: any redis.conf name"),
            (17, "redis.hz: […]", "hz takes an integer from 0 to 2147483647"),
            (18, "namespaces: {…}", "namespace a takes default_ttl and max_memory"),
        ];
        assert_eq!(problems.len(), expected.len(), "{problems:#?}");
        for (problem, (line, shown, reason)) in problems.iter().zip(expected) {
            assert_eq!(problem, &(place(line), shown.to_owned(), reason.to_owned()));
        }
    }

    #[test]
    fn hostile_files_are_refused() {
        let deep = format!("server: {}1{}", "[".repeat(1_000), "]".repeat(1_000));
        let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for letter in 'b'..='j' {
            let previous = (letter as u8 - 1) as char;
            bomb += &format!("{letter}: &{letter} [{}]\n", vec![format!("*{previous}"); 10].join(", "));
        }
        let wide = "server:\n".to_owned() + &(0..200_000).map(|n| format!("  k{n}: 1\n")).collect::<String>();
        let cases: &[(&[u8], &str)] = &[
            (b"server: {port: \xff}", "not valid UTF-8"),
            (b"server: [unclosed", "did not find expected"),
            (b"server:\n\tport: 1", "cannot start any token"),
            (b"- a\n- b", "must be a mapping of sections"),
            (b"just text", "must be a mapping of sections"),
            (b"? [a, b]\n: 1", "a name must be a plain value"),
            (b"server: {port: 1}\nserver: {port: 2}", "server is given twice"),
            (b"server: {port: !mine x}", "a mapping, a list, or a plain value"),
            (b"a: 1\n---\nb: 2", "more than one document"),
            (b"server: {port: 1\0}", "control characters are not allowed"),
            (deep.as_bytes(), "recursion limit exceeded"),
            (&[b'['; 1 << 20], "too many brackets"),
            (bomb.as_bytes(), "too many values"),
            (wide.as_bytes(), "too many values"),
        ];
        for (text, reason) in cases {
            let (settings, problems) = read_all(text);
            let shown = String::from_utf8_lossy(&text[..text.len().min(60)]).into_owned();
            assert!(problems.iter().any(|problem| problem.2.contains(reason)), "{shown} {problems:?}");
            assert_eq!(differences(&settings, &Settings::default()), [], "{shown}");
        }
        assert_eq!(read_all("").1, []);
        assert_eq!(read_all("# nothing\nserver:\nredis: ~\n").1, []);
    }

    #[test]
    fn a_rendered_value_is_read_back() {
        for seed in 0..40 {
            let mut random = Random::seeded(seed);
            let settings = random.settings(2);
            for under_redis in [false, true] {
                let mut collector = Collector::default();
                for setting in SETTINGS.iter().filter(|setting| !setting.kind.is_directive()) {
                    let path = if under_redis { format!("redis.{}", setting.name) } else { setting.yaml_path() };
                    let value = render(setting, &settings, under_redis);
                    let nested = path.split('.').map(|key| format!("{{{key}: ")).collect::<String>();
                    let text = format!("{nested}{value}{}", "}".repeat(path.split('.').count()));
                    read(&mut collector, text.as_bytes(), &text);
                }
                assert_eq!(collector.problems, Problems::default());
                assert_eq!(differences(&collector.settings, &settings), []);
            }
        }
    }

    #[test]
    fn values_are_rendered_as_people_write_them() {
        let mut settings = Settings::default();
        let cases = [
            ("maxmemory", "1gb", "1gb", "1gb"),
            ("timeout", "300", "5m", "300"),
            ("slowlog-log-slower-than", "10000", "10ms", "10000"),
            ("slowlog-log-slower-than", "1500", "1500", "1500"),
            ("slowlog-log-slower-than", "-1", "-1", "-1"),
            ("save", "300 1", "5m", "\"300 1\""),
            ("save", "900 1 300 10", "\"900 1 300 10\"", "\"900 1 300 10\""),
            ("save", "", "0", "\"\""),
            ("protected-mode", "no", "false", "no"),
            ("loglevel", "notice", "info", "notice"),
            ("loglevel", "verbose", "verbose", "verbose"),
            ("logfile", "", "stdout", "\"\""),
            ("logfile", "/var/log/a b", "\"/var/log/a b\"", "\"/var/log/a b\""),
            ("bind", "* -::*", "[\"*\", \"-::*\"]", "[\"*\", \"-::*\"]"),
            ("requirepass", "a\"\n\u{7f}é", "\"a\\\"\\U0000000a\\U0000007fé\"", "\"a\\\"\\U0000000a\\U0000007fé\""),
            ("maxmemory-clients", "5%", "5%", "5%"),
            (
                "namespace",
                "a 90s 1kb",
                "{\"a\": {default_ttl: 90s, max_memory: 1kb}}",
                "{\"a\": {default_ttl: 90s, max_memory: 1kb}}",
            ),
        ];
        for (name, value, own, under_redis) in cases {
            let (setting, _) = Setting::find(name).unwrap();
            settings.assign_line(setting, value).unwrap();
            assert_eq!(render(setting, &settings, false), own, "{name} {value}");
            assert_eq!(render(setting, &settings, true), under_redis, "{name} {value}");
        }
    }
}
