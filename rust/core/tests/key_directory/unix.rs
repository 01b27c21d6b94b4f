//! Modes and locks of Unix.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

pub fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("metadata").permissions().mode() & 0o7777
}

pub fn set_mode(path: &Path, bits: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(bits)).expect("a mode");
}

#[track_caller]
pub fn assert_private(path: &Path) {
    let expected = if path.is_dir() { 0o700 } else { 0o600 };
    assert_eq!(mode(path), expected, "{}", path.display());
}

/// Opens what a lock on a key directory is taken on.
pub fn lock_file(dir: &Path) -> File {
    File::open(dir).expect("the directory")
}
