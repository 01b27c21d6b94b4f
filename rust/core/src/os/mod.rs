//! The only system calls and the only platform differences.

pub mod files;
pub mod memory;
pub mod process;

pub use memory::*;
