//! Hands out slots and runs from the chunks of one shard, and takes them back.
//!
//! Bookkeeping only: no system call, no access to the memory that it hands out. Whoever frees a
//! block has wiped it first. A heap has two lanes, locked chunks and unlocked ones; which lane to
//! ask is the caller's choice. All functions need the heap's lock, which `&mut self` stands for.

use super::bits::{find_run, run_mask};
use super::chunk::{Chunks, Holds, Ledger, Links, NONE, Unit, chunk_of, place_of, unit_number};
use super::size::{CLASSES, slot_size};
use crate::os;

/// Which chunks of a heap: those whose pages are locked, or the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Locked = 0,
    Unlocked = 1,
}

const CORRUPT: &str = "memory was freed twice, or never came from here";

/// One shard of the arena.
pub struct Heap {
    lanes: [LaneLists; 2],
    /// Bytes handed out: whole slots and units.
    pub in_use: usize,
}

struct LaneLists {
    /// For each class, the units with a free slot.
    partial: [u32; CLASSES],
    /// The chunks with a free unit.
    roomy: u32,
    /// How many of those are entirely free.
    empty: usize,
    /// The units of those.
    idle_units: usize,
}

impl Heap {
    pub const fn new() -> Self {
        const LISTS: LaneLists = LaneLists {
            partial: [NONE; CLASSES],
            roomy: NONE,
            empty: 0,
            idle_units: 0,
        };
        Self {
            lanes: [LISTS; 2],
            in_use: 0,
        }
    }

    /// Takes a slot of this class: its unit and its number.
    #[inline]
    pub fn take_slot(&mut self, chunks: &Chunks, lane: Lane, class: usize) -> Option<(u32, usize)> {
        let id = match self.lanes[lane as usize].partial[class] {
            NONE => self.start_unit(chunks, lane, class)?,
            id => id,
        };
        let unit = unit_books(chunks, id);
        let slot = unit.take()?;
        if unit.free_slots == 0 {
            self.unlink_unit(chunks, lane, class, id);
        }
        self.in_use += slot_size(class);
        Some((id, slot))
    }

    /// Takes a slot back, and tells the lane it came from. Ends the process where it was free already.
    #[inline]
    pub fn put_slot(&mut self, chunks: &Chunks, id: u32, class: usize, slot: usize) -> Lane {
        let unit = unit_books(chunks, id);
        if !unit.put(slot) {
            os::die(CORRUPT);
        }
        self.in_use -= slot_size(class);
        let free_slots = usize::from(unit.free_slots);
        let lane = chunk_lane(chunks, chunk_of(id));
        if free_slots == 1 {
            self.link_unit(chunks, lane, class, id);
        }
        if free_slots == chunks.slots(class) {
            self.unlink_unit(chunks, lane, class, id);
            self.put_units(chunks, id, 1);
        }
        lane
    }

    /// Takes `units` units in a row: the first of them.
    pub fn take_run(
        &mut self,
        chunks: &Chunks,
        lane: Lane,
        units: usize,
        step: usize,
    ) -> Option<u32> {
        let mut chunk = self.lanes[lane as usize].roomy;
        while chunk != NONE {
            let ledger = books(chunks, chunk);
            let after = ledger.links.after;
            if let Some(first) = find_run(ledger.free, units, step) {
                return Some(self.take_units(chunks, chunk, first, units, Holds::Run(units)));
            }
            chunk = after;
        }
        None
    }

    /// Takes a run back, and tells the lane it came from.
    pub fn put_run(&mut self, chunks: &Chunks, id: u32, units: usize) -> Lane {
        self.put_units(chunks, id, units);
        chunk_lane(chunks, chunk_of(id))
    }

    /// Adds a chunk whose ledger was opened and that nobody owns yet.
    pub fn adopt(&mut self, chunks: &Chunks, chunk: u32) {
        self.link_chunk(chunks, chunk);
        self.note_empty(chunks, chunk);
    }

    /// Units of chunks that are open, not locked, and entirely free: they hold nothing but zeros.
    pub fn idle_unlocked_units(&self) -> usize {
        self.lanes[Lane::Unlocked as usize].idle_units
    }

    /// Whether there are more than `spare` empty chunks in a lane.
    #[inline]
    pub fn has_surplus(&self, spare: usize) -> bool {
        self.surplus_lane(spare).is_some()
    }

    /// Lets go of an empty chunk beyond those worth keeping.
    pub fn disown_surplus(&mut self, chunks: &Chunks, spare: usize) -> Option<u32> {
        let lane = self.surplus_lane(spare)?;
        let mut chunk = self.lanes[lane as usize].roomy;
        while chunk != NONE && !books(chunks, chunk).is_empty() {
            chunk = books(chunks, chunk).links.after;
        }
        if chunk == NONE {
            return None;
        }
        self.unlink_chunk(chunks, chunk);
        self.note_not_empty(chunks, chunk);
        Some(chunk)
    }

    /// Makes the lists anew after chunks have changed lanes, from the ledgers of all its chunks.
    pub fn rebuild(&mut self, chunks: &Chunks, own: impl Iterator<Item = u32>) {
        self.lanes = Self::new().lanes;
        for chunk in own {
            let (usable, free) = (books(chunks, chunk).usable, books(chunks, chunk).free);
            let lane = chunk_lane(chunks, chunk);
            if free != 0 {
                self.link_chunk(chunks, chunk);
            }
            if free == usable {
                self.note_empty(chunks, chunk);
            }
            for place in 0..usable.count_ones() as usize {
                let id = unit_number(chunk, place);
                if let Holds::Slots(class) = chunks.holds(id)
                    && unit_books(chunks, id).free_slots > 0
                {
                    self.link_unit(chunks, lane, class, id);
                }
            }
        }
    }

