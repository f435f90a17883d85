//! The expiry wheel: a hierarchical timing wheel that knows which keys are due.
//!
//! Time is counted in ticks of one millisecond and read as a number of eleven 6-bit digits, the
//! least significant first. Level `l` of the wheel stands for digit `l` and has one slot for each
//! value of that digit:
//!
//! ```text
//!            slot  0    1    2    3    4   …   62   63     a slot is     the level spans
//!                +----+----+----+----+----+---+----+----+
//!     level 0    |    | << | ab |    | c  | … |    |    |  1 ms          64 ms
//!                +----+----+----+----+----+---+----+----+
//!     level 1    | << |    |    | de |    | … |    | f  |  64 ms         4.1 s
//!                +----+----+----+----+----+---+----+----+
//!     level 2    |    |    | << |    |    | … |    |    |  4.1 s         4.4 min
//!                +----+----+----+----+----+---+----+----+
//!       …                                                  4.4 min, 4.7 h, 12 d, 2.2 y, …
//!                +----+----+----+----+----+---+
//!     level 10   | << |    |    |    |    | … | 16 slots   37 million y  all of u64
//!                +----+----+----+----+----+---+
//!     due        [ x y ]     deadline at or before the wheel's time
//!
//!     << is the wheel's time, digit by digit: 1 + 0·64 + 2·64² + …
//!     a and b are due in 1 ms, c in 3 ms; d and e in the 64 ms that begin 191 ms from now
//! ```
//!
//! An item goes to the level of the highest digit in which its deadline differs from the wheel's
//! time, into the slot named by the deadline's digit there. So everything in level `l` comes before
//! everything in level `l + 1`, and the next slot to open is found from one bitmap for each level,
//! however far away it is: empty time costs nothing. When the wheel's time comes to the start of a
//! slot, its items move on (they cascade) to lower levels or out of the wheel; an item moves at
//! most once for each level. A slot with millions of items is emptied in slices: the wheel's time
//! stays at the start of the slot until the last item has left it, and a new item never goes into a
//! slot that is being emptied, because there its digit would be equal to that of the wheel's time.
//!
//! When the clock is set back, the wheel's time simply follows. Items in the lower levels may then
//! lie in slots that open too early, never too late: a slot of level `l` opens whenever digit `l`
//! of the time takes its number, and a deadline has that digit itself. A slot that opens too early
//! sends its items to where they belong. That is why the search for the next slot looks round the
//! circle and compares the levels.
//!
//! An item is a small `Copy` handle. It keeps its own deadline and its [`Ticket`], the place of its
//! cell in the wheel, so that removal is exact and immediate: the last cell of the slot moves into
//! the gap. A slot is a list of chunks of [`CHUNK`] cells without gaps, its first chunk starts
//! small, and a chunk is freed with its last item; what the wheel holds is therefore one cell for
//! each live item, plus at most one partly filled chunk for each slot in use.
//!
//! Limits: a handle must stay valid, and its deadline must not change, while it is in the wheel,
//! except through [`Wheel::replace`] and [`Wheel::same_slot`]. Items of one call of
//! [`Wheel::advance`] come out in no particular order. A level takes 1.5 KB from its first use on.
//!
//! Source of the idea: G. Varghese and T. Lauck, "Hashed and Hierarchical Timing Wheels", SOSP
//! 1987, scheme 7.

/// Bits of a digit of the time.
const DIGIT: usize = 6;
/// Slots of a level: one for each value of a digit, one for each bit of the level's bitmap.
const SLOTS: usize = 1 << DIGIT;
/// Digits of a `u64`. The top level uses but 16 of its slots, as 64 = 10·6 + 4.
const LEVELS: usize = 64usize.div_ceil(DIGIT);
/// The place for what is due already, numbered as if it were slot 0 of a level above all others.
const DUE: usize = LEVELS * SLOTS;
/// Bits of a ticket that name the place (level and slot); the bits above them are the index in the
/// slot.
const PLACE_BITS: u32 = 10;
/// Cells of a chunk: 4 KB of 8-byte handles.
const CHUNK: usize = 512;
/// Cells that the first chunk of a slot begins with.
const FIRST_CELLS: usize = 4;

