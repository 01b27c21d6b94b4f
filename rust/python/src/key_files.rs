//! Python's functions for key pairs in files.

use crate::detached::Detached;
use crate::errors::OrRaise;
use crate::keys::{PrivateKey, PublicKey};
use crate::password::Password;
use nomyo_core::key_files;
use pyo3::prelude::*;
use std::path::PathBuf;

/// What the user should know about key files that were read or written.
#[pyclass(frozen, get_all, module = "nomyo._core")]
pub struct KeyFilesCondition {
    /// Directories and files whose mode lets other users read or change them.
    too_open: Vec<String>,
    /// Whether their file system has no locks, so that another process can replace the pair at the same time.
    lockless: bool,
}

impl From<key_files::Condition> for KeyFilesCondition {
    fn from(condition: key_files::Condition) -> Self {
        let named = |path: &PathBuf| path.display().to_string();
        Self {
            too_open: condition.too_open.iter().map(named).collect(),
            lockless: condition.lockless,
        }
    }
}

/// Read a key pair from files. Returns (key, condition of the files).
///
/// Without `public_key_path`, the public key is derived from the private one. Raises SecurityError (wrong password,
/// damaged, the halves do not belong together, a symbolic link that is not followed, a foreign owner), OSError.
#[pyfunction]
#[pyo3(signature = (private_key_path, public_key_path = None, password = None))]
pub fn load_key_pair(
    py: Python<'_>,
    private_key_path: PathBuf,
    public_key_path: Option<PathBuf>,
    password: Option<Password>,
) -> PyResult<(PrivateKey, KeyFilesCondition)> {
    let loaded = py
        .detach_counted(|| {
            key_files::load_pair(
                &private_key_path,
                public_key_path.as_deref(),
                Password::bytes(&password),
            )
        })
        .or_raise(py)?;
    Ok((PrivateKey::from_core(loaded.key), loaded.condition.into()))
}

/// Return whether a private key's file is encrypted, as PKCS#8 or in the JavaScript client's form.
///
/// Raises SecurityError (a symbolic link that is not followed, a foreign owner, no regular file), OSError.
#[pyfunction]
pub fn is_encrypted_key_file(py: Python<'_>, path: PathBuf) -> PyResult<bool> {
    py.detach_counted(|| key_files::is_encrypted(&path))
        .or_raise(py)
}

/// Load the key pair in a directory, or generate one of `bits` if there is none.
///
/// Returns (key, whether it is new, condition of the files, plain). `plain` is the private key's file if a password was
/// given but the file is not encrypted, and otherwise None. If several processes start on one empty directory, all get
/// the same pair. Raises SecurityError, OSError, and ValueError if the password is too short for a new pair.
#[pyfunction]
#[pyo3(signature = (key_dir, bits, password = None))]
pub fn open_key_directory(
    py: Python<'_>,
    key_dir: PathBuf,
    bits: u32,
    password: Option<Password>,
) -> PyResult<(PrivateKey, bool, KeyFilesCondition, Option<String>)> {
    let opened = py
        .detach_counted(|| key_files::open_directory(&key_dir, bits, Password::bytes(&password)))
        .or_raise(py)?;
    let plain = opened.plain.map(|path| path.display().to_string());
    let key = PrivateKey::from_core(opened.key);
    Ok((key, opened.created, opened.condition.into(), plain))
}

/// Load the key pair in a directory. Returns (key, condition of the files).
///
/// Raises SecurityError (also if the directory has no pair), OSError.
#[pyfunction]
#[pyo3(signature = (key_dir, password = None))]
pub fn load_key_directory(
    py: Python<'_>,
    key_dir: PathBuf,
    password: Option<Password>,
) -> PyResult<(PrivateKey, KeyFilesCondition)> {
    let loaded = py
        .detach_counted(|| key_files::load_directory(&key_dir, Password::bytes(&password)))
        .or_raise(py)?;
    Ok((PrivateKey::from_core(loaded.key), loaded.condition.into()))
}

/// Write `key`, or the present pair if `key` is None, under `new_password` over a pair that `password` opens.
///
/// The replacement is atomic. Returns the condition of the files.
/// Raises SecurityError, OSError, and ValueError if the new password is too short.
#[pyfunction]
#[pyo3(signature = (key_dir, password, *, key = None, new_password = None))]
pub fn replace_key_pair(
    py: Python<'_>,
    key_dir: PathBuf,
    password: Option<Password>,
    key: Option<&Bound<'_, PrivateKey>>,
    new_password: Option<Password>,
) -> PyResult<KeyFilesCondition> {
    let key = key.map(|key| key.get().core(py)).transpose()?;
    py.detach_counted(|| {
        key_files::replace_pair(
            &key_dir,
            Password::bytes(&password),
            key.as_deref(),
            Password::bytes(&new_password),
        )
    })
    .or_raise(py)
    .map(KeyFilesCondition::from)
}

/// Replace the key pair in a directory atomically, or write the first one there.
///
/// Returns the condition of the files. Raises SecurityError (also if the present pair is encrypted and no password is
/// given), OSError, and ValueError if the password is too short.
#[pyfunction]
#[pyo3(signature = (key_dir, key, password = None))]
pub fn write_key_directory(
    py: Python<'_>,
    key_dir: PathBuf,
    key: &Bound<'_, PrivateKey>,
    password: Option<Password>,
) -> PyResult<KeyFilesCondition> {
    let key = key.get().core(py)?;
    py.detach_counted(|| key_files::write_directory(&key_dir, &key, Password::bytes(&password)))
        .or_raise(py)
        .map(KeyFilesCondition::from)
}

/// Write a key pair atomically, if the directory has none or one of `own` that the password opens.
///
/// Returns the condition of the files, or None if the directory has another pair, which stays as it is.
/// Raises SecurityError, OSError, and ValueError if the password is too short.
#[pyfunction]
#[pyo3(signature = (key_dir, key, own, password = None))]
pub fn rotate_key_directory(
    py: Python<'_>,
    key_dir: PathBuf,
    key: &Bound<'_, PrivateKey>,
    own: Vec<Py<PublicKey>>,
    password: Option<Password>,
) -> PyResult<Option<KeyFilesCondition>> {
    let key = key.get().core(py)?;
    let own: Vec<_> = own.iter().map(|key| key.get().core().clone()).collect();
    py.detach_counted(|| {
        key_files::rotate_directory(&key_dir, &key, &own, Password::bytes(&password))
    })
    .or_raise(py)
    .map(|condition| condition.map(KeyFilesCondition::from))
}
