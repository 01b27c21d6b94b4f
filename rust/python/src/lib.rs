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
mod opened_text;
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
mod unlocked;

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
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // First: each type takes memory, and Rust ends the process if there is none. A module that is declared (`mod _core`)
    // makes its types before anything else.
    set_up(module.py())?;

    module.add_class::<appending::ChainEnd>()?;
    module.add_class::<key_files::KeyFilesCondition>()?;
    module.add_class::<keys::PrivateKey>()?;
    module.add_class::<keys::PublicKey>()?;
    module.add_class::<opened_text::OpenedText>()?;
    module.add_class::<page_lock::PageLock>()?;
    module.add_class::<secure_buffer::SecureBuffer>()?;

    macro_rules! add_functions {
        ($($from:ident: $($function:ident),+;)+) => {
            $($(module.add_function(wrap_pyfunction!($from::$function, module)?)?;)+)+
        };
    }
    add_functions! {
        appending: sha256_hex;
        attestation: examine_endorsement, examine_quote, is_certificate;
        build_info: build_info;
        key_files: is_encrypted_key_file, load_key_directory, load_key_pair, open_key_directory, replace_key_pair,
            rotate_key_directory, write_key_directory;
        opened_text: open_together;
        payload_id: new_payload_id;
        process: all_locked, can_lock, cpu_features, crypto_version, dumpable, harden_process, hide_memory,
            in_locked_memory, memory_is_hidden, memory_status, refused_calls, warm_up;
        sealed_bytes: open_bytes, seal_bytes;
        sealing: check_payload, fits, open_package, seal;
        secret_reply: open_secret;
    }
    Ok(())
}

/// Sets up the core, if the system gives it random bytes and memory.
fn set_up(py: Python<'_>) -> PyResult<()> {
    if !os::gives_random_bytes() {
        return Err(import_error(py, REFUSED_RANDOM));
    }
    if arena::check_address_space().is_err() {
        return Err(import_error(py, arena::NO_ADDRESS_SPACE));
    }
    // Must come before any other use of AWS-LC: see `nomyo_core::init`.
    nomyo_core::init();
    Ok(())
}

/// Makes an `ImportError` in Python's memory alone: `PyImportError::new_err` takes some of Rust's.
fn import_error(py: Python<'_>, words: &str) -> PyErr {
    match py.get_type::<PyImportError>().call1((words,)) {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}
