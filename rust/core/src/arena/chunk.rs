//! The arena's bookkeeping: what every chunk and unit holds.
//!
//! A chunk is 128 units of address space: usable pages, then at least one guard page. A unit is free, or has slots of
//! one size class, or belongs to a run. The bookkeeping is no secret, and lies outside the chunks: a freed slot holds
//! zeros and no link.
//!
//! There are two kinds of entries. *Labels* are atomics. The owner of a block may read the label of its unit without a
//! lock, since it does not change while the block lives. The *ledger* is guarded by the lock of the heap that owns the
//! chunk, or by the growth lock if no heap owns it.

use super::bits::{Map, run_mask};
use super::pages::Kept;
use super::size::slot_size;
use crate::sync::{AtomicU8, Ordering, SharedCell};

/// How many units a chunk has: one for each bit of a map.
pub const UNITS: usize = Map::BITS as usize;

/// How many chunks the region has by default: 1 GiB of address space. It has fewer if the system gives less.
pub const MOST_CHUNKS: usize = if usize::BITS == 64 { 4096 } else { 256 };

/// Stands for no unit or no chunk, at the end of a list.
pub const NONE: u32 = u32::MAX;

/// What a unit holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Nothing, or a later part of a run.
    Nothing,
    /// Slots of this class.
    Slots(usize),
    /// The beginning of a run of this many units.
    Run(usize),
}

/// The bit that marks the label of a run.
const RUN: u8 = 0x80;

/// The bookkeeping of one chunk. All zeros, as in fresh pages, stand for a chunk that no heap owns.
pub struct Chunk {
    owner: AtomicU8,
    labels: [AtomicU8; UNITS],
    ledger: SharedCell<Ledger>,
}

// SAFETY: the ledger is reached under the owner's lock alone.
unsafe impl Sync for Chunk {}

/// The part that the owner's lock guards.
pub struct Ledger {
    /// The free units, one bit each.
    pub free: Map,
    /// The usable units, one bit each; 0 while the chunk is closed.
    pub usable: Map,
    /// Whether its pages are locked.
    pub locked: bool,
    /// Whether they are hidden. Then they are locked too.
    pub hidden: bool,
    /// Its neighbours in the list of chunks with free units.
    pub links: Links,
    units: [Unit; UNITS],
}

/// The bookkeeping of one unit of slots.
pub struct Unit {
    /// The free slots, one bit each. A unit has at most 128: 2 KiB in slots of 16 bytes.
    free: Map,
    /// How many slots are free.
    pub free_slots: u16,
    /// Its neighbours in the list of units of this class with free slots.
    pub links: Links,
}

/// Neighbours in a doubly linked list.
#[derive(Clone, Copy)]
pub struct Links {
    pub before: u32,
    pub after: u32,
}

/// All chunks of the region, by number. A unit's number is 128 times its chunk's number, plus its index in the chunk.
#[derive(Clone, Copy)]
pub struct Chunks {
    all: &'static [Chunk],
    unit_bytes: usize,
}

impl Chunks {
    pub const fn new(all: &'static [Chunk], unit_bytes: usize) -> Self {
        Self { all, unit_bytes }
    }

    pub fn count(&self) -> usize {
        self.all.len()
    }

    pub fn unit_bytes(&self) -> usize {
        self.unit_bytes
    }

    /// How many slots of this class a unit has.
    #[inline]
    pub fn slots(&self, class: usize) -> usize {
        self.unit_bytes / slot_size(class)
    }

    /// The heap that owns a chunk.
    #[inline]
    pub fn owner(&self, chunk: u32) -> usize {
        usize::from(self.all[chunk as usize].owner.load(Ordering::Relaxed))
    }

    pub fn set_owner(&self, chunk: u32, heap: usize) {
        self.all[chunk as usize]
            .owner
            .store(heap as u8, Ordering::Relaxed);
    }

    /// What a unit holds.
    #[inline]
    pub fn holds(&self, unit: u32) -> Holds {
        match self.label(unit).load(Ordering::Relaxed) {
            0 => Holds::Nothing,
            run if run & RUN != 0 => Holds::Run(usize::from(run & !RUN)),
            class => Holds::Slots(usize::from(class) - 1),
        }
    }

