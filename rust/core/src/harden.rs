//! Protection of the whole process, on demand.
//!
//! Nothing here happens by itself: a debugger attached on purpose, or a core dump that somebody
//! needs, is the application's business.

use crate::os;
use std::io;

/// Switches off core dumps and ptrace by others, for good and for forked children too. Idempotent.
///
/// After it, another process of the same user can neither attach nor read `/proc/PID/mem`
/// (ptrace(2), "Ptrace access mode checking"); one that holds `CAP_SYS_PTRACE`, or had attached
/// before, still can. The process itself loses `/proc/self/mem` and `/proc/self/environ`, unless it
/// is root's.
///
/// Either half alone would not do. A `core_pattern` that pipes to a program takes dumps whatever
/// `RLIMIT_CORE` says (core(5)); `PR_SET_DUMPABLE` stops that as well, but an `execve` resets it
/// (prctl(2)), while the limit stays.
pub fn harden_process() -> io::Result<()> {
    os::disable_core_dumps()?;
    os::disable_ptrace()
}
