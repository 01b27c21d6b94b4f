//! A region of a few small chunks, without memory behind it: an address is a number.

use super::budget::Budget;
use super::chunk::{Chunk, Chunks, UNITS};
use super::growth::Growth;
use super::shards::KEYS;
use super::spin::{SpinGuard, SpinLock};

/// As where memory is scarce.
pub const UNIT_BYTES: usize = 256;

/// Usable units of a chunk; a page.
pub const USABLE_UNITS: usize = 2;
pub const PAGE: usize = USABLE_UNITS * UNIT_BYTES;

/// Chunks of the region.
pub const CHUNKS: usize = 3;

/// Where the region begins.
const BASE: usize = 1 << 20;

loom::lazy_static! {
    pub static ref BUDGET: Budget = Budget::new();
    pub static ref GROWTH: SpinLock<Growth> = SpinLock::new(Growth::new());
    static ref BOOKS: Vec<Chunk> = (0..CHUNKS).map(|_| Chunk::closed()).collect();
    static ref REGION: Region = Region {
        chunks: Chunks::new(&BOOKS, UNIT_BYTES),
        usable_units: USABLE_UNITS,
        page: PAGE,
        shards: KEYS,
        spare_chunks: SPARE_CHUNKS.with(std::cell::Cell::get),
    };
}

std::thread_local! {
    /// What the next execution's region keeps; set before it begins.
    pub static SPARE_CHUNKS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

pub struct Region {
    pub chunks: Chunks,
    pub usable_units: usize,
    pub page: usize,
    pub shards: usize,
    pub spare_chunks: usize,
}

pub fn region() -> Option<&'static Region> {
    Some(&REGION)
}

pub fn growth() -> SpinGuard<'static, Growth> {
    GROWTH.lock()
}

impl Region {
    pub fn unit_bytes(&self) -> usize {
        UNIT_BYTES
    }

    pub fn unit_at(&self, address: usize) -> Option<(u32, usize)> {
        let offset = address.checked_sub(BASE)?;
        let unit = offset / UNIT_BYTES;
        (unit < CHUNKS * UNITS).then_some((unit as u32, offset % UNIT_BYTES))
    }

    pub fn address(&self, unit: u32) -> usize {
        BASE + unit as usize * UNIT_BYTES
    }
}
