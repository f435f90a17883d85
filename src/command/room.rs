//! Room for more data: what happens when maxmemory is reached.
//!
//! Before a command runs while more memory is used than allowed, keys are evicted: for as long as
//! maxmemory-eviction-tenacity allows one command to be held up, and then once a turn until there is enough. So a limit
//! that is lowered by gigabytes stalls nobody. Memory of data that was removed before, and is being freed in slices, comes
//! first: it is no reason to remove more. What takes memory is refused only if nothing can be evicted.
//!
//! Ahead of need, keys are evicted while the memory in use is near maxmemory ([`Pressure`]) and the data grow: a part of what
//! came in, so that there is room when a burst comes, and all of maxmemory is used nevertheless. Where nothing comes in,
//! nothing goes; nor does it for what clients take, who may be gone the next moment, or for what is being freed.
//!
//! A namespace with a limit of its own gives up its own keys, by the same policy and in the same way, before a command writes
//! in it.

use std::time::Duration;

use super::error::Error;
use super::state::Server;
use super::table::Flags;
use crate::config::EvictionPolicy;
use crate::memory;
use crate::persist::aof::writer::Writer;

/// Evictions between two looks at the clock.
const ROUND: usize = 16;

/// The percentage of maxmemory from which on the pressure is an emergency.
const EMERGENCY: u64 = 95;
/// How often keys are evicted ahead of need, in milliseconds.
const RELIEF_MS: u64 = 100;
/// What is evicted then: one byte for so many that came in, under a warning and in distress.
const WARNING_PART: usize = 8;
const CRITICAL_PART: usize = 2;
/// The longest that takes.
const RELIEF_TIME: Duration = Duration::from_millis(1);

/// How near the memory in use is to maxmemory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Pressure {
    None,
    /// From memory-pressure-warning on: for what comes in, a little is evicted.
    Warning,
    /// From memory-pressure-critical on: for what comes in, much is evicted.
    Critical,
    /// As critical, and nearly full.
    Emergency,
}

impl Pressure {
    /// What INFO calls it.
    pub fn word(self) -> &'static str {
        match self {
            Pressure::None => "none",
            Pressure::Warning => "warning",
            Pressure::Critical => "critical",
            Pressure::Emergency => "emergency",
        }
    }
}

/// Whether there is room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// There is.
    Enough,
    /// Not yet: more keys are going to be evicted.
    Soon,
    /// There is none, and nothing that may be evicted.
    None,
}

impl Server {
    /// Whether more memory is used than maxmemory allows.
    #[inline]
    pub fn is_short_of_memory(&self) -> bool {
        let most = self.settings.maxmemory;
        most > 0 && memory::used() as u64 > most && self.counted_memory() as u64 > most
    }

    /// Bytes in use that count toward maxmemory.
    #[cold]
    pub fn counted_memory(&self) -> usize {
        memory::used().saturating_sub(self.uncounted_memory())
    }

    /// Bytes in use that do not: what waits for replicas that are slow, and for the disk. If keys were evicted for that, telling of
    /// it would take more.
    pub fn uncounted_memory(&self) -> usize {
        self.replica_memory().uncounted + self.aof.writer().map_or(0, Writer::buffered)
    }

    /// Decides on a command that is like `flags` and is to run on a database while memory is short, or could be in a namespace.
    ///
    /// # Errors
    /// If it may need memory, and there is none to be had.
    #[cold]
    pub(super) fn find_room(&mut self, db: usize, flags: Flags) -> Result<(), Error> {
        // Who pauses writing does not want the data to change in any other way, nor is half of it to be evicted.
        if self.rests() {
            return Ok(());
        }
        let needs_memory = flags.contains(Flags::DENYOOM);
        if self.is_short_of_memory() && self.make_room() == Room::None && needs_memory {
            return Err(Error::OUT_OF_MEMORY);
        }
        if flags.contains(Flags::WRITE) {
            self.keys.note_crowded(db);
            if self.make_room_within(db) == Room::None && needs_memory {
                return Err(Error::NAMESPACE_FULL);
            }
        }
        Ok(())
    }