const _: () = assert!(DUE < 1 << PLACE_BITS);
const _: () = assert!((CHUNK / FIRST_CELLS).is_power_of_two(), "doubling the first chunk must end at CHUNK");

/// What the wheel asks of an item: a handle of eight bytes or less to something that has a
/// deadline.
pub trait Scheduled: Copy {
    /// When the item is due, in ms on the clock that [`Wheel::advance`] is given.
    fn deadline_ms(self) -> u64;
    /// Keeps the place of the item in the wheel. Called whenever the item enters the wheel or moves
    /// in it.
    fn set_ticket(self, ticket: Ticket);
}

/// Where an item sits in its wheel. Valid from the latest [`Scheduled::set_ticket`] until the item
/// leaves the wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket(u64);

impl Ticket {
    fn new(place: usize, index: usize) -> Ticket {
        Ticket((index as u64) << PLACE_BITS | place as u64)
    }

    fn place(self) -> usize {
        self.0 as usize & ((1 << PLACE_BITS) - 1)
    }

    fn index(self) -> usize {
        (self.0 >> PLACE_BITS) as usize
    }

    /// The ticket as a number to store. Less than 2^48 in any wheel of less than 2^38 items, so a
    /// caller can keep 16 bits of its own beside it, or use `u64::MAX` for "not in the wheel".
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// The ticket that [`Ticket::to_bits`] was called on.
    pub fn from_bits(bits: u64) -> Ticket {
        Ticket(bits)
    }
}

/// The items of one slot. All chunks but the last are full, none is empty.
struct Slot<T> {
    chunks: Vec<Vec<T>>,
}

impl<T: Copy> Slot<T> {
    fn len(&self) -> usize {
        self.chunks.last().map_or(0, |tail| (self.chunks.len() - 1) * CHUNK + tail.len())
    }

    fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    fn cell(&mut self, index: usize) -> &mut T {
        &mut self.chunks[index / CHUNK][index % CHUNK]
    }

    /// Appends an item and returns its index.
    fn push(&mut self, item: T) -> usize {
        match self.chunks.last_mut() {
            Some(tail) if tail.len() < CHUNK => {
                // By doubling, whatever the list would do by itself, so that it ends at CHUNK.
                if tail.len() == tail.capacity() {
                    tail.reserve_exact(tail.len());
                }
                tail.push(item);
            }
            full => {
                let mut chunk = Vec::with_capacity(if full.is_some() { CHUNK } else { FIRST_CELLS });
                chunk.push(item);
                if self.chunks.is_empty() {
                    self.chunks.reserve_exact(1);
                }
                self.chunks.push(chunk);
            }
        }
        self.len() - 1
    }

    /// Takes the last item off and gives back memory that is no longer needed.
    fn pop(&mut self) -> Option<T> {
        let tail = self.chunks.last_mut()?;
        let item = tail.pop();
        if tail.is_empty() {
            self.chunks.pop();
            if self.chunks.is_empty() {
                self.chunks = Vec::new();
            } else {
                shrink(&mut self.chunks);
            }
        } else if self.chunks.len() == 1 {
            shrink(&mut self.chunks[0]);
        }
        item
    }

    /// Bytes on the heap.
    fn heap_bytes(&self) -> usize {
        let Some(tail) = self.chunks.last() else {
            return 0;
        };
        let cells = (self.chunks.len() - 1) * CHUNK + tail.capacity();
        self.chunks.capacity() * size_of::<Vec<T>>() + cells * size_of::<T>()
    }
}

/// Halves a list that is three quarters empty, so that growth and shrinking are both paid for by
/// the items between them.
fn shrink<X>(list: &mut Vec<X>) {
    if list.capacity() > FIRST_CELLS && list.len() <= list.capacity() / 4 {
        list.shrink_to(list.capacity() / 2);
    }
}

