//! Nothing can touch a private key while no operation with it is under way.
#![cfg(target_os = "linux")]

#[path = "own_process/locked.rs"]
mod locked;
#[path = "own_process/mod.rs"]
mod own_process;

use locked::{Mapping, mappings, vm_locked_bytes};
use nomyo_core::arena::{Arena, status};
use nomyo_core::crypto::rsa::{PrivateKey, PublicKey};
use nomyo_core::pem::private_from_pem;
use nomyo_core::{Error, hidden};
use own_process::{Memlock, dies_by, in_child, passes, passes_limited};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

#[global_allocator]
static ARENA: Arena = Arena;

/// One of the first prime's halves, least byte first, as AWS-LC holds numbers.
fn part_of_prime(key: &PrivateKey) -> Vec<u8> {
    let der = key.pkcs8_der().unwrap();
    // The prime follows the modulus, the public and the private exponent in RSAPrivateKey (RFC 8017, A.1.2). Its tag
    // and length are 02 82 LEN LEN 00, or 02 81 LEN 00, and it is the first number of half the modulus's length.
    let half = key.bits() as usize / 16;
    let content = half + 1;
    let header = match content {
        ..256 => vec![2, 0x81, content as u8, 0],
        _ => vec![2, 0x82, (content >> 8) as u8, content as u8, 0],
    };
    let at = der
        .windows(header.len())
        .position(|window| window == header)
        .unwrap();
    let prime = &der[at + header.len()..][..half];
    prime[half / 2..].iter().rev().copied().collect()
}

/// Where bytes lie in this process's memory, and in which mappings. The search reads pages that nobody can touch.
fn places(bytes: &[u8]) -> Vec<(usize, Mapping)> {
    let memory = File::open("/proc/self/mem").unwrap();
    let mut found = Vec::new();
    for mapping in mappings().into_iter().filter(|mapping| mapping.has("lo")) {
        let range = mapping.addresses.clone();
        let mut content = vec![0; range.len()];
        if memory
            .read_exact_at(&mut content, range.start as u64)
            .is_err()
        {
            continue;
        }
        let hits: Vec<usize> = content
            .windows(bytes.len())
            .enumerate()
            .filter(|(_, window)| *window == bytes)
            .map(|(at, _)| range.start + at)
            .collect();
        content.fill(0);
        found.extend(hits.into_iter().map(|at| {
            let mapping = Mapping {
                addresses: range.clone(),
                flags: mapping.flags.clone(),
            };
            (at, mapping)
        }));
    }
    found
}

/// Keeps what is searched for out of the memory that is searched.
struct Needle(Vec<u8>);

impl Needle {
    const MASK: u8 = 0x5A;

    fn of(key: &PrivateKey) -> Self {
        Self(
            part_of_prime(key)
                .iter()
                .map(|byte| byte ^ Self::MASK)
                .collect(),
        )
    }

    fn places(&self) -> Vec<(usize, Mapping)> {
        let plain: Vec<u8> = self.0.iter().map(|byte| byte ^ Self::MASK).collect();
        let own = plain.as_ptr() as usize;
        let mut found = places(&plain);
        found.retain(|(at, _)| *at != own);
        found
    }

    /// Checks that the key lies somewhere, and in closed pages only.
    fn assert_closed(&self) {
        let found = self.places();
        assert!(!found.is_empty(), "the key is found nowhere");
        for (at, mapping) in found {
            assert!(
                !mapping.has("rd") && !mapping.has("wr"),
                "{at:#x}: {}",
                mapping.flags
            );
            assert!(mapping.has("lo") && mapping.has("dd"), "{}", mapping.flags);
        }
    }
}

fn wrapped(key: &PublicKey) -> Vec<u8> {
    let mut out = vec![0; key.modulus_len()];
    key.wrap(&[7; 32], &mut out).unwrap();
    out
}

fn unwraps(key: &PrivateKey, wrapped: &[u8]) -> bool {
    key.unwrap(wrapped).unwrap().as_bytes() == &[7; 32]
}

