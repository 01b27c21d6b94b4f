//! The check of a whole text, and the search for the parts of an answer. The check agrees with another reader, and the
//! search finds no fault in what the check passed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nomyo_core::json::bounds::DEEPEST;
use nomyo_core::json::check::check_object;
use nomyo_core::json::parts::{Parts, find_parts};
use nomyo_core::json::unescape::{unescape_into, unescaped_len};
use nomyo_fuzz::judge::{Judgement, TWICE, judge, levels, without_python_only};
use serde_json::Value;
use std::ops::Range;

fuzz_target!(|text: &[u8]| match (check_object(text), judge(text)) {
    (Ok(found), judgement) => {
        let Ok(parts) = find_parts(text) else {
            panic!("the search refused what the check passed");
        };
        match judgement {
            Judgement::Object(value) => {
                assert_eq!(found, levels(&value));
                compare_parts(text, parts, &value);
            }
            Judgement::Refused(_) => accept_but_for_python_only(text),
            Judgement::Unknown => {}
        }
    }
    (Err(_), Judgement::Object(value)) => assert!(levels(&value) > DEEPEST + 1),
    (Err(_), _) => {}
});

/// The other reader takes it too, once what Python alone takes is replaced. Names may become equal by that.
fn accept_but_for_python_only(text: &[u8]) {
    let replaced = without_python_only(text);
    if let Judgement::Refused(reason) = judge(&replaced) {
        assert!(replaced != text && reason.contains(TWICE), "{reason}");
    }
}

fn compare_parts(text: &[u8], parts: Parts, value: &Value) {
    compare(text, parts.id, value.get("id"));
    compare(text, parts.model, value.get("model"));
    compare(text, parts.usage, value.get("usage"));
    compare(text, parts.metadata, value.get("_metadata"));
    let choice = value.get("choices").and_then(|choices| choices.get(0));
    compare(
        text,
        parts.choice.finish_reason,
        choice.and_then(|choice| choice.get("finish_reason")),
    );
    let content = choice.and_then(|choice| choice.get("message")?.get("content")?.as_str());
    let found = parts.choice.content.map(|quoted| {
        let raw = &text[quoted.content];
        let mut room = vec![0; unescaped_len(raw).expect("well formed")];
        unescape_into(raw, &mut room).expect("well formed");
        room
    });
    assert_eq!(found.as_deref(), content.map(str::as_bytes));
}

fn compare(text: &[u8], found: Option<Range<usize>>, value: Option<&Value>) {
    assert_eq!(found.is_some(), value.is_some());
    if let (Some(range), Some(value)) = (found, value) {
        let read: Value = serde_json::from_slice(&text[range]).unwrap_or(Value::Null);
        // Deep values exceed the limit of the short way to read them.
        assert!(read == *value || levels(value) > 100);
    }
}
