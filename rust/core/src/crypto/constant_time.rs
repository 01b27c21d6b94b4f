//! Compares secrets in constant time.

/// Whether both hold the same bytes. The time depends on nothing but the lengths.
pub(crate) fn equal(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    // SAFETY: both are valid for reads of that many bytes.
    unsafe { aws_lc_sys::CRYPTO_memcmp(one.as_ptr().cast(), other.as_ptr().cast(), one.len()) == 0 }
}
