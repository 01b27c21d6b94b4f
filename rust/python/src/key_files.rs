//! Key pairs in files.

use crate::detached::Detached;
use crate::errors::OrRaise;
use crate::keys::PrivateKey;
use crate::password::Password;
use nomyo_core::key_files;
use pyo3::prelude::*;
use std::path::PathBuf;

/// Read a pair from files; the second value names the files whose mode lets others in.
///
/// Raises SecurityError (cannot be opened, halves do not belong together, symbolic link, foreign owner), OSError.
#[pyfunction]
#[pyo3(signature = (private_key_path, public_key_path = None, password = None))]
pub fn load_key_pair(
    py: Python<'_>,
    private_key_path: PathBuf,
    public_key_path: Option<PathBuf>,
    password: Option<Password>,
) -> PyResult<(PrivateKey, Vec<String>)> {
    let loaded = py
        .detach_counted(|| {
            key_files::load_pair(
                &private_key_path,
                public_key_path.as_deref(),
                Password::bytes(&password),
            )
        })
        .or_raise(py)?;
    Ok((PrivateKey::from_core(loaded.key), names(&loaded.too_open)))
}

/// Load the pair in a directory, or generate one there: (key, whether it is new, files whose mode is too open).
///
/// Processes that start on one empty directory at once all end with the same pair. Raises SecurityError, OSError.
#[pyfunction]
#[pyo3(signature = (key_dir, bits, password = None))]
pub fn open_key_directory(
    py: Python<'_>,
    key_dir: PathBuf,
    bits: u32,
    password: Option<Password>,
) -> PyResult<(PrivateKey, bool, Vec<String>)> {
    let opened = py
        .detach_counted(|| key_files::open_directory(&key_dir, bits, Password::bytes(&password)))
        .or_raise(py)?;
    let too_open = names(&opened.too_open);
    Ok((PrivateKey::from_core(opened.key), opened.created, too_open))
}

/// Load the pair in a directory, where there must be one: (key, files whose mode is too open).
///
/// Raises SecurityError, OSError.
#[pyfunction]
#[pyo3(signature = (key_dir, password = None))]
pub fn load_key_directory(
    py: Python<'_>,
    key_dir: PathBuf,
    password: Option<Password>,
) -> PyResult<(PrivateKey, Vec<String>)> {
    let loaded = py
        .detach_counted(|| key_files::load_directory(&key_dir, Password::bytes(&password)))
        .or_raise(py)?;
    Ok((PrivateKey::from_core(loaded.key), names(&loaded.too_open)))
}

/// Replace a pair that `password` opens, by `key` or by itself, under `new_password`; atomically.
///
/// Raises SecurityError, OSError, and ValueError for a new password that is too short.
#[pyfunction]
#[pyo3(signature = (key_dir, password, *, key = None, new_password = None))]
pub fn replace_key_pair(
    py: Python<'_>,
    key_dir: PathBuf,
    password: Option<Password>,
    key: Option<&Bound<'_, PrivateKey>>,
    new_password: Option<Password>,
) -> PyResult<()> {
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
}

/// Replace the pair in a directory, atomically. Raises SecurityError, OSError.
#[pyfunction]
#[pyo3(signature = (key_dir, key, password = None))]
pub fn write_key_directory(
    py: Python<'_>,
    key_dir: PathBuf,
    key: &Bound<'_, PrivateKey>,
    password: Option<Password>,
) -> PyResult<()> {
    let key = key.get().core(py)?;
    py.detach_counted(|| key_files::write_directory(&key_dir, &key, Password::bytes(&password)))
        .or_raise(py)
}

fn names(paths: &[PathBuf]) -> Vec<String> {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect()
}
