//! Staged files of a replacement are removed when it fails, and stay while they are needed.

mod key_directory;

use key_directory::{KEY, PRIVATE, PUBLIC, Scratch, lock_file, names, open};
use nomyo_core::crypto::rsa::PrivateKey;
use nomyo_core::key_files::{open_directory, write_directory};
use std::fs;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

#[global_allocator]
static ARENA: nomyo_core::arena::Arena = nomyo_core::arena::Arena;

const STAGED_PRIVATE: &str = ".private_key.pem.new";
const STAGED_PUBLIC: &str = ".public_key.pem.new";
const PASSWORD: &[u8] = b"not a good password";

static NEW: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey::generate(2048).expect("a key"));

#[test]
fn test_failed_replacement_leaves_no_private_key_staged() {
    let dir = Scratch::with_pair();
    // No file can be staged under the name of a directory.
    fs::create_dir(dir.0.join(STAGED_PUBLIC)).expect("a directory");
    write_directory(&dir.0, &NEW, None).expect_err("not written");
    assert_eq!(names(&dir.0), [STAGED_PUBLIC, PRIVATE, PUBLIC]);
    assert_eq!(open(&dir.0).key.public_key(), KEY.public_key());

    let dir = Scratch::new();
    fs::create_dir(dir.0.join(STAGED_PUBLIC)).expect("a directory");
    open_directory(&dir.0, 2048, None).expect_err("not written");
    assert_eq!(names(&dir.0), [STAGED_PUBLIC]);
}

#[test]
fn test_pair_that_is_opened_is_rid_of_what_a_crash_left_staged() {
    for staged in [
        &[STAGED_PRIVATE][..],
        &[STAGED_PUBLIC],
        &[STAGED_PRIVATE, STAGED_PUBLIC],
    ] {
        let dir = Scratch::with_pair();
        stage(&dir, staged);
        assert_eq!(open(&dir.0).key.public_key(), KEY.public_key());
        assert_eq!(names(&dir.0), [PRIVATE, PUBLIC]);
    }
}

#[test]
fn test_refused_password_for_a_first_pair_leaves_nothing_staged() {
    let dir = Scratch::new();
    stage(&dir, &[STAGED_PRIVATE, STAGED_PUBLIC]);
    open_directory(&dir.0, 2048, Some(b"short")).expect_err("refused");
    assert!(names(&dir.0).is_empty());
}

#[test]
fn test_staged_files_of_a_pair_that_cannot_be_opened_are_left_alone() {
    let dir = Scratch::new();
    write_directory(&dir.0, &KEY, Some(PASSWORD)).expect("written");
    stage(&dir, &[STAGED_PUBLIC]);
    open_directory(&dir.0, 2048, Some(b"another password")).expect_err("refused");
    assert_eq!(names(&dir.0), [STAGED_PUBLIC, PRIVATE, PUBLIC]);
}

#[test]
fn test_staged_files_beside_another_reader_are_left_to_the_next() {
    let dir = Scratch::with_pair();
    stage(&dir, &[STAGED_PRIVATE]);
    let reader = lock_file(&dir.0);
    reader.lock_shared().expect("a lock");
    let start = Instant::now();
    assert_eq!(open(&dir.0).key.public_key(), KEY.public_key());
    assert!(start.elapsed() < Duration::from_secs(30));
    assert_eq!(names(&dir.0), [STAGED_PRIVATE, PRIVATE, PUBLIC]);
    drop(reader);
    open(&dir.0);
    assert_eq!(names(&dir.0), [PRIVATE, PUBLIC]);
}

#[cfg(target_os = "linux")]
#[test]
fn test_staged_files_in_a_read_only_directory_do_no_harm() {
    let dir = Scratch::with_pair();
    stage(&dir, &[STAGED_PRIVATE, STAGED_PUBLIC]);
    key_directory::set_mode(&dir.0.join(PRIVATE), 0o644);
    key_directory::set_mode(&dir.0, 0o555);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // This thread gives up root's privilege to write anywhere (`capabilities(7)`).
            // SAFETY: no preconditions.
            unsafe { libc::setfsuid(65_534) };
            fs::File::create(dir.0.join("probe")).expect_err("read-only");
            assert_eq!(open(&dir.0).key.public_key(), KEY.public_key());
        });
    });
    key_directory::set_mode(&dir.0, 0o700);
    let left = [STAGED_PRIVATE, STAGED_PUBLIC, PRIVATE, PUBLIC];
    assert_eq!(names(&dir.0), left);
}

#[test]
fn test_interrupted_replacement_is_completed_before_the_next_one_begins() {
    for password in [None, Some(PASSWORD)] {
        let dir = Scratch::with_pair();
        let old_public = fs::read(dir.0.join(PUBLIC)).expect("text");
        write_directory(&dir.0, &NEW, password).expect("written");
        fs::rename(dir.0.join(PUBLIC), dir.0.join(STAGED_PUBLIC)).expect("renamed");
        fs::write(dir.0.join(PUBLIC), old_public).expect("written");
        fs::create_dir(dir.0.join(STAGED_PRIVATE)).expect("a directory");
        write_directory(&dir.0, &KEY, None).expect_err("not written");
        assert_eq!(names(&dir.0), [STAGED_PRIVATE, PRIVATE, PUBLIC]);
        let found = open_directory(&dir.0, 2048, password).expect("the pair");
        assert_eq!(found.key.public_key(), NEW.public_key());
    }
}

/// Puts another pair's files under the names of staged files.
fn stage(dir: &Scratch, names: &[&str]) {
    let other = Scratch::new();
    write_directory(&other.0, &NEW, None).expect("written");
    for name in names {
        let from = name.trim_start_matches('.').trim_end_matches(".new");
        fs::copy(other.0.join(from), dir.0.join(name)).expect("copied");
    }
}
