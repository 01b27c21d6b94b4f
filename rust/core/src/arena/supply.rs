//! Which heap serves a request for a slot or a run, and what becomes of chunks when one comes back.
//!
//! Locked memory is preferred throughout: first what this heap has, then a new locked chunk, then
//! what other heaps have left, and only then memory that is not locked.

use super::chunk::chunk_of;
use super::heap::{Heap, Lane};
use super::region::{BUDGET, Region, growth};
use super::shards::{HEAPS, note_unlocked_serve, share_of};
use super::size::{Place, slot_size};

impl Region {
    /// Takes a place from what a heap has in one of its lanes: its address.
    #[inline]
    pub fn take_from(&self, heap: usize, lane: Lane, place: Place) -> Option<usize> {
        match place {
            Place::Slot(class) => {
                let (unit, slot) = HEAPS[heap].lock().take_slot(&self.chunks, lane, class)?;
                Some(self.address(unit) + slot * slot_size(class))
            }
            Place::Run { units, align } => {
                let unit = HEAPS[heap]
                    .lock()
                    .take_run(&self.chunks, lane, units, align)?;
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
