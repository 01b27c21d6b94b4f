//! Decides which heap serves a request for a slot or a run, and closes surplus chunks when blocks are freed.
//!
//! Locked memory comes first: from this heap's chunks, then from a new locked chunk, then from other heaps' chunks.
//! Unlocked memory is used only if there is none.

use super::budget::BUDGET;
use super::chunk::chunk_of;
use super::growth::GROWTH;
use super::heap::{Heap, Lane};
use super::heaps::{
    HEAPS, KEYS, OWN, current, heap_of, move_to_heap, note_unlocked_serve, own_heap, share_of,
};
use super::region::Region;
use super::size::{Place, slot_size};
use crate::spin::SpinGuard;

/// Locks the heap from which this thread allocates. Returns its number, and access to it.
#[inline]
pub fn enter(general_heaps: usize) -> (usize, SpinGuard<'static, Heap>) {
    let heap = current(general_heaps);
    match HEAPS[heap].try_lock() {
        Some(guard) => (heap, guard),
        None => enter_another(heap, general_heaps),
    }
}

/// Moves this thread to a heap whose lock is free, for good. So two threads do not meet again, and none waits for one
/// that lost its processor. Keys have only one heap, so there the thread waits.
#[cold]
fn enter_another(heap: usize, general_heaps: usize) -> (usize, SpinGuard<'static, Heap>) {
    let others = if heap < general_heaps {
        1..general_heaps
    } else {
        0..0
    };
    for other in others.map(|step| (heap + step) % general_heaps) {
        if let Some(guard) = HEAPS[other].try_lock() {
            move_to_heap(other);
            return (other, guard);
        }
    }
    (heap, HEAPS[heap].lock())
}

impl Region {
    /// Takes a place from the locked chunks of this thread's heap. Returns the heap's number, and the address if there
    /// was room.
    #[inline]
    pub fn take_here(&self, place: Place) -> (usize, Option<usize>) {
        let (heap, mut guard) = enter(self.general_heaps);
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

    /// Takes a place from anywhere, after this heap's locked chunks had no room.
    pub fn take_elsewhere(&self, heap: usize, place: Place) -> Option<usize> {
        if heap == OWN {
            return self.take_for_key(place);
        }
        self.take_locked(heap, place)
            .or_else(|| self.take_unlocked(heap, place))
    }

    /// Takes a place from the pages of the key that is being loaded; if they are full, from those of all keys.
    fn take_for_key(&self, place: Place) -> Option<usize> {
        own_heap()
            .and_then(|own| self.take_in(&mut own.lock(), Lane::Locked, place))
            .or_else(|| self.take_from(KEYS, Lane::Locked, place))
            .or_else(|| self.take_elsewhere(KEYS, place))
    }

    fn take_locked(&self, heap: usize, place: Place) -> Option<usize> {
        if !BUDGET.refused()
            && self.may_open_locked(share_of(heap), place.least_units())
            && let Some(address) = self.grow(heap, Lane::Locked, place)
        {
            return Some(address);
        }
        // Keys may use the other heaps' locked memory, but never the other way round.
        let others = (0..self.general_heaps).filter(|other| *other != heap);
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

    /// Opens a chunk for a heap and serves a request from it. It first asks the heap once more, since another thread of
    /// the heap may have opened a chunk meanwhile.
    fn grow(&self, heap: usize, lane: Lane, place: Place) -> Option<usize> {
        let mut growth = GROWTH.lock();
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

    /// Frees a block of `bytes` bytes in the heap that owns its chunk.
    #[inline]
    pub fn give(&self, unit: u32, bytes: usize, put: impl FnOnce(&mut Heap) -> Lane) {
        let owner = self.chunks.owner(chunk_of(unit));
        let mut heap = heap_of(owner, chunk_of(unit)).lock();
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
        let mut growth = GROWTH.lock();
        let surplus = HEAPS[owner]
            .lock()
            .disown_surplus(&self.chunks, self.spare_chunks);
        if let Some(chunk) = surplus {
            self.close(&mut growth, chunk, share_of(owner));
        }
    }
}
