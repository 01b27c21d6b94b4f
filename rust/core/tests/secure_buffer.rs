//! A SecureBuffer faults on an overrun, ends the process on an underrun, leaves nothing behind, and tells whether it is
//! locked.
#![cfg(target_os = "linux")]

#[path = "own_process/locked.rs"]
mod locked;
#[path = "own_process/mod.rs"]
mod own_process;

use locked::{mapping_of, mappings, vm_locked_bytes};
use nomyo_core::Error;
use nomyo_core::arena::{Arena, status};
use nomyo_core::buffer::SecureBuffer;
use own_process::{Memlock, dies_by, passes, passes_limited, text};
use std::io::Write;
use std::path::{Path, PathBuf};

#[global_allocator]
static ARENA: Arena = Arena;

#[test]
fn content_is_zero_first_and_then_what_was_written() {
    for len in [0, 1, 15, 16, 4079, 4080, 4081, 4096, 100_000] {
        let mut buffer = SecureBuffer::new(len).unwrap();
        assert_eq!((buffer.len(), buffer.is_empty()), (len, len == 0));
        assert!(buffer.content().unwrap().iter().all(|byte| *byte == 0));
        buffer.content_mut().unwrap().fill(0xE1);
        assert_eq!(
            buffer.content().unwrap().as_ptr() as usize,
            buffer.address()
        );
        assert!(buffer.ct_eq(&vec![0xE1; len]));
        buffer.wipe().unwrap();
        assert!(buffer.ct_eq(&vec![0; len]));
    }
}

#[test]
fn comparison_sees_every_byte_and_the_length() {
    let mut buffer = SecureBuffer::new(40).unwrap();
    buffer.content_mut().unwrap().fill(1);
    for place in 0..40 {
        let mut other = [1; 40];
        other[place] = 2;
        assert!(!buffer.ct_eq(&other), "{place}");
    }
    assert!(!buffer.ct_eq(&[1; 39]) && !buffer.ct_eq(&[1; 41]) && !buffer.ct_eq(&[]));
}

#[test]
fn memory_that_does_not_exist_is_an_error() {
    for len in [usize::MAX, isize::MAX as usize, 1 << 50] {
        assert!(
            matches!(SecureBuffer::new(len), Err(Error::Memory(_))),
            "{len}"
        );
    }
}