#[test]
fn key_lies_in_closed_pages_whatever_came_before() {
    for name in [
        "child_with_a_generated_key",
        "child_with_a_loaded_key",
        "child_with_large_keys",
    ] {
        passes(name);
    }
    passes_limited(&Memlock("4194304"), "child_with_a_generated_key");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_with_a_generated_key() {
    let key = PrivateKey::generate(2048).unwrap();
    let needle = Needle::of(&key);
    needle.assert_closed();
    let wrapped = wrapped(key.public_key());
    for _ in 0..3 {
        assert!(unwraps(&key, &wrapped));
        needle.assert_closed();
    }
    assert_eq!(status().locked_bytes, vm_locked_bytes());
    drop(key);
    assert!(needle.places().is_empty());
}

#[test]
#[ignore = "needs the process to itself"]
fn child_with_a_loaded_key() {
    let der = PrivateKey::generate(3072).unwrap().pkcs8_der().unwrap();
    // In threads that have not used AWS-LC yet: what AWS-LC makes for a thread does not lie with the key.
    let load = || {
        let loading = || PrivateKey::from_pkcs8_der(&der).unwrap();
        std::thread::scope(|scope| scope.spawn(loading).join().unwrap())
    };
    // Until every heap of the arena has served a thread.
    (0..8).for_each(|_| drop(load()));
    let before = status();
    let key = load();
    let needle = Needle::of(&key);
    needle.assert_closed();
    drop(key);
    assert!(needle.places().is_empty());
    assert!(status().locked_bytes <= before.locked_bytes);
    assert_eq!(status().locked_bytes, vm_locked_bytes());
    assert!(PrivateKey::from_pkcs8_der(b"no key").is_err());
    assert_eq!(status().locked_bytes, vm_locked_bytes());
}

#[test]
#[ignore = "needs the process to itself"]
fn child_with_large_keys() {
    let key = PrivateKey::generate(4096).unwrap();
    let before = status().locked_bytes;
    let second = PrivateKey::from_pkcs8_der(&key.pkcs8_der().unwrap()).unwrap();
    let taken = status().locked_bytes - before;
    assert!(taken <= 32 << 10, "{taken}");
    Needle::of(&key).assert_closed();
    drop(key);
    Needle::of(&second).assert_closed();
    assert!(unwraps(&second, &wrapped(second.public_key())));
}

#[test]
fn first_use_of_the_crypto_library_leaves_nothing_in_the_pages_of_a_key() {
    passes("child_that_begins_by_loading_a_key");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_that_begins_by_loading_a_key() {
    // Made by `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:4096`; it protects nothing.
    let key = private_from_pem(include_bytes!("fixtures/private_4096.pem"), None).unwrap();
    let locked_sizes = || {
        let locked = mappings().into_iter().filter(|mapping| mapping.has("lo"));
        locked
            .map(|mapping| mapping.addresses.len())
            .collect::<Vec<_>>()
    };
    // A key keeps a part of its chunk, and all other chunks are whole.
    let is_of_key = |bytes: &usize| *bytes < 200 << 10;
    assert_eq!(
        locked_sizes()
            .iter()
            .filter(|bytes| is_of_key(bytes))
            .count(),
        1
    );
    assert!(unwraps(&key, &wrapped(key.public_key())));
    drop(key);
    assert!(!locked_sizes().iter().any(is_of_key));
}

#[test]
fn threads_that_use_one_key_never_find_it_closed() {
    const THREADS: usize = 6;
    let key = PrivateKey::generate(2048).unwrap();
    let (wrapped, start) = (wrapped(key.public_key()), Barrier::new(THREADS));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                start.wait();
                for _ in 0..60 {
                    assert!(unwraps(&key, &wrapped));
                    assert_eq!(key.pkcs8_der().unwrap()[0], 0x30);
                }
            });
        }
    });
    Needle::of(&key).assert_closed();
}

