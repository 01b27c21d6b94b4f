//! Allocates and frees slots and runs in the chunks of one heap.
//!
//! It does only the bookkeeping: it makes no system call, and does not touch the memory of blocks. Its caller wipes a
//! block before freeing it. A heap has two lanes, one of locked chunks and one of unlocked chunks; the caller chooses
//! the lane. All functions need the heap's lock, which `&mut self` stands for.

use super::bits::{find_run, run_mask};
use super::chunk::{
    Chunks, Holds, Ledger, Links, NONE, Unit, chunk_of, index_in_chunk, unit_number,
};
use super::size::{CLASSES, slot_size};
use crate::os;

/// One of the two kinds of chunks of a heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Locked = 0,
    Unlocked = 1,
}

const CORRUPT: &str = "memory was freed twice, or was not allocated by the arena";

/// The chunks from which a part of the threads allocate.
pub struct Heap {
    lanes: [LaneLists; 2],
    /// Bytes of the slots and units of blocks in use.
    pub in_use: usize,
}

struct LaneLists {
    /// For each class, the first in the list of units with a free slot.
    partial: [u32; CLASSES],
    /// The first in the list of chunks with a free unit.
    roomy: u32,
    /// How many chunks are entirely free.
    empty: usize,
    /// How many units these chunks have.
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

    /// Takes a slot of this class. Returns its unit, and its number in the unit.
    #[inline]
    pub fn take_slot(&mut self, chunks: &Chunks, lane: Lane, class: usize) -> Option<(u32, usize)> {
        let id = match self.lanes[lane as usize].partial[class] {
            NONE => self.start_unit(chunks, lane, class)?,
            id => id,
        };
        let unit = unit_of(chunks, id);
        let slot = unit.take()?;
        if unit.free_slots == 0 {
            self.unlink_unit(chunks, lane, class, id);
        }
        self.in_use += slot_size(class);
        Some((id, slot))
    }