/// The timing wheel. See the head of the file.
pub struct Wheel<T> {
    /// The wheel's time in ms: nothing with a deadline at or before it is in a level, except in
    /// slots being emptied.
    now: u64,
    len: usize,
    /// Which slots of each level have items; the entry above the levels is for the place `DUE`.
    occupied: [u64; LEVELS + 1],
    /// The slots of each level, and then the place `DUE`; none where a level was never used.
    levels: [Box<[Slot<T>]>; LEVELS + 1],
}

impl<T: Scheduled> Wheel<T> {
    /// An empty wheel whose time is `now_ms`.
    pub fn new(now_ms: u64) -> Wheel<T> {
        Wheel { now: now_ms, len: 0, occupied: [0; LEVELS + 1], levels: Default::default() }
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that the wheel holds, itself included. Takes the time of a look at each slot of the levels in use.
    pub fn memory_bytes(&self) -> usize {
        let levels: usize = self.levels.iter().map(|slots| size_of_val::<[Slot<T>]>(slots)).sum();
        let heap: usize = self.in_order().map(Slot::heap_bytes).sum();
        size_of::<Self>() + levels + heap
    }

    /// Puts an item in by its deadline and gives it its ticket. The item must not be in the wheel.
    pub fn insert(&mut self, item: T) {
        self.put(item, item.deadline_ms());
    }

    /// Takes the item with this ticket out and returns it. The item that fills its cell gets that
    /// ticket.
    ///
    /// # Panics
    /// If the ticket is of no item in the wheel (a void ticket may also hit another item: the
    /// caller must not use one).
    pub fn remove(&mut self, ticket: Ticket) -> T {
        let (place, index) = (ticket.place(), ticket.index());
        let last = self.pop(place).expect("the slot of a ticket has items");
        let slot = self.slot(place);
        if index == slot.len() {
            return last;
        }
        last.set_ticket(ticket);
        std::mem::replace(slot.cell(index), last)
    }

    /// Says that the item with this ticket has a new handle: `item`, with the same deadline, which
    /// gets the ticket.
    ///
    /// # Panics
    /// As [`Wheel::remove`].
    pub fn replace(&mut self, ticket: Ticket, item: T) {
        *self.slot(ticket.place()).cell(ticket.index()) = item;
        item.set_ticket(ticket);
    }

    /// Whether the item with this ticket may take the new deadline `deadline_ms` and stay where it
    /// is. If not, it must be removed and inserted again.
    pub fn same_slot(&self, ticket: Ticket, deadline_ms: u64) -> bool {
        self.place(deadline_ms) == ticket.place()
    }

    /// Moves the wheel's time towards `now_ms` and the items that are due (`deadline_ms() <=
    /// now_ms`) out of the wheel to the end of `due`; their tickets are void. At most `budget`
    /// items are moved, those that only cascade included, and taken off it. Returns whether there is work left at
    /// `now_ms`, so that the call should be repeated soon.
    ///
    /// Time may jump ahead by any distance. When it goes back, nothing is due before the clock has
    /// come there again.
    pub fn advance(&mut self, now_ms: u64, budget: &mut usize, due: &mut Vec<T>) -> bool {
        self.now = self.now.min(now_ms);
        while let Some((place, opens)) = self.next_slot() {
            if opens > now_ms {
                break;
            }
            self.now = opens;
            while let Some(item) = (*budget > 0).then(|| self.pop(place)).flatten() {
                *budget -= 1;
                let deadline = item.deadline_ms();
                // Compared with the clock rather than with the wheel's time: what is due by now
                // needs no more cascades.
                if deadline <= now_ms {
                    due.push(item);
                } else {
                    self.put(item, deadline);
                }
            }
            if !self.slot(place).is_empty() {
                return true;
            }
        }
        self.now = now_ms;
        false
    }

    /// Frees one chunk of cells of a wheel whose items are not needed any more; their tickets are
    /// void. False when nothing is left: a wheel of millions of items is freed in slices.
    pub fn free_slice(&mut self) -> bool {
        let Some((place, _)) = self.next_slot() else {
            return false;
        };
        let slot = self.slot(place);
        let freed = slot.chunks.pop().map_or(0, |chunk| chunk.len());
        if slot.is_empty() {
            slot.chunks = Vec::new();
            self.occupied[place / SLOTS] &= !(1 << (place % SLOTS));
        }
        self.len -= freed;
        true
    }

    /// The time in ms at which [`Wheel::advance`] has something to do: the deadline itself if that
    /// is within the current 64 ms, else a time not after the earliest deadline. Not in the future
    /// of the wheel if there is work already. `None` if the wheel is empty.
    pub fn next_deadline(&self) -> Option<u64> {
        self.next_slot().map(|(_, opens)| opens)
    }

    /// All items in pieces, roughly in the order of their deadlines.
    pub fn slices(&self) -> impl Iterator<Item = &[T]> {
        self.in_order().flat_map(|slot| slot.chunks.iter().map(Vec::as_slice))
    }

    /// All items, roughly in the order of their deadlines.
    pub fn iter(&self) -> impl Iterator<Item = T> {
        self.slices().flatten().copied()
    }

    /// Item number `n` in the order of [`Wheel::iter`], for uniform samples: skips whole slots,
    /// some hundreds at most.
    pub fn pick(&self, mut n: usize) -> Option<T> {
        for slot in self.in_order() {
            if n < slot.len() {
                return Some(slot.chunks[n / CHUNK][n % CHUNK]);
            }
            n -= slot.len();
        }
        None
    }

    fn in_order(&self) -> impl Iterator<Item = &Slot<T>> {
        let (levels, due) = self.levels.split_at(LEVELS);
        due.iter()
            .chain(levels)
            .zip(self.occupied[LEVELS..].iter().chain(&self.occupied))
            .filter(|(_, used)| **used != 0)
            .flat_map(|(slots, _)| slots)
    }

    #[inline]
    fn slot(&mut self, place: usize) -> &mut Slot<T> {
        &mut self.levels[place / SLOTS][place % SLOTS]
    }

    #[cold]
    fn make_level(&mut self, level: usize) {
        let slots = if level == LEVELS { 1 } else { SLOTS };
        self.levels[level] = (0..slots).map(|_| Slot { chunks: Vec::new() }).collect();
    }

    /// The place for a deadline at the wheel's present time.
    fn place(&self, deadline: u64) -> usize {
        if deadline <= self.now {
            return DUE;
        }
        let level = (deadline ^ self.now).ilog2() as usize / DIGIT;
        level * SLOTS + (deadline >> (level * DIGIT)) as usize % SLOTS
    }

    fn put(&mut self, item: T, deadline: u64) {
        let place = self.place(deadline);
        if self.levels[place / SLOTS].is_empty() {
            self.make_level(place / SLOTS);
        }
        let index = self.slot(place).push(item);
        self.occupied[place / SLOTS] |= 1 << (place % SLOTS);
        self.len += 1;
        item.set_ticket(Ticket::new(place, index));
    }

    fn pop(&mut self, place: usize) -> Option<T> {
        let slot = self.slot(place);
        let item = slot.pop()?;
        if slot.is_empty() {
            self.occupied[place / SLOTS] &= !(1 << (place % SLOTS));
        }
        self.len -= 1;
        Some(item)
    }

    /// The slot that opens first, and when: not before the wheel's time, and then at once.
    fn next_slot(&self) -> Option<(usize, u64)> {
        if self.occupied[LEVELS] != 0 {
            return Some((DUE, self.now));
        }
        let first_of = |level: usize| {
            // The time in units of the level's slots. Slots that the time has passed come round
            // again after slot 63.
            let time = self.now >> (level * DIGIT);
            let ahead = self.occupied[level].rotate_right((time % SLOTS as u64) as u32).trailing_zeros();
            let opens = time + u64::from(ahead);
            let place = level * SLOTS + opens as usize % SLOTS;
            (place, (opens << (level * DIGIT)).max(self.now))
        };
        (0..LEVELS).filter(|&level| self.occupied[level] != 0).map(first_of).min_by_key(|&(_, opens)| opens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::collections::{BTreeMap, BTreeSet};

    /// Stands for a key's entry; the wheel holds references to it. A live item can be at one of two
    /// addresses.
    struct Entry {
        id: usize,
        deadline: Cell<u64>,
        ticket: Cell<Ticket>,
    }

    impl Scheduled for &Entry {
        fn deadline_ms(self) -> u64 {
            self.deadline.get()
        }

        fn set_ticket(self, ticket: Ticket) {
            self.ticket.set(Ticket::from_bits(ticket.to_bits()));
        }
    }

    fn entries(n: usize) -> Vec<Entry> {
        (0..n).map(|id| Entry { id, deadline: Cell::new(0), ticket: Cell::new(Ticket(u64::MAX)) }).collect()
    }

    fn insert<'a>(wheel: &mut Wheel<&'a Entry>, entry: &'a Entry, deadline: u64) {
        entry.deadline.set(deadline);
        wheel.insert(entry);
    }

    /// What a caller does to give an item a new deadline.
    fn reschedule<'a>(wheel: &mut Wheel<&'a Entry>, entry: &'a Entry, deadline: u64) {
        if wheel.same_slot(entry.ticket.get(), deadline) {
            entry.deadline.set(deadline);
        } else {
            assert!(std::ptr::eq(wheel.remove(entry.ticket.get()), entry));
            insert(wheel, entry, deadline);
        }
    }

    /// All slots there are, with their places.
    fn all_slots<'w, 'a>(wheel: &'w Wheel<&'a Entry>) -> impl Iterator<Item = (usize, &'w Slot<&'a Entry>)> {
        let levels = wheel.levels.iter().enumerate();
        levels.flat_map(|(level, slots)| slots.iter().enumerate().map(move |(slot, it)| (level * SLOTS + slot, it)))
    }

    /// Bytes of the slots of all levels that were used.
    fn level_bytes(wheel: &Wheel<&Entry>) -> usize {
        wheel.levels.iter().map(|slots| size_of_val::<[Slot<&Entry>]>(slots)).sum()
    }

    /// Asserts all that must hold between calls.
    fn check(wheel: &Wheel<&Entry>) {
        let mut cells = 0;
        let mut heap = 0;
        for (place, slot) in all_slots(wheel) {
            assert_eq!(wheel.occupied[place / SLOTS] >> (place % SLOTS) & 1 == 1, !slot.is_empty());
            assert!(slot.chunks.capacity() <= FIRST_CELLS.max(4 * slot.chunks.len()));
            heap += slot.chunks.capacity() * size_of::<Vec<&Entry>>();
            for (i, chunk) in slot.chunks.iter().enumerate() {
                assert!(!chunk.is_empty() && chunk.capacity() <= CHUNK);
                assert!(i == 0 || chunk.capacity() == CHUNK);
                assert!(i + 1 == slot.chunks.len() || chunk.len() == CHUNK);
                assert!(slot.chunks.len() > 1 || chunk.capacity() <= FIRST_CELLS.max(4 * chunk.len()));
                heap += chunk.capacity() * size_of::<&Entry>();
                for (j, entry) in chunk.iter().enumerate() {
                    assert_eq!(entry.ticket.get(), Ticket::new(place, i * CHUNK + j));
                    let (level, digit) = (place / SLOTS, place % SLOTS);
                    let deadline = entry.deadline.get();
                    if place != DUE {
                        assert!(deadline >= wheel.now);
                        assert_eq!((deadline >> (level * DIGIT)) as usize % SLOTS, digit);
                    }
                }
                cells += chunk.len();
            }
        }
        assert_eq!(cells, wheel.len());
        assert_eq!(wheel.memory_bytes() - Wheel::<&Entry>::new(0).memory_bytes(), heap + level_bytes(wheel));
    }

    /// SplitMix64.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }

        fn below(&mut self, n: usize) -> usize {
            (self.next() % n as u64) as usize
        }

        /// A span of time of any order of magnitude up to 2^`bits` ms.
        fn span(&mut self, bits: usize) -> u64 {
            let bits = self.below(bits + 1);
            self.next() & ((1u128 << bits) - 1) as u64
        }

        fn deadline(&mut self, clock: u64) -> u64 {
            match self.below(40) {
                0 => 0,
                1 => u64::MAX,
                2 => clock,
                3 => clock.saturating_sub(self.span(20)),
                4 => self.next(),
                // Starts and ends of slots.
                5..10 => (clock.saturating_add(self.span(40)) | 0xfff).wrapping_add(self.next() & 1),
                10..30 => clock.saturating_add(self.span(16)),
                _ => clock.saturating_add(self.span(45)),
            }
        }
    }

