//! Streams.
//!
//! ```text
//!   nodes:      count │ ID (16 bytes, big-endian, as text) │ listpack │ …
//!   counters:   entries │ last ID │ [2: first ID │ greatest deleted ID │ entries ever added]
//!   groups:     count │ name │ last ID │ [2: entries read] │ pending │ consumers │ …
//!   pending:    count │ ID (16 bytes) │ delivered at (8 bytes) │ deliveries │ …
//!   consumers:  count │ name │ seen at (8 bytes) │ [3: active at (8 bytes)] │ count │ ID (16 bytes) │ …
//! ```
//!
//! What stands in brackets came with the second and third version of the type. IDs are two numbers where nothing else is
//! said, times are Unix milliseconds, little-endian.

use std::mem;

use super::encode;
use super::error::Error;
use super::frames;
use super::source::Source;
use super::tag;
use crate::types::stream::{ConsumerKey, Counters, Group, Id, Log, Stream};
use crate::types::telling::Piece;

/// A number of entries read that is not known, as it is written.
const UNKNOWN: u64 = u64::MAX;
/// A time at which nothing ever happened.
const NEVER: i64 = -1;

/// Appends a piece of a stream.
pub fn write(out: &mut Vec<u8>, piece: Piece<'_>, compress: bool) {
    match piece {
        Piece::Entries(id, bytes) => {
            encode::text(out, &id.to_bytes(), false);
            encode::listpack(out, bytes, compress);
        }
        Piece::Counters { len, first_id, counters, groups } => {
            encode::number(out, len);
            write_id(out, counters.last_id);
            write_id(out, first_id);
            write_id(out, counters.max_deleted_id);
            encode::number(out, counters.entries_added);
            encode::number(out, groups as u64);
        }
        Piece::Group { name, last_id, entries_read, pending } => {
            encode::text(out, name, compress);
            write_id(out, last_id);
            encode::number(out, entries_read.map_or(UNKNOWN, |read| read as u64));
            encode::number(out, pending as u64);
        }
        Piece::Pending(id, pending) => {
            out.extend_from_slice(&id.to_bytes());
            out.extend_from_slice(&pending.delivered_ms.to_le_bytes());
            encode::number(out, pending.deliveries);
        }
        Piece::Consumers(count) => encode::number(out, count as u64),
        Piece::Consumer { name, seen_ms, active_ms, pending } => {
            encode::text(out, name, compress);
            out.extend_from_slice(&seen_ms.to_le_bytes());
            out.extend_from_slice(&active_ms.unwrap_or(NEVER).to_le_bytes());
            encode::number(out, pending as u64);
        }
        Piece::Held(id, _) => out.extend_from_slice(&id.to_bytes()),
        Piece::Member(_) | Piece::Scored(..) | Piece::Field { .. } | Piece::Node { .. } => {
            unreachable!("no piece of a stream")
        }
    }
}

fn write_id(out: &mut Vec<u8>, id: Id) {
    encode::number(out, id.ms);
    encode::number(out, id.seq);
}

/// A stream that is being read.
pub struct Reader {
    /// The type that it is written as.
    kind: u8,
    stream: Stream,
    /// Nodes that are still to come.
    nodes: u64,
    /// Groups that are; not known before the nodes are there.
    groups: Option<u64>,
    /// The group that is being read.
    open: Option<Open>,
}

/// A consumer group that is being read.
struct Open {
    name: Box<[u8]>,
    group: Group,
    /// Pending entries that are still to come.
    pending: u64,
    /// Consumers that are; not known before the pending entries are there.
    consumers: Option<u64>,
    /// The last consumer, and how many of its pending entries are.
    holder: Option<(ConsumerKey, u64)>,
}

impl Reader {
    /// Begins to read a stream of a type and with so many nodes.
    pub fn new(kind: u8, nodes: u64) -> Reader {
        Reader { kind, stream: Stream::default(), nodes, groups: None, open: None }
    }

