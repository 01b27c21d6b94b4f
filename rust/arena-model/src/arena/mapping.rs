//! No block of a model has a mapping of its own: there is none to be had, and none comes back.

use super::budget::Share;
use crate::os;
use std::ptr::null_mut;

pub fn map(_size: usize, _align: usize, _share: Share) -> *mut u8 {
    null_mut()
}

pub unsafe fn unmap(_block: *mut u8) {
    os::die("not a block of the region");
}

pub unsafe fn usable(_block: *mut u8) -> usize {
    os::die("not a block of the region");
}
