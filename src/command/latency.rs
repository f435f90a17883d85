//! LATENCY: what held the server up, and how long commands take.

use super::Ctx;
use super::error::{Error, Outcome};
use super::table::{Command, CommandId, Doc, Flags, Registered, all};
use crate::config::Settings;
use crate::observe::histogram::Histogram;
use crate::observe::latency::{LatencyMonitor, draw};
use crate::resp::Args;

const DOC: Doc = Doc { group: "server", since: "2.8.13", ..Command::NONE.doc };
const FLAGS: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE);
const TIPS: &[&str] = &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"];

const REPORT: Command = Command { arity: 2, flags: FLAGS, tips: TIPS, ..Command::NONE };

pub const COMMANDS: &[Command] = &[Command {
    name: "latency",
    arity: -2,
    doc: Doc { summary: "Holds the commands about latency.", complexity: "Depends on the subcommand.", ..DOC },
    subcommands: &[
        Command {
            name: "doctor",
            doc: Doc { summary: "Tells in words what held the server up, and what to do.", complexity: "O(1)", ..DOC },
            handler: doctor,
            ..REPORT
        },
        Command {
            name: "graph",
            arity: 3,
            doc: Doc { summary: "Draws the latest delays by an event.", complexity: "O(1)", syntax: "event", ..DOC },
            handler: graph,
            ..REPORT
        },
        Command {
            name: "help",
            flags: Flags::LOADING.union(Flags::STALE),
            tips: &[],
            doc: Doc { summary: "Lists the subcommands.", complexity: "O(1)", ..DOC },
            handler: help,
            ..REPORT
        },
        Command {
            name: "histogram",
            arity: -2,
            doc: Doc {
                summary: "Tells how long commands took: for growing times, how many calls took no longer.",
                since: "7.0.0",
                complexity: "O(N) where N is the number of commands that have been called.",
                syntax: "[command [command ...]]",
                ..DOC
            },
            handler: histogram,
            ..REPORT
        },
        Command {
            name: "history",
            arity: 3,
            doc: Doc { summary: "Lists the latest delays by an event.", complexity: "O(1)", syntax: "event", ..DOC },
            handler: history,
            ..REPORT
        },
        Command {
            name: "latest",
            doc: Doc { summary: "Tells the latest delay by each event.", complexity: "O(1)", ..DOC },
            handler: latest,
            ..REPORT
        },
        Command {
            name: "reset",
            arity: -2,
            tips: &["request_policy:all_nodes", "response_policy:agg_sum"],
            doc: Doc {
                summary: "Forgets the delays by some events, or by all.",
                complexity: "O(1)",
                syntax: "[event [event ...]]",
                ..DOC
            },
            handler: reset,
            ..REPORT
        },
    ],
    ..Command::NONE
}];

/// Seconds since the Unix epoch.
fn now_seconds(cx: &Ctx<'_>) -> u64 {
    cx.server.clock.unix_us / 1_000_000
}

// --- DOCTOR --------------------------------------------------------------------------------------------------------

fn doctor(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    let text = diagnosis(&cx.server.latency, &cx.server.settings, now_seconds(cx));
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// What can be done about something that held the server up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Advice {
    LogSlowCommands,
    LowerSlowLog,
    ReadSlowLog,
    SmallerValues,
    QuieterMachine,
    FasterDisk,
    RelaxFsync,
    GrowSlowly,
    SpreadDeadlines,
}

impl Advice {
    /// The advice for an event.
    fn on(event: &str, settings: &Settings) -> Vec<Advice> {
        match event {
            "command" => {
                let threshold_us = i64::try_from(settings.latency_monitor_threshold).unwrap_or(i64::MAX) * 1000;
                let log = if !settings.slow_log_is_on() {
                    Some(Advice::LogSlowCommands)
                } else if settings.slowlog_log_slower_than > threshold_us {
                    Some(Advice::LowerSlowLog)
                } else {
                    None
                };
                log.into_iter().chain([Advice::ReadSlowLog, Advice::SmallerValues]).collect()
            }
            "fast-command" => vec![Advice::QuieterMachine],
            "aof-fsync-always" => vec![Advice::RelaxFsync, Advice::FasterDisk],
            "expire-cycle" => vec![Advice::SpreadDeadlines, Advice::QuieterMachine],
            "eviction-cycle" | "eviction-del" => vec![Advice::GrowSlowly],
            event if event.starts_with("aof-") || event.starts_with("rdb-") => vec![Advice::FasterDisk],
            _ => Vec::new(),
        }
    }

