//! Pages on Unix: reserve, open, lock, hide, release.
//!
//! Lengths must be multiples of the page size and addresses must lie on page borders, unless a function says otherwise.

use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The size of a page in bytes.
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

/// Returns the machine's RAM in bytes; `None` if the system does not tell.
pub fn physical_bytes() -> Option<usize> {
    // SAFETY: sysconf has no preconditions.
    let pages = unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) };
    usize::try_from(pages).ok()?.checked_mul(page_size())
}

/// Takes `len` bytes of address space. They cannot be touched, and cost nothing yet.
pub fn reserve(len: usize) -> Option<*mut u8> {
    // Without MAP_NORESERVE: when pages are opened, the system counts them, and can refuse what the machine does not
    // have.
    let flags = libc::MAP_PRIVATE | libc::MAP_ANON;
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let ptr = unsafe { libc::mmap(null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
    (ptr != libc::MAP_FAILED).then_some(ptr.cast())
}

/// Releases a whole reservation.
///
/// # Safety
/// `ptr` and `len` must be those of [`reserve`], and nothing may use the memory any more.
pub unsafe fn release(ptr: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe { libc::munmap(ptr.cast(), len) };
}

/// Makes reserved pages readable and writable; they are zero. Returns whether that worked.
///
/// # Safety
/// The range must lie within a reservation of the caller's.
pub unsafe fn open_pages(ptr: *mut u8, len: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { libc::mprotect(ptr.cast(), len, libc::PROT_READ | libc::PROT_WRITE) == 0 }
}

/// Returns pages to the reserved state: they are unlocked, cannot be touched, and use no RAM.
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

/// Whether [`deny_access`] closes locked pages.
pub const CLOSES_LOCKED_PAGES: bool = true;

/// Makes open pages untouchable. They keep their content, stay locked, and still count as locked. Returns whether that
/// worked.
///
/// # Safety
/// The range must be the caller's, and nothing may touch it until [`allow_access`].
pub unsafe fn deny_access(ptr: *mut u8, len: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { libc::mprotect(ptr.cast(), len, libc::PROT_NONE) == 0 }
}

/// Makes pages readable and writable again after [`deny_access`]. Returns whether that worked: the limit on writable
/// memory (`RLIMIT_DATA`) does not count untouchable pages, and so may leave no room for them.
///
/// # Safety
/// The range must be the caller's.
pub unsafe fn allow_access(ptr: *mut u8, len: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { open_pages(ptr, len) }
}

/// Locks pages into RAM. Returns whether that worked. If not, a part may be locked (mlock(2)), which the caller must
/// unlock.
///
/// # Safety
/// The range must be mapped. The address need not lie on a page border.
pub unsafe fn lock(ptr: *const u8, len: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { libc::mlock(ptr.cast(), len) == 0 }
}

/// Locks pages that a forked child has inherited. Returns whether that worked.
///
/// `mlock` would copy every page at once. With `MLOCK_ONFAULT`, pages that the child shares with its parent are locked
/// as they are, and a private copy is locked when a write makes it (mlock2(2)).
///
/// # Safety
/// As [`lock`].
pub unsafe fn lock_inherited(ptr: *const u8, len: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { lock_on_fault(ptr, len) || lock(ptr, len) }
}

/// Unlocks pages. Returns whether that worked.
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

/// Keeps pages out of core dumps. Returns whether the system granted it.
///
/// # Safety
/// The range must lie within a reservation of the caller's.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub unsafe fn hide_from_dumps(ptr: *mut u8, len: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { libc::madvise(ptr.cast(), len, libc::MADV_DONTDUMP) == 0 }
}

/// Does nothing and returns true: this platform cannot keep pages out of core dumps, and no promise is made for it.
///
/// # Safety
/// None.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub unsafe fn hide_from_dumps(_ptr: *mut u8, _len: usize) -> bool {
    true
}

/// Makes forked children see zeros in these pages. Returns whether the system can do that (Linux 4.14).
///
/// # Safety
/// The range must lie within a reservation of the caller's.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub unsafe fn wipe_on_fork(ptr: *mut u8, len: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { libc::madvise(ptr.cast(), len, libc::MADV_WIPEONFORK) == 0 }
}

/// Returns false: this platform cannot make forked children see zeros.
///
/// # Safety
/// None.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub unsafe fn wipe_on_fork(_ptr: *mut u8, _len: usize) -> bool {
    false
}

/// Returns the soft limit on locked bytes, `RLIMIT_MEMLOCK`; `None` if there is no limit.
pub fn memlock_limit() -> Option<u64> {
    // SAFETY: the struct is valid for the call.
    soft_limit(|limit| unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, limit) }).unwrap_or(Some(0))
}

/// Returns the smaller of the soft limits on address space and on writable memory, `RLIMIT_AS` (`ulimit -v`) and
/// `RLIMIT_DATA` (`ulimit -d`), in bytes; `None` if there is no limit.
pub fn address_space_limit() -> Option<u64> {
    // SAFETY: the struct is valid for the call.
    let space = soft_limit(|limit| unsafe { libc::getrlimit(libc::RLIMIT_AS, limit) });
    // SAFETY: as above.
    let data = soft_limit(|limit| unsafe { libc::getrlimit(libc::RLIMIT_DATA, limit) });
    [space, data].into_iter().flatten().flatten().min()
}

/// Returns the soft limit that `ask` fills in, as getrlimit(2) does; `None` if it fails, `Some(None)` if there is no
/// limit.
fn soft_limit(ask: impl FnOnce(*mut libc::rlimit) -> libc::c_int) -> Option<Option<u64>> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    if ask(&raw mut limit) != 0 {
        return None;
    }
    // rlim_t is u64 on Linux and macOS, but not everywhere.
    #[allow(clippy::unnecessary_cast)]
    Some((limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur as u64))
}

/// Whether the limit on locked memory binds this process. It tries to exceed the limit for a moment.
///
/// The capability sets do not tell: in a user namespace a process has `CAP_IPC_LOCK`, but it does not count. With
/// `MLOCK_ONFAULT` on untouchable pages nothing is locked into RAM, but the limit is checked.
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

/// Whether a page can be locked under the present limit. It locks one and releases it.
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
