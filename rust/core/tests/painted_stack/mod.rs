//! Runs threads on painted stacks, which show what was written there.
#![allow(dead_code)]

use std::ffi::c_void;
use std::hint::black_box;
use std::ptr::null_mut;

pub const STACK_BYTES: usize = 4 << 20;
pub const PAINT: u8 = 0xA5;

/// From what musl gives a thread down to a page more than the least that `pthread_attr_setstack` accepts.
pub const SMALL_STACKS: [usize; 5] = [128 << 10, 64 << 10, 40 << 10, 32 << 10, 20 << 10];
const GUARD_BYTES: usize = 4096;

/// The stack of a thread that has ended. An access beyond its end is a SIGSEGV.
pub struct Stack {
    pub base: *mut u8,
    len: usize,
    /// About where the stack pointer was when the operation began.
    pub entry: usize,
}

struct Job<'a> {
    operation: &'a mut dyn FnMut(),
    entry: usize,
}

impl Stack {
    /// Runs an operation in a thread of its own on a painted stack.
    pub fn after(operation: impl FnMut()) -> Self {
        Self::of(STACK_BYTES, operation)
    }

    /// The same on a stack of this many bytes.
    pub fn of(len: usize, mut operation: impl FnMut()) -> Self {
        let mut job = Job {
            operation: &mut operation,
            entry: 0,
        };
        // SAFETY: a fresh mapping as the stack of one thread, which has ended when this returns.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let mapped = libc::mmap(null_mut(), GUARD_BYTES + len, protection, flags, -1, 0);
            assert_ne!(mapped, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(mapped, GUARD_BYTES, libc::PROT_NONE), 0);
            let base = mapped.cast::<u8>().add(GUARD_BYTES);
            base.write_bytes(PAINT, len);
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
    let job = unsafe { &mut *job.cast::<Job>() };
    let here = 0_u8;
    job.entry = black_box(&raw const here) as usize;
    (job.operation)();
    null_mut()
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
