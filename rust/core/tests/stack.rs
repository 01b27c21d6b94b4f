//! Measures how deep operations go on the stack, and tests that scrubbing reaches that deep.
#![cfg(target_os = "linux")]

mod painted_stack;

use nomyo_core::arena::Arena;
use nomyo_core::crypto::rsa::PrivateKey;
use nomyo_core::stack::{
    NEEDED_BYTES, ON_UNKNOWN_STACK_BYTES, SCRUB_BYTES, check_room, scrub, scrubbed,
};
use painted_stack::{STACK_BYTES, Stack, leave_deep};
use std::ptr::null_mut;
use std::time::{Duration, Instant};

#[global_allocator]
static ARENA: Arena = Arena;

/// AWS-LC itself, without the scrubbing around it.
mod bare {
    use super::*;
    use aws_lc_sys as ffi;

    pub fn generate() -> *mut ffi::RSA {
        // SAFETY: fresh objects; the exponent is released once.
        unsafe {
            let (rsa, exponent) = (ffi::RSA_new(), ffi::BN_new());
            assert_eq!(ffi::BN_set_word(exponent, 65_537), 1);
            assert_eq!(ffi::RSA_generate_key_ex(rsa, 4096, exponent, null_mut()), 1);
            ffi::BN_free(exponent);
            rsa
        }
    }

    pub fn sign(rsa: *mut ffi::RSA) {
        let (digest, mut out, mut len) = ([7_u8; 32], vec![0_u8; 512], 0);
        let padding = ffi::RSA_PKCS1_PADDING;
        // SAFETY: the buffers have the lengths that are passed.
        let answer = unsafe {
            let room = out.len();
            ffi::RSA_sign_raw(
                rsa,
                &raw mut len,
                out.as_mut_ptr(),
                room,
                digest.as_ptr(),
                32,
                padding,
            )
        };
        assert_eq!((answer, len), (1, 512));
    }

    pub fn free(rsa: *mut ffi::RSA) {
        // SAFETY: made by `generate`, released once.
        unsafe { ffi::RSA_free(rsa) };
    }
}

#[test]
fn scrubbing_reaches_as_deep_as_the_deepest_operation() {
    nomyo_core::init();
    // The first one also seeds the random generator.
    let (mut first, mut second) = (null_mut(), null_mut());
    let seeding = Stack::after(|| first = bare::generate()).depth();
    let generating = Stack::after(|| second = bare::generate()).depth();
    let signing = Stack::after(|| bare::sign(first)).depth();
    println!(
        "seeding and generating {seeding}, generating {generating}, private operation {signing}"
    );
    bare::free(first);
    bare::free(second);
    assert!(signing > 100, "nothing was measured");
    // A margin, since AWS-LC runs other code on other processors.
    let deepest = seeding.max(generating).max(signing);
    assert!(deepest * 3 / 2 <= SCRUB_BYTES, "{deepest}");
    assert!(deepest * 3 / 2 <= NEEDED_BYTES, "{deepest}");
    assert!(deepest <= ON_UNKNOWN_STACK_BYTES, "{deepest}");
}

#[test]
fn scrub_covers_what_it_promises() {
    let stack = Stack::after(scrub);
    assert!(
        (SCRUB_BYTES..SCRUB_BYTES + 4096).contains(&stack.depth()),
        "{}",
        stack.depth()
    );
}

#[test]
fn nothing_that_ran_below_is_left() {
    let secret = *b"a secret of thirty-two bytes ...";
    let hidden: Vec<u8> = secret.iter().map(|byte| byte ^ 0xFF).collect();
    assert!(Stack::after(|| leave_deep(&hidden)).holds(&secret));
    assert!(!Stack::after(|| scrubbed(|| leave_deep(&hidden))).holds(&secret));
    let panicking = Stack::after(|| {
        let caught = std::panic::catch_unwind(|| scrubbed(|| leave_and_panic(&hidden)));
        assert!(caught.is_err());
    });
    assert!(!panicking.holds(&secret));
}

#[inline(never)]
fn leave_and_panic(hidden: &[u8]) {
    leave_deep(hidden);
    std::panic::resume_unwind(Box::new(()));
}

#[test]
fn no_part_of_a_private_key_is_left_by_its_operations() {
    // The first thread to draw random bytes seeds the generator, too.
    for len in [STACK_BYTES, 64 << 10, 32 << 10] {
        no_part_of_a_private_key_is_left_on(len);
    }
}