    #[test]
    fn an_item_goes_to_the_level_of_the_highest_digit_that_differs() {
        let cases = [
            (0, 0, DUE),
            (1000, 999, DUE),
            (1000, 1000, DUE),
            (u64::MAX, u64::MAX, DUE),
            (0, 1, 1),
            (0, 63, 63),
            (0, 64, SLOTS + 1),
            (63, 64, SLOTS + 1),
            (64, 127, 63),
            (64, 128, SLOTS + 2),
            (4095, 4096, 2 * SLOTS + 1),
            (0, 1 << 59, 9 * SLOTS + 32),
            (0, 1 << 60, 10 * SLOTS + 1),
            (0, u64::MAX, 10 * SLOTS + 15),
            (u64::MAX - 1, u64::MAX, 63),
        ];
        for (now, deadline, place) in cases {
            let all = entries(1);
            let mut wheel = Wheel::new(now);
            insert(&mut wheel, &all[0], deadline);
            assert_eq!(all[0].ticket.get(), Ticket::new(place, 0), "deadline {deadline} at {now}");
            assert!(wheel.same_slot(all[0].ticket.get(), deadline));
            check(&wheel);
        }
    }

    /// Random work on a wheel of at most `n` items beside an ordered set. `back`: the clock may be
    /// set back.
    fn compare_with_model(seed: u64, n: usize, steps: usize, back: bool) {
        let mut random = Random(seed);
        let homes = [entries(n), entries(n)];
        let mut live: BTreeMap<usize, &Entry> = BTreeMap::new();
        let mut model: BTreeSet<(u64, usize)> = BTreeSet::new();
        let mut clock = random.span(42);
        let mut wheel = Wheel::new(clock);
        let empty = wheel.memory_bytes();
        let mut due = Vec::new();
        for step in 0..steps {
            let id = random.below(n);
            match (random.below(100), live.get(&id).copied()) {
                (0..70, None) => {
                    let entry = &homes[random.below(2)][id];
                    let deadline = random.deadline(clock);
                    insert(&mut wheel, entry, deadline);
                    live.insert(id, entry);
                    model.insert((deadline, id));
                }
                (0..20, Some(entry)) => {
                    assert!(std::ptr::eq(wheel.remove(entry.ticket.get()), entry));
                    live.remove(&id);
                    model.remove(&(entry.deadline.get(), id));
                }
                (20..40, Some(entry)) => {
                    let other = homes.iter().map(|home| &home[id]).find(|&other| !std::ptr::eq(other, entry)).unwrap();
                    other.deadline.set(entry.deadline.get());
                    wheel.replace(entry.ticket.get(), other);
                    live.insert(id, other);
                }
                (40..70, Some(entry)) => {
                    model.remove(&(entry.deadline.get(), id));
                    let deadline = match random.below(2) {
                        0 => random.deadline(clock),
                        _ => entry.deadline.get().saturating_add(random.span(12)),
                    };
                    reschedule(&mut wheel, entry, deadline);
                    model.insert((deadline, id));
                }
                (70..100, _) => {
                    match random.below(10) {
                        0 => {}
                        1 if back => clock = clock.saturating_sub(random.span(40)),
                        2 => clock = clock.saturating_add(random.span(45)),
                        3 => clock = wheel.next_deadline().map_or(clock, |at| clock.max(at.min(1 << 50))),
                        _ => clock = clock.saturating_add(random.span(8)),
                    }
                    let budget = if random.below(3) == 0 { random.below(4 * n) } else { random.below(20) };
                    let more = wheel.advance(clock, &mut { budget }, &mut due);
                    assert!(due.len() <= budget);
                    for entry in due.drain(..) {
                        assert!(entry.deadline.get() <= clock);
                        assert!(std::ptr::eq(live.remove(&entry.id).unwrap(), entry));
                        assert!(model.remove(&(entry.deadline.get(), entry.id)));
                    }
                    assert_eq!(more, wheel.next_deadline().is_some_and(|at| at <= clock));
                    if !more {
                        assert_eq!(wheel.now, clock);
                        assert!(model.first().is_none_or(|&(deadline, _)| deadline > clock));
                    }
                }
                _ => unreachable!(),
            }
            assert_eq!(wheel.len(), model.len());
            match (wheel.next_deadline(), model.first()) {
                (Some(at), Some(&(first, _))) => {
                    assert!((wheel.now..=first.max(wheel.now)).contains(&at));
                    if !back && at > wheel.now && first / SLOTS as u64 == wheel.now / SLOTS as u64 {
                        assert_eq!(at, first);
                    }
                }
                (at, first) => assert!(at.is_none() && first.is_none()),
            }
            if step % n == 0 {
                check(&wheel);
                let items: Vec<&Entry> = wheel.iter().collect();
                let found: BTreeSet<_> = items.iter().map(|entry| (entry.deadline.get(), entry.id)).collect();
                assert!(items.len() == model.len() && found == model);
                for n in [0, items.len() / 2, items.len().wrapping_sub(1), items.len()] {
                    let same = |a: &Entry, b: &Entry| std::ptr::eq(a, b);
                    assert!(
                        wheel.pick(n).is_none_or(|entry| same(entry, items[n]))
                            && wheel.pick(n).is_some() == (n < items.len())
                    );
                }
            }
        }
        assert!(!wheel.advance(u64::MAX, &mut { usize::MAX }, &mut due));
        assert_eq!(due.len(), model.len());
        assert_eq!(wheel.memory_bytes(), empty + level_bytes(&wheel));
        check(&wheel);
    }

