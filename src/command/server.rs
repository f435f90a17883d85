//! The small commands about the server itself: TIME, LOLWUT, SHUTDOWN.

use std::time::Duration;

use super::error::{Error, Outcome};
use super::state::Shutdown;
use super::table::{Acl, Command, Doc, Flags};
use super::{Ctx, REDIS_VERSION};
use crate::keyspace::entry::Type;
use crate::resp::Args;
use crate::types::number::parse_i64;

const DOC: Doc = Doc { group: "server", ..Command::NONE.doc };
const ANYTIME: Flags = Flags::LOADING.union(Flags::STALE);

pub const COMMANDS: &[Command] = &[
    Command {
        name: "lolwut",
        arity: -1,
        flags: Flags::READONLY.union(Flags::FAST),
        acl: Acl::READ,
        doc: Doc {
            summary: "Draws a thunderstorm, and tells the version.",
            since: "5.0.0",
            syntax: "[VERSION version]",
            ..DOC
        },
        handler: lolwut,
        ..Command::NONE
    },
    Command {
        name: "shutdown",
        arity: -1,
        flags: ANYTIME.union(Flags::ADMIN).union(Flags::NOSCRIPT).union(Flags::NO_MULTI).union(Flags::ALLOW_BUSY),
        doc: Doc {
            summary: "Ends the server.",
            since: "1.0.0",
            complexity: "O(N) where N is the number of keys to save, O(1) if nothing is saved.",
            syntax: "[save-selector: NOSAVE | SAVE] [NOW] [FORCE] [ABORT]",
            ..DOC
        },
        handler: shutdown,
        ..Command::NONE
    },
    Command {
        name: "time",
        arity: 1,
        flags: ANYTIME.union(Flags::FAST),
        tips: &["nondeterministic_output"],
        doc: Doc { summary: "Tells the time of the server.", since: "2.6.0", complexity: "O(1)", ..DOC },
        handler: time,
        ..Command::NONE
    },
];

// --- LOLWUT --------------------------------------------------------------------------------------------------

/// Columns and rows of the picture.
const COLUMNS: usize = 64;
const ROWS: usize = 20;

fn lolwut(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    // There is one picture for all versions and sizes, but none for what is no number.
    if args.len() > 2 && args[1].eq_ignore_ascii_case(b"version") {
        let number = |word: &[u8]| parse_i64(word).ok_or(Error::NOT_AN_INTEGER);
        let sizes = match number(&args[2])? {
            5 => 3,
            6 => 2,
            _ => 0,
        };
        args.iter_from(3).take(sizes).try_for_each(|size| number(size).map(drop))?;
    }
    let mut art = thunderstorm(&mut fastrand::Rng::with_seed(cx.server.clock.unix_us));
    let version = env!("CARGO_PKG_VERSION");
    art.extend_from_slice(format!("\nCacheStorm {version}. Redis ver. {REDIS_VERSION}\n").as_bytes());
    cx.reply.verbatim("txt", &art);
    Ok(())
}

/// A cloud, rain, and lightning that finds its way to the ground.
fn thunderstorm(rng: &mut fastrand::Rng) -> Vec<u8> {
    const CLOUD: [&str; 4] = [
        r"            .-~~~-.       .-~~~~~-.",
        r"     .- ~ ~-(       )_ _ (         )~ - .",
        r"   /                                      ~ -.",
        r"   ~- . _____________________________________.'",
    ];
    let mut picture = [[b' '; COLUMNS]; ROWS];
    for (row, line) in picture.iter_mut().zip(CLOUD) {
        let shift = (COLUMNS - CLOUD[3].len()) / 2;
        row[shift..][..line.len()].copy_from_slice(line.as_bytes());
    }
    let sky = CLOUD.len()..ROWS - 1;
    let air = picture[sky.clone()].as_flattened_mut();
    let mut drop = rng.usize(0..24);
    while drop < air.len() {
        air[drop] = b'\'';
        drop += rng.usize(1..24);
    }
    for _ in 0..rng.usize(1..4) {
        let mut column = rng.usize(COLUMNS / 4..COLUMNS * 3 / 4);
        for row in &mut picture[sky.clone()] {
            let (stroke, next) = match rng.u8(0..5) {
                0 => (b'|', column),
                1 | 2 => (b'/', column.saturating_sub(1)),
                _ => (b'\\', (column + 1).min(COLUMNS - 1)),
            };
            row[column] = stroke;
            column = next;
        }
        picture[ROWS - 1][column] = b'*';
    }
    for place in &mut picture[ROWS - 1] {
        if *place == b' ' {
            *place = if rng.u8(0..6) == 0 { b'^' } else { b'_' };
        }
    }
    picture.iter().flat_map(|row| [row.trim_ascii_end(), b"\n"]).collect::<Vec<_>>().concat()
}

