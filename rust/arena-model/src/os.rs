//! Stands for the core's `os`: a byte of model memory for every granule of the region.

use crate::arena::chunk::UNITS;
use crate::arena::region::{CHUNKS, PAGE, UNIT_BYTES, USABLE_UNITS, region};
use loom::cell::UnsafeCell;
use std::cell::Cell;

/// How many bytes one byte of model memory stands for: the smallest block in the models.
const GRANULE: usize = UNIT_BYTES / 2;
const PER_CHUNK: usize = USABLE_UNITS * UNIT_BYTES / GRANULE;

loom::lazy_static! {
    static ref MEMORY: Vec<UnsafeCell<u8>> =
        (0..CHUNKS * PER_CHUNK).map(|_| UnsafeCell::new(0)).collect();
}

std::thread_local! {
    /// Whether Loom sees accesses to memory. A model sets it before an execution begins.
    pub static WATCH_MEMORY: Cell<bool> = const { Cell::new(true) };
}

/// The panic by which [`die`] ends a thread.
pub struct Died(pub &'static str);

/// Ends the thread. In the core it ends the process.
pub fn die(why: &'static str) -> ! {
    std::panic::resume_unwind(Box::new(Died(why)))
}

pub use crate::process::{ThreadSlot, at_exit, at_fork, wait_a_little as yield_processor};

/// As on all systems but Windows.
pub fn other_threads_are_gone() -> bool {
    false
}

pub unsafe fn wipe(block: *mut u8, len: usize) {
    fill(block as usize, len, 0);
}

/// Writes a mark over a block.
pub fn fill(address: usize, len: usize, mark: u8) {
    if WATCH_MEMORY.get() {
        granules(address, len)
            // SAFETY: Loom checks that no other thread accesses it at the same time.
            .for_each(|granule| granule.with_mut(|byte| unsafe { *byte = mark }));
    }
}

/// Whether every byte of a block has this mark.
pub fn holds(address: usize, len: usize, mark: u8) -> bool {
    !WATCH_MEMORY.get()
        || granules(address, len)
            // SAFETY: as above.
            .all(|granule| granule.with(|byte| unsafe { *byte } == mark))
}

pub unsafe fn open_pages(pages: *mut u8, len: usize) -> bool {
    assert!(holds(pages as usize, len, 0));
    true
}

pub unsafe fn close_pages(pages: *mut u8, len: usize) {
    // It writes, so that Loom reports an access that is not ordered before it.
    fill(pages as usize, len, 0);
}

pub unsafe fn open_hidden(_pages: *mut u8, _len: usize) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

pub unsafe fn move_over(_from: *mut u8, _to: *mut u8, _len: usize) -> bool {
    false
}

pub unsafe fn release(_pages: *mut u8, _len: usize) {}

pub fn page_size() -> usize {
    PAGE
}

pub unsafe fn close_hidden(pages: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { close_pages(pages, len) };
}

pub unsafe fn lock(_pages: *mut u8, _len: usize) -> bool {
    true
}

pub unsafe fn lock_inherited(_pages: *mut u8, _len: usize) -> bool {
    true
}

fn granules(address: usize, len: usize) -> impl Iterator<Item = &'static UnsafeCell<u8>> {
    (address..address + len).step_by(GRANULE).map(|address| {
        let (unit, offset) = region()
            .and_then(|region| region.unit_at(address))
            .expect("an address of the region");
        let (chunk, index) = (unit as usize / UNITS, unit as usize % UNITS);
        assert!(index < USABLE_UNITS, "beyond the chunk");
        &MEMORY[chunk * PER_CHUNK + index * (UNIT_BYTES / GRANULE) + offset / GRANULE]
    })
}
