//! CLIENT TRACKING and its kin: a client says that it keeps copies of what it reads, and is told when they become wrong.

use std::collections::BTreeSet;

use super::Ctx;
use super::deliver::tell_news;
use super::error::{Error, Outcome};
use super::key_positions::each_key;
use super::state::Server;
use super::stream::read::is_in_order;
use super::table::{Flags, KeyFlags, Registered};
use crate::effects::tracking::{Choice, ClientRef, Tracking};
use crate::resp::Args;
use crate::types::number::parse_i64;

/// What CLIENT TRACKING was told.
#[derive(Default)]
struct Options<'a> {
    redirect: Option<ClientRef>,
    broadcast: bool,
    opt_in: bool,
    opt_out: bool,
    no_loop: bool,
    prefixes: Vec<&'a [u8]>,
}

impl Options<'_> {
    fn parse<'a>(server: &Server, args: &'a Args<'_>) -> Result<Options<'a>, Error> {
        let mut options = Options::default();
        let mut at = 3;
        while at < args.len() {
            let value = args.get(at + 1);
            match (args[at].to_ascii_lowercase().as_slice(), value) {
                (b"redirect", Some(id)) => {
                    if options.redirect.is_some() {
                        return Err(Error::fixed("ERR A client can only redirect to a single other client"));
                    }
                    options.redirect = Some(client_with(server, id)?);
                    at += 1;
                }
                (b"prefix", Some(prefix)) => {
                    options.prefixes.push(prefix);
                    at += 1;
                }
                (b"bcast", _) => options.broadcast = true,
                (b"optin", _) => options.opt_in = true,
                (b"optout", _) => options.opt_out = true,
                (b"noloop", _) => options.no_loop = true,
                _ => return Err(Error::SYNTAX),
            }
            at += 1;
        }
        Ok(options)
    }

    /// Checks whether the options go together, and with what the client has chosen before.
    fn check(&self, before: Option<&Tracking>) -> Outcome {
        let chosen = before.map(|tracking| tracking.choice);
        if !self.broadcast && !self.prefixes.is_empty() {
            return Err(Error::fixed("ERR PREFIX option requires BCAST mode to be enabled"));
        }
        if chosen.is_some_and(|choice| (choice == Choice::Broadcast) != self.broadcast) {
            return Err(Error::fixed(
                "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then \
                 re-enabling it with a different mode.",
            ));
        }
        if self.broadcast && (self.opt_in || self.opt_out) {
            return Err(Error::fixed("ERR OPTIN and OPTOUT are not compatible with BCAST"));
        }
        if self.opt_in && self.opt_out {
            return Err(Error::fixed("ERR You can't specify both OPTIN mode and OPTOUT mode"));
        }
        if (self.opt_in && chosen == Some(Choice::OptOut)) || (self.opt_out && chosen == Some(Choice::OptIn)) {
            return Err(Error::fixed(
                "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then \
                 re-enabling it with a different mode.",
            ));
        }
        const EXISTING: usize = usize::MAX;
        let given = self.prefixes.iter().enumerate().map(|(at, prefix)| (*prefix, at));
        let existing = before.iter().flat_map(|tracking| &tracking.prefixes).map(|prefix| (&prefix[..], EXISTING));
        let mut all: Vec<(&[u8], usize)> = given.chain(existing).collect();
        all.sort_unstable();
        // If one begins another, it begins all that stand between them: so neighbours tell.
        let overlaps = all.windows(2).filter(|pair| pair[1].0.starts_with(pair[0].0));
        // As given, and for each of those the existing ones before the others.
        let in_order = overlaps.map(|pair| if pair[0].1 < pair[1].1 { (pair[0], pair[1]) } else { (pair[1], pair[0]) });
        match in_order.min_by_key(|((_, at), (_, other_at))| (*at, other_at.wrapping_add(1))) {
            Some(((prefix, _), (other, EXISTING))) => Err(overlapping(prefix, b"an existing", other)),
            Some(((prefix, _), (other, _))) => Err(overlapping(prefix, b"another provided", other)),
            None => Ok(()),
        }
    }
}

