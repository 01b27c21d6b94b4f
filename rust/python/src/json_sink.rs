//! Where JSON text goes: into a sealer, or nowhere, when only its faults and its size are asked for.

use nomyo_core::envelope::Sealer;
use nomyo_core::{Error, Result};

const SCRATCH_BYTES: usize = 4096;

/// Takes text piece by piece, up to a limit. The methods are those of [`Sealer`].
pub trait Sink: Send {
    /// Takes a piece of text; [`Error::Value`] beyond the limit.
    fn write(&mut self, text: &[u8]) -> Result<()>;
    /// Room to write at least so many bytes into; then [`Self::advance`].
    fn window(&mut self, at_least: usize) -> Result<&mut [u8]>;
    /// Says how many bytes of the window were filled.
    fn advance(&mut self, count: usize) -> Result<()>;
    /// Bytes so far.
    fn written(&self) -> usize;
}

impl Sink for Sealer {
    #[inline]
    fn write(&mut self, text: &[u8]) -> Result<()> {
        Sealer::write(self, text)
    }

    #[inline]
    fn window(&mut self, at_least: usize) -> Result<&mut [u8]> {
        Sealer::window(self, at_least)
    }

    #[inline]
    fn advance(&mut self, count: usize) -> Result<()> {
        Sealer::advance(self, count)
    }

    fn written(&self) -> usize {
        Sealer::written(self)
    }
}

/// Counts, and forgets.
pub struct Measure {
    scratch: Vec<u8>,
    written: usize,
    limit_bytes: usize,
}

impl Measure {
    /// Nothing yet.
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            scratch: vec![0; SCRATCH_BYTES],
            written: 0,
            limit_bytes,
        }
    }
}

impl Sink for Measure {
    fn write(&mut self, text: &[u8]) -> Result<()> {
        self.advance(text.len())
    }

    fn window(&mut self, _at_least: usize) -> Result<&mut [u8]> {
        Ok(&mut self.scratch)
    }

    fn advance(&mut self, count: usize) -> Result<()> {
        if count > self.limit_bytes - self.written {
            return Err(Error::Value("larger than the limit"));
        }
        self.written += count;
        Ok(())
    }

    fn written(&self) -> usize {
        self.written
    }
}
