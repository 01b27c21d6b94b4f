//! Reads the canonical form of TPM structures: big-endian numbers, and bytes behind a length of 16 bits (TPM 2.0
//! Library, Part 1, section "Canonicalization", and Part 2, section 10.3.1). Never beyond the end of what it was given.

/// What is wrong with a structure.
pub(super) type Fault = &'static str;

pub(super) const CUT_SHORT: Fault = "it is cut short";

/// Reads a structure from its beginning.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let (read, rest) = self.0.split_at_checked(len).ok_or(CUT_SHORT)?;
        self.0 = rest;
        Ok(read)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let bytes = self.bytes(N)?;
        bytes.try_into().map_err(|_| CUT_SHORT)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Fault> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_be_bytes)
    }

    /// Reads a TPM2B: a length, and as many bytes, at most `longest`.
    pub(super) fn sized(&mut self, longest: usize) -> Result<&'a [u8], Fault> {
        let len = usize::from(self.u16()?);
        if len > longest {
            return Err("a field of it is longer than any TPM writes");
        }
        self.bytes(len)
    }

    /// Checks that everything was read.
    pub(super) fn end(&self) -> Result<(), Fault> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err("something follows its end")
        }
    }
}
