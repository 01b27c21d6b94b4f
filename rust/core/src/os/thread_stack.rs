//! Finds out where a thread's stack lies.

use std::ops::Range;

/// Returns the addresses of this thread's stack that may be touched; `None` if the system does not tell.
///
/// It is slow, and for the first thread of a process it reads a file. Call it once for each thread.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn thread_stack() -> Option<Range<usize>> {
    linux::thread_stack()
}

/// Returns the addresses of this thread's stack; `None` if the system does not tell.
#[cfg(target_os = "macos")]
pub fn thread_stack() -> Option<Range<usize>> {
    // SAFETY: both take a thread that exists: this one.
    let (end, len) = unsafe {
        let this = libc::pthread_self();
        (
            libc::pthread_get_stackaddr_np(this) as usize,
            libc::pthread_get_stacksize_np(this),
        )
    };
    Some(end.checked_sub(len)?..end)
}

/// Returns the addresses of this thread's stack, without the guard that the system keeps at its low end.
#[cfg(windows)]
pub fn thread_stack() -> Option<Range<usize>> {
    const GUARD_BYTES: usize = 16 * 1024;
    let (low, high) = super::memory::stack_limits();
    Some(low + GUARD_BYTES..high)
}

/// Returns `None`: this platform is not asked.
#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    windows
)))]
pub fn thread_stack() -> Option<Range<usize>> {
    None
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::mem::MaybeUninit;
    use std::ops::Range;

    /// The assumed size of the first thread's stack if it has no limit: Linux's default.
    const USUAL_BYTES: usize = 8 << 20;
    /// The kernel keeps this much free below the first thread's stack (`mmap_base`, arch/x86/mm/mmap.c).
    const MOST_BYTES: usize = 128 << 20;

    /// How far above the stack's end that the C library tells the address of [`first_stack_end`] may lie. The kernel
    /// puts its random bytes above the first thread's frames, and only arguments and environment lie higher
    /// (`create_elf_tables`, fs/binfmt_elf.c). musl takes the auxiliary vector, some bytes lower, for the end.
    const ABOVE_END_BYTES: usize = 64 << 10;

    /// The stack of the first thread can grow as far as RLIMIT_STACK allows. musl tells only how far it has grown, and
    /// glibc cannot tell anything if /proc is not mounted.
    ///
    /// The first thread is not recognised by its number but by its stack's address. In a forked child, the thread that
    /// forked is the first one (fork(2)), but it runs on the stack that it had.
    pub fn thread_stack() -> Option<Range<usize>> {
        let Some(stack) = told_by_c_library() else {
            return guessed(first_stack_end()?);
        };
        let is_first = first_stack_end().is_some_and(|end| {
            (stack.start..stack.end.saturating_add(ABOVE_END_BYTES)).contains(&end)
        });
        match is_first {
            true => Some(stack.start.min(stack.end.saturating_sub(most_bytes()))..stack.end),
            false => Some(stack),
        }
    }

    /// Asks the C library (pthread_getattr_np(3)).
    fn told_by_c_library() -> Option<Range<usize>> {
        let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
        let (mut base, mut len, mut guard) = (std::ptr::null_mut(), 0, 0);
        // SAFETY: the thread exists; the attributes are filled if the answer is 0, and destroyed once.
        unsafe {
            if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
                return None;
            }
            let attributes = attributes.assume_init_mut();
            let answer = libc::pthread_attr_getstack(attributes, &raw mut base, &raw mut len);
            libc::pthread_attr_getguardsize(attributes, &raw mut guard);
            libc::pthread_attr_destroy(attributes);
            if answer != 0 {
                return None;
            }
        }
        let low = base as usize;
        let high = low.checked_add(len)?;
        // Before 2.27, glibc counted the guard as part of the stack (pthread_attr_setguardsize(3), "Bugs").
        let low = if guard_counts_as_stack() {
            low + guard
        } else {
            low
        };
        (low < high).then_some(low..high)
    }

    /// Returns what the first thread may surely use if nobody tells where its stack begins: half of the limit, below
    /// this frame. `None` on another stack.
    fn guessed(end: usize) -> Option<Range<usize>> {
        let most = most_bytes();
        let here = &raw const most as usize;
        // No other stack lies so close below the end of the first one.
        let is_first = here < end && end - here < most;
        is_first.then(|| here.saturating_sub(most / 2)..end)
    }

    /// Returns an address near the end of the first thread's stack. Any forked child inherits it.
    fn first_stack_end() -> Option<usize> {
        // SAFETY: no preconditions; the answer is 0 if the kernel gave no such value.
        let at = unsafe { libc::getauxval(libc::AT_RANDOM) };
        usize::try_from(at).ok().filter(|at| *at > 0)
    }

    fn most_bytes() -> usize {
        stack_limit().unwrap_or(USUAL_BYTES).min(MOST_BYTES)
    }

    fn stack_limit() -> Option<usize> {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: the struct is valid for the call.
        let answer = unsafe { libc::getrlimit(libc::RLIMIT_STACK, &raw mut limit) };
        let known = answer == 0 && limit.rlim_cur != libc::RLIM_INFINITY;
        known.then(|| usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX))
    }

    #[cfg(target_env = "gnu")]
    fn guard_counts_as_stack() -> bool {
        use std::ffi::CStr;
        // SAFETY: it returns a string that lasts as long as the process.
        let version = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
        let version = version.to_str().unwrap_or_default();
        let minor = version.strip_prefix("2.").and_then(|rest| {
            let digits = rest.split('.').next()?;
            digits.parse::<u32>().ok()
        });
        minor.is_some_and(|minor| minor < 27)
    }

    #[cfg(not(target_env = "gnu"))]
    fn guard_counts_as_stack() -> bool {
        false
    }
}
