//! The outer object of a package. What is accepted, another reader of JSON accepts too, with the same fields.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nomyo_core::package::{self, MAX_DEPTH};
use nomyo_fuzz::judge::{Judgement, judge, levels};

fuzz_target!(|text: &[u8]| {
    let Ok(fields) = package::parse(text) else {
        return;
    };
    match judge(text) {
        Judgement::Object(value) => {
            assert_eq!(value["version"], package::VERSION);
            let payload = &value["encrypted_payload"];
            assert_eq!(
                payload["ciphertext"].as_str().map(str::as_bytes),
                Some(&*fields.ciphertext)
            );
            assert_eq!(
                value["encrypted_aes_key"].as_str().map(str::as_bytes),
                Some(&*fields.wrapped_key)
            );
            assert!(levels(&value) as u32 <= MAX_DEPTH + 1);
        }
        Judgement::Refused(reason) => {
            // A lone surrogate in a text that nobody reads.
            assert!(
                reason.contains("surrogate") || reason.contains("hex escape"),
                "{reason}"
            );
        }
        Judgement::Unknown => {}
    }
});
