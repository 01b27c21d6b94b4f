//! Keys as PEM, without and with a password. A key that is read is written in a form that reads back as the same key.
//!
//! An input that does not look like PEM is DER behind one byte, which chooses the label: few mutations of base64 are
//! base64 again.

#![no_main]

use base64_simd::STANDARD;
use libfuzzer_sys::fuzz_target;
use nomyo_core::crypto::rsa::PublicKey;
use nomyo_core::pem::{private_from_pem, private_to_pem};

const LABELS: [&str; 3] = ["PUBLIC KEY", "PRIVATE KEY", "ENCRYPTED PRIVATE KEY"];
/// The password of the encrypted seeds.
const PASSWORD: &[u8] = "korrekt Pferd Bätterie".as_bytes();

fuzz_target!(|input: &[u8]| {
    nomyo_core::init();
    if input.starts_with(b"-") {
        read_pem(input);
    } else if let Some((choice, der)) = input.split_first() {
        let label = LABELS[usize::from(*choice) % LABELS.len()];
        let base64 = STANDARD.encode_to_string(der);
        read_pem(format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n").as_bytes());
    }
});

fn read_pem(text: &[u8]) {
    if let Ok(key) = PublicKey::from_pem(text) {
        let again = PublicKey::from_pem(key.pem().as_bytes()).expect("our own form");
        assert_eq!(key.fingerprint(), again.fingerprint());
    }
    let mut keys = vec![private_from_pem(text, None)];
    // The JavaScript client's form has the label of a plain key, and takes 100,000 rounds for each try.
    if text.starts_with(b"-----BEGIN ENCRYPTED") || text.len() % 64 == 1 {
        keys.push(private_from_pem(text, Some(PASSWORD)));
    }
    for key in keys.into_iter().flatten() {
        let written = private_to_pem(&key, None).expect("a plain form");
        let again = private_from_pem(&written, None).expect("our own form");
        assert_eq!(
            key.public_key().fingerprint(),
            again.public_key().fingerprint()
        );
    }
}