fn overlapping(prefix: &[u8], which: &[u8], other: &[u8]) -> Error {
    const END: &[u8] = b"'. Prefixes for a single client must not overlap.";
    Error::new([b"ERR Prefix '", prefix, b"' overlaps with ", which, b" prefix '", other, END].concat())
}

/// The client with a number.
fn client_with(server: &Server, id: &[u8]) -> Result<ClientRef, Error> {
    let id = parse_i64(id).ok_or(Error::NOT_AN_INTEGER)?;
    let token = server.client_with_id(id);
    let token = token.ok_or(Error::fixed("ERR The client ID you want redirect to does not exist"))?;
    Ok(ClientRef { id: server.clients[token].id, token })
}

/// `CLIENT TRACKING`
pub fn tracking(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let options = Options::parse(cx.server, args)?;
    if args[2].eq_ignore_ascii_case(b"on") {
        options.check(cx.server.clients[cx.token].tracking.as_deref())?;
        begin(cx, options);
    } else if args[2].eq_ignore_ascii_case(b"off") {
        cx.server.stop_tracking(cx.token);
    } else {
        return Err(Error::SYNTAX);
    }
    cx.reply.ok();
    Ok(())
}

/// Makes the client track, or track in another way.
fn begin(cx: &mut Ctx<'_>, options: Options<'_>) {
    let effects = &mut cx.server.keys.effects;
    let slot = &mut cx.server.clients[cx.token].tracking;
    if slot.is_none() {
        effects.trackers.join();
        effects.listen();
    }
    let (mut prefixes, caching) = match slot.take() {
        Some(before) => (before.prefixes, before.caching),
        None => (BTreeSet::new(), false),
    };
    let choice = match options {
        Options { broadcast: true, .. } => Choice::Broadcast,
        Options { opt_in: true, .. } => Choice::OptIn,
        Options { opt_out: true, .. } => Choice::OptOut,
        _ => Choice::All,
    };
    if choice == Choice::Broadcast {
        let wanted: &[&[u8]] = if options.prefixes.is_empty() { &[b""] } else { &options.prefixes };
        for prefix in wanted {
            effects.trackers.add_prefix(cx.token, prefix);
            prefixes.insert((*prefix).into());
        }
    }
    let (redirect, no_loop) = (options.redirect, options.no_loop);
    *slot = Some(Box::new(Tracking { choice, caching, no_loop, redirect, broken_redirect: false, prefixes }));
}

/// `CLIENT CACHING`
pub fn caching(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    let Some(tracking) = &mut cx.server.clients[cx.token].tracking else {
        return Err(Error::fixed(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        ));
    };
    let yes = args[2].eq_ignore_ascii_case(b"yes");
    if !yes && !args[2].eq_ignore_ascii_case(b"no") {
        return Err(Error::SYNTAX);
    }
    if yes && tracking.choice != Choice::OptIn {
        return Err(Error::fixed("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode."));
    }
    if !yes && tracking.choice != Choice::OptOut {
        return Err(Error::fixed("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode."));
    }
    tracking.caching = true;
    cx.reply.ok();
    Ok(())
}

/// `CLIENT GETREDIR`
pub fn getredir(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    let tracking = cx.server.clients[cx.token].tracking.as_deref();
    cx.reply.integer(redirection(tracking));
    Ok(())
}

/// Who is told in a client's place: a client's number, 0 for nobody, or -1 if it does not track.
pub fn redirection(tracking: Option<&Tracking>) -> i64 {
    tracking.map_or(-1, |tracking| tracking.redirect.map_or(0, |redirect| redirect.id as i64))
}

