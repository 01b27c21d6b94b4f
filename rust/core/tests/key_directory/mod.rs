//! What the tests of key directories share.
#![allow(dead_code)]

use nomyo_core::Error;
use nomyo_core::crypto::rsa::PrivateKey;
use nomyo_core::key_files::{Opened, open_directory, write_directory};
use nomyo_core::pem::private_from_pem;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(unix)]
#[path = "unix.rs"]
mod platform;
#[cfg(windows)]
#[path = "windows.rs"]
mod platform;

pub use platform::*;

pub const PRIVATE: &str = "private_key.pem";
pub const PUBLIC: &str = "public_key.pem";

pub static KEY: LazyLock<PrivateKey> = LazyLock::new(|| {
    private_from_pem(include_bytes!("../fixtures/private.pem"), None).expect("the fixture's key")
});

/// A directory for one test, which is removed afterwards.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("nomyo-key-files-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a directory");
        #[cfg(unix)]
        set_mode(&path, 0o700);
        Self(path)
    }

    pub fn with_pair() -> Self {
        let scratch = Self::new();
        write_directory(&scratch.0, &KEY, None).expect("written");
        scratch
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn open(dir: &Path) -> Opened {
    open_directory(dir, 2048, None).expect("a pair")
}

#[track_caller]
pub fn refused<T: std::fmt::Debug>(answer: Result<T, Error>, name: &str, expected: &str) {
    match answer {
        Err(Error::KeyFile { path, reason }) => {
            assert!(
                path.ends_with(name.trim_matches('.')) || name == ".",
                "{}",
                path.display()
            );
            assert!(reason.contains(expected), "{reason}");
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// The names in a directory, without the file that only locks it (Windows).
pub fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<_> = entries
        .map(|entry| name(entry).into_string().expect("text"))
        .filter(|name| name != ".lock")
        .collect();
    names.sort();
    names
}
