//! Key directories: made once however many start, never through a link, never half replaced.

use nomyo_core::Error;
use nomyo_core::key_files::{Opened, load_pair, open_directory, write_directory};
use nomyo_core::pem::private_from_pem;
use nomyo_core::rsa::PrivateKey;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

#[global_allocator]
static ARENA: nomyo_core::arena::Arena = nomyo_core::arena::Arena;

const PRIVATE: &str = "private_key.pem";
const PUBLIC: &str = "public_key.pem";
const STAGED_PRIVATE: &str = ".private_key.pem.new";
const STAGED_PUBLIC: &str = ".public_key.pem.new";
const PASSWORD: &[u8] = b"not a good password";

static KEY: LazyLock<PrivateKey> = LazyLock::new(|| {
    private_from_pem(include_bytes!("fixtures/private.pem"), None).expect("the fixture's key")
});

#[test]
fn test_empty_directory_gets_a_pair_that_the_next_one_finds() {
    let dir = Scratch::new();
    let made = open(&dir.0.join("a/b/keys"));
    assert!(made.created && made.too_open.is_empty());
    let keys = dir.0.join("a/b/keys");
    assert_eq!(mode(&keys), 0o700);
    assert_eq!(mode(&keys.join(PRIVATE)), 0o600);
    assert_eq!(mode(&keys.join(PUBLIC)), 0o644);
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
fn test_plain_pair_under_a_password_is_refused() {
    let dir = Scratch::with_pair();
    refused(
        open_directory(&dir.0, 2048, Some(PASSWORD)),
        PRIVATE,
        "not encrypted",
    );
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
    write_directory(&dir.0, &KEY, None).expect("written");
    assert_eq!(open(&dir.0).key.public_key(), KEY.public_key());
    assert_eq!(mode(&dir.0.join(PRIVATE)), 0o600);
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

    // While staging: the old pair stands; torn staged files do no harm.
    let dir = Scratch::with_pair();
    put(&dir, STAGED_PRIVATE, &new_private[..100]);
    assert_eq!(open(&dir.0).key.public_key(), KEY.public_key());
    put(&dir, STAGED_PRIVATE, &new_private);
    put(&dir, STAGED_PUBLIC, &new_public);
    assert_eq!(open(&dir.0).key.public_key(), KEY.public_key());

    // Between the renames: the new pair stands, and the second rename is done.
    fs::rename(dir.0.join(STAGED_PRIVATE), dir.0.join(PRIVATE)).expect("renamed");
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
fn test_symbolic_links_are_not_followed() {
    for name in [PRIVATE, PUBLIC] {
        let (dir, elsewhere) = (Scratch::with_pair(), Scratch::with_pair());
        fs::remove_file(dir.0.join(name)).expect("removed");
        symlink(elsewhere.0.join(name), dir.0.join(name)).expect("a link");
        refused(open_directory(&dir.0, 2048, None), name, "symbolic link");
        refused(write_directory(&dir.0, &KEY, None), name, "symbolic link");
        let answer = load_pair(&dir.0.join(PRIVATE), Some(&dir.0.join(PUBLIC)), None);
        refused(answer, name, "symbolic link");
    }
    let (dir, target) = (Scratch::new(), Scratch::with_pair());
    for link in ["link", "link/", "link/."] {
        let _ = symlink(&target.0, dir.0.join("link"));
        refused(
            open_directory(&dir.0.join(link), 2048, None),
            "",
            "symbolic link",
        );
        refused(
            write_directory(&dir.0.join(link), &KEY, None),
            "",
            "symbolic link",
        );
    }
    let dangling = dir.0.join("dangling");
    symlink(dir.0.join("nowhere"), &dangling).expect("a link");
    refused(
        open_directory(&dangling, 2048, None),
        "dangling",
        "symbolic link",
    );
    assert!(!dir.0.join("nowhere").exists());
}

#[test]
fn test_link_where_a_staged_file_goes_is_removed_not_followed() {
    let (dir, victim) = (Scratch::new(), Scratch::new());
    let victim = victim.0.join("victim");
    fs::write(&victim, "precious").expect("written");
    symlink(&victim, dir.0.join(STAGED_PRIVATE)).expect("a link");
    symlink(&victim, dir.0.join(STAGED_PUBLIC)).expect("a link");
    assert!(open(&dir.0).created);
    assert_eq!(fs::read(&victim).expect("text"), b"precious");
    assert_eq!(names(&dir.0), [PRIVATE, PUBLIC]);
}

#[test]
fn test_what_is_no_regular_file_is_refused_without_waiting() {
    for name in [PRIVATE, PUBLIC] {
        let dir = Scratch::with_pair();
        fs::remove_file(dir.0.join(name)).expect("removed");
        let made = Command::new("mkfifo")
            .arg(dir.0.join(name))
            .status()
            .expect("mkfifo");
        assert!(made.success());
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
        fs::remove_file(dir.0.join(name)).expect("removed");
        fs::create_dir(dir.0.join(name)).expect("a directory");
        refused(
            open_directory(&dir.0, 2048, None),
            name,
            "not a regular file",
        );
    }
    let dir = Scratch::new();
    fs::write(dir.0.join("file"), "").expect("written");
    refused(
        open_directory(&dir.0.join("file"), 2048, None),
        "file",
        "not a directory",
    );
}

#[test]
fn test_large_file_is_refused() {
    let dir = Scratch::with_pair();
    fs::write(dir.0.join(PRIVATE), vec![b'A'; 64 * 1024 + 1]).expect("written");
    refused(open_directory(&dir.0, 2048, None), PRIVATE, "64 KiB");
}

#[test]
fn test_files_of_another_user_are_refused() {
    for name in [".", PRIVATE, PUBLIC] {
        let dir = Scratch::with_pair();
        if chown(dir.0.join(name), Some(65_534), None).is_err() {
            eprintln!("not root: not tested");
            return;
        }
        refused(open_directory(&dir.0, 2048, None), name, "another user");
        refused(write_directory(&dir.0, &KEY, None), name, "another user");
    }
}

#[test]
fn test_modes_that_let_others_in_are_reported() {
    let dir = Scratch::with_pair();
    for (name, bits, reported) in [
        (PRIVATE, 0o640, true),
        (PRIVATE, 0o602, true),
        (PRIVATE, 0o600, false),
        (PRIVATE, 0o400, false),
        (PUBLIC, 0o666, false),
        ("", 0o755, false),
        ("", 0o775, true),
        ("", 0o1777, true),
    ] {
        let path = dir.0.join(name);
        let path = if name.is_empty() { dir.0.clone() } else { path };
        let before = mode(&path);
        fs::set_permissions(&path, fs::Permissions::from_mode(bits)).expect("a mode");
        let expected = if reported { vec![path.clone()] } else { vec![] };
        assert_eq!(open(&dir.0).too_open, expected, "{name} {bits:o}");
        if name == PRIVATE {
            let loaded = load_pair(&path, Some(&dir.0.join(PUBLIC)), None).expect("the pair");
            assert_eq!(loaded.too_open, expected);
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(before)).expect("a mode");
    }
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

fn open(dir: &Path) -> Opened {
    open_directory(dir, 2048, None).expect("a pair")
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, Error>, name: &str, expected: &str) {
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

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("metadata").permissions().mode() & 0o7777
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a directory");
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<_> = entries
        .map(|entry| name(entry).into_string().expect("text"))
        .collect();
    names.sort();
    names
}

fn contents(dir: &Path) -> Vec<Vec<u8>> {
    names(dir)
        .iter()
        .map(|name| fs::read(dir.join(name)).expect("text"))
        .collect()
}

/// A directory for one test, removed behind it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("nomyo-key-files-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("a mode");
        Self(path)
    }

    fn with_pair() -> Self {
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
