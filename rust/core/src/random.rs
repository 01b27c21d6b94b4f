//! Randomness, from AWS-LC's generator alone.
//!
//! The generator seeds itself from the operating system and from CPU jitter, and reseeds in a forked child
//! (AWS-LC keeps its state in pages marked `MADV_WIPEONFORK`), so parent and child never share output.

use crate::{Error, Result};

/// Fills `out` with random bytes.
pub fn fill(out: &mut [u8]) -> Result<()> {
    crate::init();
    // SAFETY: `out` is valid for writes of `out.len()` bytes.
    let done = unsafe { aws_lc_sys::RAND_bytes(out.as_mut_ptr(), out.len()) };
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
