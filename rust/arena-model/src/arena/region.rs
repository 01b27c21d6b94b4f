//! Stands for the arena's region: a few small chunks without memory behind them. An address is only a number.

use super::chunk::{Chunk, Chunks, UNITS};
use super::heaps::KEYS;

/// The size of the arena's small units.
pub const UNIT_BYTES: usize = 256;

/// How many units of a chunk are usable: one page.
pub const USABLE_UNITS: usize = 2;
pub const PAGE: usize = USABLE_UNITS * UNIT_BYTES;

/// How many chunks the region has.
pub const CHUNKS: usize = 3;

/// The address of the region.
const BASE: usize = 1 << 20;

loom::lazy_static! {
    static ref ALL_CHUNKS: Vec<Chunk> = (0..CHUNKS).map(|_| Chunk::closed()).collect();
    static ref REGION: Region = Region {
        chunks: Chunks::new(&ALL_CHUNKS, UNIT_BYTES),
        usable_units: USABLE_UNITS,
        page: PAGE,
        general_heaps: KEYS,
        spare_chunks: SPARE_CHUNKS.with(std::cell::Cell::get),
    };
}

std::thread_local! {
    /// How many empty chunks the next execution's region keeps. A model sets it before the execution begins.
    pub static SPARE_CHUNKS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

pub struct Region {
    pub chunks: Chunks,
    pub usable_units: usize,
    pub page: usize,
    pub general_heaps: usize,
    pub spare_chunks: usize,
}

pub fn region() -> Option<&'static Region> {
    Some(&REGION)
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
