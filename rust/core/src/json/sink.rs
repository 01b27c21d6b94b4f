//! Where JSON text is written: into a sealer, or nowhere if only its faults or its size matter.

use crate::envelope::{MAX_WINDOW_REQUEST_BYTES, Sealer};
use crate::{Error, Result};

/// Takes text piece by piece, up to a limit. The methods are those of [`Sealer`].
pub trait Sink: Send {
    /// Takes a piece of text; [`Error::Value`] beyond the limit.
    fn write(&mut self, text: &[u8]) -> Result<()>;
    /// Returns room for at least so many bytes. The caller fills a part of it and calls [`Self::advance`].
    fn window(&mut self, at_least: usize) -> Result<&mut [u8]>;
    /// Takes the first `count` bytes of the window; [`Error::Value`] beyond the limit.
    fn advance(&mut self, count: usize) -> Result<()>;
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
}

/// Counts the text that it takes, and does not keep it.
pub struct Measure {
    scratch: Vec<u8>,
    written: usize,
    limit_bytes: usize,
}

impl Measure {
    /// Begins at 0.
    pub fn new(limit_bytes: usize) -> Self {
        Self {
            scratch: vec![0; MAX_WINDOW_REQUEST_BYTES],
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
}
