//! What the reader of the outer JSON object accepts, and what it refuses.

use nomyo_core::Error;
use nomyo_core::package::{MAX_DEPTH, MAX_NAMES, Number, parse};

#[global_allocator]
static ARENA: nomyo_core::arena::Arena = nomyo_core::arena::Arena;

const PAYLOAD: &str = r#""encrypted_payload":{"ciphertext":"++//","nonce":"AAAAAAAAAAAAAAAA","tag":"AAAAAAAAAAAAAAAAAAAAAA=="}"#;
const VERSION: &str = r#""version":"1.0""#;
const ALGORITHM: &str = r#""algorithm":"hybrid-aes256-rsa4096""#;
const KEY: &str = r#""encrypted_aes_key":"QUJD""#;
const KEY_ALGORITHM: &str = r#""key_algorithm":"RSA-OAEP-SHA256""#;
const PAYLOAD_ALGORITHM: &str = r#""payload_algorithm":"AES-256-GCM""#;
const FIELDS: [&str; 6] = [
    VERSION,
    ALGORITHM,
    PAYLOAD,
    KEY,
    KEY_ALGORITHM,
    PAYLOAD_ALGORITHM,
];

fn object(fields: &[&str]) -> String {
    format!("{{{}}}", fields.join(","))
}

fn with(extra: &str) -> String {
    object(&[&FIELDS[..], &[extra]].concat())
}

#[track_caller]
fn accepted(text: &str) {
    assert!(parse(text.as_bytes()).is_ok(), "should be read: {text}");
}

#[track_caller]
fn refused(text: &str) {
    assert!(
        matches!(parse(text.as_bytes()), Err(Error::Package)),
        "should be refused: {text}"
    );
}

