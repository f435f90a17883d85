//! Taking a snapshot in as it comes, without a file in between.
//!
//! The connection brings bytes into an [`Inflow`], and a loader takes them out, in the slices in which everything is loaded. What
//! has come in part is read anew when there is more. So that a large text is not read over and over, that is not before there is
//! twice as much as the last time.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::command::aside::Aside;
use crate::command::load::{Intake, Manner, rules, tell};
use crate::command::loading::Loader;
use crate::command::state::Server;
use crate::persist::Sink;
use crate::persist::rdb::error::Reason;
use crate::persist::rdb::file::Reader;
use crate::persist::rdb::source::{Feed, Source};

/// Bytes that may wait to be taken in.
const MOST_WAITING: usize = 8 << 20;
/// A slice ends after this time; one beside data that serve, after that.
const SLICE: Duration = Duration::from_millis(10);
const SLICE_ASIDE: Duration = Duration::from_millis(1);
/// Items between two looks at the clock.
const STEP: usize = 64;
/// Bytes at the beginning that tell what follows.
const HEAD: u64 = 9;

/// What has come and has not been taken in.
#[derive(Default)]
struct Inflow {
    pieces: VecDeque<Vec<u8>>,
    bytes: usize,
    /// That is all, or will never be.
    is_whole: bool,
    is_broken: bool,
}

/// The connection's end.
pub struct Pipe(Rc<RefCell<Inflow>>);

impl Sink for Pipe {
    fn has_room(&self) -> bool {
        self.0.borrow().bytes < MOST_WAITING
    }

    fn write(&mut self, bytes: Vec<u8>) {
        let mut inflow = self.0.borrow_mut();
        inflow.bytes += bytes.len();
        inflow.pieces.push_back(bytes);
    }

    fn passed_on(&mut self, _: usize) {}

    fn finish(&mut self) {
        self.0.borrow_mut().is_whole = true;
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let mut inflow = self.0.borrow_mut();
        inflow.is_broken = !inflow.is_whole;
    }
}

/// How far reading is.
enum Reading {
    Head(Feed),
    Items(Box<Reader<Feed>>),
    Over,
}

/// The loader's end.
pub struct DirectLoader {
    inflow: Rc<RefCell<Inflow>>,
    reading: Reading,
    intake: Intake,
    /// So many bytes must wait before it is worth to read on.
    needed: u64,
    waits: bool,
    total: u64,
    loaded: u64,
    started: Instant,
}

/// Both ends. `total` says how many bytes come, as far as that is known; `aside` that the data stay until all of it is there.
pub fn pipe(total: u64, manner: Manner, aside: bool) -> (Pipe, DirectLoader) {
    let inflow = Rc::new(RefCell::new(Inflow::default()));
    let mut intake = Intake::new(manner);
    intake.aside = aside.then(Aside::default);
    let loader = DirectLoader {
        inflow: Rc::clone(&inflow),
        reading: Reading::Head(Feed::default()),
        intake,
        needed: HEAD,
        waits: false,
        total,
        loaded: 0,
        started: Instant::now(),
    };
    (Pipe(inflow), loader)
}

