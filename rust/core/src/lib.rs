#![doc = "Locked memory, RSA-OAEP, AES-256-GCM and the NOMYO package format. No network, no Python."]

pub mod aead;
pub mod arena;
pub mod buffer;
pub mod cpu;
pub mod envelope;
pub mod error;
pub mod exit;
mod gate;
pub mod harden;
pub mod key_files;
pub mod os;
pub mod package;
pub mod page_lock;
pub mod pem;
pub mod random;
pub mod rsa;
pub mod stack;

pub use error::{Error, Result};

use std::sync::Once;

/// Sets up the arena, AWS-LC's memory hooks and the fork handlers.
///
/// Idempotent, and cheap after the first call. It must run before anything else of AWS-LC: a block
/// that AWS-LC allocated before its hooks were set would be freed into the wrong allocator.
pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gate::prepare();
        arena::install_crypto_hooks();
        buffer::prepare();
        exit::register();
    });
}

#[cfg(test)]
#[global_allocator]
static ARENA: arena::Arena = arena::Arena;
