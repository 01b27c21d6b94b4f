//! A package that another implementation sealed, changed at will; and one of ours that is bound to a context. What opens
//! is what was sealed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nomyo_core::envelope::{Sealed, Sealer};
use nomyo_fuzz::{private_key, public_key};
use std::sync::OnceLock;

/// What rust/core/tests/fixtures/make.py sealed.
const PLAINTEXT: &str = r#"{"choices": [{"message": {"content": "grüß Gott"}}]}"#;
const CONTEXT: &[u8] = b"row 7";
/// Bytes of an edit: where, and what is added to the byte there.
const EDIT_BYTES: usize = 3;

fuzz_target!(|input: &[u8]| {
    if let Ok(sealed) = Sealed::parse(input)
        && let Ok(plaintext) = sealed.open(private_key())
    {
        assert_eq!(plaintext, PLAINTEXT.as_bytes());
    }
    let mut row = row().to_vec();
    for edit in input.chunks_exact(EDIT_BYTES).take(16) {
        let place = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % row.len();
        row[place] = row[place].wrapping_add(edit[2]);
    }
    if let Ok(sealed) = Sealed::parse(&row)
        && let Ok(plaintext) = sealed.bound_to(CONTEXT).open(private_key())
    {
        assert_eq!(plaintext, PLAINTEXT.as_bytes());
    }
    if let Ok(sealed) = Sealed::parse(&row) {
        assert!(sealed.open(private_key()).is_err());
    }
});

fn row() -> &'static [u8] {
    static ROW: OnceLock<Vec<u8>> = OnceLock::new();
    ROW.get_or_init(|| {
        let key = public_key();
        let mut sealer = Sealer::bound_to(CONTEXT, PLAINTEXT.len()).expect("a sealer");
        sealer.write(PLAINTEXT.as_bytes()).expect("room");
        sealer.finish(key, None).expect("a package").to_vec()
    })
}
