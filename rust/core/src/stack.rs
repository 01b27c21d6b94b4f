//! Scrubs the stack after an operation with a key or plaintext: it leaves spilled registers and AWS-LC's local arrays
//! there, which the arena does not see.
//!
//! Scrubbing reaches the stack below the caller. A value that the caller holds, moves or returns lies above that, so
//! secrets are kept in the arena, behind pointers. The vector registers are cleared too (see `registers`); whatever
//! runs next overwrites the other registers.
//!
//! Some threads have small stacks, because somebody asked for that or by default (128 KiB in musl). So scrubbing ends
//! where the thread's stack ends, and an operation that goes deep checks first that it has room ([`check_room`]).

mod registers;

use crate::{Error, Result, os};
use std::cell::Cell;
use std::hint::black_box;
use std::mem::MaybeUninit;

/// How many bytes are scrubbed, in half a microsecond, if the thread has that many left. `tests/stack.rs` measures how
/// deep operations go, and fails if that comes close to this.
pub const SCRUB_BYTES: usize = 32 * 1024;

/// An operation does not begin unless it has this many bytes of stack: one and a half times what the deepest one takes.
pub const NEEDED_BYTES: usize = match IS_ARM {
    true => 28 * 1024,
    false => 13 * 1024,
};

/// How many bytes are scrubbed if the thread runs on a stack that is not its own (a coroutine's): as deep as the
/// deepest operation goes, generating an RSA-4096 key.
///
/// On ARM, AWS-LC keeps a product of 16 KiB on the stack (`montgomery_s2n_bignum_mul_mont`), unless the processor
/// multiplies fast.
pub const ON_UNKNOWN_STACK_BYTES: usize = match IS_ARM {
    true => 19 * 1024,
    false => 9 * 1024,
};

const IS_ARM: bool = cfg!(target_arch = "aarch64");

/// How many bytes one step scrubs, if the stack has less left than [`SCRUB_BYTES`]. The last two steps of a stack are
/// never scrubbed: the scrubbing itself runs there.
const STEP_BYTES: usize = 512;

/// Stands for the stack if the system does not tell where it is: no address lies in this range.
const UNKNOWN: (usize, usize) = (1, 1);

thread_local! {
    /// The lowest address of this thread's stack, and its end; zeros before the system was asked.
    static OWN: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// Overwrites the stack below the caller and the vector registers with zeros.
#[inline(never)]
pub fn scrub() {
    match bytes_left() {
        Some(left) if left < SCRUB_BYTES + 2 * STEP_BYTES => in_steps(here() - left),
        Some(_) => at_once(),
        None => in_steps(here().saturating_sub(ON_UNKNOWN_STACK_BYTES + 2 * STEP_BYTES)),
    }
    registers::clear();
}

/// Checks that there is enough stack for an operation; [`Error::Stack`] if not.
#[inline]
pub fn check_room() -> Result<()> {
    check_room_above(0)
}

/// The same, if the caller itself takes `above` bytes of stack before the operation begins.
#[inline]
pub fn check_room_above(above: usize) -> Result<()> {
    match bytes_left() {
        Some(left) if left < NEEDED_BYTES + above => Err(Error::Stack),
        _ => Ok(()),
    }
}

/// Returns how many bytes this thread has left on its stack; `None` if that is not known.
#[inline]
pub fn bytes_left() -> Option<usize> {
    let here = here();
    let (low, high) = OWN.get();
    if low == 0 {
        return ask();
    }
    (low..high).contains(&here).then(|| here - low)
}

#[cold]
fn ask() -> Option<usize> {
    let found = os::thread_stack().filter(|stack| stack.start > 0);
    OWN.set(found.map_or(UNKNOWN, |stack| (stack.start, stack.end)));
    bytes_left()
}

/// Returns an address in or near the caller's frame.
#[inline(always)]
fn here() -> usize {
    let marker = 0_u8;
    black_box(&raw const marker) as usize
}

#[inline(never)]
fn at_once() {
    let mut below = MaybeUninit::<[u8; SCRUB_BYTES]>::uninit();
    // SAFETY: the array is this frame's own.
    unsafe { os::wipe(below.as_mut_ptr().cast(), SCRUB_BYTES) };
}

/// Scrubs by recursion, frame below frame, until less than two steps are left above `lowest`.
#[inline(never)]
fn in_steps(lowest: usize) {
    if here() < lowest + 2 * STEP_BYTES {
        return;
    }
    let mut below = MaybeUninit::<[u8; STEP_BYTES]>::uninit();
    let place = below.as_mut_ptr().cast::<u8>();
    // SAFETY: the array is this frame's own.
    unsafe { os::wipe(place, STEP_BYTES) };
    in_steps(lowest);
    // The array is used after the call, so that the compiler cannot reuse this frame for it.
    black_box(place);
}

/// Runs `f` in a frame of its own, and scrubs the stack below afterwards, even if `f` panics.
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

/// Never inlined: in the caller's frame, the locals of `f` would be out of reach of the scrubbing.
#[inline(never)]
fn in_own_frame<T>(f: impl FnOnce() -> T) -> T {
    f()
}