#[test]
fn pages_are_locked_undumpable_and_gone_with_the_buffer() {
    passes("child_pages_of_a_buffer");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_pages_of_a_buffer() {
    let buffer = SecureBuffer::new(10_000).unwrap();
    assert!(buffer.locked());
    let address = buffer.address();
    let mapping = mapping_of(address);
    // "wf": wiped on fork.
    assert!(
        ["lo", "dd", "wf"].iter().all(|flag| mapping.has(flag)),
        "{}",
        mapping.flags
    );
    assert_eq!(mapping.addresses.end, address + 10_000);
    assert_eq!(
        status().locked_bytes + mapping.addresses.len(),
        vm_locked_bytes()
    );
    drop(buffer);
    assert!(
        !mappings()
            .iter()
            .any(|mapping| mapping.addresses.contains(&address) && mapping.has("rd"))
    );
    assert_eq!(status().locked_bytes, vm_locked_bytes());
}

#[test]
fn lock_is_told_truly_and_can_be_given_up() {
    passes_limited(&Memlock("65536"), "child_lock_under_a_limit");
}

#[test]
#[ignore = "runs under a limit of its own"]
fn child_lock_under_a_limit() {
    let mut first = SecureBuffer::new(4000).unwrap();
    assert!(first.locked());
    let mut large = SecureBuffer::new(100_000).unwrap();
    assert!(!large.locked() && !large.lock());
    assert!(!mapping_of(large.address()).has("lo"));
    assert!(first.unlock() && !first.locked());
    assert!(!mapping_of(first.address()).has("lo"));
    assert!(first.lock() && mapping_of(first.address()).has("lo"));
    large.content_mut().unwrap().fill(1);
}

#[test]
fn access_beyond_the_end_faults_at_once() {
    for name in ["child_write_one_byte_beyond", "child_read_one_byte_beyond"] {
        dies_by(libc::SIGSEGV, name);
    }
}

#[test]
#[ignore = "dies"]
fn child_write_one_byte_beyond() {
    let buffer = SecureBuffer::new(1003).unwrap();
    buffer.hold().unwrap();
    // SAFETY: none; the guard is what this tests.
    unsafe { ((buffer.address() + 1003) as *mut u8).write_volatile(1) };
}

#[test]
#[ignore = "dies"]
fn child_read_one_byte_beyond() {
    let buffer = SecureBuffer::new(1003).unwrap();
    buffer.hold().unwrap();
    // SAFETY: none; the guard is what this tests.
    unsafe { ((buffer.address() + 1003) as *const u8).read_volatile() };
}

#[test]
fn write_before_the_beginning_is_found_at_the_end() {
    for name in [
        "child_write_one_byte_before",
        "child_write_one_byte_before_nothing",
    ] {
        let output = dies_by(libc::SIGSEGV, name);
        assert!(
            text(&output).contains("in front of its content"),
            "{}",
            text(&output)
        );
    }
}

#[test]
fn handler_of_the_program_does_not_swallow_the_end() {
    let output = dies_by(libc::SIGSEGV, "child_write_before_with_a_handler");
    assert!(!text(&output).contains("handled"), "{}", text(&output));
}

#[test]
#[ignore = "dies"]
fn child_write_before_with_a_handler() {
    extern "C" fn handle(_: libc::c_int) {
        println!("handled");
        // SAFETY: ends the process.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: the handler ends the process; all zeros is a set of no signals, to which one is added.
    unsafe {
        libc::signal(libc::SIGSEGV, handle as *const () as libc::sighandler_t);
        let mut blocked = std::mem::zeroed::<libc::sigset_t>();
        libc::sigaddset(&raw mut blocked, libc::SIGSEGV);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const blocked, std::ptr::null_mut());
    }
    child_write_one_byte_before();
}

#[test]
#[ignore = "dies"]
fn child_write_one_byte_before_nothing() {
    let buffer = SecureBuffer::new(0).unwrap();
    buffer.hold().unwrap();
    let before = (buffer.address() - 1) as *mut u8;
    // SAFETY: the canary, which nobody may write; that is what this tests.
    unsafe { before.write_volatile(before.read_volatile() ^ 1) };
    drop(buffer);
}

#[test]
fn every_size_ends_where_the_guard_begins_and_starts_behind_the_canary() {
    let page = 4096;
    for len in [0, 1, 15, 16, 17, page - 1, page, page + 1, 1 << 20] {
        let buffer = SecureBuffer::new(len).unwrap();
        let end = buffer.address() + len;
        let mapping = if len == 0 {
            mapping_of(end - 1)
        } else {
            mapping_of(buffer.address())
        };
        assert_eq!(mapping.addresses.end, end, "{len}");
        assert!(mapping.addresses.start + 16 <= buffer.address(), "{len}");
        let (below, above) = (mapping_of(mapping.addresses.start - 1), mapping_of(end));
        assert!(
            !below.has("rd") && !below.has("wr") && !above.has("rd") && !above.has("wr"),
            "{len}"
        );
    }
}

#[test]
#[ignore = "dies"]
fn child_write_one_byte_before() {
    let buffer = SecureBuffer::new(1003).unwrap();
    buffer.hold().unwrap();
    let before = (buffer.address() - 1) as *mut u8;
    // SAFETY: the canary, which nobody may write; that is what this tests.
    unsafe { before.write_volatile(before.read_volatile() ^ 1) };
    drop(buffer);
}

#[test]
fn walk_before_the_beginning_faults() {
    dies_by(libc::SIGSEGV, "child_walk_before_the_beginning");
}

#[test]
#[ignore = "dies"]
fn child_walk_before_the_beginning() {
    let buffer = SecureBuffer::new(1003).unwrap();
    buffer.hold().unwrap();
    for back in 0..=4096 {
        // SAFETY: none; the guard is what this tests.
        unsafe { ((buffer.address() - back) as *const u8).read_volatile() };
    }
}

#[test]
fn file_is_read_whole_whatever_its_size() {
    for len in [0, 1, 4095, 4096, 4097, 8192, 1_000_000] {
        let file = Scratch::with(&pattern(len));
        let buffer = SecureBuffer::from_file(&file.0).unwrap();
        assert_eq!(*buffer.content().unwrap(), pattern(len), "{len}");
    }
}

#[test]
fn file_that_does_not_tell_its_size_is_read_whole() {
    for len in [0, 10, 4096, 5000, 60_000] {
        let file = Scratch::path();
        let name = std::ffi::CString::new(file.0.to_str().unwrap()).unwrap();
        // SAFETY: the name is a C string.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let reader = std::thread::spawn({
            let path = file.0.clone();
            move || SecureBuffer::from_file(&path).unwrap()
        });
        let mut writer = std::fs::OpenOptions::new()
            .write(true)
            .open(&file.0)
            .unwrap();
        writer.write_all(&pattern(len)).unwrap();
        drop(writer);
        assert_eq!(
            *reader.join().unwrap().content().unwrap(),
            pattern(len),
            "{len}"
        );
    }
}

#[test]
fn device_without_an_end_is_refused() {
    let Err(Error::Io { path, source }) = SecureBuffer::from_file(Path::new("/dev/zero")) else {
        panic!()
    };
    assert_eq!(path.as_path(), Path::new("/dev/zero"));
    assert_eq!(source.kind(), std::io::ErrorKind::FileTooLarge);
    assert!(
        SecureBuffer::from_file(Path::new("/dev/null"))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn file_that_is_not_there_is_named_in_the_error() {
    let missing = Path::new("/nonexistent/secret");
    let Err(Error::Io { path, source }) = SecureBuffer::from_file(missing) else {
        panic!()
    };
    assert_eq!(
        (path.as_path(), source.kind()),
        (missing, std::io::ErrorKind::NotFound)
    );
    assert!(matches!(
        SecureBuffer::from_file(Path::new("/")),
        Err(Error::Io { .. })
    ));
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|place| (place * 31 % 251) as u8).collect()
}

/// A file name that is free, and removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn path() -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("nomyo-secure-buffer-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn with(content: &[u8]) -> Self {
        let file = Self::path();
        std::fs::write(&file.0, content).unwrap();
        file
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = std::fs::remove_file(&self.0);
    }
}