    /// Evicts a slice of what there is too much. Returns whether there is more to do at once.
    pub fn evict_slice(&mut self) -> bool {
        let short = self.is_short_of_memory();
        if !short {
            self.end_shortage();
        }
        if self.rests() || self.settings.maxmemory_policy == EvictionPolicy::NoEviction {
            return false;
        }
        let mut more = short && self.make_room() == Room::Soon;
        for db in self.keys.take_crowded() {
            if self.make_room_within(db) == Room::Soon {
                self.keys.note_crowded(db);
                more = true;
            }
        }
        more
    }

    /// How near the memory in use is to maxmemory now.
    pub fn pressure_now(&self) -> Pressure {
        self.pressure_of(self.counted_memory())
    }

    /// How near to maxmemory so many bytes are.
    fn pressure_of(&self, bytes: usize) -> Pressure {
        let settings = &self.settings;
        let percent = (bytes as u64).saturating_mul(100).checked_div(settings.maxmemory).unwrap_or(0);
        match percent {
            _ if percent < u64::from(settings.memory_pressure_warning) => Pressure::None,
            _ if percent < u64::from(settings.memory_pressure_critical) => Pressure::Warning,
            _ if percent < EMERGENCY => Pressure::Critical,
            _ => Pressure::Emergency,
        }
    }

    /// Looks at the pressure, and evicts a few keys ahead of need.
    pub fn relieve_pressure(&mut self, now_ms: u64) {
        if now_ms < self.next_relief_ms {
            return;
        }
        self.next_relief_ms = now_ms + RELIEF_MS;
        let pressure = self.pressure_now();
        if pressure > self.pressure {
            let (used, most) = (self.counted_memory(), self.settings.maxmemory);
            log::warn!("Memory pressure: {}. {used} bytes of {most} are in use.", pressure.word());
        }
        self.pressure = pressure;
        if pressure == Pressure::None || self.settings.maxmemory_policy == EvictionPolicy::NoEviction || self.rests() {
            self.data_seen = None;
            return;
        }
        let data = self.keys.weight();
        let came = data.saturating_sub(self.data_seen.unwrap_or(data));
        let part = if came > 0 { self.part_to_evict() } else { usize::MAX };
        let gone = self.evict_ahead(came / part);
        self.data_seen = Some(data - gone.min(data));
    }

    /// For how many bytes that came in one is to be evicted ahead of need.
    fn part_to_evict(&self) -> usize {
        if self.keys.pending_free() > 0 || self.keys.is_sweeping() {
            return usize::MAX;
        }
        match self.pressure_of(self.counted_memory().saturating_sub(self.clients_bytes)) {
            Pressure::None => usize::MAX,
            Pressure::Warning => WARNING_PART,
            Pressure::Critical | Pressure::Emergency => CRITICAL_PART,
        }
    }

    /// Evicts keys until the data weigh so many bytes less, or for as long as nobody minds. Returns how much less they weigh.
    fn evict_ahead(&mut self, wanted: usize) -> usize {
        let (policy, samples) = (self.settings.maxmemory_policy, self.settings.maxmemory_samples as usize);
        let started = self.cycles.raw();
        let mut gone = 0;
        for round in 1.. {
            let in_time = round % ROUND != 0 || self.cycles.delta(started, self.cycles.raw()) < RELIEF_TIME;
            if !in_time || gone >= wanted {
                break;
            }
            let Some(evicted) = self.keys.evict(policy, samples, None) else { break };
            gone += evicted.weight;
        }
        gone
    }

    /// Whether the data must not change by themselves.
    fn rests(&self) -> bool {
        let leaves_it_to_master = || self.replication.is_replica() && self.settings.replica_ignore_maxmemory;
        self.pause.is_some() || self.loading.is_some() || self.scripts.running.is_some() || leaves_it_to_master()
    }

