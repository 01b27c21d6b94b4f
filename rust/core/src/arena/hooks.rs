//! Hands the crypto library's allocations to the arena.
//!
//! With its memory functions replaced, AWS-LC's `OPENSSL_free` no longer wipes (crypto/mem.c): the
//! arena does, on free and on realloc alike. No size header is needed: the arena's books know how
//! large a block is.

use super::blocks;
use std::ffi::{c_char, c_int, c_void};
use std::sync::Once;

/// Hands AWS-LC's allocations to the arena; [`crate::init`] calls it. Idempotent.
///
/// # Panics
/// Where somebody else in this process has replaced the memory functions of the same AWS-LC.
pub fn install_crypto_hooks() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the three keep the promises of malloc, realloc and free. Nothing of AWS-LC has
        // run before: the rule for `crate::init`.
        let installed = unsafe {
            aws_lc_sys::CRYPTO_set_mem_functions(Some(malloc), Some(realloc), Some(free))
        };
        assert_eq!(
            installed, 1,
            "the memory functions of AWS-LC were replaced already"
        );
    });
}

unsafe extern "C" fn malloc(size: usize, _file: *const c_char, _line: c_int) -> *mut c_void {
    blocks::take_any(size).cast()
}

unsafe extern "C" fn realloc(
    block: *mut c_void,
    size: usize,
    _file: *const c_char,
    _line: c_int,
) -> *mut c_void {
    // SAFETY: AWS-LC passes null or a block of `malloc` above.
    unsafe { blocks::resize_any(block.cast(), size).cast() }
}

unsafe extern "C" fn free(block: *mut c_void, _file: *const c_char, _line: c_int) {
    // SAFETY: AWS-LC passes null or a block of `malloc` above, once.
    unsafe { blocks::put_any(block.cast()) }
}
