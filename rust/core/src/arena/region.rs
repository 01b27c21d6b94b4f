//! The one range of address space in which all chunks lie. It is set up once.
//!
//! ```text
//! | guard | usable pages ..... guard | usable pages ..... guard | ...
//!         ^ chunk 0                  ^ chunk 1: 128 units further
//! ```
//!
//! Shifts turn an address into its chunk and unit. Everything but open chunks is untouchable, so every chunk has a
//! guard on either side. The bookkeeping lies in a mapping of its own.

use super::budget::{BUDGET, SCARCE_BYTES};
use super::chunk::{Chunk, Chunks, MOST_CHUNKS, UNITS};
use super::heaps;
use crate::os;
use crate::refused::Protection;
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::slice;
use std::sync::atomic::{AtomicU8, Ordering};

/// The size of a unit. A chunk then takes 256 KiB of address space.
const UNIT_BYTES: usize = 2048;
/// The size of a unit if little may be locked, so that a page can hold blocks of several classes. A chunk takes 32 KiB
/// then.
const SMALL_UNIT_BYTES: usize = 256;

const FEWEST_CHUNKS: usize = 16;

/// The smallest region: the fewest chunks, the first guard, and room to begin at a multiple of a chunk's size.
pub const LEAST_BYTES: usize = UNIT_BYTES * UNITS * (FEWEST_CHUNKS + 2);

/// The region takes at most this fraction (1/16) of a limit on address space.
const PART_OF_LIMIT: u64 = 16;

/// The most empty chunks that a heap keeps.
const MOST_SPARE_CHUNKS: usize = 8;

/// The region. It does not change after it was set up.
pub struct Region {
    base: usize,
    pub chunks: Chunks,
    unit_shift: u32,
    /// How many units of a whole chunk are usable; the rest are its guard.
    pub usable_units: usize,
    /// The size of a page in bytes.
    pub page: usize,
    /// Whether RLIMIT_MEMLOCK binds this process.
    pub limit_applies: bool,
    /// How many heaps for everything but keys are in use.
    pub general_heaps: usize,
    /// How many empty chunks a heap keeps of either kind: opening a locked one takes 50 us or more.
    pub spare_chunks: usize,
}

const UNTOUCHED: u8 = 0;
const UNDER_WAY: u8 = 1;
const READY: u8 = 2;
const FAILED: u8 = 3;

static STATE: AtomicU8 = AtomicU8::new(UNTOUCHED);
static REGION: RegionCell = RegionCell(UnsafeCell::new(MaybeUninit::uninit()));

struct RegionCell(UnsafeCell<MaybeUninit<Region>>);

// SAFETY: it is written once, before STATE becomes READY, and only read afterwards.
unsafe impl Sync for RegionCell {}

/// Returns the region, which the first call sets up; `None` if the system gave no address space for it.
#[inline]
pub fn region() -> Option<&'static Region> {
    match STATE.load(Ordering::Acquire) {
        // SAFETY: READY follows the only write.
        READY => Some(unsafe { (*REGION.0.get()).assume_init_ref() }),
        FAILED => None,
        _ => set_up(),
    }
}

/// Returns the region if it was set up before. Never waits for another thread that is setting it up.
pub fn existing_region() -> Option<&'static Region> {
    let is_ready = STATE.load(Ordering::Acquire) == READY;
    // SAFETY: READY follows the only write.
    is_ready.then(|| unsafe { (*REGION.0.get()).assume_init_ref() })
}

#[cold]
fn set_up() -> Option<&'static Region> {
    let first = STATE.compare_exchange(UNTOUCHED, UNDER_WAY, Ordering::Acquire, Ordering::Relaxed);
    if first.is_ok() {
        let made = Region::make();
        let state = if made.is_some() { READY } else { FAILED };
        if let Some(made) = made {
            // SAFETY: UNDER_WAY is set by one thread only, and nobody reads before READY.
            unsafe { (*REGION.0.get()).write(made) };
        }
        STATE.store(state, Ordering::Release);
    }
    while STATE.load(Ordering::Acquire) == UNDER_WAY {
        os::yield_processor();
    }
    region()
}