    /// Reads a node, or what a group, a consumer or a pending entry is. Returns the stream when that was all.
    ///
    /// # Errors
    /// If the source fails, or what it has does not fit. If it has too little, nothing has changed.
    pub fn step(&mut self, source: &mut impl Source) -> Result<Option<Stream>, Error> {
        if self.nodes > 0 {
            read_node(&mut self.stream.log, source)?;
            self.nodes -= 1;
            return Ok(None);
        }
        let Some(groups) = self.groups else {
            self.groups = Some(read_counters(&mut self.stream.log, self.kind, source)?);
            return Ok(None);
        };
        if groups == 0 {
            return Ok(Some(mem::take(&mut self.stream)));
        }
        let Some(open) = &mut self.open else {
            self.open = Some(Open::read(&self.stream.log, self.kind, source)?);
            return Ok(None);
        };
        if open.step(self.kind, source)?
            && let Some(Open { name, group, .. }) = self.open.take()
        {
            self.groups = Some(groups - 1);
            if self.stream.groups.insert(name, Box::new(group)).is_some() {
                return Err(source.corrupt("Duplicated consumer group name"));
            }
        }
        Ok(None)
    }
}

impl Open {
    fn read(log: &Log, kind: u8, source: &mut impl Source) -> Result<Open, Error> {
        let name = source.text()?.into_boxed_slice();
        let last_id = read_id(source)?;
        let read = match kind {
            // What the first version does not say may be seen from the entries.
            tag::STREAM_LISTPACKS => log.entries_until(last_id),
            _ => i64::try_from(source.number()?).ok(),
        };
        let (group, pending) = (Group::new(last_id, read), source.number()?);
        Ok(Open { name, group, pending, consumers: None, holder: None })
    }

    /// Reads a pending entry or a consumer. Returns whether that was all.
    fn step(&mut self, kind: u8, source: &mut impl Source) -> Result<bool, Error> {
        if self.pending > 0 {
            let id = Id::from_bytes(source.array()?);
            let delivered_ms = i64::from_le_bytes(source.array()?);
            let deliveries = source.number()?;
            let added = self.group.restore_pending(id, delivered_ms, deliveries);
            added.map_err(|_| source.corrupt("Duplicated global PEL entry loading stream consumer group"))?;
            self.pending -= 1;
            return Ok(false);
        }
        let Some(consumers) = self.consumers else {
            self.consumers = Some(source.number()?);
            return Ok(false);
        };
        if let Some((consumer, held)) = self.holder.as_mut().filter(|(_, held)| *held > 0) {
            let id = Id::from_bytes(source.array()?);
            let claimed = self.group.claim_restored(id, *consumer);
            claimed.map_err(|_| source.corrupt("Consumer entry not found in group global PEL"))?;
            *held -= 1;
            return Ok(false);
        }
        if consumers == 0 {
            self.group.complete().map_err(|_| source.corrupt("Stream CG PEL entry without consumer"))?;
            return Ok(true);
        }
        let name = source.text()?;
        let seen_ms = i64::from_le_bytes(source.array()?);
        let active_ms = if kind == tag::STREAM_LISTPACKS_3 { i64::from_le_bytes(source.array()?) } else { seen_ms };
        let held = source.number()?;
        let consumer = self.group.add_consumer(&name, seen_ms);
        let consumer = consumer.ok_or_else(|| source.corrupt("Duplicate stream consumer detected."))?;
        self.group.consumer_mut(consumer).active_ms = (active_ms >= 0).then_some(active_ms);
        (self.holder, self.consumers) = (Some((consumer, held)), Some(consumers - 1));
        Ok(false)
    }
}

fn read_node(log: &mut Log, source: &mut impl Source) -> Result<(), Error> {
    let id = source.text()?;
    let id = id.try_into().map_err(|_| source.corrupt("Stream node key entry is not the size of a stream ID"))?;
    let bytes =
        frames::content(source.text()?).ok_or_else(|| source.corrupt("Stream listpack integrity check failed."))?;
    log.add_node(Id::from_bytes(id), bytes).map_err(|_| source.corrupt("Stream listpack integrity check failed."))
}

/// Reads what holds for all entries, and how many groups there are.
fn read_counters(log: &mut Log, kind: u8, source: &mut impl Source) -> Result<u64, Error> {
    let len = source.number()?;
    let last_id = read_id(source)?;
    let counters = if kind == tag::STREAM_LISTPACKS {
        Counters { last_id, max_deleted_id: Id::default(), entries_added: len }
    } else {
        let _first_id = read_id(source)?;
        Counters { last_id, max_deleted_id: read_id(source)?, entries_added: source.number()? }
    };
    let groups = source.number()?;
    log.complete(len, counters).map_err(|_| source.corrupt("Stream length inconsistent with rax entries"))?;
    Ok(groups)
}

fn read_id(source: &mut impl Source) -> Result<Id, Error> {
    Ok(Id { ms: source.number()?, seq: source.number()? })
}