    #[test]
    fn random_work_agrees_with_an_ordered_set() {
        for seed in 0..20 {
            compare_with_model(seed, 64, 20_000, seed % 2 == 1);
        }
        // More items than a chunk holds, many of them in one slot.
        for seed in 20..24 {
            compare_with_model(seed, 6000, 30_000, seed % 2 == 1);
        }
    }

    #[test]
    fn rescheduling_does_not_grow_memory() {
        let all = entries(1000);
        let mut wheel = Wheel::new(5_000);
        let mut random = Random(1);
        let empty = wheel.memory_bytes();
        for entry in &all {
            insert(&mut wheel, entry, 5_000 + random.span(40));
        }
        for round in 0..1_000_000 {
            // One item over and over, then all of them.
            let entry = if round < 500_000 { &all[0] } else { &all[random.below(1000)] };
            let deadline = 5_000 + random.span(40);
            reschedule(&mut wheel, entry, deadline);
            if round % 1000 == 0 {
                // A chunk that is not at its first size is at least a quarter full.
                let slots = all_slots(&wheel).filter(|(_, slot)| !slot.is_empty()).count();
                let fixed = empty + level_bytes(&wheel);
                assert!(wheel.memory_bytes() - fixed <= 4 * 8 * 1000 + slots * (8 * FIRST_CELLS + 24));
            }
        }
        check(&wheel);
        for entry in &all {
            wheel.remove(entry.ticket.get());
        }
        assert_eq!(wheel.memory_bytes(), empty + level_bytes(&wheel));
    }

