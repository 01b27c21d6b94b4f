//! Draws random bytes from AWS-LC's generator.
//!
//! Each thread has a generator of its own (CTR-DRBG), seeded from the operating system and from CPU jitter. A parent
//! and a forked child never share output. On Linux AWS-LC keeps a byte in a page marked `MADV_WIPEONFORK`
//! (crypto/ube/fork_ube_detect.c) and reads it before every draw. If it is zero, the kernel has wiped it in a fork, and
//! the generator is seeded again first. If the kernel has no such pages (before 4.14, or under qemu-user), and on
//! macOS, AWS-LC knows that it cannot detect a fork. It then seeds again and mixes in bytes of the system before
//! *every* draw (`rand_check_ctr_drbg_uniqueness`), which is slower and as safe.

use crate::crypto::gate;
use crate::{Error, Result, stack};

/// Fills `out` with random bytes.
pub fn fill(out: &mut [u8]) -> Result<()> {
    stack::check_room()?;
    crate::init();
    // SAFETY: `out` is valid for writes of `out.len()` bytes.
    let done = gate::within(|| unsafe { aws_lc_sys::RAND_bytes(out.as_mut_ptr(), out.len()) });
    if done == 1 {
        Ok(())
    } else {
        Err(Error::Crypto)
    }
}

/// Draws the process's first random bytes. They take some 30 ms, since jitter is collected; later no request waits for
/// that.
pub fn warm_up() -> Result<()> {
    let mut first = [0_u8; 1];
    fill(&mut first)
}
