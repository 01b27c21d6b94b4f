#![doc = "Locked memory, RSA-OAEP, AES-256-GCM and the NOMYO package format. No network, no Python."]

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
mod sync;

pub use error::{Error, Result};
pub use init::init;

#[cfg(test)]
#[global_allocator]
static ARENA: arena::Arena = arena::Arena;
