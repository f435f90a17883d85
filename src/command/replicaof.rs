//! REPLICAOF, and how a replica describes itself. What it does to follow its master is told in [`crate::replication::link`].

use std::fmt::Display;

use super::Ctx;
use super::error::{Error, Outcome};
use super::state::Server;
use crate::config::Endpoint;
use crate::net::client::{Class, Client};
use crate::replication::link::Stage;
use crate::resp::Args;
use crate::types::number::parse_i64;

pub(super) fn replicaof(cx: &mut Ctx<'_>, args: &mut Args<'_>) -> Outcome {
    if cx.server.settings.cluster_enabled {
        return Err(Error::fixed("ERR REPLICAOF not allowed in cluster mode."));
    }
    if cx.server.replication.failover.is_some() {
        return Err(Error::fixed("ERR REPLICAOF not allowed while failing over."));
    }
    let (host, port) = (&args[1], &args[2]);
    if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
        if cx.server.unfollow() {
            log::info!("MASTER MODE enabled (user request from '{}')", cx.server.asked_by(cx.token));
        }
        cx.reply.ok();
        return Ok(());
    }
    if cx.server.clients[cx.token].class() == Class::Replica {
        return Err(Error::fixed("ERR Command is not valid when client is a replica."));
    }
    let port = parse_i64(port).and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or(Error::fixed("ERR Invalid master port"))?;
    let host = String::from_utf8_lossy(host).into_owned();
    let same = |endpoint: &Endpoint| endpoint.host.eq_ignore_ascii_case(&host) && endpoint.port == port;
    if cx.server.settings.replicaof.as_ref().is_some_and(same) {
        log::info!(
            "REPLICAOF would result into synchronization with the master we are already connected with. No operation \
             performed."
        );
        cx.reply.status("OK Already connected to specified master");
        return Ok(());
    }
    cx.server.follow(Endpoint { host: host.clone(), port });
    log::info!("REPLICAOF {host}:{port} enabled (user request from '{}')", cx.server.asked_by(cx.token));
    cx.reply.ok();
    Ok(())
}

/// Answers ROLE.
pub(super) fn tell_role(cx: &mut Ctx<'_>) {
    let Some(following) = &cx.server.replication.following else { return };
    let state = match following.stage {
        Stage::Down => "connect",
        Stage::Connecting => "connecting",
        Stage::Handshake => "handshake",
        Stage::Snapshot => "sync",
        Stage::Online => "connected",
    };
    cx.reply.array(5);
    cx.reply.bulk(b"slave");
    cx.reply.bulk(following.host.as_bytes());
    cx.reply.integer(i64::from(following.port));
    cx.reply.bulk(state.as_bytes());
    cx.reply.integer(if following.is_online() { cx.server.replication.offset as i64 } else { -1 });
}

/// Tells INFO's lines about the master.
pub(super) fn tell(server: &Server, mut line: impl FnMut(&'static str, &dyn Display)) {
    let Some(following) = &server.replication.following else { return };
    let seconds_since = |ms: u64| server.clock.uptime_ms().saturating_sub(ms) / 1000;
    let (online, syncs) = (following.is_online(), following.stage == Stage::Snapshot);
    // Of a connection it is known more exactly than periodic work sees it.
    let heard_ms = following.token.map_or(following.heard_ms, |token| {
        let client = &server.clients[token];
        if following.has_news(client.received) { server.clock.uptime_ms() } else { following.heard_ms }
    });
    line("master_host", &following.host);
    line("master_port", &following.port);
    line("master_link_status", &if online { "up" } else { "down" });
    line("master_last_io_seconds_ago", &if online { seconds_since(heard_ms) as i64 } else { -1 });
    line("master_sync_in_progress", &u8::from(syncs));
    let offset = if following.has_history() { server.replication.offset } else { 0 };
    // A pause holds up what has been received.
    let link = following.token.filter(|_| online).map(|token| &*server.clients[token]);
    let received = |client: &Client| client.kept_input() + client.link.as_ref().map_or(0, |link| link.held_bytes());
    line("slave_read_repl_offset", &(offset + link.map_or(0, received) as u64));
    line("slave_repl_offset", &offset);
    if syncs {
        let progress = &following.progress;
        let percent = if progress.total > 0 { progress.received as f64 * 100.0 / progress.total as f64 } else { 0.0 };
        line("master_sync_total_bytes", &progress.total);
        line("master_sync_read_bytes", &progress.received);
        line("master_sync_left_bytes", &(progress.total - progress.received as i64));
        line("master_sync_perc", &format_args!("{percent:.2}"));
        line("master_sync_last_io_seconds_ago", &seconds_since(heard_ms));
    }
    if !online {
        let now = server.clock.unix_ms() / 1000;
        let down = following.down_since.map_or(-1, |since| now.saturating_sub(since) as i64);
        line("master_link_down_since_seconds", &down);
    }
    let settings = &server.settings;
    line("slave_priority", &settings.replica_priority);
    line("slave_read_only", &u8::from(settings.replica_read_only));
    line("replica_announced", &u8::from(settings.replica_announced));
}
