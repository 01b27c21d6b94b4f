//! Key directories are created once even if many processes start, never half replaced, and not touched if in doubt.

mod key_directory;

use key_directory::{KEY, PRIVATE, PUBLIC, Scratch, assert_private, names, open, refused};
use nomyo_core::Error;
use nomyo_core::crypto::rsa::PrivateKey;
use nomyo_core::key_files::{
    Condition, Opened, load_directory, load_pair, open_directory, replace_pair, rotate_directory,
    write_directory,
};
use std::fs;
use std::path::Path;
use std::process::Command;

#[global_allocator]
static ARENA: nomyo_core::arena::Arena = nomyo_core::arena::Arena;

const STAGED_PRIVATE: &str = ".private_key.pem.new";
const STAGED_PUBLIC: &str = ".public_key.pem.new";
const PASSWORD: &[u8] = b"not a good password";

#[test]
fn test_empty_directory_gets_a_pair_that_the_next_one_finds() {
    let dir = Scratch::new();
    let made = open(&dir.0.join("a/b/keys"));
    assert!(made.created && made.condition.too_open.is_empty());
    let keys = dir.0.join("a/b/keys");
    assert_private(&keys);
    assert_private(&keys.join(PRIVATE));
    #[cfg(unix)]
    assert_eq!(key_directory::mode(&keys.join(PUBLIC)), 0o644);
    assert_eq!(names(&keys), [PRIVATE, PUBLIC]);
    let found = open(&keys);
    assert!(!found.created);
    assert_eq!(found.key.public_key(), made.key.public_key());
    assert_eq!(found.key.bits(), 2048);
}

#[test]
fn test_password_opens_and_writes_the_pair() {
    let dir = Scratch::new();
    let made = open_directory(&dir.0, 2048, Some(PASSWORD)).expect("a pair");
    assert!(
        fs::read_to_string(dir.0.join(PRIVATE))
            .expect("text")
            .contains("ENCRYPTED")
    );
    let found = open_directory(&dir.0, 2048, Some(PASSWORD)).expect("the pair");
    assert_eq!(found.key.public_key(), made.key.public_key());
    let before = contents(&dir.0);
    refused(
        open_directory(&dir.0, 2048, Some(b"another password")),
        PRIVATE,
        "wrong password",
    );
    refused(
        open_directory(&dir.0, 2048, None),
        PRIVATE,
        "password is needed",
    );
    assert_eq!(contents(&dir.0), before);
}

#[test]
fn test_short_password_writes_nothing() {
    let dir = Scratch::new();
    let answer = open_directory(&dir.0, 2048, Some(b"1234567"));
    assert!(matches!(answer, Err(Error::Value(_))));
    assert!(matches!(
        write_directory(&dir.0, &KEY, Some(b"")),
        Err(Error::Value(_))
    ));
    assert!(names(&dir.0).is_empty());
}

#[test]
fn test_plain_pair_is_loaded_under_a_password_too_and_reported() {
    let dir = Scratch::with_pair();
    let before = contents(&dir.0);
    let found = open_directory(&dir.0, 2048, Some(PASSWORD)).expect("the pair");
    assert_eq!(found.key.public_key(), KEY.public_key());
    assert_eq!(found.plain, Some(dir.0.join(PRIVATE)));
    assert_eq!(open(&dir.0).plain, None);
    assert_eq!(contents(&dir.0), before);
    refused(
        load_pair(&dir.0.join(PRIVATE), None, Some(PASSWORD)),
        PRIVATE,
        "not encrypted",
    );
}

#[test]
fn test_encrypted_pair_gives_way_to_an_encrypted_one_alone() {
    let dir = Scratch::new();
    write_directory(&dir.0, &KEY, Some(PASSWORD)).expect("written");
    let before = contents(&dir.0);
    let new = PrivateKey::generate(2048).expect("a key");
    refused(write_directory(&dir.0, &new, None), PRIVATE, "is encrypted");
    assert_eq!(contents(&dir.0), before);
    write_directory(&dir.0, &new, Some(b"another password")).expect("written");
    replace_pair(&dir.0, Some(b"another password"), None, None).expect("asked for in words");
    assert_eq!(open(&dir.0).key.public_key(), new.public_key());
}