    pub fn set_holds(&self, unit: u32, holds: Holds) {
        let label = match holds {
            Holds::Nothing => 0,
            Holds::Slots(class) => class as u8 + 1,
            Holds::Run(units) => RUN | units as u8,
        };
        self.label(unit).store(label, Ordering::Relaxed);
    }

    /// The ledger of a chunk.
    ///
    /// # Safety
    /// The caller must hold the lock of the heap that owns the chunk (the growth lock if none does), and no other
    /// reference into this ledger may be alive.
    #[inline]
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn ledger(&self, chunk: u32) -> &mut Ledger {
        let ledger = &self.all[chunk as usize].ledger;
        // SAFETY: the caller's promise.
        ledger.with_mut(|ledger| unsafe { &mut *ledger })
    }

    /// The bookkeeping of a unit.
    ///
    /// # Safety
    /// As [`Chunks::ledger`].
    #[inline]
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn unit(&self, unit: u32) -> &mut Unit {
        // SAFETY: the caller's promise.
        unsafe { &mut self.ledger(chunk_of(unit)).units[index_in_chunk(unit)] }
    }

    /// Counts the bytes of the blocks in use in a chunk.
    ///
    /// # Safety
    /// As [`Chunks::ledger`].
    pub unsafe fn in_use_bytes(&self, chunk: u32) -> usize {
        let bytes_in = |unit| match self.holds(unit) {
            Holds::Nothing => 0,
            Holds::Run(units) => units * self.unit_bytes,
            Holds::Slots(class) => {
                // SAFETY: the caller's promise.
                let free_slots = usize::from(unsafe { self.unit(unit) }.free_slots);
                (self.slots(class) - free_slots) * slot_size(class)
            }
        };
        (0..UNITS)
            .map(|index| bytes_in(unit_number(chunk, index)))
            .sum()
    }

    #[inline]
    fn label(&self, unit: u32) -> &AtomicU8 {
        &self.all[chunk_of(unit) as usize].labels[index_in_chunk(unit)]
    }
}

#[cfg(test)]
impl Chunk {
    /// The bookkeeping of a chunk that no heap owns, the same as in fresh pages.
    pub fn closed() -> Self {
        const CLOSED: Unit = Unit {
            free: 0,
            free_slots: 0,
            links: Links {
                before: 0,
                after: 0,
            },
        };
        let ledger = Ledger {
            free: 0,
            usable: 0,
            locked: false,
            hidden: false,
            links: CLOSED.links,
            units: [CLOSED; UNITS],
        };
        Self {
            owner: AtomicU8::new(0),
            labels: [(); UNITS].map(|()| AtomicU8::new(0)),
            ledger: SharedCell::new(ledger),
        }
    }
}

impl Ledger {
    /// Begins with `units` free units, in pages that are kept so; `None`: they are not locked.
    pub fn open(&mut self, units: usize, kept: Option<Kept>) {
        self.usable = run_mask(0, units);
        self.free = self.usable;
        self.locked = kept.is_some();
        self.hidden = kept == Some(Kept::Hidden);
    }

    pub fn is_empty(&self) -> bool {
        self.free == self.usable
    }

    /// The number of usable units.
    pub fn units(&self) -> usize {
        self.usable.count_ones() as usize
    }
}

impl Unit {
    /// Begins with `slots` free slots.
    pub fn open(&mut self, slots: usize) {
        self.free = run_mask(0, slots);
        self.free_slots = slots as u16;
    }

    /// Takes the first free slot.
    #[inline]
    pub fn take(&mut self) -> Option<usize> {
        if self.free == 0 {
            return None;
        }
        let slot = self.free.trailing_zeros() as usize;
        self.free &= self.free - 1;
        self.free_slots -= 1;
        Some(slot)
    }

    /// Frees a slot. Returns false if it was free already.
    #[inline]
    pub fn put(&mut self, slot: usize) -> bool {
        let bit = 1 << slot;
        if self.free & bit != 0 {
            return false;
        }
        self.free |= bit;
        self.free_slots += 1;
        true
    }
}

/// The chunk that a unit lies in.
#[inline]
pub fn chunk_of(unit: u32) -> u32 {
    unit / UNITS as u32
}

/// The index of a unit in its chunk.
#[inline]
pub fn index_in_chunk(unit: u32) -> usize {
    unit as usize % UNITS
}

/// The number of the unit at this index in a chunk.
#[inline]
pub fn unit_number(chunk: u32, index: usize) -> u32 {
    chunk * UNITS as u32 + index as u32
}
