//! Makes AWS-LC allocate from the arena.
//!
//! If its memory functions are replaced, AWS-LC's `OPENSSL_free` no longer wipes (crypto/mem.c). The arena wipes
//! instead, on free and on realloc. It knows the size of each block, so blocks need no header.

use crate::arena;
use std::ffi::{c_char, c_int, c_void};
use std::sync::Once;

/// Replaces AWS-LC's memory functions; [`crate::init`] calls it. Idempotent.
///
/// # Panics
/// If other code in this process has already replaced the memory functions of the same AWS-LC.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the three functions keep the promises of malloc, realloc and free. No code of AWS-LC has run before:
        // that is the rule of `crate::init`.
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
    arena::take_any(size).cast()
}

unsafe extern "C" fn realloc(
    block: *mut c_void,
    size: usize,
    _file: *const c_char,
    _line: c_int,
) -> *mut c_void {
    // SAFETY: AWS-LC passes null or a block of `malloc` above.
    unsafe { arena::resize_any(block.cast(), size).cast() }
}

unsafe extern "C" fn free(block: *mut c_void, _file: *const c_char, _line: c_int) {
    // SAFETY: AWS-LC passes null or a block of `malloc` above, once.
    unsafe { arena::put_any(block.cast()) }
}