    #[inline]
    fn surplus_lane(&self, spare: usize) -> Option<Lane> {
        [Lane::Unlocked, Lane::Locked]
            .into_iter()
            .find(|lane| self.lanes[*lane as usize].empty > spare)
    }

    fn note_empty(&mut self, chunks: &Chunks, chunk: u32) {
        let lists = &mut self.lanes[chunk_lane(chunks, chunk) as usize];
        lists.empty += 1;
        lists.idle_units += books(chunks, chunk).units();
    }

    fn note_not_empty(&mut self, chunks: &Chunks, chunk: u32) {
        let lists = &mut self.lanes[chunk_lane(chunks, chunk) as usize];
        lists.empty -= 1;
        lists.idle_units -= books(chunks, chunk).units();
    }

    /// Turns a free unit into one with slots of this class.
    fn start_unit(&mut self, chunks: &Chunks, lane: Lane, class: usize) -> Option<u32> {
        let chunk = self.lanes[lane as usize].roomy;
        if chunk == NONE {
            return None;
        }
        let place = books(chunks, chunk).free.trailing_zeros() as usize;
        let id = self.take_units(chunks, chunk, place, 1, Holds::Slots(class));
        unit_books(chunks, id).open(chunks.slots(class));
        self.link_unit(chunks, lane, class, id);
        Some(id)
    }

    fn take_units(
        &mut self,
        chunks: &Chunks,
        chunk: u32,
        first: usize,
        units: usize,
        holds: Holds,
    ) -> u32 {
        let ledger = books(chunks, chunk);
        let was_empty = ledger.is_empty();
        ledger.free &= !run_mask(first, units);
        let is_full = ledger.free == 0;
        if was_empty {
            self.note_not_empty(chunks, chunk);
        }
        if is_full {
            self.unlink_chunk(chunks, chunk);
        }
        if let Holds::Run(units) = holds {
            self.in_use += units * chunks.unit_bytes();
        }
        let id = unit_number(chunk, first);
        chunks.set_holds(id, holds);
        id
    }

    fn put_units(&mut self, chunks: &Chunks, id: u32, units: usize) {
        let chunk = chunk_of(id);
        let mask = run_mask(place_of(id), units);
        let holds = chunks.holds(id);
        let ledger = books(chunks, chunk);
        if ledger.free & mask != 0 || holds == Holds::Nothing {
            os::die(CORRUPT);
        }
        if let Holds::Run(units) = holds {
            self.in_use -= units * chunks.unit_bytes();
        }
        let was_full = ledger.free == 0;
        ledger.free |= mask;
        let is_empty = ledger.is_empty();
        chunks.set_holds(id, Holds::Nothing);
        if was_full {
            self.link_chunk(chunks, chunk);
        }
        if is_empty {
            self.note_empty(chunks, chunk);
        }
    }

    fn link_unit(&mut self, chunks: &Chunks, lane: Lane, class: usize, id: u32) {
        let head = &mut self.lanes[lane as usize].partial[class];
        unit_books(chunks, id).links = Links {
            before: NONE,
            after: *head,
        };
        if *head != NONE {
            unit_books(chunks, *head).links.before = id;
        }
        *head = id;
    }

    fn unlink_unit(&mut self, chunks: &Chunks, lane: Lane, class: usize, id: u32) {
        let Links { before, after } = unit_books(chunks, id).links;
        match before {
            NONE => self.lanes[lane as usize].partial[class] = after,
            before => unit_books(chunks, before).links.after = after,
        }
        if after != NONE {
            unit_books(chunks, after).links.before = before;
        }
    }

    /// Keeps the list in the order of the chunks' numbers: what fills the first chunks first leaves
    /// the last ones empty, to be given back, or free for a long run.
    fn link_chunk(&mut self, chunks: &Chunks, chunk: u32) {
        let lane = chunk_lane(chunks, chunk) as usize;
        let (mut before, mut after) = (NONE, self.lanes[lane].roomy);
        while after != NONE && after < chunk {
            (before, after) = (after, books(chunks, after).links.after);
        }
        books(chunks, chunk).links = Links { before, after };
        match before {
            NONE => self.lanes[lane].roomy = chunk,
            before => books(chunks, before).links.after = chunk,
        }
        if after != NONE {
            books(chunks, after).links.before = chunk;
        }
    }

    fn unlink_chunk(&mut self, chunks: &Chunks, chunk: u32) {
        let Links { before, after } = books(chunks, chunk).links;
        match before {
            NONE => self.lanes[chunk_lane(chunks, chunk) as usize].roomy = after,
            before => books(chunks, before).links.after = after,
        }
        if after != NONE {
            books(chunks, after).links.before = before;
        }
    }
}

/// The ledger of a chunk of this heap.
#[inline]
#[allow(clippy::mut_from_ref)]
fn books(chunks: &Chunks, chunk: u32) -> &mut Ledger {
    // SAFETY: the heap's functions run under its lock, touch its own chunks only, and let go of one
    // reference before they ask for the next.
    unsafe { chunks.ledger(chunk) }
}

/// The books of a unit of this heap.
#[inline]
#[allow(clippy::mut_from_ref)]
fn unit_books(chunks: &Chunks, unit: u32) -> &mut Unit {
    // SAFETY: as in `books`.
    unsafe { chunks.unit(unit) }
}

#[inline]
fn chunk_lane(chunks: &Chunks, chunk: u32) -> Lane {
    if books(chunks, chunk).locked {
        Lane::Locked
    } else {
        Lane::Unlocked
    }
}