    #[test]
    fn a_full_slot_costs_one_cell_for_each_item() {
        let all = entries(100 * CHUNK);
        let mut wheel = Wheel::new(0);
        let empty = wheel.memory_bytes();
        for entry in &all {
            insert(&mut wheel, entry, 1 << 30);
        }
        let held = wheel.memory_bytes() - empty - level_bytes(&wheel);
        assert!((all.len() * 8..all.len() * 8 * 101 / 100).contains(&held), "{held}");
        check(&wheel);
        for entry in &all[3..] {
            wheel.remove(entry.ticket.get());
        }
        assert!(wheel.memory_bytes() - empty - level_bytes(&wheel) < 200);
        check(&wheel);
    }

    #[test]
    fn a_big_slot_cascades_in_slices_while_it_changes() {
        const N: usize = 100_000;
        const BUDGET: usize = 1000;
        let all = entries(N + 200);
        let mut random = Random(7);
        let mut wheel = Wheel::new(1);
        let (opens, width) = (64 * 64 * 64 * 5, 64 * 64 * 64);
        for entry in &all[..N] {
            insert(&mut wheel, entry, opens + 1 + random.next() % (width - 1));
        }
        assert_eq!(wheel.next_deadline(), Some(opens));
        let mut due = Vec::new();
        assert!(!wheel.advance(opens - 1, &mut { 1 }, &mut due));

        let mut calls = 0;
        while wheel.advance(opens, &mut { BUDGET }, &mut due) {
            calls += 1;
            assert_eq!(wheel.next_deadline(), Some(opens));
            let waiting: Vec<_> = wheel.levels[3][5].chunks[0][..2].to_vec();
            assert!(
                !wheel.same_slot(waiting[0].ticket.get(), waiting[0].deadline.get()),
                "nothing may stay in the slot"
            );
            wheel.remove(waiting[0].ticket.get());
            reschedule(&mut wheel, waiting[1], opens + width - 1);
            insert(&mut wheel, &all[N + 2 * calls - 1], opens);
            insert(&mut wheel, &all[N + 2 * calls], opens + 1);
            check(&wheel);
        }
        // Each call moves a full budget; what is taken out by hand in between makes up for what is
        // due at once.
        assert!((N / BUDGET - 2..=N / BUDGET).contains(&calls), "{calls}");
        assert_eq!((due.len(), wheel.len()), (calls, N));
        assert!(wheel.levels[3][5].is_empty());

        due.clear();
        while wheel.advance(opens + width - 2, &mut { BUDGET }, &mut due) {}
        assert!(due.iter().all(|entry| entry.deadline.get() <= opens + width - 2));
        assert!(wheel.iter().all(|entry| entry.deadline.get() == opens + width - 1));
        assert_eq!(due.len() + wheel.len(), N);
        assert!(wheel.len() >= calls);
    }

