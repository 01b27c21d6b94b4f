//! Which heap serves a request for a slot or a run, and what becomes of chunks when one comes back.
//!
//! Locked memory is preferred throughout: first what this heap has, then a new locked chunk, then
//! what other heaps have left, and only then memory that is not locked.

use super::chunk::chunk_of;
use super::heap::{Heap, Lane};
use super::region::{BUDGET, Region, growth};
use super::shards::{HEAPS, current, note_unlocked_serve, settle, share_of};
use super::size::{Place, slot_size};
use super::spin::SpinGuard;

/// Locks the heap that this thread takes from: its number, and access to it.
#[inline]
pub fn enter(shards: usize) -> (usize, SpinGuard<'static, Heap>) {
    let heap = current(shards);
    match HEAPS[heap].try_lock() {
        Some(guard) => (heap, guard),
        None => enter_another(heap, shards),
    }
}

/// Moves this thread to a heap that nobody is at, for good: those that came into each other's way
/// part, and none waits for one that lost its processor. Keys have one heap only.
#[cold]
fn enter_another(heap: usize, shards: usize) -> (usize, SpinGuard<'static, Heap>) {
    let others = if heap < shards { 1..shards } else { 0..0 };
    for other in others.map(|step| (heap + step) % shards) {
        if let Some(guard) = HEAPS[other].try_lock() {
            settle(other);
            return (other, guard);
        }
    }
    (heap, HEAPS[heap].lock())
}

impl Region {
    /// Takes a place from the locked chunks of this thread's heap: the heap, and the address if there
    /// is room.
    #[inline]
    pub fn take_here(&self, place: Place) -> (usize, Option<usize>) {
        let (heap, mut guard) = enter(self.shards);
        (heap, self.take_in(&mut guard, Lane::Locked, place))
    }

    fn take_from(&self, heap: usize, lane: Lane, place: Place) -> Option<usize> {
        self.take_in(&mut HEAPS[heap].lock(), lane, place)
    }

    #[inline]
    fn take_in(&self, heap: &mut Heap, lane: Lane, place: Place) -> Option<usize> {
        match place {
            Place::Slot(class) => {
                let (unit, slot) = heap.take_slot(&self.chunks, lane, class)?;
                Some(self.address(unit) + slot * slot_size(class))
            }
            Place::Run { units, align } => {
                let unit = heap.take_run(&self.chunks, lane, units, align)?;
                Some(self.address(unit))
            }
            Place::Mapping => None,
        }
    }

    /// Takes a place from anywhere but what this heap has in locked chunks.
    pub fn take_elsewhere(&self, heap: usize, place: Place) -> Option<usize> {
        self.take_locked(heap, place)
            .or_else(|| self.take_unlocked(heap, place))
    }

    fn take_locked(&self, heap: usize, place: Place) -> Option<usize> {
        if !BUDGET.refused()
            && self.may_open_locked(share_of(heap), place.least_units())
            && let Some(address) = self.grow(heap, Lane::Locked, place)
        {
            return Some(address);
        }
        // Keys may use what others have left, never the other way round.
        let others = (0..self.shards).filter(|other| *other != heap);
        others
            .into_iter()
            .find_map(|other| self.take_from(other, Lane::Locked, place))
    }

    fn take_unlocked(&self, heap: usize, place: Place) -> Option<usize> {
        if let Some(address) = self.take_from(heap, Lane::Unlocked, place) {
            return Some(self.served_unlocked(place, address));
        }
        if BUDGET.refused()
            && let Some(address) = self.grow(heap, Lane::Locked, place)
        {
            return Some(address);
        }
        let address = self.grow(heap, Lane::Unlocked, place)?;
        Some(self.served_unlocked(place, address))
    }

    fn served_unlocked(&self, place: Place, address: usize) -> usize {
        BUDGET.serve_unlocked(place.bytes(self.unit_bytes()));
        note_unlocked_serve();
        address
    }

    /// Opens a chunk for a heap and serves a request from it. Another thread that shares the heap
    /// may have opened one meanwhile, so the heap is asked once more first.
    fn grow(&self, heap: usize, lane: Lane, place: Place) -> Option<usize> {
        let mut growth = growth();
        if let Some(address) = self.take_from(heap, lane, place) {
            return Some(address);
        }
        let least = place.least_units();
        let chunk = match lane {
            Lane::Locked => self.open_locked(&mut growth, share_of(heap), least)?,
            Lane::Unlocked => self.open_unlocked(&mut growth, share_of(heap))?,
        };
        self.chunks.set_owner(chunk, heap);
        HEAPS[heap].lock().adopt(&self.chunks, chunk);
        self.take_from(heap, lane, place)
    }

    /// Gives a block of so many bytes back to the heap that owns its chunk.
    #[inline]
    pub fn give(&self, unit: u32, bytes: usize, put: impl FnOnce(&mut Heap) -> Lane) {
        let owner = self.chunks.owner(chunk_of(unit));
        let mut heap = HEAPS[owner].lock();
        let lane = put(&mut heap);
        let surplus = heap.has_surplus(self.spare_chunks);
        drop(heap);
        if lane == Lane::Unlocked {
            BUDGET.return_unlocked(bytes);
        }
        if surplus {
            self.shrink(owner);
        }
    }

    #[cold]
    fn shrink(&self, owner: usize) {
        let mut growth = growth();
        let surplus = HEAPS[owner]
            .lock()
            .disown_surplus(&self.chunks, self.spare_chunks);
        if let Some(chunk) = surplus {
            self.close(&mut growth, chunk, share_of(owner));
        }
    }
}