    fn text(self) -> &'static str {
        match self {
            Advice::LogSlowCommands => {
                "The slow log is off. Switch it on (slowlog-log-slower-than, slowlog-max-len) to see which commands are slow."
            }
            Advice::LowerSlowLog => {
                "The slow log leaves out commands that this monitor counts: lower slowlog-log-slower-than."
            }
            Advice::ReadSlowLog => "SLOWLOG GET shows which commands are slow.",
            Advice::SmallerValues => {
                "Commands that look at all of a value take as long as the value is large: split large values, or ask for \
                 a part (SCAN and its kin, ranges)."
            }
            Advice::QuieterMachine => {
                "What should be quick was slow, so the server did not get the processor: look for other programs on this \
                 machine, for neighbours of a virtual one, for swapping, and for limits of a container."
            }
            Advice::FasterDisk => {
                "The disk was slow: use a local one, an SSD if possible, and keep other writers away from it."
            }
            Advice::RelaxFsync => {
                "appendfsync is `always`, which makes each turn of the loop wait for the disk; with `everysec` a second's \
                 writes are at risk, but nobody waits."
            }
            Advice::GrowSlowly => {
                "Memory ran short faster than keys could be evicted: do not lower maxmemory, or store very large values, \
                 at one stroke."
            }
            Advice::SpreadDeadlines => "Many keys expired at the same time: give them deadlines a little apart.",
        }
    }
}

fn diagnosis(monitor: &LatencyMonitor, settings: &Settings, now_seconds: u64) -> String {
    if monitor.events().len() == 0 {
        return if settings.latency_monitor_threshold == 0 {
            "I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this instance. CONFIG SET \
             latency-monitor-threshold <milliseconds> enables it.\n"
        } else {
            "Nothing has held the server up for as long as latency-monitor-threshold.\n"
        }
        .to_string();
    }
    let mut text = "These events held the server up:\n\n".to_string();
    let mut advice = Vec::new();
    for (number, (event, series)) in monitor.events().enumerate() {
        let figures = series.figures(now_seconds);
        text.push_str(&format!(
            "{}. {event}: {} latency spikes (average {}ms, mean deviation {}ms, period {:.2} sec). Worst all time event {}ms.\n",
            number + 1,
            figures.samples,
            figures.average,
            figures.deviation,
            figures.seconds_between,
            series.worst,
        ));
        advice.extend(Advice::on(event, settings));
    }
    advice.sort_unstable();
    advice.dedup();
    text.push_str("\nWhat can be done:\n\n");
    if advice.is_empty() {
        text.push_str("- There is no general advice on these events.\n");
    }
    for advice in advice {
        text.push_str(&format!("- {}\n", advice.text()));
    }
    text
}

// --- events ----------------------------------------------------------------------------------------------------------

fn graph(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let Some((event, series)) = cx.server.latency.series(&args[2]) else {
        return Err(Error::new([b"ERR No samples available for event '", &args[2], b"'"].concat()));
    };
    let drawing = draw(event, series, now_seconds(cx));
    cx.reply.verbatim("txt", drawing.as_bytes());
    Ok(())
}

fn help(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    cx.help(
        args,
        &[
            "DOCTOR",
            "    Tell in words what held the server up, and what to do.",
            "GRAPH <event>",
            "    Draw the latest delays by an event.",
            "HISTOGRAM [<command> ...]",
            "    Tell how long commands took, all of them if none is named.",
            "HISTORY <event>",
            "    List the latest delays by an event: times, and milliseconds.",
            "LATEST",
            "    Tell of each event the time of its latest delay, its length, and that of the longest.",
            "RESET [<event> ...]",
            "    Forget the delays by these events, or by all.",
        ],
    )
}

fn history(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let samples = cx.server.latency.series(&args[2]).map_or(&[][..], |(_, series)| series.samples());
    cx.reply.array(samples.len());
    for sample in samples {
        cx.reply.array(2);
        cx.reply.integer(sample.unix_seconds as i64);
        cx.reply.integer(sample.millis as i64);
    }
    Ok(())
}

fn latest(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    let (reply, events) = (&mut cx.reply, cx.server.latency.events());
    reply.array(events.len());
    for (event, series) in events {
        let last = series.samples().last();
        reply.array(4);
        reply.bulk(event.as_bytes());
        reply.integer(last.map_or(0, |sample| sample.unix_seconds as i64));
        reply.integer(last.map_or(0, |sample| sample.millis as i64));
        reply.integer(series.worst as i64);
    }
    Ok(())
}

