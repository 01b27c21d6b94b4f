//! `nomyo._core`: the Python face of nomyo-core.
//!
//! It adapts and decides nothing. Its rules:
//! - every byte that Rust allocates comes from the core's arena, which is locked and wiped on free;
//! - the GIL is released around RSA, key generation, PBKDF2, files and large texts;
//! - no content enters an exception, a message or a `repr`;
//! - no copy of a text stays behind in Python's heap beyond the objects that the caller gave or gets.

mod detached;
mod errors;
mod exported;
mod interruptible;
mod json_parts;
mod json_path;
mod json_read;
mod json_sink;
mod json_text;
mod json_unescape;
mod json_walk;
mod json_write;
mod key_files;
mod keys;
mod known_keys;
mod no_copy;
mod numbers;
mod page_lock;
mod password;
mod payload_id;
mod process;
mod sealed_bytes;
mod sealing;
mod secret_reply;
mod secure_buffer;
mod unicode;
mod unicode_layout;
mod wtf8;

use nomyo_core::arena::Arena;
use pyo3::prelude::*;

#[global_allocator]
static ARENA: Arena = Arena;

/// What the native core offers to Python. Internal: import from `nomyo` instead.
#[pymodule]
mod _core {
    use super::*;

    #[pymodule_export]
    use super::key_files::{
        load_key_directory, load_key_pair, open_key_directory, replace_key_pair,
        write_key_directory,
    };
    #[pymodule_export]
    use super::keys::{PrivateKey, PublicKey};
    #[pymodule_export]
    use super::page_lock::PageLock;
    #[pymodule_export]
    use super::payload_id::new_payload_id;
    #[pymodule_export]
    use super::process::{
        all_locked, can_lock, cpu_features, crypto_version, dumpable, harden_process,
        in_locked_memory, memory_status, warm_up,
    };
    #[pymodule_export]
    use super::sealed_bytes::{open_bytes, seal_bytes};
    #[pymodule_export]
    use super::sealing::{check_payload, fits, open_package, seal};
    #[pymodule_export]
    use super::secret_reply::open_secret;
    #[pymodule_export]
    use super::secure_buffer::SecureBuffer;

    #[pymodule_init]
    fn init(_module: &Bound<'_, PyModule>) -> PyResult<()> {
        // Before anything of AWS-LC: see `nomyo_core::init`.
        nomyo_core::init();
        Ok(())
    }
}