    /// Evicts keys of a namespace until it keeps within its limit, or the time that a command may be held up is over.
    fn make_room_within(&mut self, db: usize) -> Room {
        if self.keys.excess(db) == 0 {
            return Room::Enough;
        }
        let (started, patience) = (self.cycles.raw(), patience(self.settings.maxmemory_eviction_tenacity));
        let (policy, samples) = (self.settings.maxmemory_policy, self.settings.maxmemory_samples as usize);
        for round in 1.. {
            if self.keys.is_sweeping() {
                self.keys.sweep_slice();
            } else if self.keys.evict(policy, samples, Some(db)).is_none() {
                return Room::None;
            }
            if self.keys.excess(db) == 0 {
                break;
            }
            let held_up = || self.cycles.delta(started, self.cycles.raw());
            if round % ROUND == 0 && patience.is_some_and(|patience| held_up() > patience) {
                return Room::Soon;
            }
        }
        Room::Enough
    }

    /// Frees and evicts until there is room, or the time that a command may be held up is over.
    fn make_room(&mut self) -> Room {
        let started = self.cycles.raw();
        let evicted = self.keys.stats.evicted;
        let room = self.make_room_until(started);
        if self.keys.stats.evicted > evicted {
            self.note_latency("eviction-cycle", self.cycles.delta(started, self.cycles.raw()));
        }
        if room == Room::Enough {
            self.end_shortage();
        } else {
            self.short_since_us.get_or_insert(self.clock.uptime_us);
        }
        room
    }

    fn make_room_until(&mut self, started: u64) -> Room {
        // What eviction itself takes, such as messages to those who track the keys, must not lead to more of it: the
        // bytes that keys give back are counted, not those in use.
        let mut wanted = (self.counted_memory() as u64).saturating_sub(self.settings.maxmemory) as isize;
        let patience = patience(self.settings.maxmemory_eviction_tenacity);
        let (policy, samples) = (self.settings.maxmemory_policy, self.settings.maxmemory_samples as usize);
        for round in 1.. {
            if wanted <= 0 {
                return Room::Enough;
            }
            let before = memory::used();
            if self.keys.pending_free() > 0 {
                self.keys.free_slice();
                wanted -= before as isize - memory::used() as isize;
            } else if self.keys.is_sweeping() {
                self.keys.sweep_slice();
                wanted -= before as isize - memory::used() as isize;
            } else {
                match self.keys.evict(policy, samples, None) {
                    Some(evicted) => wanted -= evicted.freed,
                    None => return Room::None,
                }
            }
            let held_up = || self.cycles.delta(started, self.cycles.raw());
            if round % ROUND == 0 && patience.is_some_and(|patience| held_up() > patience) {
                return Room::Soon;
            }
        }
        Room::Soon
    }

    /// Counts the time for which more memory was used than allowed.
    fn end_shortage(&mut self) {
        if let Some(since_us) = self.short_since_us.take() {
            self.stats.short_of_memory_us += self.clock.uptime_us.saturating_sub(since_us);
        }
    }
}

/// For how long a command may be held up, by maxmemory-eviction-tenacity; `None` for as long as it takes. Up to 10 it is 50 µs a
/// point, and from there on 15 % more with each.
fn patience(tenacity: u32) -> Option<Duration> {
    match tenacity {
        0..=10 => Some(Duration::from_micros(50 * u64::from(tenacity))),
        11..=99 => Some(Duration::from_micros(500).mul_f64(1.15f64.powi(tenacity as i32 - 10))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenacity_is_patience() {
        for (tenacity, micros) in [(0, Some(0)), (1, Some(50)), (10, Some(500)), (11, Some(575)), (100, None)] {
            assert_eq!(patience(tenacity).map(|patience| patience.as_micros()), micros, "{tenacity}");
        }
        assert!(patience(99).is_some_and(|patience| (110..150).contains(&patience.as_secs())));
    }
}