/// `CLIENT TRACKINGINFO`
pub fn trackinginfo(cx: &mut Ctx<'_>, _: &mut Args<'_>) -> Outcome {
    let tracking = cx.server.clients[cx.token].tracking.as_deref();
    let mut flags = vec![if tracking.is_some() { "on" } else { "off" }];
    if let Some(tracking) = tracking {
        let (choice, asked) = match tracking.choice {
            Choice::All => ("", ""),
            Choice::OptIn => ("optin", "caching-yes"),
            Choice::OptOut => ("optout", "caching-no"),
            Choice::Broadcast => ("bcast", ""),
        };
        flags.push(choice);
        flags.push(if tracking.caching { asked } else { "" });
        flags.push(if tracking.no_loop { "noloop" } else { "" });
        flags.push(if tracking.broken_redirect { "broken_redirect" } else { "" });
        flags.retain(|flag| !flag.is_empty());
    }
    cx.reply.map(3);
    cx.reply.bulk(b"flags");
    cx.reply.set(flags.len());
    flags.iter().for_each(|flag| cx.reply.bulk(flag.as_bytes()));
    cx.reply.bulk(b"redirect");
    cx.reply.integer(redirection(tracking));
    cx.reply.bulk(b"prefixes");
    cx.reply.array(tracking.map_or(0, |tracking| tracking.prefixes.len()));
    tracking.iter().flat_map(|tracking| &tracking.prefixes).for_each(|prefix| cx.reply.bulk(prefix));
    Ok(())
}

impl Server {
    /// Lets a client track no longer.
    pub fn stop_tracking(&mut self, token: usize) {
        if let Some(tracking) = self.clients[token].tracking.take() {
            self.keys.effects.trackers.leave(token, &tracking);
            self.keys.effects.listen();
        }
    }
}

impl Ctx<'_> {
    /// Tells clients what the command that just ran has done to keys, and remembers what the client has read.
    #[cold]
    pub(super) fn tell_and_remember(&mut self, command: &Registered, args: &Args<'_>) {
        self.stale.extend(tell_news(self.server, Some(self.token)));
        self.server.delivered |= !self.stale.is_empty();
        let Server { clients, keys, .. } = &mut *self.server;
        let client = &mut clients[self.token];
        let Some(tracking) = &mut client.tracking else { return };
        // Of a script, what its commands read counts.
        let script = command.command.acl.contains(super::table::Acl::SCRIPTING);
        let reads = command.command.flags.contains(Flags::READONLY)
            && !script
            && (command.full_name != "xread" || is_in_order(args));
        if reads && tracking.remembers() {
            let reader = ClientRef { id: client.id, token: self.token };
            let visited = each_key(command.command, args, 0, |at, flags| {
                if !flags.contains(KeyFlags::NOT_KEY) {
                    keys.effects.trackers.remember(reader, &args[at]);
                }
            });
            if visited.is_err() {
                log::debug!("The keys of {} are not where they should be", command.full_name);
            }
        }
        // CLIENT CACHING holds for one command, or for one transaction; of a command that waits, for all of its runs.
        let goes_on = self.blocked || client.transaction.is_some() || self.in_exec;
        if !goes_on && !command.full_name.starts_with("client|") {
            tracking.caching = false;
        }
    }

    /// A command was refused: what CLIENT CACHING said does not hold for another one.
    pub(super) fn forget_caching(&mut self) {
        let client = &mut self.server.clients[self.token];
        if let Some(tracking) = client.tracking.as_mut().filter(|_| client.transaction.is_none()) {
            tracking.caching = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_overlap_when_one_begins_with_the_other() {
        let mut rng = fastrand::Rng::with_seed(4);
        for _ in 0..2000 {
            let mut word = || (0..rng.usize(0..5)).map(|_| rng.u8(b'a'..b'd')).collect::<Vec<u8>>();
            let words: Vec<Vec<u8>> = (0..4).map(|_| word()).collect();
            let prefixes: Vec<&[u8]> = words.iter().map(|word| &word[..]).collect();
            let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
            let expected = (0..4).any(|at| prefixes[..at].iter().any(|other| overlap(other, prefixes[at])));
            let options = Options { broadcast: true, prefixes, ..Options::default() };
            assert_eq!(options.check(None).is_err(), expected, "{words:?}");
        }
    }
}