#[test]
fn test_rotation_replaces_its_own_pair_and_no_other() {
    let new = PrivateKey::generate(2048).expect("a key");
    let (ours, theirs) = (KEY.public_key().clone(), new.public_key().clone());
    for (there, password, is_replaced) in [
        (None, None, true),
        (Some(None), None, true),
        (Some(None), Some(PASSWORD), true),
        (Some(Some(PASSWORD)), Some(PASSWORD), true),
        (Some(Some(PASSWORD)), None, false),
        (
            Some(Some(b"another password".as_slice())),
            Some(PASSWORD),
            false,
        ),
    ] {
        let dir = Scratch::new();
        if let Some(present) = there {
            write_directory(&dir.0, &KEY, present).expect("written");
        }
        let before = contents(&dir.0);
        let own = [ours.clone()];
        assert_eq!(
            rotate_directory(&dir.0, &new, &own, password).expect("an answer"),
            is_replaced.then(Condition::default)
        );
        assert_eq!(contents(&dir.0) != before, is_replaced);
        if is_replaced {
            let found = load_directory(&dir.0, password).expect("the pair");
            assert_eq!(found.key.public_key(), &theirs);
        }
    }
    let dir = Scratch::with_pair();
    let before = contents(&dir.0);
    let answer = rotate_directory(&dir.0, &new, &[theirs], None).expect("an answer");
    assert_eq!(answer, None);
    assert_eq!(contents(&dir.0), before);
}

#[test]
fn test_damaged_pair_is_refused_and_left_alone() {
    for (name, content) in [(PRIVATE, "nonsense"), (PRIVATE, ""), (PUBLIC, "nonsense")] {
        let dir = Scratch::with_pair();
        fs::write(dir.0.join(name), content).expect("written");
        let before = contents(&dir.0);
        refused(open_directory(&dir.0, 2048, None), name, "");
        assert_eq!(contents(&dir.0), before);
    }
}

#[test]
fn test_private_key_alone_is_enough() {
    let dir = Scratch::with_pair();
    fs::remove_file(dir.0.join(PUBLIC)).expect("removed");
    let found = open(&dir.0);
    assert!(!found.created);
    assert_eq!(found.key.public_key(), KEY.public_key());
}

#[test]
fn test_public_key_alone_is_refused() {
    let dir = Scratch::with_pair();
    fs::remove_file(dir.0.join(PRIVATE)).expect("removed");
    refused(open_directory(&dir.0, 2048, None), PUBLIC, "no private key");
    assert_eq!(names(&dir.0), [PUBLIC]);
}

#[test]
fn test_public_key_of_another_pair_is_refused() {
    let dir = Scratch::with_pair();
    let other = PrivateKey::generate(2048).expect("a key");
    fs::write(dir.0.join(PUBLIC), other.public_key().pem()).expect("written");
    refused(
        open_directory(&dir.0, 2048, None),
        PUBLIC,
        "does not belong",
    );
    let (private, public) = (dir.0.join(PRIVATE), dir.0.join(PUBLIC));
    match load_pair(&private, Some(&public), None) {
        Err(Error::KeyFile { path, .. }) => assert_eq!(path, public),
        other => panic!("{other:?}"),
    }
    load_pair(&private, None, None).expect("the private key alone is fine");
}

#[test]
fn test_pair_is_replaced_whatever_its_password_was() {
    let dir = Scratch::with_pair();
    let new = PrivateKey::generate(2048).expect("a key");
    write_directory(&dir.0, &new, Some(PASSWORD)).expect("written");
    assert_eq!(names(&dir.0), [PRIVATE, PUBLIC]);
    let found = open_directory(&dir.0, 2048, Some(PASSWORD)).expect("the pair");
    assert_eq!(found.key.public_key(), new.public_key());
    write_directory(&dir.0, &KEY, Some(b"another password")).expect("written");
    let found = load_directory(&dir.0, Some(b"another password")).expect("the pair");
    assert_eq!(found.key.public_key(), KEY.public_key());
    assert_private(&dir.0.join(PRIVATE));
}

#[test]
fn test_crash_at_any_point_of_a_replacement_leaves_a_pair() {
    let new = PrivateKey::generate(2048).expect("a key");
    let fresh = Scratch::new();
    write_directory(&fresh.0, &new, None).expect("written");
    let new_private = fs::read(fresh.0.join(PRIVATE)).expect("text");
    let new_public = fs::read(fresh.0.join(PUBLIC)).expect("text");
    let put = |dir: &Scratch, name: &str, content: &[u8]| {
        fs::write(dir.0.join(name), content).expect("written");
    };

    // A crash while staging: the old pair is still there, and incomplete staged files do no harm.
    let dir = Scratch::with_pair();
    put(&dir, STAGED_PRIVATE, &new_private[..100]);
    assert_eq!(open(&dir.0).key.public_key(), KEY.public_key());
    put(&dir, STAGED_PRIVATE, &new_private);
    put(&dir, STAGED_PUBLIC, &new_public);
    assert_eq!(open(&dir.0).key.public_key(), KEY.public_key());

    // A crash between the renames: the new pair is loaded, and the second rename is done.
    put(&dir, PRIVATE, &new_private);
    put(&dir, STAGED_PUBLIC, &new_public);
    assert_eq!(open(&dir.0).key.public_key(), new.public_key());
    assert_eq!(names(&dir.0), [PRIVATE, PUBLIC]);
    assert_eq!(fs::read(dir.0.join(PUBLIC)).expect("text"), new_public);

    // The same when the first pair of a directory is made.
    let dir = Scratch::new();
    put(&dir, STAGED_PRIVATE, &new_private);
    put(&dir, STAGED_PUBLIC, &new_public);
    let made = open(&dir.0);
    assert!(made.created && made.key.public_key() != new.public_key());
    assert_eq!(names(&dir.0), [PRIVATE, PUBLIC]);
    let dir = Scratch::new();
    put(&dir, PRIVATE, &new_private);
    put(&dir, STAGED_PUBLIC, &new_public);
    assert_eq!(open(&dir.0).key.public_key(), new.public_key());
    assert_eq!(names(&dir.0), [PRIVATE, PUBLIC]);
}

