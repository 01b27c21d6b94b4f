#![doc = "Locked memory, RSA-OAEP, AES-256-GCM and the NOMYO package format. No network, no Python."]

// One sentence in place of the many errors that would follow.
#[cfg(not(all(target_pointer_width = "64", target_endian = "little")))]
compile_error!(
    "nomyo runs on 64-bit little-endian processors alone, as x86-64 and ARM (aarch64): README.md, \"Platforms\", says how \
     each is tested"
);
#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    windows
)))]
compile_error!(
    "nomyo runs on Linux, macOS and Windows alone: README.md, \"Platforms\", says how each is tested"
);

mod all_locks;
pub mod arena;
mod armor;
pub mod attestation;
pub mod buffer;
pub mod chain;
pub mod crypto;
pub mod envelope;
pub mod error;
pub mod exit;
pub mod exiting;
mod fork;
pub mod generation;
pub mod harden;
pub mod hidden;
mod init;
pub mod json;
pub mod key_files;
pub mod os;
pub mod package;
pub mod page_lock;
pub mod pem;
pub mod refused;
mod spin;
pub mod stack;
mod standstill;
mod sync;
mod uses;

pub use error::{Error, Result};
pub use init::init;

#[cfg(test)]
#[global_allocator]
static ARENA: arena::Arena = arena::Arena;
