//! Randomness, from AWS-LC's generator alone.
//!
//! The generator, a CTR-DRBG a thread, seeds itself from the operating system and from CPU jitter. Parent and
//! forked child never share output: on Linux AWS-LC keeps a byte in a page marked `MADV_WIPEONFORK`
//! (crypto/ube/fork_ube_detect.c) and looks at it before every draw. Where it reads zero, the kernel wiped it in a
//! fork, and the state is seeded anew before it gives anything. Where the kernel has no such pages (before 4.14, or
//! under qemu-user), and on macOS, AWS-LC knows that it cannot tell: it then seeds anew and mixes in bytes of the
//! system before *every* draw (`rand_check_ctr_drbg_uniqueness`), which is slow and as safe.

use crate::{Error, Result, gate};

/// Fills `out` with random bytes.
pub fn fill(out: &mut [u8]) -> Result<()> {
    crate::init();
    // SAFETY: `out` is valid for writes of `out.len()` bytes.
    let done = gate::within(|| unsafe { aws_lc_sys::RAND_bytes(out.as_mut_ptr(), out.len()) });
    if done == 1 {
        Ok(())
    } else {
        Err(Error::Crypto)
    }
}

/// Draws the process's first random bytes, which cost some 30 ms of jitter collection, so that no request waits for them.
pub fn warm_up() -> Result<()> {
    let mut first = [0_u8; 1];
    fill(&mut first)
}
