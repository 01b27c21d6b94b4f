//! Pages on Windows: reserve, open, lock, release (tested under Wine, by `make ports`).

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

const MEM_COMMIT: u32 = 0x1000;
const MEM_RESERVE: u32 = 0x2000;
const MEM_DECOMMIT: u32 = 0x4000;
const MEM_RELEASE: u32 = 0x8000;
const PAGE_NOACCESS: u32 = 0x01;
const PAGE_READWRITE: u32 = 0x04;

/// How much the working set is raised: `VirtualLock` can lock as much as the minimum working set, less a small
/// overhead.
const LOCKABLE_BYTES: usize = 8 << 20;

#[repr(C)]
struct SystemInfo {
    architecture: u32,
    page_size: u32,
    lowest: *mut c_void,
    highest: *mut c_void,
    processor_mask: usize,
    processors: u32,
    processor_type: u32,
    granularity: u32,
    processor_level: u16,
    processor_revision: u16,
}

// SAFETY: the signatures are those of the manual (processthreadsapi.h, memoryapi.h, sysinfoapi.h).
#[link(name = "kernel32")]
unsafe extern "system" {
    fn GetCurrentProcess() -> *mut c_void;
    fn GetCurrentThreadStackLimits(low: *mut usize, high: *mut usize);
    fn GetProcessWorkingSetSize(process: *mut c_void, least: *mut usize, most: *mut usize) -> i32;
    fn GetSystemInfo(info: *mut SystemInfo);
    fn SetProcessWorkingSetSize(process: *mut c_void, least: usize, most: usize) -> i32;
    fn VirtualAlloc(at: *mut c_void, len: usize, kind: u32, protection: u32) -> *mut c_void;
    fn VirtualFree(at: *mut c_void, len: usize, kind: u32) -> i32;
    fn VirtualLock(at: *mut c_void, len: usize) -> i32;
    fn VirtualUnlock(at: *mut c_void, len: usize) -> i32;
}

/// The size of a page in bytes.
pub fn page_size() -> usize {
    static PAGE: AtomicUsize = AtomicUsize::new(0);
    if PAGE.load(Ordering::Relaxed) == 0 {
        let mut info = std::mem::MaybeUninit::<SystemInfo>::zeroed();
        // SAFETY: the struct is valid for the call, and all zeros are a value of it.
        let info = unsafe {
            GetSystemInfo(info.as_mut_ptr());
            info.assume_init()
        };
        PAGE.store((info.page_size as usize).max(4096), Ordering::Relaxed);
    }
    PAGE.load(Ordering::Relaxed)
}

/// Returns the lowest address and the end of this thread's stack, with its guard.
pub(super) fn stack_limits() -> (usize, usize) {
    let (mut low, mut high) = (0, 0);
    // SAFETY: both are valid for the call.
    unsafe { GetCurrentThreadStackLimits(&raw mut low, &raw mut high) };
    (low, high)
}

/// Returns `None`: the machine's RAM is not asked for on this platform.
pub fn physical_bytes() -> Option<usize> {
    None
}

/// Takes `len` bytes of address space. They cannot be touched, and cost nothing yet.
pub fn reserve(len: usize) -> Option<*mut u8> {
    // SAFETY: a new reservation touches nothing that exists.
    let ptr = unsafe { VirtualAlloc(null_mut(), len, MEM_RESERVE, PAGE_NOACCESS) };
    (!ptr.is_null()).then_some(ptr.cast())
}

/// Releases a whole reservation.
///
/// # Safety
/// `ptr` must be that of [`reserve`], and nothing may use the memory any more.
pub unsafe fn release(ptr: *mut u8, _len: usize) {
    // SAFETY: the caller's promise.
    unsafe { VirtualFree(ptr.cast(), 0, MEM_RELEASE) };
}

/// Makes reserved pages readable and writable; they are zero. Returns whether that worked.
///
/// # Safety
/// The range must lie within a reservation of the caller's.
pub unsafe fn open_pages(ptr: *mut u8, len: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { !VirtualAlloc(ptr.cast(), len, MEM_COMMIT, PAGE_READWRITE).is_null() }
}

/// Returns pages to the reserved state: they are unlocked, cannot be touched, and use no RAM.
///
/// # Safety
/// The range must lie within a reservation of the caller's, and nothing may use it any more.
pub unsafe fn close_pages(ptr: *mut u8, len: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        VirtualUnlock(ptr.cast(), len);
        VirtualFree(ptr.cast(), len, MEM_DECOMMIT);
    }
}

/// Whether [`deny_access`] closes locked pages.
pub const CLOSES_LOCKED_PAGES: bool = false;

/// Returns false: the pages stay as they are. `PAGE_NOACCESS` would unlock them (ntstatus.h, `STATUS_WAS_UNLOCKED`), and
/// the lock is worth more.
///
/// # Safety
/// None.
pub unsafe fn deny_access(_ptr: *mut u8, _len: usize) -> bool {
    false
}

/// Returns true: no page was made untouchable.
///
/// # Safety
/// None.
pub unsafe fn allow_access(_ptr: *mut u8, _len: usize) -> bool {
    true
}

/// Locks pages into RAM. Returns whether that worked.
///
/// # Safety
/// The range must be mapped.
pub unsafe fn lock(ptr: *const u8, len: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { VirtualLock(ptr.cast_mut().cast(), len) != 0 }
}

/// The same as [`lock`]: there is no `fork` on this platform.
///
/// # Safety
/// As [`lock`].
pub unsafe fn lock_inherited(ptr: *const u8, len: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { lock(ptr, len) }
}

/// Unlocks pages. Returns whether that worked.
///
/// # Safety
/// The range must be mapped.
pub unsafe fn unlock(ptr: *const u8, len: usize) -> bool {
    // SAFETY: the caller's promise.
    unsafe { VirtualUnlock(ptr.cast_mut().cast(), len) != 0 }
}

/// Does nothing and returns true: this platform cannot keep pages out of core dumps, and no promise is made for it.
///
/// # Safety
/// None.
pub unsafe fn hide_from_dumps(_ptr: *mut u8, _len: usize) -> bool {
    true
}

/// Returns false: there is no `fork` on this platform.
///
/// # Safety
/// None.
pub unsafe fn wipe_on_fork(_ptr: *mut u8, _len: usize) -> bool {
    false
}

/// Returns `None`: this platform has no limit on address space.
pub fn address_space_limit() -> Option<u64> {
    None
}

/// Returns how many bytes may be locked: the minimum working set, which the first call raises if it may.
pub fn memlock_limit() -> Option<u64> {
    static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);
    if LIMIT.load(Ordering::Relaxed) == usize::MAX {
        LIMIT.store(raise_working_set(), Ordering::Relaxed);
    }
    Some(LIMIT.load(Ordering::Relaxed) as u64)
}

fn raise_working_set() -> usize {
    let (mut least, mut most) = (0_usize, 0_usize);
    // SAFETY: both figures are valid for the call.
    if unsafe { GetProcessWorkingSetSize(GetCurrentProcess(), &raw mut least, &raw mut most) } == 0
    {
        return 0;
    }
    let (more, most) = (least + LOCKABLE_BYTES, most + LOCKABLE_BYTES);
    // SAFETY: plain figures for this process itself.
    if unsafe { SetProcessWorkingSetSize(GetCurrentProcess(), more, most) } != 0 {
        return LOCKABLE_BYTES;
    }
    least / 2
}

/// Returns true: the limit on locked memory binds every process.
///
/// # Safety
/// None.
pub unsafe fn limit_applies(_reservation: *mut u8, _len: usize) -> bool {
    true
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
