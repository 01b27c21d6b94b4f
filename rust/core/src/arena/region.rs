//! The one stretch of address space that all chunks lie in, set up once.
//!
//! ```text
//! | guard | usable pages ..... guard | usable pages ..... guard | ...
//!         ^ chunk 0                  ^ chunk 1: 128 units further
//! ```
//!
//! An address leads to its chunk and unit by shifts. Everything that is not an open chunk is
//! untouchable, so every chunk has a guard on either side. The books lie in a mapping of their own.

use super::budget::{Budget, SCARCE_BYTES};
use super::chunk::{Chunk, Chunks, UNITS};
use super::growth::Growth;
use super::spin::{SpinGuard, SpinLock};
use super::{fork, shards};
use crate::os;
use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::slice;
use std::sync::atomic::{AtomicU8, Ordering};

/// Bytes of a unit: a chunk then takes 256 KiB of address space. Where little may be locked the
/// units are small, so that a page can hold blocks of several classes, and a chunk takes 32 KiB.
const UNIT_BYTES: usize = 2048;
const SMALL_UNIT_BYTES: usize = 256;

/// Chunks in the region: 1 GiB of address space by default. Fewer where that much is not given.
const MOST_CHUNKS: usize = if usize::BITS == 64 { 4096 } else { 256 };
const FEWEST_CHUNKS: usize = 16;

/// Empty chunks that a heap keeps at most.
const MOST_SPARE_CHUNKS: usize = 8;

/// How much may be locked.
pub static BUDGET: Budget = Budget::new();

/// Guards opening and closing. Taken before a heap's lock, never while one is held.
pub static GROWTH: SpinLock<Growth> = SpinLock::new(Growth::new());

/// What setting up found; constant from then on.
pub struct Region {
    base: usize,
    pub chunks: Chunks,
    unit_shift: u32,
    /// Usable units of a whole chunk; the rest are guard.
    pub usable_units: usize,
    /// Bytes of a page.
    pub page: usize,
    /// Whether RLIMIT_MEMLOCK binds this process.
    pub limit_applies: bool,
    /// Number of shards in use.
    pub shards: usize,
    /// Empty chunks that a heap keeps of either sort. Opening a locked one costs 50 us and more.
    pub spare_chunks: usize,
}

const UNTOUCHED: u8 = 0;
const UNDER_WAY: u8 = 1;
const READY: u8 = 2;
const FAILED: u8 = 3;

static STATE: AtomicU8 = AtomicU8::new(UNTOUCHED);
static REGION: RegionCell = RegionCell(UnsafeCell::new(MaybeUninit::uninit()));

struct RegionCell(UnsafeCell<MaybeUninit<Region>>);

// SAFETY: written once, before STATE becomes READY; only read afterwards.
unsafe impl Sync for RegionCell {}

/// The region, set up by the first call; `None` where the system gave no address space for it.
#[inline]
pub fn region() -> Option<&'static Region> {
    match STATE.load(Ordering::Acquire) {
        // SAFETY: READY follows the only write.
        READY => Some(unsafe { (*REGION.0.get()).assume_init_ref() }),
        FAILED => None,
        _ => set_up(),
    }
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
        fork::register();
    }
    while STATE.load(Ordering::Acquire) == UNDER_WAY {
        os::yield_processor();
    }
    region()
}

impl Region {
    fn make() -> Option<Region> {
        let page = os::page_size();
        let most = UNIT_BYTES * UNITS * MOST_CHUNKS;
        // The first stretch may be too large under RLIMIT_AS; smaller ones are tried then.
        let (reservation, len) = (0..9).find_map(|halvings| {
            let len = most >> halvings;
            os::reserve(len).map(|ptr| (ptr, len))
        })?;
        // SAFETY: a fresh reservation of which nothing is open.
        let limit_applies = unsafe { os::limit_applies(reservation, len) };
        // SAFETY: as above.
        unsafe { os::hide_from_dumps(reservation, len) };
        let limit = if limit_applies {
            os::memlock_limit()
        } else {
            None
        };
        BUDGET.set(limit, os::physical_bytes(), page);
        Self::divide(reservation as usize, len, page, limit_applies)
    }

    /// Divides a reservation into chunks and makes their books.
    fn divide(reservation: usize, len: usize, page: usize, limit_applies: bool) -> Option<Region> {
        let budget = BUDGET.total() * page;
        let scarce = budget > 0 && budget < SCARCE_BYTES;
        let unit = if scarce { SMALL_UNIT_BYTES } else { UNIT_BYTES };
        let stride = unit * UNITS;
        // At least a page before the first chunk stays closed: its guard.
        let base = (reservation + page).next_multiple_of(stride);
        let count = ((reservation + len - base) / stride).min(MOST_CHUNKS);
        if count < FEWEST_CHUNKS {
            return None;
        }
        let books = make_books(count, page)?;
        Some(Region {
            base,
            chunks: Chunks::new(books, unit),
            unit_shift: unit.trailing_zeros(),
            usable_units: UNITS - page.div_ceil(unit),
            page,
            limit_applies,
            shards: (budget >> 20).clamp(1, shards::MOST_SHARDS),
            // Where the budget is small, so are the chunks, or none is locked anyway.
            spare_chunks: match budget < SCARCE_BYTES {
                true => MOST_SPARE_CHUNKS,
                false => (budget / stride / 8).clamp(1, MOST_SPARE_CHUNKS),
            },
        })
    }

    pub fn unit_bytes(&self) -> usize {
        1 << self.unit_shift
    }

    /// The unit that an address lies in and the offset within it; `None` outside the region.
    #[inline]
    pub fn unit_at(&self, address: usize) -> Option<(u32, usize)> {
        let offset = address.wrapping_sub(self.base);
        let unit = offset >> self.unit_shift;
        let inside = unit < self.chunks.count() * UNITS;
        inside.then_some((unit as u32, offset & (self.unit_bytes() - 1)))
    }

    /// Where a unit begins.
    #[inline]
    pub fn address(&self, unit: u32) -> usize {
        self.base + ((unit as usize) << self.unit_shift)
    }
}

/// Takes the lock under which chunks are opened and closed.
pub fn growth() -> SpinGuard<'static, Growth> {
    GROWTH.lock()
}

/// Pages of zeros for the books: no secret, never locked, touched only as far as chunks are. With a
/// guard on either side, as stray writes there would be worse than elsewhere.
fn make_books(count: usize, page: usize) -> Option<&'static [Chunk]> {
    let bytes = (count * size_of::<Chunk>()).next_multiple_of(page);
    let books = os::reserve(bytes + 2 * page)?.wrapping_add(page);
    // SAFETY: the reservation is ours and lasts as long as the process; zeros are closed books.
    unsafe {
        os::open_pages(books, bytes).then(|| slice::from_raw_parts(books.cast::<Chunk>(), count))
    }
}