impl Region {
    fn make() -> Option<Region> {
        let page = os::page_size();
        // If little address space is left, smaller regions are tried.
        let (reservation, len) = (0..9).find_map(|halvings| {
            let len = (most_bytes() >> halvings).max(LEAST_BYTES);
            os::reserve(len).map(|ptr| (ptr, len))
        })?;
        // SAFETY: the reservation is fresh, and nothing of it is open.
        let limit_applies = unsafe { os::limit_applies(reservation, len) };
        // SAFETY: as above.
        Protection::HiddenFromDumps.note(unsafe { os::hide_from_dumps(reservation, len) });
        let limit = if limit_applies {
            os::memlock_limit()
        } else {
            None
        };
        BUDGET.set(limit, os::physical_bytes(), page);
        let divided = Self::divide(reservation as usize, len, page, limit_applies);
        if divided.is_none() {
            // Released, because the program needs memory to report the failure.
            // SAFETY: nothing of the reservation is in use.
            unsafe { os::release(reservation, len) };
        }
        divided
    }

    /// Divides a reservation into chunks, and makes their bookkeeping.
    fn divide(reservation: usize, len: usize, page: usize, limit_applies: bool) -> Option<Region> {
        let budget = BUDGET.total() * page;
        let scarce = budget > 0 && budget < SCARCE_BYTES;
        let unit = if scarce { SMALL_UNIT_BYTES } else { UNIT_BYTES };
        let stride = unit * UNITS;
        // At least a page before the first chunk stays closed, as its guard.
        let base = (reservation + page).next_multiple_of(stride);
        let count = ((reservation + len - base) / stride).min(MOST_CHUNKS);
        if count < FEWEST_CHUNKS {
            return None;
        }
        let chunks = map_bookkeeping(count, page)?;
        Some(Region {
            base,
            chunks: Chunks::new(chunks, unit),
            unit_shift: unit.trailing_zeros(),
            usable_units: UNITS - page.div_ceil(unit),
            page,
            limit_applies,
            general_heaps: (budget >> 20).clamp(1, heaps::MOST_GENERAL_HEAPS),
            // Under a small budget chunks are small; without any budget none is locked, so keeping them costs little.
            spare_chunks: match budget < SCARCE_BYTES {
                true => MOST_SPARE_CHUNKS,
                false => (budget / stride / 8).clamp(1, MOST_SPARE_CHUNKS),
            },
        })
    }

    pub fn unit_bytes(&self) -> usize {
        1 << self.unit_shift
    }

    /// Returns the unit that an address lies in, and the offset within it; `None` outside the region.
    #[inline]
    pub fn unit_at(&self, address: usize) -> Option<(u32, usize)> {
        let offset = address.wrapping_sub(self.base);
        let unit = offset >> self.unit_shift;
        let inside = unit < self.chunks.count() * UNITS;
        inside.then_some((unit as u32, offset & (self.unit_bytes() - 1)))
    }

    /// The address of a unit.
    #[inline]
    pub fn address(&self, unit: u32) -> usize {
        self.base + ((unit as usize) << self.unit_shift)
    }
}

/// Returns how much address space to take: a part of the limit, if there is one (RLIMIT_AS, RLIMIT_DATA). The rest is
/// for Python's memory and for the stacks of threads, each of which takes 8 MiB.
fn most_bytes() -> usize {
    const ALL: usize = UNIT_BYTES * UNITS * MOST_CHUNKS;
    let Some(limit) = os::address_space_limit() else {
        return ALL;
    };
    let part = usize::try_from(limit / PART_OF_LIMIT).unwrap_or(usize::MAX);
    part.clamp(LEAST_BYTES, ALL)
}

/// Maps pages of zeros for the bookkeeping. They are no secret and not locked, and a page takes memory only when a
/// chunk on it is opened. They have a guard on either side, since stray writes would do more harm here than elsewhere.
fn map_bookkeeping(count: usize, page: usize) -> Option<&'static [Chunk]> {
    let bytes = (count * size_of::<Chunk>()).next_multiple_of(page);
    let start = os::reserve(bytes + 2 * page)?.wrapping_add(page);
    // SAFETY: the reservation is never released, and zeros stand for closed chunks.
    unsafe {
        os::open_pages(start, bytes).then(|| slice::from_raw_parts(start.cast::<Chunk>(), count))
    }
}
