//! All system calls, and nearly all differences between platforms (`tests/project/test_core_layers.py` tests that no
//! other module makes system calls).
//!
//! If a platform cannot do something, the function returns `false` or an error and never pretends: the arena counts
//! what was really locked.
//!
//! | | Linux | other Unix | Windows |
//! | --- | --- | --- | --- |
//! | locked memory | `mlock` | `mlock` | `VirtualLock` |
//! | kept out of core dumps | `MADV_DONTDUMP` | no | no |
//! | hidden memory | `memfd_secret` | no | no |
//! | locked pages without access | `mprotect` | `mprotect` | no |
//! | zero in a forked child | `MADV_WIPEONFORK` | no | no `fork` |
//! | key files | modes, owners, `flock` | modes, owners, `flock` | access control lists, a lock file |
//! | open files that others append to | `flock` | `flock` | no |
//!
//! Linux is tested most, Windows under Wine (`make ports`). The code for macOS follows its manuals; nobody has run it.

#[cfg(windows)]
#[path = "access_windows.rs"]
mod access;
#[cfg(unix)]
#[path = "appending_unix.rs"]
mod appending;
#[cfg(windows)]
#[path = "appending_windows.rs"]
mod appending;
#[cfg(unix)]
#[path = "files_unix.rs"]
pub mod files;
#[cfg(windows)]
#[path = "files_windows.rs"]
pub mod files;
#[cfg(all(test, target_os = "linux"))]
pub mod fork_in_test;
mod hidden_pages;
#[cfg(unix)]
#[path = "links_unix.rs"]
mod links;
#[cfg(unix)]
#[path = "opening_unix.rs"]
mod opening;
mod plain_pages;
mod process;
mod thread_stack;
mod wipe;

#[cfg(unix)]
#[path = "unix.rs"]
mod memory;
#[cfg(windows)]
#[path = "windows.rs"]
mod memory;

pub use appending::append_if_unchanged;
pub use hidden_pages::{
    HiddenFile, close_hidden, hidden_elsewhere, move_over, open_hidden, others_can_read,
    why_not_hidden, zeros_over,
};
pub use memory::{
    CLOSES_LOCKED_PAGES, address_space_limit, allow_access, can_lock, close_pages, deny_access,
    hide_from_dumps, limit_applies, lock, lock_inherited, memlock_limit, open_pages, page_size,
    physical_bytes, release, reserve, unlock, wipe_on_fork,
};
pub use plain_pages::PlainPages;
pub use process::{
    ThreadSlot, at_exit, at_fork, die, die_by_fault, disable_core_dumps, disable_ptrace, dumpable,
    gives_random_bytes, other_threads_are_gone, yield_processor,
};
pub use thread_stack::thread_stack;
pub use wipe::{wipe, wipe_touched};
