//! Overwrites memory in a way that no optimiser may remove.

/// Overwrites `len` bytes with zeros, in a way that no optimiser removes.
///
/// # Safety
/// `ptr` must be valid for writes of `len` bytes.
#[inline]
pub unsafe fn wipe(ptr: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { std::ptr::write_bytes(ptr, 0, len) };
    keep_stores(ptr);
}

/// The same, but does not write to stretches that are zero already. So pages that were never touched take no memory,
/// and pages that a forked child shares with its parent stay shared.
///
/// # Safety
/// `ptr` must be valid for reads and writes of `len` bytes.
pub unsafe fn wipe_touched(ptr: *mut u8, len: usize) {
    const STRETCH: usize = 4096;
    for start in (0..len).step_by(STRETCH) {
        let stretch = STRETCH.min(len - start);
        // SAFETY: the stretch lies within the caller's range.
        unsafe {
            let at = ptr.add(start);
            if !is_zero(at, stretch) {
                wipe(at, stretch);
            }
        }
    }
}

/// # Safety
/// `ptr` must be valid for reads of `len` bytes.
unsafe fn is_zero(ptr: *const u8, len: usize) -> bool {
    // SAFETY: the caller's promise. Volatile, because other threads may still write.
    (0..len).all(|index| unsafe { ptr.add(index).read_volatile() } == 0)
}

/// Makes the compiler assume that the memory behind `ptr` is read here, as glibc's `explicit_bzero` and
/// `OPENSSL_cleanse` do. (`explicit_bzero` itself came with glibc 2.25, too late for manylinux2014.)
#[cfg(any(
    target_arch = "x86",
    target_arch = "x86_64",
    target_arch = "arm",
    target_arch = "aarch64",
    target_arch = "riscv64",
    target_arch = "s390x",
    target_arch = "loongarch64"
))]
#[inline(always)]
fn keep_stores(ptr: *mut u8) {
    // SAFETY: it has no instruction. Without `nomem` the compiler must assume that it reads the memory behind the
    // pointer.
    unsafe { std::arch::asm!("/* {0} */", in(reg) ptr, options(nostack, preserves_flags)) };
}

/// The same for processors for which inline assembly is not stable.
#[cfg(not(any(
    target_arch = "x86",
    target_arch = "x86_64",
    target_arch = "arm",
    target_arch = "aarch64",
    target_arch = "riscv64",
    target_arch = "s390x",
    target_arch = "loongarch64"
)))]
#[inline(always)]
fn keep_stores(ptr: *mut u8) {
    std::hint::black_box(ptr);
    std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::wipe;

    #[test]
    fn wiped_bytes_read_zero_and_neighbours_stay() {
        let mut bytes = [7_u8; 64];
        // SAFETY: 62 bytes from the second on lie within the array.
        unsafe { wipe(bytes.as_mut_ptr().add(1), 62) };
        assert_eq!(bytes[0], 7);
        assert_eq!(bytes[63], 7);
        assert!(bytes[1..63].iter().all(|byte| *byte == 0));
    }
}
