//! What concerns the whole process: core dumps, ptrace, fork, the end.

use std::io;

/// Sets `RLIMIT_CORE` to 0, for good: the hard limit too.
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

/// Sets `RLIMIT_CORE` to 0: there is none here.
#[cfg(not(unix))]
pub fn disable_core_dumps() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Keeps other processes of the same user from attaching, and `/proc/PID/mem` from being read.
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

/// Keeps debuggers from attaching: this platform cannot.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "macos")))]
pub fn disable_ptrace() -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Who may dump and trace this process (`PR_GET_DUMPABLE`): 0 nobody but root, 1 its user too, 2 dumps are
/// readable for root alone, and so is the process. `None` where the system has no such figure.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn dumpable() -> Option<u32> {
    // SAFETY: prctl(2) with plain figures.
    let answer = unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) };
    u32::try_from(answer).ok()
}

/// Who may dump and trace this process: this platform has no such figure.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn dumpable() -> Option<u32> {
    None
}

/// Has these called around every `fork`: before it, and after it in the parent and in the child.
/// The memory that the system takes for this comes from the C library, never from the arena.
#[cfg(unix)]
pub fn at_fork(prepare: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) -> bool {
    // SAFETY: the three live as long as the library; glibc forgets them when it is unloaded.
    unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) == 0 }
}

/// There is no `fork` here.
#[cfg(not(unix))]
pub fn at_fork(_: extern "C" fn(), _: extern "C" fn(), _: extern "C" fn()) -> bool {
    true
}

/// Lets another thread run.
pub fn yield_processor() {
    std::thread::yield_now();
}

/// Ends the process at once, with a line on standard error. Allocates nothing, so that the
/// allocator itself can call it.
#[cold]
pub fn die(why: &'static str) -> ! {
    #[cfg(unix)]
    for part in ["nomyo: ", why, "\n"] {
        // SAFETY: the bytes are valid for reads; whether they arrive changes nothing.
        unsafe { libc::write(2, part.as_ptr().cast(), part.len()) };
    }
    #[cfg(not(unix))]
    let _ = why;
    std::process::abort();
}
