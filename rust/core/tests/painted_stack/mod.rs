//! Runs threads on painted stacks, which show what was written there.
//!
//! A C library gives no thread less than `PTHREAD_STACK_MIN`: 16 KiB on x86-64, 128 KiB with glibc on ARM. An operation
//! that is to have less begins deeper on such a stack.
#![allow(dead_code)]

use std::ffi::c_void;
use std::hint::black_box;
use std::ptr::null_mut;

pub const STACK_BYTES: usize = 4 << 20;
pub const PAINT: u8 = 0xA5;

/// From what musl gives a thread down to a page more than the least that `pthread_attr_setstack` accepts on x86-64.
pub const SMALL_STACKS: [usize; 5] = [128 << 10, 64 << 10, 40 << 10, 32 << 10, 20 << 10];
const GUARD_BYTES: usize = 4096;
/// How much one step down takes, at most.
const STEP_BYTES: usize = 512;

/// The stack of a thread that has ended. An access beyond its end is a SIGSEGV.
pub struct Stack {
    pub base: *mut u8,
    len: usize,
    /// About where the stack pointer was when the operation began.
    pub entry: usize,
}

struct Job<'a> {
    operation: &'a mut dyn FnMut(),
    /// The operation begins as soon as the stack pointer is not above this address.
    highest: usize,
    entry: usize,
}

impl Stack {
    /// Runs an operation in a thread of its own on a painted stack.
    pub fn after(operation: impl FnMut()) -> Self {
        Self::of(STACK_BYTES, operation)
    }

    /// The same on a stack of this many bytes.
    pub fn of(left: usize, mut operation: impl FnMut()) -> Self {
        let len = left.max(libc::PTHREAD_STACK_MIN);
        // SAFETY: a fresh mapping as the stack of one thread, which has ended when this returns.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let mapped = libc::mmap(null_mut(), GUARD_BYTES + len, protection, flags, -1, 0);
            assert_ne!(mapped, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(mapped, GUARD_BYTES, libc::PROT_NONE), 0);
            let base = mapped.cast::<u8>().add(GUARD_BYTES);
            base.write_bytes(PAINT, len);
            let mut job = Job {
                operation: &mut operation,
                highest: base as usize + left,
                entry: 0,
            };
            let mut attributes = std::mem::zeroed();
            assert_eq!(libc::pthread_attr_init(&raw mut attributes), 0);
            assert_eq!(
                libc::pthread_attr_setstack(&raw mut attributes, base.cast(), len),
                0
            );
            let mut thread = std::mem::zeroed();
            let job_ptr = (&raw mut job).cast();
            assert_eq!(
                libc::pthread_create(&raw mut thread, &raw const attributes, run, job_ptr),
                0
            );
            assert_eq!(libc::pthread_join(thread, null_mut()), 0);
            Self {
                base,
                len,
                entry: job.entry,
            }
        }
    }

    /// Returns how deep the operation wrote below its frame, in bytes.
    pub fn depth(&self) -> usize {
        let below = &self.bytes()[..self.entry - self.base as usize];
        let deepest = below
            .iter()
            .position(|byte| *byte != PAINT)
            .unwrap_or(below.len());
        below.len() - deepest
    }

    pub fn holds(&self, secret: &[u8]) -> bool {
        self.bytes()
            .windows(secret.len())
            .any(|window| window == secret)
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping made in `of`; its thread has ended.
        unsafe { std::slice::from_raw_parts(self.base, self.len) }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `of`, released once.
        unsafe { libc::munmap(self.base.sub(GUARD_BYTES).cast(), GUARD_BYTES + self.len) };
    }
}

extern "C" fn run(job: *mut c_void) -> *mut c_void {
    // SAFETY: `Stack::of` passes a job that outlives the thread.
    go_down(unsafe { &mut *job.cast::<Job>() });
    null_mut()
}

#[inline(never)]
fn go_down(job: &mut Job) {
    let here = 0_u8;
    job.entry = black_box(&raw const here) as usize;
    if job.entry <= job.highest {
        return (job.operation)();
    }
    let mut step = [0_u8; STEP_BYTES / 2];
    black_box(&mut step);
    go_down(job);
    // The array is used after the call, so that the compiler cannot reuse this frame for it.
    black_box(&mut step);
}

/// Writes the secret into a frame some KiB below. It is passed inverted, so that it stands nowhere else.
#[inline(never)]
pub fn leave_deep(hidden: &[u8]) {
    let mut room = [0_u8; 8192];
    for (byte, inverted) in room.iter_mut().zip(hidden) {
        *byte = inverted ^ 0xFF;
    }
    black_box(&mut room);
}
