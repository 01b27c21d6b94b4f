//! Scrubs the stack, where an operation with a key or plaintext leaves what the arena cannot see:
//! spilled registers and local arrays of AWS-LC.
//!
//! It reaches what lies below the caller. Values that a caller holds itself, moves or returns by
//! value lie above: secrets are kept behind pointers into the arena for that reason. The vector
//! registers are cleared too (see `registers`); the others are overwritten by whatever runs next.

mod registers;

use crate::os;
use std::mem::MaybeUninit;

/// Bytes that are overwritten, in half a microsecond. The deepest operation, generating an RSA-4096
/// key, goes 8 KiB deep on x86-64; `tests/stack.rs` measures it, and fails where this comes close.
pub const SCRUB_BYTES: usize = 32 * 1024;

/// Overwrites the stack below the caller and the vector registers with zeros.
#[inline(never)]
pub fn scrub() {
    let mut below = MaybeUninit::<[u8; SCRUB_BYTES]>::uninit();
    // SAFETY: the array is this frame's own.
    unsafe { os::wipe(below.as_mut_ptr().cast(), SCRUB_BYTES) };
    registers::clear();
}

/// Runs `f` in a frame of its own and scrubs what it left behind, also where it panics.
pub fn scrubbed<T>(f: impl FnOnce() -> T) -> T {
    struct Scrub;
    impl Drop for Scrub {
        fn drop(&mut self) {
            scrub();
        }
    }
    let _scrub = Scrub;
    in_own_frame(f)
}

/// Kept from the caller's frame, which no scrubbing reaches.
#[inline(never)]
fn in_own_frame<T>(f: impl FnOnce() -> T) -> T {
    f()
}
