//! Settings that are made of several numbers or words: save points, buffer limits, endpoints, namespaces.

use std::fmt::Write;
use std::time::Duration;

use super::amount::{format_duration, parse_duration, parse_redis_size, parse_size};
use super::kind::{Field, Kind, WRONG_NUMBER, none_if_empty};

/// "Snapshot after this many seconds if at least this many changes were made."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    pub seconds: u64,
    pub changes: u64,
}

impl Field for Vec<SavePoint> {
    fn assign(&mut self, _: &Kind, words: &[&str], again: bool) -> Result<(), String> {
        let invalid = || "Invalid save parameters".to_owned();
        let number = |word: &str, least: i64| {
            let number = word.parse::<i64>().ok().filter(|number| *number >= least);
            number.map(i64::unsigned_abs).ok_or_else(invalid)
        };
        let words = none_if_empty(words);
        let mut points = Vec::new();
        for pair in words.chunks(2) {
            let [seconds, changes] = pair else { return Err(invalid()) };
            points.push(SavePoint { seconds: number(seconds, 1)?, changes: number(changes, 0)? });
        }
        if again && !words.is_empty() {
            self.append(&mut points);
        } else {
            *self = points;
        }
        Ok(())
    }

    fn show(&self, _: &Kind) -> String {
        let points = self.iter().map(|point| format!("{} {}", point.seconds, point.changes));
        points.collect::<Vec<_>>().join(" ")
    }
}

/// When a client that reads too slowly is disconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct OutputBufferLimit {
    /// Bytes that end the connection at once; 0 is no limit.
    pub hard_bytes: u64,
    /// Bytes that end the connection when exceeded for `soft_seconds`; 0 is no limit.
    pub soft_bytes: u64,
    pub soft_seconds: u32,
}

/// Limits of normal clients, replicas, and subscribers, in this order.
pub type OutputBufferLimits = [OutputBufferLimit; 3];

/// Names of the classes as CONFIG GET shows them, in the order of [`OutputBufferLimits`].
const CLIENT_CLASSES: [&str; 3] = ["normal", "slave", "pubsub"];

impl Field for OutputBufferLimits {
    fn assign(&mut self, _: &Kind, words: &[&str], _: bool) -> Result<(), String> {
        let mut limits = *self;
        let words = none_if_empty(words);
        if !words.len().is_multiple_of(4) {
            return Err("Wrong number of arguments in buffer limit configuration.".to_owned());
        }
        for group in words.chunks_exact(4) {
            let class = if group[0].eq_ignore_ascii_case("replica") { "slave" } else { group[0] };
            let class = CLIENT_CLASSES.iter().position(|name| name.eq_ignore_ascii_case(class));
            let class = class.ok_or("Invalid client class specified in buffer limit configuration.")?;
            let seconds = group[3].parse::<i32>().ok().and_then(|seconds| u32::try_from(seconds).ok());
            let (Some(hard_bytes), Some(soft_bytes), Some(soft_seconds)) =
                (parse_redis_size(group[1]), parse_redis_size(group[2]), seconds)
            else {
                return Err("Error in hard, soft or soft_seconds setting in buffer limit configuration.".to_owned());
            };
            limits[class] = OutputBufferLimit { hard_bytes, soft_bytes, soft_seconds };
        }
        *self = limits;
        Ok(())
    }

    fn show(&self, _: &Kind) -> String {
        let classes = CLIENT_CLASSES.iter().zip(self);
        let groups = classes
            .map(|(name, limit)| format!("{name} {} {} {}", limit.hard_bytes, limit.soft_bytes, limit.soft_seconds));
        groups.collect::<Vec<_>>().join(" ")
    }
}

impl Field for [i32; 3] {
    fn assign(&mut self, _: &Kind, words: &[&str], _: bool) -> Result<(), String> {
        let words: [&str; 3] = words.try_into().map_err(|_| WRONG_NUMBER)?;
        let mut scores = [0; 3];
        for (score, word) in scores.iter_mut().zip(words) {
            let number = word.parse().ok().filter(|number| (-2000..=2000).contains(number));
            *score = number.ok_or("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")?;
        }
        *self = scores;
        Ok(())
    }

