//! The only system calls, and the only differences between platforms.
//!
//! Everything above this module is the same everywhere. What a platform cannot do is answered with
//! `false` or an error here, never papered over: the arena counts what was really locked.
//!
//! | | Linux | other Unix | Windows |
//! | --- | --- | --- | --- |
//! | locked memory | `mlock` | `mlock` | `VirtualLock` |
//! | kept out of core dumps | `MADV_DONTDUMP` | no | no |
//! | zero in a forked child | `MADV_WIPEONFORK` | no | no `fork` |
//! | key files | modes, owners, `flock` | modes, owners, `flock` | inherited permissions, a lock file |
//!
//! Only Linux is tested by this project; the others are written to their manuals.

#[cfg(unix)]
#[path = "files_unix.rs"]
pub mod files;
#[cfg(windows)]
#[path = "files_windows.rs"]
pub mod files;
mod plain_pages;
mod process;
mod wipe;

#[cfg(unix)]
#[path = "unix.rs"]
mod memory;
#[cfg(windows)]
#[path = "windows.rs"]
mod memory;

pub use memory::{
    can_lock, close_pages, hide_from_dumps, limit_applies, lock, lock_inherited, memlock_limit,
    open_pages, page_size, physical_bytes, release, reserve, unlock, wipe_on_fork,
};
pub use plain_pages::PlainPages;
pub use process::{
    ThreadSlot, at_exit, at_fork, die, die_by_fault, disable_core_dumps, disable_ptrace, dumpable,
    yield_processor,
};
pub use wipe::{wipe, wipe_touched};