#[cfg(unix)]
#[test]
fn test_directory_that_cannot_be_written_to_still_loads() {
    let dir = Scratch::with_pair();
    let set_mode = |bits| key_directory::set_mode(&dir.0, bits);
    set_mode(0o500);
    assert_eq!(open(&dir.0).key.public_key(), KEY.public_key());
    // An interrupted replacement cannot be completed there (except by root), and need not be.
    set_mode(0o700);
    fs::rename(dir.0.join(PUBLIC), dir.0.join(STAGED_PUBLIC)).expect("renamed");
    set_mode(0o500);
    assert_eq!(open(&dir.0).key.public_key(), KEY.public_key());
    set_mode(0o700);
}

#[test]
fn test_staged_public_key_of_yet_another_pair_is_no_help() {
    let dir = Scratch::with_pair();
    let others = [0, 1].map(|_| {
        PrivateKey::generate(2048)
            .expect("a key")
            .public_key()
            .pem()
    });
    fs::write(dir.0.join(PUBLIC), &others[0]).expect("written");
    fs::write(dir.0.join(STAGED_PUBLIC), &others[1]).expect("written");
    refused(
        open_directory(&dir.0, 2048, None),
        PUBLIC,
        "does not belong",
    );
}

#[test]
fn test_missing_file_is_the_system_s_own_error() {
    let dir = Scratch::new();
    match load_pair(&dir.0.join(PRIVATE), None, None) {
        Err(Error::Io { path, source }) => {
            assert_eq!(path, dir.0.join(PRIVATE));
            assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn test_threads_that_start_together_end_with_one_pair() {
    let dir = Scratch::new();
    let keys = dir.0.join("keys");
    let opened: Vec<Opened> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| open(&keys))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    assert_eq!(opened.iter().filter(|opened| opened.created).count(), 1);
    for pair in &opened {
        assert_eq!(pair.key.public_key(), opened[0].key.public_key());
    }
    assert_eq!(names(&keys), [PRIVATE, PUBLIC]);
}

#[test]
fn test_processes_that_start_together_end_with_one_pair() {
    const DIRECTORY: &str = "NOMYO_TEST_KEY_DIRECTORY";
    if let Some(keys) = std::env::var_os(DIRECTORY) {
        let pair = open(Path::new(&keys));
        println!(
            "pair {} {}",
            pair.created,
            pair.key.public_key().fingerprint()
        );
        return;
    }
    let dir = Scratch::new();
    let this = std::env::current_exe().expect("this program");
    let children: Vec<_> = (0..8)
        .map(|_| {
            Command::new(&this)
                .args(["--exact", "--nocapture"])
                .arg("test_processes_that_start_together_end_with_one_pair")
                .env(DIRECTORY, dir.0.join("keys"))
                .stdout(std::process::Stdio::piped())
                .spawn()
                .expect("a child")
        })
        .collect();
    let mut pairs: Vec<String> = Vec::new();
    for child in children {
        let output = child.wait_with_output().expect("output");
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).expect("text");
        let pair = text
            .split("pair ")
            .nth(1)
            .and_then(|rest| rest.lines().next());
        pairs.push(pair.expect("a pair").to_owned());
    }
    assert_eq!(
        pairs.iter().filter(|pair| pair.starts_with("true")).count(),
        1,
        "{pairs:?}"
    );
    let fingerprint = |pair: &str| pair.rsplit(' ').next().map(str::to_owned);
    assert!(
        pairs
            .iter()
            .all(|pair| fingerprint(pair) == fingerprint(&pairs[0])),
        "{pairs:?}"
    );
}

#[test]
fn test_readers_beside_a_writer_always_find_a_pair() {
    let dir = Scratch::with_pair();
    let other = PrivateKey::generate(2048).expect("a key");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..20 {
                write_directory(&dir.0, &other, None).expect("written");
                write_directory(&dir.0, &KEY, None).expect("written");
            }
        });
        while !writer.is_finished() {
            let found = open(&dir.0).key;
            let known = [KEY.public_key(), other.public_key()];
            assert!(known.contains(&found.public_key()));
        }
    });
}

fn contents(dir: &Path) -> Vec<Vec<u8>> {
    names(dir)
        .iter()
        .map(|name| fs::read(dir.join(name)).expect("text"))
        .collect()
}
