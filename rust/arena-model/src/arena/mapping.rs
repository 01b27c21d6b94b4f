//! Stands for the arena's mappings: in a model no block gets a mapping of its own, so none is freed either.

use super::budget::Share;
use crate::os;
use crate::spin::SpinLock;
use crate::sync::shared_static;
use std::ptr::null_mut;

shared_static! {
    pub static MAPPINGS: SpinLock<()> = SpinLock::new(());
}

pub const NOT_ALLOCATED_HERE: &str = "memory was freed that was not allocated by the arena";

pub fn map(_size: usize, _align: usize, _share: Share) -> *mut u8 {
    null_mut()
}

pub unsafe fn unmap(_block: *mut u8) {
    os::die(NOT_ALLOCATED_HERE);
}

pub unsafe fn usable(_block: *mut u8) -> usize {
    os::die(NOT_ALLOCATED_HERE);
}
