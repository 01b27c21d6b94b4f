//! Pages on Unix: reserve, open, lock, hide, release.
//!
//! Lengths are multiples of the page size and addresses lie on page borders, except where a
//! function says otherwise.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a page.
#[inline]
pub fn page_size() -> usize {
    static PAGE: AtomicUsize = AtomicUsize::new(0);
    match PAGE.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: sysconf has no preconditions.
            let answer = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
            let size = usize::try_from(answer)
                .ok()
                .filter(|size| size.is_power_of_two());
            let size = size.unwrap_or(4096);
            PAGE.store(size, Ordering::Relaxed);
            size
        }
        size => size,
    }
}

/// Bytes of RAM in this machine, as far as it tells.
pub fn physical_bytes() -> Option<usize> {
    // SAFETY: sysconf has no preconditions.
    let pages = unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) };
    usize::try_from(pages).ok()?.checked_mul(page_size())
}

/// Takes `len` bytes of address space that cannot be touched and cost nothing yet.
pub fn reserve(len: usize) -> Option<*mut u8> {
    // Without MAP_NORESERVE the system counts the pages when they are opened, not here, and can
    // refuse what the machine does not have.
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let ptr = unsafe { libc::mmap(null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
    (ptr != libc::MAP_FAILED).then_some(ptr.cast())
}

/// Gives a whole reservation back.
///
/// # Safety
/// `ptr` and `len` must be those of [`reserve`], and nothing may use the memory any more.
pub unsafe fn release(ptr: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { libc::munmap(ptr.cast(), len) };
}

/// Makes reserved pages readable and writable; they read zero.
///
/// # Safety
/// The range must lie within a reservation of the caller's.
pub unsafe fn open_pages(ptr: *mut u8, len: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { libc::mprotect(ptr.cast(), len, libc::PROT_READ | libc::PROT_WRITE) == 0 }
}

/// Takes pages back to the reserved state: unlocked, untouchable, their RAM returned.
///
/// # Safety
/// The range must lie within a reservation of the caller's, and nothing may use it any more.
pub unsafe fn close_pages(ptr: *mut u8, len: usize) {
    // SAFETY: the caller's promise. The lock goes first: MADV_DONTNEED refuses locked pages.
    unsafe {
        libc::munlock(ptr.cast(), len);
        libc::madvise(ptr.cast(), len, libc::MADV_DONTNEED);
        libc::mprotect(ptr.cast(), len, libc::PROT_NONE);
    }
}

/// Locks pages into RAM; whether that worked. Where it did not, a part may be locked (mlock(2)), and
/// the caller unlocks what it does not want.
///
/// # Safety
/// The range must be mapped. The address need not lie on a page border.
pub unsafe fn lock(ptr: *const u8, len: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { libc::mlock(ptr.cast(), len) == 0 }
}

/// Locks pages that a child of `fork` inherited; whether that worked.
///
/// `mlock` would copy every page at once. With `MLOCK_ONFAULT` those present are locked as they
/// are, shared with the parent, and their private copies when a write makes them (mlock2(2)).
///
/// # Safety
/// As [`lock`].
pub unsafe fn lock_inherited(ptr: *const u8, len: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { lock_on_fault(ptr, len) || lock(ptr, len) }
}

/// Unlocks pages; whether that worked.
///
/// # Safety
/// The range must be mapped. The address need not lie on a page border.
pub unsafe fn unlock(ptr: *const u8, len: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { libc::munlock(ptr.cast(), len) == 0 }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
unsafe fn lock_on_fault(ptr: *const u8, len: usize) -> bool {
    const MLOCK_ONFAULT: libc::c_long = 1;
    // SAFETY: the caller's promise; mlock2 has had a libc wrapper since glibc 2.27 only.
    unsafe { libc::syscall(libc::SYS_mlock2, ptr, len, MLOCK_ONFAULT) == 0 }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
unsafe fn lock_on_fault(_ptr: *const u8, _len: usize) -> bool {
    false
}

/// Keeps pages out of core dumps; whether this platform can.
///
/// # Safety
/// The range must lie within a reservation of the caller's.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub unsafe fn hide_from_dumps(ptr: *mut u8, len: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { libc::madvise(ptr.cast(), len, libc::MADV_DONTDUMP) == 0 }
}

/// Keeps pages out of core dumps; this platform cannot.
///
/// # Safety
/// None.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub unsafe fn hide_from_dumps(_ptr: *mut u8, _len: usize) -> bool {
    false
}

/// Lets a forked child see zeros in these pages; whether this platform can (Linux 4.14).
///
/// # Safety
/// The range must lie within a reservation of the caller's.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub unsafe fn wipe_on_fork(ptr: *mut u8, len: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { libc::madvise(ptr.cast(), len, libc::MADV_WIPEONFORK) == 0 }
}

/// Lets a forked child see zeros in these pages; this platform cannot.
///
/// # Safety
/// None.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub unsafe fn wipe_on_fork(_ptr: *mut u8, _len: usize) -> bool {
    false
}

/// The soft limit on locked bytes, `RLIMIT_MEMLOCK`; `None` where there is none.
pub fn memlock_limit() -> Option<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the struct is valid for the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) } != 0 {
        return Some(0);
    }
    // rlim_t is u64 on Linux and macOS, but not everywhere.
    #[allow(clippy::unnecessary_cast)]
    (limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur as u64)
}

/// Whether the limit on locked memory binds this process, found by going beyond it for a moment.
///
/// The capability sets do not tell: in a user namespace `CAP_IPC_LOCK` is there and does not count.
/// `MLOCK_ONFAULT` on untouchable pages locks nothing into RAM and asks all the same.
///
/// # Safety
/// The range must be a reservation of the caller's of which nothing is open or locked yet.
pub unsafe fn limit_applies(reservation: *mut u8, len: usize) -> bool {
    let Some(limit) = memlock_limit() else {
        return false;
    };
    let beyond = usize::try_from(limit)
        .ok()
        .and_then(|limit| limit.checked_add(page_size()));
    let Some(beyond) = beyond.filter(|beyond| *beyond <= len) else {
        return true;
    };
    // SAFETY: the caller's promise.
    unsafe {
        let lifted = lock_on_fault(reservation, beyond);
        libc::munlock(reservation.cast(), beyond);
        !lifted
    }
}

/// Whether a page can be locked under the present limit: really tried, then released.
pub fn can_lock() -> bool {
    let page = page_size();
    let Some(ptr) = reserve(page) else {
        return false;
    };
    // SAFETY: the page was reserved above and is released once.
    unsafe {
        let locked = open_pages(ptr, page) && lock(ptr, page);
        release(ptr, page);
        locked
    }
}
