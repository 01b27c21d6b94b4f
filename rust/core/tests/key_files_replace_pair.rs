//! `load_directory` generates nothing, and `replace_pair` replaces only a pair that the password opens.

mod key_directory;

use key_directory::{KEY, PRIVATE, PUBLIC, Scratch, assert_private, names, refused};
use nomyo_core::Error;
use nomyo_core::crypto::rsa::PrivateKey;
use nomyo_core::key_files::{load_directory, replace_pair, write_directory};
use std::fs;
use std::io::ErrorKind;
use std::sync::LazyLock;

#[global_allocator]
static ARENA: nomyo_core::arena::Arena = nomyo_core::arena::Arena;

const STAGED_PRIVATE: &str = ".private_key.pem.new";
const STAGED_PUBLIC: &str = ".public_key.pem.new";
const PASSWORD: &[u8] = b"not a good password";
const OTHER_PASSWORD: &[u8] = b"not a better password";

static NEW: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate(2048).expect("a key"));

#[test]
fn test_loading_makes_no_pair_and_no_directory() {
    let dir = Scratch::new();
    refused(load_directory(&dir.0, None), "", "no key pair");
    assert!(names(&dir.0).is_empty());
    let missing = dir.0.join("keys");
    match load_directory(&missing, None) {
        Err(Error::Io { path, source }) => {
            assert_eq!((path, source.kind()), (missing, ErrorKind::NotFound));
        }
        other => panic!("{other:?}"),
    }
    assert!(names(&dir.0).is_empty());
}

#[test]
fn test_loading_opens_a_pair_and_completes_its_replacement() {
    let dir = Scratch::new();
    write_directory(&dir.0, &KEY, Some(PASSWORD)).expect("written");
    fs::rename(dir.0.join(PUBLIC), dir.0.join(STAGED_PUBLIC)).expect("renamed");
    let found = load_directory(&dir.0, Some(PASSWORD)).expect("the pair");
    assert_eq!(found.key.public_key(), KEY.public_key());
    assert_eq!(names(&dir.0), [PRIVATE, PUBLIC]);
}

#[test]
fn test_password_is_set_changed_and_removed() {
    let dir = Scratch::with_pair();
    let steps = [
        (None, Some(PASSWORD)),
        (Some(PASSWORD), Some(OTHER_PASSWORD)),
        (Some(OTHER_PASSWORD), None),
    ];
    for (old, new) in steps {
        replace_pair(&dir.0, old, None, new).expect("replaced");
        load_directory(&dir.0, old).expect_err("the old password");
        let found = load_directory(&dir.0, new).expect("the pair");
        assert_eq!(found.key.public_key(), KEY.public_key());
        assert_eq!(names(&dir.0), [PRIVATE, PUBLIC]);
        assert_private(&dir.0.join(PRIVATE));
    }
}

#[test]
fn test_another_pair_takes_the_place_under_the_same_password() {
    let dir = Scratch::new();
    write_directory(&dir.0, &KEY, Some(PASSWORD)).expect("written");
    replace_pair(&dir.0, Some(PASSWORD), Some(&NEW), Some(PASSWORD)).expect("replaced");
    let found = load_directory(&dir.0, Some(PASSWORD)).expect("the pair");
    assert_eq!(found.key.public_key(), NEW.public_key());
}

#[test]
fn test_whoever_cannot_open_the_pair_cannot_replace_it() {
    let dir = Scratch::new();
    write_directory(&dir.0, &KEY, Some(PASSWORD)).expect("written");
    let before = contents(&dir);
    for wrong in [None, Some(OTHER_PASSWORD)] {
        refused(
            replace_pair(&dir.0, wrong, Some(&NEW), wrong),
            PRIVATE,
            "password",
        );
        assert_eq!(contents(&dir), before);
    }
    let empty = Scratch::new();
    refused(
        replace_pair(&empty.0, None, Some(&NEW), None),
        "",
        "no key pair",
    );
    assert!(names(&empty.0).is_empty());
}

#[test]
fn test_failure_leaves_the_pair_as_it_was() {
    let dir = Scratch::with_pair();
    let before = contents(&dir);
    let answer = replace_pair(&dir.0, None, None, Some(b"short"));
    assert!(matches!(answer, Err(Error::Value(_))));
    assert_eq!(contents(&dir), before);
    // No file can be staged under the name of a directory.
    fs::create_dir(dir.0.join(STAGED_PUBLIC)).expect("a directory");
    replace_pair(&dir.0, None, None, Some(PASSWORD)).expect_err("not written");
    fs::remove_dir(dir.0.join(STAGED_PUBLIC)).expect("removed");
    assert_eq!(contents(&dir), before);
}

#[test]
fn test_what_a_crash_left_staged_is_no_obstacle() {
    let dir = Scratch::with_pair();
    fs::write(dir.0.join(STAGED_PRIVATE), "torn").expect("written");
    replace_pair(&dir.0, None, Some(&NEW), None).expect("replaced");
    assert_eq!(names(&dir.0), [PRIVATE, PUBLIC]);
    let found = load_directory(&dir.0, None).expect("the pair");
    assert_eq!(found.key.public_key(), NEW.public_key());
}

fn contents(dir: &Scratch) -> Vec<(String, Vec<u8>)> {
    let read = |name: String| {
        let content = fs::read(dir.0.join(&name)).expect("content");
        (name, content)
    };
    names(&dir.0).into_iter().map(read).collect()
}
