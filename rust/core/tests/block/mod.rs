//! Blocks of the arena, and random numbers to choose them by.
#![allow(dead_code)]

use nomyo_core::arena::Arena;
use std::alloc::{GlobalAlloc, Layout};
use std::slice;

/// A block that frees itself.
pub struct Block {
    pub ptr: *mut u8,
    pub layout: Layout,
}

// SAFETY: a block belongs to no thread.
unsafe impl Send for Block {}

impl Block {
    pub fn new(size: usize, align: usize) -> Self {
        let layout = Layout::from_size_align(size, align).unwrap();
        // SAFETY: the size is not 0.
        let ptr = unsafe { Arena.alloc(layout) };
        assert!(!ptr.is_null());
        Self { ptr, layout }
    }

    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the arena's blocks are initialised: they are zero at first.
        unsafe { slice::from_raw_parts_mut(self.ptr, self.layout.size()) }
    }

    pub fn resize(&mut self, size: usize) {
        // SAFETY: the block is in use with this layout.
        let ptr = unsafe { Arena.realloc(self.ptr, self.layout, size) };
        assert!(!ptr.is_null());
        self.ptr = ptr;
        self.layout = Layout::from_size_align(size, self.layout.align()).unwrap();
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: taken in `new` with this layout, freed once.
        unsafe { Arena.dealloc(self.ptr, self.layout) };
    }
}

/// xorshift64: the same sequence in every run.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}
