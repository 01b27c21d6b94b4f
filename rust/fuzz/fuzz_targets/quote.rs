//! A TPM's quote, its signature and key, and certificates. Only a quote that a TPM made is accepted.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nomyo_core::attestation::{Bank, Outcome, Statement, endorsement, examine};

const QUOTES: [&[u8]; 4] = [
    include_bytes!("../../core/tests/fixtures/quotes/rsassa_sha256.msg"),
    include_bytes!("../../core/tests/fixtures/quotes/rsapss_sha384.msg"),
    include_bytes!("../../core/tests/fixtures/quotes/ecdsa_p256_sha256.msg"),
    include_bytes!("../../core/tests/fixtures/quotes/ecdsa_p384_sha384.msg"),
];
/// Qualifying data is the first 16 bytes of the input.
const QUALIFYING_BYTES: usize = 16;

fuzz_target!(|input: &[u8]| {
    nomyo_core::init();
    let Some((qualifying_data, rest)) = input.split_at_checked(QUALIFYING_BYTES) else {
        return;
    };
    let [quote, signature, public, value, certificate] = pieces(rest);
    let pcrs = [(Bank::Sha256, 0, value), (Bank::Sha384, 7, value)];
    let statement = Statement {
        quote,
        signature,
        public,
        qualifying_data,
        pcrs: &pcrs,
    };
    let findings = examine(&statement).expect("memory and stack");
    if findings.signature == Outcome::Passed {
        assert!(QUOTES.contains(&quote), "a signature that no TPM made");
    }
    let judged = endorsement(public, &[certificate], &[certificate], 1_790_000_000);
    assert!(!matches!(
        judged.expect("memory and stack"),
        Outcome::Passed
    ));
});

/// Takes pieces of text, each behind its length in two bytes; the last takes the rest.
fn pieces<const N: usize>(mut rest: &[u8]) -> [&[u8]; N] {
    let mut pieces = [&rest[..0]; N];
    for piece in &mut pieces {
        let Some((length, behind)) = rest.split_first_chunk() else {
            break;
        };
        let length = usize::from(u16::from_be_bytes(*length)).min(behind.len());
        (*piece, rest) = behind.split_at(length);
    }
    pieces
}