fn no_part_of_a_private_key_is_left_on(len: usize) {
    nomyo_core::init();
    let mut made = None;
    let generating = Stack::of(len, || made = Some(PrivateKey::generate(4096).unwrap()));
    let key = made.unwrap();
    let der = key.pkcs8_der().unwrap();
    let mut wrapped = vec![0; 512];
    key.public_key().wrap(&[7; 32], &mut wrapped).unwrap();
    let unwrapping = Stack::of(len, || drop(key.unwrap(&wrapped).unwrap()));
    let writing = Stack::of(len, || drop(key.pkcs8_der().unwrap()));
    let reading = Stack::of(len, || drop(PrivateKey::from_pkcs8_der(&der).unwrap()));
    let stacks = [
        ("generate", generating),
        ("unwrap", unwrapping),
        ("write", writing),
        ("read", reading),
    ];
    for (name, stack) in &stacks {
        for (number, secret) in private_numbers(&der).iter().enumerate() {
            assert_no_piece(
                stack,
                secret,
                &format!("{name}, number {number}, stack of {len}"),
            );
        }
    }
    let aes_key = &stacks[1].1;
    assert!(!aes_key.holds(&[7; 32]), "the AES key is left by unwrap");
}

/// Asserts that no 16 bytes of the number stand in a row on the stack, in either order: a limb or a register would
/// leave them.
fn assert_no_piece(stack: &Stack, number: &[u8], name: &str) {
    let reversed: Vec<u8> = number.iter().rev().copied().collect();
    let mut pieces = std::collections::HashSet::new();
    for order in [number, &reversed] {
        pieces.extend(order.windows(16).map(<[u8]>::to_vec));
    }
    let left = stack
        .bytes()
        .windows(16)
        .position(|window| pieces.contains(window));
    assert_eq!(left, None, "{name}");
}

/// The contents of d, p, q, dP, dQ and qInv in a PKCS#8 RSA key (RFC 8017, A.1.2).
fn private_numbers(der: &[u8]) -> Vec<Vec<u8>> {
    let mut numbers = Vec::new();
    // Down into the SEQUENCEs and the OCTET STRING that wraps RSAPrivateKey.
    let mut at = 0;
    while at < der.len() {
        let (tag, start, len) = header(der, at);
        match tag {
            0x30 | 0x04 => at = start,
            0x02 => {
                numbers.push(der[start..start + len].to_vec());
                at = start + len;
            }
            _ => at = start + len,
        }
    }
    // Two versions, n and e come before them.
    assert_eq!(numbers.len(), 10);
    numbers.split_off(4)
}

/// Returns the tag of the element at `at`, and the start and length of its content.
fn header(der: &[u8], at: usize) -> (u8, usize, usize) {
    let first = usize::from(der[at + 1]);
    let octets = if first < 0x80 { 0 } else { first & 0x7F };
    let long = der[at + 2..at + 2 + octets]
        .iter()
        .fold(0, |sum, octet| sum << 8 | usize::from(*octet));
    (
        der[at],
        at + 2 + octets,
        if octets == 0 { first } else { long },
    )
}

/// The least time of many rounds, in which other processes have no part.
fn quickest(mut round: impl FnMut()) -> Duration {
    let times = (0..100).map(|_| {
        let start = Instant::now();
        round();
        start.elapsed()
    });
    times.min().unwrap()
}

#[test]
fn scrub_takes_microseconds() {
    let nanoseconds = quickest(|| (0..100).for_each(|_| scrub())).as_nanos() / 100;
    println!("one scrub: {nanoseconds} ns");
    assert!(nanoseconds < 20_000, "{nanoseconds}");
}

#[test]
fn to_ask_for_room_takes_nanoseconds() {
    let round = || (0..1000).for_each(|_| assert!(check_room().is_ok()));
    let picoseconds = quickest(round).as_nanos();
    println!("one look at what is left: {picoseconds} ps");
    assert!(picoseconds < 1_000_000, "{picoseconds}");
    drop(Stack::after(|| {
        let start = Instant::now();
        assert!(check_room().is_ok());
        println!(
            "the first look of a thread: {} ns",
            start.elapsed().as_nanos()
        );
    }));
}
