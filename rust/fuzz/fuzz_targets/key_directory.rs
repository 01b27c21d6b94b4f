//! A key directory with files of any content. Whatever is refused stays as it was; what loads once loads again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nomyo_core::key_files::{load_directory, open_directory};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

const NAMES: [&str; 4] = [
    "private_key.pem",
    "public_key.pem",
    ".private_key.pem.new",
    ".public_key.pem.new",
];
/// Between two files of the input.
const SEPARATOR: u8 = 0;
/// Files of this content are missing.
const MISSING: &[u8] = b"-";

fuzz_target!(|input: &[u8]| {
    nomyo_core::init();
    let dir = directory();
    let files: Vec<&[u8]> = input
        .splitn(NAMES.len(), |byte| *byte == SEPARATOR)
        .collect();
    for (name, content) in NAMES.iter().zip(&files) {
        if *content != MISSING {
            fs::write(dir.join(name), content).expect("a file in memory");
        }
    }
    let before = contents(dir);
    let loaded = load_directory(dir, None);
    if loaded.is_err() {
        assert_eq!(contents(dir), before);
    }
    // An empty directory would get a new pair, which takes long.
    if before.contains_key("private_key.pem") || before.contains_key("public_key.pem") {
        let before = contents(dir);
        match (open_directory(dir, 2048, None), loaded) {
            (Ok(opened), Ok(loaded)) => {
                assert!(!opened.created);
                assert_eq!(
                    opened.key.public_key().fingerprint(),
                    loaded.key.public_key().fingerprint()
                );
            }
            (Ok(_), Err(error)) => panic!("opened what does not load: {error}"),
            (Err(_), _) => assert_eq!(contents(dir), before),
        }
    }
    for name in contents(dir).keys() {
        fs::remove_file(dir.join(name)).expect("removable");
    }
});

fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).expect("a directory");
    entries
        .map(|entry| entry.expect("an entry"))
        .map(|entry| {
            (
                entry.file_name().into_string().expect("UTF-8"),
                fs::read(entry.path()).expect("a file"),
            )
        })
        .collect()
}

fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let dir = parent.join(format!("nomyo-fuzz-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory in memory");
        dir
    })
}
