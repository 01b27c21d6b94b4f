//! Protects the whole process from core dumps and tracing, if the application asks for it.
//!
//! Nothing here happens by itself: an application may want a debugger, or a core dump.

use crate::os;
use std::io;

/// Switches off core dumps and tracing, for good and for forked children too. Idempotent.
///
/// Afterwards another process of the same user can neither attach nor read `/proc/PID/mem` (ptrace(2), "Ptrace access
/// mode checking"), unless it has `CAP_SYS_PTRACE` or had attached before. If this process is not root's, it can no
/// longer open `/proc/self/mem` and `/proc/self/environ`.
///
/// Both calls are needed. A `core_pattern` that pipes to a program takes dumps whatever `RLIMIT_CORE` says (core(5)).
/// `PR_SET_DUMPABLE` stops that too, but an `execve` resets it (prctl(2)), while the limit stays.
pub fn harden_process() -> io::Result<()> {
    os::disable_core_dumps()?;
    os::disable_ptrace()
}
