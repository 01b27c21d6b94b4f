//! Protection of the whole process, on demand, and what this platform really gives.
//!
//! Nothing here happens by itself: a debugger attached on purpose, or a core dump that somebody
//! needs, is the application's business.

use crate::os;
use std::io;

/// What is in force for this process now: asked of the system each time, never assumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    /// A page could be locked just now.
    pub can_lock: bool,
    /// A core dump cannot hold the arena or a buffer: those pages are left out of it.
    pub hidden_from_dumps: bool,
    /// A core dump of this process is empty, or not written at all.
    pub core_dumps_off: bool,
    /// Other processes of the same user cannot attach or read this one's memory.
    pub ptrace_off: bool,
}

/// Asks the system what is in force for this process now.
pub fn protection() -> Protection {
    let dumps = os::dumps();
    Protection {
        can_lock: os::can_lock(),
        hidden_from_dumps: cfg!(any(target_os = "linux", target_os = "android")),
        core_dumps_off: dumps.size_is_zero || !dumps.dumpable,
        ptrace_off: !dumps.dumpable,
    }
}

/// Switches off core dumps and ptrace by others, for good and for children too.
///
/// `RLIMIT_CORE` alone would not do: a `core_pattern` that pipes to a program takes dumps of any
/// size (core(5)); `PR_SET_DUMPABLE` stops that as well, but an `execve` resets it (prctl(2)).
pub fn harden_process() -> io::Result<()> {
    os::disable_core_dumps()?;
    os::disable_ptrace()
}