#[test]
fn keys_that_come_and_go_in_threads_leave_nothing() {
    passes("child_with_keys_that_come_and_go");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_with_keys_that_come_and_go() {
    let der = PrivateKey::generate(2048).unwrap().pkcs8_der().unwrap();
    let come_and_go = || {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let key = PrivateKey::from_pkcs8_der(&der).unwrap();
                        let wrapped = wrapped(key.public_key());
                        std::thread::scope(|scope| {
                            scope.spawn(|| assert!(unwraps(&key, &wrapped)));
                            assert!(unwraps(&key, &wrapped));
                        });
                    }
                });
            }
        });
    };
    come_and_go();
    let before = status();
    come_and_go();
    let after = status();
    assert!(
        after.locked_bytes <= before.locked_bytes,
        "{before:?} {after:?}"
    );
    assert_eq!(after.locked_bytes, vm_locked_bytes());
}

#[test]
fn stray_read_of_a_key_faults() {
    dies_by(libc::SIGSEGV, "child_that_reads_a_key");
}

#[test]
#[ignore = "dies"]
fn child_that_reads_a_key() {
    let key = PrivateKey::generate(2048).unwrap();
    let (at, _) = Needle::of(&key).places()[0];
    // SAFETY: none; that it faults is what this tests.
    unsafe { (at as *const u8).read_volatile() };
}

#[test]
fn forked_child_keeps_keys_closed() {
    passes("child_that_forks_with_a_key");
}

#[test]
fn hidden_memory_keeps_keys_closed() {
    passes("child_that_hides_and_forks_with_a_key");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_that_forks_with_a_key() {
    let key = PrivateKey::generate(2048).unwrap();
    let needle = Needle::of(&key);
    assert!(in_child(|| {
        needle.assert_closed();
        assert!(matches!(key.unwrap(&[0; 256]), Err(Error::Forked)));
        drop(key);
        assert!(needle.places().is_empty());
        let own = PrivateKey::generate(2048).unwrap();
        Needle::of(&own).assert_closed();
        unwraps(&own, &wrapped(own.public_key()))
    }));
}

#[test]
fn child_that_is_forked_while_threads_use_a_key_finds_it_closed() {
    passes("child_that_forks_during_uses");
}

#[test]
#[ignore = "needs the process to itself"]
fn child_that_forks_during_uses() {
    let key = &PrivateKey::generate(2048).unwrap();
    let (needle, wrapped) = (Needle::of(key), &wrapped(key.public_key()));
    let stop = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                assert!(unwraps(key, wrapped));
            }
        });
        // This takes microseconds, and nothing before it waits for the fork.
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(key.pkcs8_der().unwrap()[0], 0x30);
            }
        });
        let all_closed = (0..30).all(|_| {
            in_child(|| {
                needle.assert_closed();
                true
            })
        });
        stop.store(true, Ordering::Relaxed);
        assert!(all_closed);
    });
    needle.assert_closed();
}

#[test]
#[ignore = "needs the process to itself"]
fn child_that_hides_and_forks_with_a_key() {
    let key = PrivateKey::generate(2048).unwrap();
    let needle = Needle::of(&key);
    let wrapped = wrapped(key.public_key());
    let (at, _) = needle.places()[0];
    hidden::hide_memory().unwrap();
    let is_closed = || {
        let mapping = locked::mapping_of(at);
        !mapping.has("rd") && !nomyo_core::os::others_can_read(at as *const u8).unwrap()
    };
    assert!(is_closed() && needle.places().is_empty());
    assert!(unwraps(&key, &wrapped) && is_closed());
    assert!(in_child(|| {
        assert!(is_closed() && matches!(key.unwrap(&wrapped), Err(Error::Forked)));
        drop(key);
        let own = PrivateKey::generate(2048).unwrap();
        unwraps(&own, &self::wrapped(own.public_key()))
    }));
}

#[test]
fn little_memory_still_holds_a_key_that_is_open() {
    passes_limited(&Memlock("65536"), "child_with_little_memory");
}

#[test]
#[ignore = "runs under a limit of its own"]
fn child_with_little_memory() {
    let key = PrivateKey::generate(2048).unwrap();
    assert!(unwraps(&key, &wrapped(key.public_key())));
}