fn reset(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let monitor = &mut cx.server.latency;
    let forgotten = match args.len() {
        2 => monitor.clear(),
        _ => args.iter_from(2).filter(|event| monitor.forget(event)).count(),
    };
    cx.reply.count(forgotten);
    Ok(())
}

// --- HISTOGRAM -------------------------------------------------------------------------------------------------------

/// Durations at which calls are counted, in nanoseconds: powers of two, each a little enlarged, as the histograms of
/// Redis have it. What took longer than the last counts there.
fn bounds() -> impl Iterator<Item = u64> {
    (10..=30).map(|power| (1 << power) + (1 << (power - 7)) - 1)
}

fn histogram(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let commands: Vec<CommandId> = if args.len() == 2 {
        all().collect()
    } else {
        args.iter_from(2).filter_map(|name| cx.server.names.find_full(name)).flat_map(with_subcommands).collect()
    };
    let measured: Vec<(&Registered, &Histogram)> = commands
        .into_iter()
        .filter_map(|id| Some((id.registered(), cx.server.command_stats[id.index()].latency.as_ref()?)))
        .collect();
    let nanos = |ticks| cx.server.cycles.delta_as_nanos(0, ticks);
    let reply = &mut cx.reply;
    reply.map(measured.len());
    for (command, histogram) in measured {
        reply.bulk(command.full_name.as_bytes());
        reply.map(2);
        reply.bulk(b"calls");
        reply.integer(histogram.len() as i64);
        reply.bulk(b"histogram_usec");
        let counts = cumulative(histogram, nanos);
        reply.map(counts.len());
        for (micros, calls) in counts {
            reply.integer(micros as i64);
            reply.integer(calls as i64);
        }
    }
    Ok(())
}

fn with_subcommands(command: &'static Registered) -> impl Iterator<Item = CommandId> {
    [command.id].into_iter().chain(command.subcommands.iter().copied())
}

/// For each bound that more calls kept than the one before, in microseconds, how many did.
fn cumulative(histogram: &Histogram, nanos: impl Fn(u64) -> u64) -> Vec<(u64, u64)> {
    let mut counts = Vec::new();
    let mut buckets = histogram.buckets().map(|(ticks, count)| (nanos(ticks), count as u64)).peekable();
    let mut calls = 0;
    let mut bounds = bounds().peekable();
    while let Some(bound) = bounds.next() {
        let before = calls;
        let last = bounds.peek().is_none();
        while let Some((_, count)) = buckets.next_if(|&(longest, _)| longest <= bound || last) {
            calls += count;
        }
        if calls > before {
            counts.push((bound / 1000, calls));
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::latency::Sample;

    #[test]
    fn bounds_are_those_of_redis() {
        let micros: Vec<u64> = bounds().map(|nanos| nanos / 1000).collect();
        assert_eq!(micros[..8], [1, 2, 4, 8, 16, 33, 66, 132]);
        assert_eq!(micros[micros.len() - 3..], [270532, 541065, 1082130]);
    }

    #[test]
    fn counts_grow_and_nothing_is_left_out() {
        let mut histogram = Histogram::default();
        [500, 900, 3000, 3100, 1 << 40].into_iter().for_each(|nanos| histogram.record(nanos));
        assert_eq!(cumulative(&histogram, |ticks| ticks), [(1, 2), (4, 4), (1082130, 5)]);
        assert_eq!(cumulative(&Histogram::default(), |ticks| ticks), []);
    }

    #[test]
    fn the_doctor_has_advice() {
        let mut settings = Settings::default();
        let mut monitor = LatencyMonitor::default();
        assert!(diagnosis(&monitor, &settings, 0).starts_with("I'm sorry, Dave, I can't do that."));
        settings.latency_monitor_threshold = 5;
        assert!(diagnosis(&monitor, &settings, 0).starts_with("Nothing has held"));
        monitor.add("command", Sample { unix_seconds: 1, millis: 20 });
        let text = diagnosis(&monitor, &settings, 11);
        let expected = "1. command: 1 latency spikes (average 20ms, mean deviation 0ms, period 10.00 sec). Worst all time event 20ms.";
        assert!(text.contains(expected), "{text}");
        assert!(text.contains("lower slowlog-log-slower-than") && !text.contains("slow log is off"), "{text}");
        settings.slowlog_max_len = 0;
        assert!(diagnosis(&monitor, &settings, 11).contains("slow log is off"));
        monitor.clear();
        monitor.add("something-new", Sample { unix_seconds: 1, millis: 20 });
        assert!(diagnosis(&monitor, &settings, 11).contains("no general advice"));
    }
}
