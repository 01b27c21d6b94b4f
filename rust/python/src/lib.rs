//! `nomyo._core`: the Python face of nomyo-core.
//!
//! It adapts and decides nothing. Its rules:
//! - every byte that Rust allocates comes from the core's arena, which is locked, and wiped when it is freed;
//! - the GIL is released around RSA (but not to verify a quote, some 0.1 ms), key generation, PBKDF2, files and large texts;
//! - no content enters an exception, a message or a `repr`;
//! - no copy of a text stays in Python's heap, except for the objects that the caller passes or gets.

mod appending;
mod attestation;
mod build_info;
mod detached;
mod errors;
mod exported;
mod interruptible;
mod json;
mod key_files;
mod keys;
mod no_copy;
mod page_lock;
mod password;
mod payload_id;
mod pinned;
mod process;
mod sealed_bytes;
mod sealing;
mod secret_reply;
mod secure_buffer;
mod text;

use nomyo_core::arena::{self, Arena};
use nomyo_core::os;
use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;

#[global_allocator]
static ARENA: Arena = Arena;

const REFUSED_RANDOM: &str = "the system refuses random numbers to this process: allow it the call getrandom(2), \
                              which a seccomp profile forbids";

/// What the native core offers to Python. Internal: import from `nomyo` instead.
#[pymodule]
mod _core {
    use super::*;

    #[pymodule_export]
    use super::appending::{ChainEnd, sha256_hex};
    #[pymodule_export]
    use super::attestation::{examine_endorsement, examine_quote, is_certificate};
    #[pymodule_export]
    use super::build_info::build_info;
    #[pymodule_export]
    use super::key_files::{
        KeyFilesCondition, is_encrypted_key_file, load_key_directory, load_key_pair,
        open_key_directory, replace_key_pair, rotate_key_directory, write_key_directory,
    };
    #[pymodule_export]
    use super::keys::{PrivateKey, PublicKey};
    #[pymodule_export]
    use super::page_lock::PageLock;
    #[pymodule_export]
    use super::payload_id::new_payload_id;
    #[pymodule_export]
    use super::process::{
        all_locked, can_lock, cpu_features, crypto_version, dumpable, harden_process, hide_memory,
        in_locked_memory, memory_is_hidden, memory_status, refused_calls, warm_up,
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
        if !os::gives_random_bytes() {
            return Err(PyImportError::new_err(REFUSED_RANDOM));
        }
        // Must come before any other use of AWS-LC: see `nomyo_core::init`.
        nomyo_core::init();
        arena::check_address_space().map_err(|error| PyImportError::new_err(error.to_string()))
    }
}
