//! Key files on Windows: access control lists that let this user alone in, and lists that let others in.
#![cfg(windows)]

mod key_directory;

use key_directory::{
    KEY, PRIVATE, PUBLIC, Scratch, assert_private, entries, open, refused, set_list,
};
use nomyo_core::key_files::{load_pair, open_directory, write_directory};
use std::fs;
use std::path::PathBuf;

#[global_allocator]
static ARENA: nomyo_core::arena::Arena = nomyo_core::arena::Arena;

/// Everything for a user, and something for everybody.
fn list_with_everybody(user: &str, rights: &str) -> String {
    format!("D:P(A;;FA;;;{user})(A;;{rights};;;WD)")
}

#[test]
fn test_every_directory_on_the_way_and_the_private_key_are_ours_alone() {
    let dir = Scratch::new();
    let made = open(&dir.0.join("a/b"));
    assert!(made.created);
    assert_eq!(made.condition.too_open, [] as [PathBuf; 0]);
    for name in ["a", "a/b", "a/b/private_key.pem"] {
        assert_private(&dir.0.join(name));
    }
}

#[test]
fn test_private_key_is_ours_alone_in_a_directory_that_lets_others_read() {
    let dir = Scratch::with_pair();
    let user = assert_private(&dir.0.join(PRIVATE));
    set_list(&dir.0, &list_with_everybody(&user, "FR"));
    write_directory(&dir.0, &KEY, None).expect("written");
    assert_private(&dir.0.join(PRIVATE));
    assert_eq!(open(&dir.0).condition.too_open, [] as [PathBuf; 0]);
}

#[test]
fn test_lists_that_let_others_in_are_reported() {
    for (name, rights, reported) in [
        (PRIVATE, "FR", true),
        (PRIVATE, "FW", true),
        (PUBLIC, "FA", false),
        ("", "FR", false),
        ("", "FA", true),
    ] {
        let dir = Scratch::with_pair();
        let user = assert_private(&dir.0.join(PRIVATE));
        let path = if name.is_empty() {
            dir.0.clone()
        } else {
            dir.0.join(name)
        };
        set_list(&path, &list_with_everybody(&user, rights));
        let seen = entries(&path);
        assert!(seen.iter().any(|entry| entry.ends_with(";WD")), "{seen:?}");
        let expected = if reported { vec![path.clone()] } else { vec![] };
        assert_eq!(open(&dir.0).condition.too_open, expected, "{name} {rights}");
        if name == PRIVATE {
            let loaded = load_pair(&path, Some(&dir.0.join(PUBLIC)), None).expect("the pair");
            assert_eq!(loaded.condition.too_open, expected);
        }
    }
}

#[test]
fn test_what_is_no_regular_file_or_too_large_is_refused() {
    for name in [PRIVATE, PUBLIC] {
        let dir = Scratch::with_pair();
        fs::remove_file(dir.0.join(name)).expect("removed");
        fs::create_dir(dir.0.join(name)).expect("a directory");
        refused(
            open_directory(&dir.0, 2048, None),
            name,
            "not a regular file",
        );
        refused(
            write_directory(&dir.0, &KEY, None),
            name,
            "not a regular file",
        );
    }
    let dir = Scratch::with_pair();
    fs::write(dir.0.join(PRIVATE), vec![b'A'; 64 * 1024 + 1]).expect("written");
    refused(open_directory(&dir.0, 2048, None), PRIVATE, "64 KiB");
    fs::write(dir.0.join("file"), "").expect("written");
    refused(
        open_directory(&dir.0.join("file"), 2048, None),
        "file",
        "not a directory",
    );
}

#[test]
fn test_directory_whose_lock_cannot_be_written_to_still_loads() {
    let dir = Scratch::with_pair();
    let lock = dir.0.join(".lock");
    fs::remove_file(&lock).expect("removed");
    fs::create_dir(&lock).expect("what nobody can write to");
    assert_eq!(open(&dir.0).key.public_key(), KEY.public_key());
}