impl DirectLoader {
    /// Takes a part in. Returns whether that was all.
    fn take(&mut self, server: &mut Server) -> Result<bool, String> {
        let (rules, begin) = (rules(server), Instant::now());
        let time = if self.intake.aside.is_some() { SLICE_ASIDE } else { SLICE };
        self.waits = false;
        let pieces = std::mem::take(&mut self.inflow.borrow_mut().pieces);
        let feed = match &mut self.reading {
            Reading::Head(feed) => feed,
            Reading::Items(reader) => reader.source_mut(),
            Reading::Over => &mut Feed::default(),
        };
        for piece in pieces {
            feed.push(piece);
        }
        let waiting = feed.left();
        let (is_whole, is_broken) = {
            let mut inflow = self.inflow.borrow_mut();
            inflow.bytes = usize::try_from(waiting).unwrap_or(usize::MAX);
            (inflow.is_whole, inflow.is_broken)
        };
        if is_broken {
            return Err("The connection ended before all of the snapshot had come".to_string());
        }
        if !is_whole && waiting < self.needed {
            self.waits = true;
            return Ok(false);
        }
        if let Reading::Head(feed) = &mut self.reading {
            let reader = Reader::new(std::mem::take(feed), false).map_err(|error| explain(&error))?;
            self.reading = Reading::Items(Box::new(reader));
        }
        let Reading::Items(reader) = &mut self.reading else { return Ok(true) };
        loop {
            for _ in 0..STEP {
                match reader.next(&rules) {
                    Ok(item) => {
                        self.needed = 1;
                        if self.intake.take(server, item)? {
                            self.loaded = reader.source().offset();
                            let rest = reader.source().left();
                            self.reading = Reading::Over;
                            self.inflow.borrow_mut().bytes = 0;
                            return if rest == 0 { Ok(is_whole) } else { Err(BROKEN_END.to_string()) };
                        }
                    }
                    Err(error) if matches!(error.reason, Reason::End) && !is_whole => {
                        let feed = reader.source_mut();
                        feed.rewind();
                        self.loaded = feed.offset();
                        self.needed = feed.left().saturating_mul(2).max(1);
                        self.waits = true;
                        // What it waits for has to fit.
                        self.inflow.borrow_mut().bytes = 0;
                        return Ok(false);
                    }
                    Err(error) => return Err(explain(&error)),
                }
            }
            if begin.elapsed() > time {
                self.loaded = reader.source().offset();
                return Ok(false);
            }
        }
    }
}

const BROKEN_END: &str = "Replication stream EOF marker is broken";

fn explain(error: &crate::persist::rdb::error::Error) -> String {
    tell(error);
    "The snapshot cannot be read".to_string()
}

impl Loader for DirectLoader {
    fn slice(&mut self, server: &mut Server) -> Result<bool, String> {
        self.slice_or_fail(server).inspect_err(|why| {
            log::warn!("{why}");
            if let Some(aside) = self.intake.aside.take() {
                log::info!("MASTER <-> REPLICA sync: Discarding temporary DB in background");
                server.discard(aside);
            }
        })
    }

    fn progress(&self) -> (u64, u64) {
        (self.total.max(self.loaded), self.loaded)
    }

    fn used_memory(&self) -> u64 {
        self.intake.used_memory
    }

    fn waits(&self) -> bool {
        self.waits
    }
}

impl DirectLoader {
    fn slice_or_fail(&mut self, server: &mut Server) -> Result<bool, String> {
        let had_room = self.inflow.borrow().bytes < MOST_WAITING;
        // Nothing more is read when all has come: then it is only a matter of the rest.
        let over = match self.reading {
            Reading::Over => {
                let inflow = self.inflow.borrow();
                if inflow.is_broken || inflow.bytes > 0 {
                    return Err(BROKEN_END.to_string());
                }
                inflow.is_whole
            }
            _ => self.take(server)?,
        };
        self.waits |= matches!(self.reading, Reading::Over) && !over;
        if !had_room && self.inflow.borrow().bytes < MOST_WAITING {
            server.listen_again();
        }
        if over {
            server.note_loaded(self.intake.counts);
            log::debug!("The snapshot was taken in within {:.3} seconds", self.started.elapsed().as_secs_f64());
            if let Some(aside) = self.intake.aside.take() {
                log::info!("MASTER <-> REPLICA sync: Swapping active DB with loaded DB");
                server.leave_stream();
                self.intake.counts.stream_db = server.adopt(aside, self.intake.counts.stream_db)?;
                log::info!("MASTER <-> REPLICA sync: Discarding old DB in background");
            }
            server.last_load = self.intake.counts;
        }
        Ok(!over)
    }
}