    /// Frees a slot. Returns the lane that it came from. Ends the process if the slot was free already.
    #[inline]
    pub fn put_slot(&mut self, chunks: &Chunks, id: u32, class: usize, slot: usize) -> Lane {
        let unit = unit_of(chunks, id);
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

    /// Takes `units` units in a row, the first at a multiple of `step`. Returns the first.
    pub fn take_run(
        &mut self,
        chunks: &Chunks,
        lane: Lane,
        units: usize,
        step: usize,
    ) -> Option<u32> {
        let mut chunk = self.lanes[lane as usize].roomy;
        while chunk != NONE {
            let ledger = ledger_of(chunks, chunk);
            let after = ledger.links.after;
            if let Some(first) = find_run(ledger.free, units, step) {
                return Some(self.take_units(chunks, chunk, first, units, Holds::Run(units)));
            }
            chunk = after;
        }
        None
    }

    /// Frees a run. Returns the lane that it came from.
    pub fn put_run(&mut self, chunks: &Chunks, id: u32, units: usize) -> Lane {
        self.put_units(chunks, id, units);
        chunk_lane(chunks, chunk_of(id))
    }

    /// Adds an open chunk in which no unit is taken yet.
    pub fn adopt(&mut self, chunks: &Chunks, chunk: u32) {
        self.link_chunk(chunks, chunk);
        self.note_empty(chunks, chunk);
    }

    /// Counts the units of chunks that are open, not locked, and entirely free. They hold nothing but zeros.
    pub fn idle_unlocked_units(&self) -> usize {
        self.lanes[Lane::Unlocked as usize].idle_units
    }

    /// Whether there are more than `spare` empty chunks in a lane.
    #[inline]
    pub fn has_surplus(&self, spare: usize) -> bool {
        self.surplus_lane(spare).is_some()
    }

    /// Removes an empty chunk, if a lane has more than `spare` of them.
    pub fn disown_surplus(&mut self, chunks: &Chunks, spare: usize) -> Option<u32> {
        let lane = self.surplus_lane(spare)?;
        let mut chunk = self.lanes[lane as usize].roomy;
        while chunk != NONE && !ledger_of(chunks, chunk).is_empty() {
            chunk = ledger_of(chunks, chunk).links.after;
        }
        if chunk == NONE {
            return None;
        }
        self.unlink_chunk(chunks, chunk);
        self.note_not_empty(chunks, chunk);
        Some(chunk)
    }

    /// Makes the lists again, from the ledgers of all its own chunks, after some of these have changed lanes.
    pub fn rebuild(&mut self, chunks: &Chunks, own: impl Iterator<Item = u32>) {
        self.lanes = Self::new().lanes;
        for chunk in own {
            let (usable, free) = (
                ledger_of(chunks, chunk).usable,
                ledger_of(chunks, chunk).free,
            );
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
                    && unit_of(chunks, id).free_slots > 0
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
        lists.idle_units += ledger_of(chunks, chunk).units();
    }

    fn note_not_empty(&mut self, chunks: &Chunks, chunk: u32) {
        let lists = &mut self.lanes[chunk_lane(chunks, chunk) as usize];
        lists.empty -= 1;
        lists.idle_units -= ledger_of(chunks, chunk).units();
    }

    /// Turns a free unit into one with slots of this class.
    fn start_unit(&mut self, chunks: &Chunks, lane: Lane, class: usize) -> Option<u32> {
        let chunk = self.lanes[lane as usize].roomy;
        if chunk == NONE {
            return None;
        }
        let place = ledger_of(chunks, chunk).free.trailing_zeros() as usize;
        let id = self.take_units(chunks, chunk, place, 1, Holds::Slots(class));
        unit_of(chunks, id).open(chunks.slots(class));
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
        let ledger = ledger_of(chunks, chunk);
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
        let mask = run_mask(index_in_chunk(id), units);
        let holds = chunks.holds(id);
        let ledger = ledger_of(chunks, chunk);
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
        unit_of(chunks, id).links = Links {
            before: NONE,
            after: *head,
        };
        if *head != NONE {
            unit_of(chunks, *head).links.before = id;
        }
        *head = id;
    }

    fn unlink_unit(&mut self, chunks: &Chunks, lane: Lane, class: usize, id: u32) {
        let Links { before, after } = unit_of(chunks, id).links;
        match before {
            NONE => self.lanes[lane as usize].partial[class] = after,
            before => unit_of(chunks, before).links.after = after,
        }
        if after != NONE {
            unit_of(chunks, after).links.before = before;
        }
    }

    /// Adds a chunk to the list, which is kept in the order of the chunks' numbers. So the first chunks are filled
    /// first, and the last ones become empty and can be closed, or serve a long run.
    fn link_chunk(&mut self, chunks: &Chunks, chunk: u32) {
        let lane = chunk_lane(chunks, chunk) as usize;
        let (mut before, mut after) = (NONE, self.lanes[lane].roomy);
        while after != NONE && after < chunk {
            (before, after) = (after, ledger_of(chunks, after).links.after);
        }
        ledger_of(chunks, chunk).links = Links { before, after };
        match before {
            NONE => self.lanes[lane].roomy = chunk,
            before => ledger_of(chunks, before).links.after = chunk,
        }
        if after != NONE {
            ledger_of(chunks, after).links.before = chunk;
        }
    }

    fn unlink_chunk(&mut self, chunks: &Chunks, chunk: u32) {
        let Links { before, after } = ledger_of(chunks, chunk).links;
        match before {
            NONE => self.lanes[chunk_lane(chunks, chunk) as usize].roomy = after,
            before => ledger_of(chunks, before).links.after = after,
        }
        if after != NONE {
            ledger_of(chunks, after).links.before = before;
        }
    }
}

/// The ledger of a chunk of this heap.
#[inline]
#[allow(clippy::mut_from_ref)]
fn ledger_of(chunks: &Chunks, chunk: u32) -> &mut Ledger {
    // SAFETY: the heap's functions run under its lock, touch its own chunks only, and do not use a reference after they
    // asked for the next.
    unsafe { chunks.ledger(chunk) }
}

/// The bookkeeping of a unit of this heap.
#[inline]
#[allow(clippy::mut_from_ref)]
fn unit_of(chunks: &Chunks, unit: u32) -> &mut Unit {
    // SAFETY: as in `ledger_of`.
    unsafe { chunks.unit(unit) }
}

#[inline]
fn chunk_lane(chunks: &Chunks, chunk: u32) -> Lane {
    if ledger_of(chunks, chunk).locked {
        Lane::Locked
    } else {
        Lane::Unlocked
    }
}
