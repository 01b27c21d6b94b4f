//! A private key belongs to the process that made it.
#![cfg(unix)]

use nomyo_core::Error;
use nomyo_core::crypto::rsa::PrivateKey;
use nomyo_core::envelope::{Sealed, Sealer};

#[global_allocator]
static ARENA: nomyo_core::arena::Arena = nomyo_core::arena::Arena;

#[test]
fn test_key_of_the_parent_is_refused_in_a_forked_child_and_a_new_one_works() {
    let key = PrivateKey::generate(2048).expect("a key");
    let package = seal(&key);
    let in_child = || {
        let refused = matches!(open(&package, &key), Err(Error::Forked))
            && matches!(key.pkcs8_der(), Err(Error::Forked));
        let new = PrivateKey::generate(2048).expect("a key");
        let works = open(&seal(&new), &new).is_ok_and(|plaintext| plaintext == b"{}");
        // The public half is no secret: a package for the parent can be sealed in the child.
        let sealed = Sealed::parse(&seal(&key)).is_ok();
        refused && works && sealed
    };
    assert!(holds_in_a_child(in_child));
    assert_eq!(open(&package, &key).expect("the parent goes on"), b"{}");
}

fn seal(key: &PrivateKey) -> Vec<u8> {
    let mut sealer = Sealer::new(100).expect("a sealer");
    sealer.write(b"{}").expect("room");
    let package = sealer.finish(key.public_key(), None).expect("a package");
    package.to_vec()
}

fn open(package: &[u8], key: &PrivateKey) -> Result<Vec<u8>, Error> {
    Sealed::parse(package)?.open(key)
}

fn holds_in_a_child(check: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child runs the check on this thread alone and leaves without running destructors.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).unwrap_or(false);
        // SAFETY: ends the child.
        unsafe { libc::_exit(if held { 0 } else { 1 }) };
    }
    let mut status = -1;
    // SAFETY: waits for the child that was just made.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    waited == child && libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
}