#[test]
fn test_fields_come_in_any_order_with_any_white_space() {
    let mut reversed = FIELDS;
    reversed.reverse();
    accepted(&object(&reversed));
    let spaced = with(r#""x":[ ]"#)
        .replace(':', " \t: \r\n")
        .replace(',', "\n,\n");
    accepted(&format!(" {spaced}\n"));
}

#[test]
fn test_each_field_is_needed_once() {
    accepted(&object(&FIELDS));
    for left_out in 0..FIELDS.len() {
        let mut fewer = FIELDS.to_vec();
        let field = fewer.remove(left_out);
        refused(&object(&fewer));
        refused(&object(&[&FIELDS[..], &[field]].concat()));
    }
    refused(&with(r#""x":1,"x":1"#));
    refused(&with(r#""\u0076ersion":"1.0""#));
    for name in ["ciphertext", "nonce", "tag"] {
        let renamed = format!("\"{name}2\"");
        refused(&with("\"x\":0").replace(&format!("\"{name}\""), &renamed));
    }
    for again in [
        r#""tag":"AAAAAAAAAAAAAAAAAAAAAA==""#,
        r#""ciphertext":"""#,
        r#""x":1,"x":2"#,
    ] {
        refused(&with("\"y\":0").replace("\"ciphertext\"", &format!("{again},\"ciphertext\"")));
    }
}

#[test]
fn test_version_and_algorithms_are_exact() {
    for wrong in ["\"1.1\"", "\"1.0 \"", "\"\"", "1.0", "null", "[\"1.0\"]"] {
        refused(&with("\"x\":0").replace("\"1.0\"", wrong));
    }
    refused(&with("\"x\":0").replace("rsa4096", "rsa2048"));
    for (right, wrong) in [
        ("\"RSA-OAEP-SHA256\"", "\"RSA-OAEP-SHA1\""),
        ("\"AES-256-GCM\"", "\"AES-128-GCM\""),
        ("\"AES-256-GCM\"", "null"),
    ] {
        refused(&with("\"x\":0").replace(right, wrong));
    }
}

#[test]
fn test_unknown_fields_are_skipped() {
    for value in [
        "0",
        "-0",
        "1.5e-3",
        "true",
        "false",
        "null",
        "\"\"",
        "[]",
        "{}",
        "[1,[2,{\"a\":\"b\"}]]",
        "\"\\u00e9\\ud83d\\ude00\\n\"",
        "{\"a\":1,\"b\":[null]}",
        "\"é\"",
    ] {
        accepted(&with(&format!("\"x\":{value}")));
    }
    let inner = PAYLOAD.replace('{', "{\"more\":{\"version\":[]},");
    accepted(&with("\"x\":0").replace(PAYLOAD, &inner));
}

#[test]
fn test_what_is_not_json_is_refused() {
    for value in [
        "",
        "01",
        "1.",
        ".5",
        "+1",
        "-",
        "1e",
        "0x1",
        "NaN",
        "Infinity",
        "tru",
        "nul",
        "True",
        "'a'",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\u12\"",
        "\"a\nb\"",
        "\"\t\"",
        "[1,]",
        "[,]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{\"a\":1,}",
        "]",
        "\"",
        "/**/1",
        "1;",
        "{\"a\":1,\"a\":2}",
    ] {
        refused(&with(&format!("\"x\":{value}")));
    }
    for text in ["", " ", "null", "[]", "\"\"", "{}", "{", "\u{feff}{}"] {
        refused(text);
    }
    let text = with("\"x\":0");
    refused(&format!("\u{feff}{text}"));
    refused(&format!("{text}{text}"));
    refused(&format!("{text}\0"));
}

#[test]
fn test_text_that_is_not_utf8_is_refused() {
    for bytes in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf"] {
        for place in ["\"x\":\"?\"", "\"?\":0", "\"x\":[\"?\"]"] {
            let mut text = with(place).into_bytes();
            let at = text
                .iter()
                .position(|&byte| byte == b'?')
                .expect("the place");
            text.splice(at..=at, bytes.iter().copied());
            assert!(parse(&text).is_err(), "{place} {bytes:?}");
        }
    }
    refused(&with(r#""\ud800":0"#));
    refused(&with(r#""\udc00":0"#));
    refused(&with(r#""\ud800\u0041":0"#));
}

#[test]
fn test_escapes_in_base64_are_what_they_stand_for() {
    let plain = with("\"x\":0");
    for (from, to) in [
        ("++//", r"++\/\/"),
        ("++//", r"\u002b+\u002F/"),
        ("QUJD", r"\u0051UJD"),
    ] {
        let text = plain.replace(from, to);
        let fields = parse(text.as_bytes()).expect(to);
        assert_eq!(&fields.ciphertext[..], b"++//");
        assert_eq!(&fields.wrapped_key[..], b"QUJD");
    }
    for wrong in [r"++/\n", r"++/\u00e9", r"\u002", r"++//\", r"++\\/"] {
        refused(&plain.replace("++//", wrong));
    }
    accepted(&plain.replace("nonce", r"n\u006fnce"));
    accepted(&plain.replace("\"1.0\"", r#""1\u002e0""#));
}

#[test]
fn test_nonce_and_tag_have_their_lengths() {
    for (from, to) in [
        ("\"AAAAAAAAAAAAAAAA\"", "\"AAAAAAAAAAAAAAA=\""),
        ("\"AAAAAAAAAAAAAAAA\"", "\"AAAAAAAAAAAAAAAAAA==\""),
        ("\"AAAAAAAAAAAAAAAA\"", "\"\""),
        (
            "\"AAAAAAAAAAAAAAAAAAAAAA==\"",
            "\"AAAAAAAAAAAAAAAAAAAAAAA=\"",
        ),
        ("\"AAAAAAAAAAAAAAAAAAAAAA==\"", "\"AAAAAAAAAAAAAAAAAAAAAA\""),
        (
            "\"AAAAAAAAAAAAAAAAAAAAAA==\"",
            "\"AAAAAAAAAAAAAAAAAAAAAB==\"",
        ),
        ("\"AAAAAAAAAAAAAAAAAAAAAA==\"", "null"),
        ("\"++//\"", "\"-_--\""),
        ("\"++//\"", "0"),
    ] {
        let text = with("\"x\":0");
        assert!(text.contains(from));
        refused(&text.replace(from, to));
    }
    accepted(&with("\"x\":0").replace("\"++//\"", "\"\""));
}

#[test]
fn test_processed_at_is_a_number_or_null() {
    let read = |value: &str| {
        let text = with(&format!("\"processed_at\":{value}"));
        parse(text.as_bytes()).map(|fields| fields.processed_at)
    };
    assert_eq!(
        read("1765432100").expect("read"),
        Some(Number::Integer(1_765_432_100))
    );
    assert_eq!(read("-3").expect("read"), Some(Number::Integer(-3)));
    assert_eq!(read("1.5").expect("read"), Some(Number::Float(1.5)));
    assert_eq!(read("2E3").expect("read"), Some(Number::Float(2000.0)));
    assert_eq!(read("null").expect("read"), None);
    for wrong in [
        "\"1\"",
        "true",
        "[]",
        "{}",
        "1e999",
        "9223372036854775808",
        "01",
        "nul",
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn test_depth_and_number_of_names_are_bounded() {
    let depth = MAX_DEPTH as usize;
    let nested = |depth: usize| format!("\"x\":{}{}", "[".repeat(depth), "]".repeat(depth));
    accepted(&with(&nested(depth)));
    refused(&with(&nested(depth + 1)));
    refused(&with(&nested(1_000_000)));
    refused(&with(&format!("\"x\":{}", "{\"a\":".repeat(1_000_000))));
    let many = |count: usize| {
        let names: Vec<String> = (0..count).map(|at| format!("\"n{at}\":0")).collect();
        with(&names.join(","))
    };
    accepted(&many(MAX_NAMES - FIELDS.len()));
    refused(&many(MAX_NAMES - FIELDS.len() + 1));
    refused(&with(&format!("\"{}\":0", "n".repeat(1000))));
}

#[test]
fn test_random_alterations_never_panic() {
    let text =
        with(r#""x":[{"y":"\u00e9\ud83d\ude00\/"},-1.5e3,null],"processed_at":17.5"#).into_bytes();
    let alphabet = b"{}[]\",:\\ud0eE+-./aA1= \n\xff\x00";
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut read = 0;
    for _ in 0..200_000 {
        let mut altered = text.clone();
        for _ in 0..=next(3) {
            let at = next(altered.len());
            match next(3) {
                0 => altered[at] = alphabet[next(alphabet.len())],
                1 => drop(altered.remove(at)),
                _ => altered.insert(at, alphabet[next(alphabet.len())]),
            }
        }
        read += usize::from(parse(&altered).is_ok());
    }
    assert!(read > 100, "some alterations do no harm");
}
