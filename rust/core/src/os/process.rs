//! System calls for the whole process: core dumps, tracing, random bytes, fork, exit.

use std::io;

/// Sets `RLIMIT_CORE` to 0, and for good, since the hard limit is set too.
#[cfg(unix)]
pub fn disable_core_dumps() -> io::Result<()> {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the struct is valid for the call.
    match unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Fails: this platform has no `RLIMIT_CORE`.
#[cfg(not(unix))]
pub fn disable_core_dumps() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Keeps other processes of the same user from attaching and from reading `/proc/PID/mem`.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn disable_ptrace() -> io::Result<()> {
    // SAFETY: prctl(2) with plain figures.
    match unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Keeps debuggers from attaching.
#[cfg(target_os = "macos")]
pub fn disable_ptrace() -> io::Result<()> {
    // SAFETY: PT_DENY_ATTACH reads none of the other arguments.
    match unsafe { libc::ptrace(libc::PT_DENY_ATTACH, 0, std::ptr::null_mut(), 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Fails: this platform cannot keep debuggers from attaching.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "macos")))]
pub fn disable_ptrace() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns who may dump and trace this process (`PR_GET_DUMPABLE`); `None` if the system has no such figure.
///
/// 0: only root may trace it, and no core dumps are written. 1: its user may do both. 2: only root may trace it, and
/// core dumps are written for root to read.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn dumpable() -> Option<u32> {
    // SAFETY: prctl(2) with plain figures.
    let answer = unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) };
    u32::try_from(answer).ok()
}

/// Returns `None`: this platform has no such figure.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn dumpable() -> Option<u32> {
    None
}

/// Whether AWS-LC can get random bytes. It ends the process if getrandom(2) fails for any other reason than that the
/// call does not exist, was interrupted or must wait.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn gives_random_bytes() -> bool {
    const GRND_NONBLOCK: libc::c_uint = 1;
    let mut byte = 0_u8;
    // SAFETY: the byte is valid for the call; `getrandom` has had a libc wrapper since glibc 2.25 only.
    let answer =
        unsafe { libc::syscall(libc::SYS_getrandom, &raw mut byte, 1_usize, GRND_NONBLOCK) };
    let error = io::Error::last_os_error().raw_os_error();
    answer == 1 || matches!(error, Some(libc::ENOSYS | libc::EAGAIN | libc::EINTR))
}

/// Returns true: on this platform AWS-LC always gets random bytes.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn gives_random_bytes() -> bool {
    true
}

/// Registers handlers around every `fork`: before it, and after it in the parent and in the child. Returns whether that
/// worked. The memory for this comes from the C library, never from the arena.
#[cfg(unix)]
pub fn at_fork(prepare: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) -> bool {
    // SAFETY: the three live as long as the library; glibc forgets them when it is unloaded.
    unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) == 0 }
}

/// Does nothing: there is no `fork` here.
#[cfg(not(unix))]
pub fn at_fork(_: extern "C" fn(), _: extern "C" fn(), _: extern "C" fn()) -> bool {
    true
}

/// Registers a function that `exit(3)` calls before the destructors of libraries. Returns whether that worked.
pub fn at_exit(function: extern "C" fn()) -> bool {
    unsafe extern "C" {
        fn atexit(function: extern "C" fn()) -> std::ffi::c_int;
    }
    // SAFETY: the function lives as long as the library, and the library has a list of its own (`__cxa_atexit`).
    unsafe { atexit(function) == 0 }
}

/// Whether the process is ending and its other threads are gone. Then nothing of theirs will ever end.
///
/// Windows ends them first and then tells libraries of the end, which call their functions of `atexit` at that moment
/// (`ExitProcess`, `DllMain`; RtlDllShutdownInProgress).
#[cfg(windows)]
pub fn other_threads_are_gone() -> bool {
    #[link(name = "ntdll")]
    unsafe extern "system" {
        fn RtlDllShutdownInProgress() -> u8;
    }
    // SAFETY: no preconditions.
    unsafe { RtlDllShutdownInProgress() != 0 }
}

/// Returns false: on this platform, other threads go on until the process has ended.
#[cfg(not(windows))]
pub fn other_threads_are_gone() -> bool {
    false
}

/// A slot in which every thread has a value. When a thread ends, its value is passed to a function if it was set.
#[cfg(unix)]
pub struct ThreadSlot(libc::pthread_key_t);

#[cfg(unix)]
impl ThreadSlot {
    /// Makes a slot; `None` if the system has none left.
    pub fn new(at_end: extern "C" fn(*mut std::ffi::c_void)) -> Option<Self> {
        let mut key = 0;
        // SAFETY: pthread_key_create(3) calls the function with the thread's value, by the calling convention of C.
        let at_end = unsafe {
            std::mem::transmute::<
                extern "C" fn(*mut std::ffi::c_void),
                unsafe extern "C" fn(*mut std::ffi::c_void),
            >(at_end)
        };
        // SAFETY: the key is valid for the call; the function lives as long as the library.
        (unsafe { libc::pthread_key_create(&raw mut key, Some(at_end)) } == 0).then_some(Self(key))
    }

    /// Sets this thread's value. Returns whether that worked.
    pub fn set(&self, value: usize) -> bool {
        let value = std::ptr::without_provenance(value);
        // SAFETY: the key was created and is never deleted; the value is not followed.
        unsafe { libc::pthread_setspecific(self.0, value) == 0 }
    }
}

/// Stands for a slot. Threads' ends matter only for `fork`, which does not exist here.
#[cfg(not(unix))]
pub struct ThreadSlot;

#[cfg(not(unix))]
impl ThreadSlot {
    /// Returns `None`.
    pub fn new(_: extern "C" fn(*mut std::ffi::c_void)) -> Option<Self> {
        None
    }

    /// Never called.
    pub fn set(&self, _: usize) -> bool {
        false
    }
}

/// Lets another thread run.
pub fn yield_processor() {
    std::thread::yield_now();
}

/// Ends the process as an access to a guard page does: by SIGSEGV, even if a handler is set for it. Writes a line to
/// standard error.
#[cold]
pub fn die_by_fault(why: &'static str) -> ! {
    complain(why);
    #[cfg(unix)]
    // SAFETY: plain calls on this process; all zeros is the default disposition and the empty set.
    unsafe {
        let default = std::mem::zeroed::<libc::sigaction>();
        libc::sigaction(libc::SIGSEGV, &raw const default, std::ptr::null_mut());
        let mut fault = std::mem::zeroed::<libc::sigset_t>();
        libc::sigaddset(&raw mut fault, libc::SIGSEGV);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const fault, std::ptr::null_mut());
        libc::raise(libc::SIGSEGV);
    }
    std::process::abort();
}

/// Ends the process at once and writes a line to standard error. Allocates nothing, so that the allocator itself can
/// call it.
#[cold]
pub fn die(why: &'static str) -> ! {
    complain(why);
    std::process::abort();
}

fn complain(why: &'static str) {
    #[cfg(unix)]
    for part in ["nomyo: ", why, "\n"] {
        // SAFETY: the bytes are valid for reads; whether they arrive changes nothing.
        unsafe { libc::write(2, part.as_ptr().cast(), part.len()) };
    }
    #[cfg(not(unix))]
    let _ = why;
}