// --- the others ------------------------------------------------------------------------------------------------

/// What SHUTDOWN was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Wish {
    save: Option<bool>,
    now: bool,
    force: bool,
    abort: bool,
}

impl Wish {
    fn parse<'a>(words: impl Iterator<Item = &'a [u8]>) -> Result<Wish, Error> {
        let mut wish = Wish::default();
        for word in words {
            let is = |option: &str| word.eq_ignore_ascii_case(option.as_bytes());
            if is("save") || is("nosave") {
                let save = is("save");
                if wish.save.is_some_and(|before| before != save) {
                    return Err(Error::SYNTAX);
                }
                wish.save = Some(save);
            } else if is("now") {
                wish.now = true;
            } else if is("force") {
                wish.force = true;
            } else if is("abort") {
                wish.abort = true;
            } else {
                return Err(Error::SYNTAX);
            }
        }
        let alone = Wish { abort: true, ..Wish::default() };
        if wish.abort && wish != alone { Err(Error::SYNTAX) } else { Ok(wish) }
    }
}

fn shutdown(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let wish = Wish::parse(args.iter_from(1))?;
    if wish.abort {
        // One that a signal asked for may be waiting for the periodic work.
        if cx.server.shutdown.is_none() {
            return Err(Error::fixed("ERR No shutdown in progress."));
        }
        cx.server.refuse_shutdown();
        log::info!("Shutdown manually aborted.");
        cx.reply.ok();
        return Ok(());
    }
    // What a script has half done cannot be saved.
    if let Some(busy) = cx.server.scripts.busy_error().filter(|_| wish.save != Some(false)) {
        return Err(busy);
    }
    end(cx, args, wish)
}

/// Ends the server, and starts it again after a delay.
pub(super) fn restart(cx: &mut Ctx<'_>, args: &Args<'_>, delay: Duration) -> Outcome {
    cx.server.debug.restart_after = Some(delay);
    end(cx, args, Wish { now: true, ..Wish::default() })
}

fn end(cx: &mut Ctx<'_>, args: &Args<'_>, wish: Wish) -> Outcome {
    // The reply is the end of the connection, or an error from who tries to end.
    let client = (cx.token, cx.server.clients[cx.token].id);
    cx.server.shutdown_waits.push(client);
    // One that is under way goes on as it was asked for, unless it is not to wait any longer.
    if !cx.server.is_waiting_to_end() || wish.now {
        let Wish { save, now, force, .. } = wish;
        let (client, signalled) = (Some(client), cx.server.shutdown.is_some_and(|shutdown| shutdown.signalled));
        cx.server.shutdown = Some(Shutdown { save, now, force, waits_until_ms: None, client, signalled });
    }
    // Not for a key, and nothing but the end or a refusal ends it.
    cx.wait(args, 0..0, Type::String, None, |_| {})
}

fn time(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    let now_us = cx.server.clock.unix_us as i64;
    cx.reply.array(2);
    cx.reply.bulk_integer(now_us / 1_000_000);
    cx.reply.bulk_integer(now_us % 1_000_000);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_storm_is_a_picture() {
        for seed in 0..200 {
            let art = String::from_utf8(thunderstorm(&mut fastrand::Rng::with_seed(seed))).expect("all of it is ASCII");
            let lines: Vec<&str> = art.lines().collect();
            assert_eq!(lines.len(), ROWS);
            assert!(lines.iter().all(|line| line.len() <= COLUMNS && line.is_ascii()));
            assert!(lines[ROWS - 1].contains('*'), "no lightning struck");
        }
    }

    #[test]
    fn the_options_of_shutdown() {
        let plain = Wish::default();
        let cases = [
            ("", Some(plain)),
            ("nosave", Some(Wish { save: Some(false), ..plain })),
            ("SAVE save", Some(Wish { save: Some(true), ..plain })),
            ("now FORCE nosave", Some(Wish { save: Some(false), now: true, force: true, ..plain })),
            ("abort", Some(Wish { abort: true, ..plain })),
            ("abort abort", Some(Wish { abort: true, ..plain })),
            ("save nosave", None),
            ("abort now", None),
            ("later", None),
        ];
        for (words, expected) in cases {
            let words = words.split(' ').filter(|word| !word.is_empty()).map(str::as_bytes);
            assert_eq!(Wish::parse(words).ok(), expected);
        }
    }
}