    #[test]
    fn time_jumps_over_empty_slots() {
        const YEAR: u64 = 365 * 24 * 3600 * 1000;
        let all = entries(3);
        let mut wheel = Wheel::new(0);
        for (entry, deadline) in all.iter().zip([10, 40 * YEAR, 50 * YEAR]) {
            insert(&mut wheel, entry, deadline);
        }
        let mut due = Vec::new();
        // Two items come out and each moves but once; the slot of the third is not open yet.
        assert!(!wheel.advance(45 * YEAR, &mut { 2 }, &mut due));
        assert_eq!(due.iter().map(|entry| entry.id).collect::<Vec<_>>(), [0, 1]);

        // An item wakes the loop at most once for each level, the last time when it is due.
        for wakes in 1.. {
            let at = wheel.next_deadline().unwrap();
            assert!(wakes <= LEVELS && at <= 50 * YEAR);
            wheel.advance(at, &mut { 1 }, &mut due);
            if wheel.is_empty() {
                assert_eq!(at, 50 * YEAR);
                break;
            }
        }
    }

    #[test]
    fn a_clock_set_back_makes_nothing_early_or_late() {
        let all = entries(5);
        let mut wheel = Wheel::new(1_000_000);
        let mut due = Vec::new();
        insert(&mut wheel, &all[0], 1_000_020);
        insert(&mut wheel, &all[1], 2_000_000);
        insert(&mut wheel, &all[2], 900_000);
        assert!(!wheel.advance(400_000, &mut { 10 }, &mut due));
        insert(&mut wheel, &all[3], 400_005);
        insert(&mut wheel, &all[4], 1_000_019);
        for (id, deadline) in [(3, 400_005), (2, 900_000), (4, 1_000_019), (0, 1_000_020), (1, 2_000_000)] {
            assert!(!wheel.advance(deadline - 1, &mut { 100 }, &mut due));
            assert!(due.is_empty());
            assert!(!wheel.advance(deadline, &mut { 100 }, &mut due));
            assert_eq!(due.drain(..).map(|entry| entry.id).collect::<Vec<_>>(), [id]);
            check(&wheel);
        }
    }
}
