//! Key files and directories that are not trusted are refused or reported: links, owners and modes.
#![cfg(unix)]

mod key_directory;

use key_directory::{KEY, PRIVATE, PUBLIC, Scratch, mode, names, open, refused};
use nomyo_core::key_files::{load_pair, open_directory, replace_pair, write_directory};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

#[global_allocator]
static ARENA: nomyo_core::arena::Arena = nomyo_core::arena::Arena;

const STAGED_PRIVATE: &str = ".private_key.pem.new";
const STAGED_PUBLIC: &str = ".public_key.pem.new";

/// Writes a pair as the kubelet writes a secret: as links to a directory that is exchanged by one rename.
fn laid_by_kubelet(dir: &Path) {
    let version = dir.join("..2026_01_02_03_04_05.678");
    fs::create_dir(&version).expect("a directory");
    fs::set_permissions(&version, fs::Permissions::from_mode(0o755)).expect("a mode");
    symlink("..2026_01_02_03_04_05.678", dir.join("..data")).expect("a link");
    for name in [PRIVATE, PUBLIC] {
        fs::rename(dir.join(name), version.join(name)).expect("moved");
        symlink(format!("..data/{name}"), dir.join(name)).expect("a link");
    }
}

#[test]
fn test_secret_of_kubernetes_is_read_and_not_replaced() {
    let dir = Scratch::with_pair();
    laid_by_kubelet(&dir.0);
    fs::set_permissions(&dir.0, fs::Permissions::from_mode(0o1777)).expect("a mode");
    let opened = open_directory(&dir.0, 2048, None).expect("a pair");
    assert!(!opened.created);
    assert_eq!(opened.condition.too_open, [] as [PathBuf; 0]);
    assert_eq!(opened.key.public_key(), KEY.public_key());
    let by_path = load_pair(&dir.0.join(PRIVATE), Some(&dir.0.join(PUBLIC)), None).expect("a pair");
    assert_eq!(by_path.key.public_key(), KEY.public_key());
    for name in [PRIVATE, PUBLIC] {
        fs::read_link(dir.0.join(name)).expect("still a link");
    }
    refused(
        write_directory(&dir.0, &KEY, None),
        PRIVATE,
        "kept elsewhere",
    );
    refused(
        replace_pair(&dir.0, None, Some(&KEY), None),
        PRIVATE,
        "kept elsewhere",
    );
}

#[test]
fn test_link_to_a_key_file_is_followed_over_directories_of_ours_alone() {
    for name in [PRIVATE, PUBLIC] {
        let (dir, elsewhere) = (Scratch::with_pair(), Scratch::with_pair());
        fs::remove_file(dir.0.join(name)).expect("removed");
        symlink(elsewhere.0.join(name), dir.0.join(name)).expect("a link");
        let answer = || open_directory(&dir.0, 2048, None);
        assert_eq!(answer().expect("a pair").key.public_key(), KEY.public_key());
        for open_to_others in [&dir, &elsewhere] {
            fs::set_permissions(&open_to_others.0, fs::Permissions::from_mode(0o770))
                .expect("a mode");
            refused(answer(), name, "symbolic link");
            let by_path = load_pair(&dir.0.join(PRIVATE), Some(&dir.0.join(PUBLIC)), None);
            refused(by_path, name, "symbolic link");
            fs::set_permissions(&open_to_others.0, fs::Permissions::from_mode(0o700))
                .expect("a mode");
        }
        answer().expect("a pair");
    }
}

#[test]
fn test_link_of_another_user_is_not_followed() {
    let dir = Scratch::with_pair();
    laid_by_kubelet(&dir.0);
    let data = dir.0.join("..data");
    if std::os::unix::fs::lchown(&data, Some(12345), None).is_err() {
        return; // only root can give files to another user
    }
    refused(open_directory(&dir.0, 2048, None), PRIVATE, "symbolic link");
    std::os::unix::fs::lchown(&data, Some(0), None).expect("an owner");
    chown(dir.0.join("..2026_01_02_03_04_05.678"), Some(12345), None).expect("an owner");
    refused(open_directory(&dir.0, 2048, None), PRIVATE, "symbolic link");
}

#[test]
fn test_links_without_an_end_are_refused_and_stay() {
    let dir = Scratch::new();
    symlink(PRIVATE, dir.0.join(PRIVATE)).expect("a link to itself");
    refused(open_directory(&dir.0, 2048, None), PRIVATE, "symbolic link");
    fs::remove_file(dir.0.join(PRIVATE)).expect("removed");
    symlink("nowhere", dir.0.join(PRIVATE)).expect("a link");
    refused(
        open_directory(&dir.0, 2048, None),
        PRIVATE,
        "kept elsewhere",
    );
    fs::read_link(dir.0.join(PRIVATE)).expect("still a link");
    fs::remove_file(dir.0.join(PRIVATE)).expect("removed");
    symlink("/", dir.0.join(PRIVATE)).expect("a link");
    refused(open_directory(&dir.0, 2048, None), PRIVATE, "symbolic link");
}

#[test]
fn test_links_to_the_directory_are_not_followed() {
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
        if chown(dir.0.join(name), Some(65_533), None).is_err() {
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
        assert_eq!(open(&dir.0).condition.too_open, expected, "{name} {bits:o}");
        if name == PRIVATE {
            let loaded = load_pair(&path, Some(&dir.0.join(PUBLIC)), None).expect("the pair");
            assert_eq!(loaded.condition.too_open, expected);
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(before)).expect("a mode");
    }
}