    fn show(&self, _: &Kind) -> String {
        format!("{} {} {}", self[0], self[1], self[2])
    }
}

impl Field for Vec<f64> {
    fn assign(&mut self, _: &Kind, words: &[&str], _: bool) -> Result<(), String> {
        let mut percentiles = Vec::new();
        for word in none_if_empty(words) {
            let number = word.parse::<f64>().ok().filter(|number| !number.is_nan());
            let number = number.ok_or("Invalid latency-tracking-info-percentiles parameters")?;
            if !(0.0..=100.0).contains(&number) {
                return Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]".to_owned());
            }
            percentiles.push(number);
        }
        *self = percentiles;
        Ok(())
    }

    fn show(&self, _: &Kind) -> String {
        let mut line = String::new();
        for number in self {
            let digits = format!("{number:.6}");
            let separator = if line.is_empty() { "" } else { " " };
            let _ = write!(line, "{separator}{}", digits.trim_end_matches('0').trim_end_matches('.'));
        }
        line
    }
}

/// A host and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
}

impl Field for Option<Endpoint> {
    fn assign(&mut self, _: &Kind, words: &[&str], _: bool) -> Result<(), String> {
        *self = match words {
            [""] => None,
            [no, one] if no.eq_ignore_ascii_case("no") && one.eq_ignore_ascii_case("one") => None,
            [host, port] => {
                let port = port.parse().map_err(|_| "Invalid master port")?;
                if host.is_empty() || host.contains(char::is_whitespace) {
                    return Err("Invalid master host".to_owned());
                }
                Some(Endpoint { host: (*host).to_owned(), port })
            }
            _ => return Err(WRONG_NUMBER.to_owned()),
        };
        Ok(())
    }

    fn show(&self, _: &Kind) -> String {
        self.as_ref().map(|endpoint| format!("{} {}", endpoint.host, endpoint.port)).unwrap_or_default()
    }
}

/// Namespaces that settings may name. They are few, and looked for one by one.
const MAX_NAMESPACES: usize = 10_000;

/// Defaults of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceLimits {
    pub name: String,
    /// TTL of keys that are written without one; zero is none.
    pub default_ttl: Duration,
    /// Bytes; 0 is no limit.
    pub max_memory: u64,
}

impl NamespaceLimits {
    /// Whether a namespace may be called so.
    pub fn is_name(name: &str) -> bool {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte);
        (1..=64).contains(&name.len()) && name.bytes().all(plain)
    }
}

impl Field for Vec<NamespaceLimits> {
    fn assign(&mut self, _: &Kind, words: &[&str], again: bool) -> Result<(), String> {
        let invalid = || "Invalid namespace parameters, each takes a name, a default TTL and a memory limit".to_owned();
        let words = none_if_empty(words);
        let mut namespaces: Vec<NamespaceLimits> = Vec::new();
        for group in words.chunks(3) {
            let [name, ttl, memory] = group else { return Err(invalid()) };
            if !NamespaceLimits::is_name(name) {
                return Err(format!("{name} is no name of a namespace: 1 to 64 letters, digits and _ - . :"));
            }
            let (Some(default_ttl), Some(max_memory)) = (parse_duration(ttl), parse_size(memory)) else {
                return Err(invalid());
            };
            namespaces.push(NamespaceLimits { name: (*name).to_owned(), default_ttl, max_memory });
        }
        if namespaces.len() + if again { self.len() } else { 0 } > MAX_NAMESPACES {
            return Err(format!("there are more than {MAX_NAMESPACES} namespaces"));
        }
        let mut known = if again && !words.is_empty() { std::mem::take(self) } else { Vec::new() };
        for limits in namespaces {
            match known.iter_mut().find(|known| known.name == limits.name) {
                Some(known) => *known = limits,
                None => known.push(limits),
            }
        }
        *self = known;
        Ok(())
    }

    fn show(&self, _: &Kind) -> String {
        let groups = self
            .iter()
            .map(|limits| format!("{} {} {}", limits.name, format_duration(limits.default_ttl), limits.max_memory));
        groups.collect::<Vec<_>>().join(" ")
    }
}
