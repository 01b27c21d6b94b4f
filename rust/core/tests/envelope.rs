//! Packages are sealed and opened, refused if any byte is altered, and read from another implementation.

use nomyo_core::Error;
use nomyo_core::crypto::rsa::PrivateKey;
use nomyo_core::envelope::{Number, Package, Sealed, Sealer, WINDOW_BYTES};
use nomyo_core::pem::private_from_pem;
use std::sync::LazyLock;

#[global_allocator]
static ARENA: nomyo_core::arena::Arena = nomyo_core::arena::Arena;

static KEY: LazyLock<PrivateKey> = LazyLock::new(|| {
    private_from_pem(include_bytes!("fixtures/private.pem"), None).expect("the fixture's key")
});
const LIMIT: usize = 10 << 20;
/// The plaintext that `fixtures/make.py` sealed.
const FIXTURE_PLAINTEXT: &str = r#"{"choices": [{"message": {"content": "grüß Gott"}}]}"#;

#[test]
fn test_what_was_sealed_opens_at_every_size_around_a_boundary() {
    let window = WINDOW_BYTES;
    let sizes = [
        0,
        1,
        2,
        3,
        4,
        200,
        2047,
        3000,
        4096,
        5000,
        window - 1,
        window,
        window + 1,
    ];
    for size in sizes
        .into_iter()
        .chain([2 * window + 1, 100_000, 1_000_003])
    {
        let plaintext = pattern(size);
        let package = seal(&plaintext, None);
        assert!(open(&package).expect("opens") == plaintext, "{size} bytes");
    }
}

#[test]
fn test_how_the_plaintext_was_cut_does_not_matter() {
    let plaintext = pattern(100_000);
    for piece in [1, 2, 3, 1000, 4096, 40_000] {
        let mut sealer = Sealer::new(LIMIT).expect("a sealer");
        for (at, part) in plaintext.chunks(piece).enumerate() {
            if at % 2 == 0 || part.len() > 4096 {
                sealer.write(part).expect("room");
            } else {
                sealer.window(part.len()).expect("room")[..part.len()].copy_from_slice(part);
                sealer.advance(part.len()).expect("room");
            }
        }
        assert_eq!(sealer.written(), plaintext.len());
        let package = sealer.finish(KEY.public_key(), None).expect("a package");
        assert!(
            open(&package).expect("opens") == plaintext,
            "pieces of {piece}"
        );
    }
}

#[test]
fn test_package_has_the_layout_of_the_public_client() {
    let package = seal(b"{}", None);
    let text = std::str::from_utf8(&package).expect("text");
    let parts = [
        (
            "{\"version\": \"1.0\", \"algorithm\": \"hybrid-aes256-rsa4096\", ",
            0,
        ),
        ("\"encrypted_payload\": {\"ciphertext\": \"", 4),
        ("\", \"nonce\": \"", 16),
        ("\", \"tag\": \"", 24),
        ("\"}, \"encrypted_aes_key\": \"", 344),
        (
            "\", \"key_algorithm\": \"RSA-OAEP-SHA256\", \"payload_algorithm\": \"AES-256-GCM\"}",
            0,
        ),
    ];
    let mut rest = text;
    for (fixed, base64_chars) in parts {
        rest = &rest.strip_prefix(fixed).expect(fixed)[base64_chars..];
    }
    assert!(rest.is_empty());
    let dated = seal(b"{}", Some(-1765432100));
    assert!(dated.ends_with(b"\"AES-256-GCM\", \"processed_at\": -1765432100}"));
}

#[test]
fn test_every_package_has_its_own_key_and_nonce() {
    let (one, other) = (seal(b"same", None), seal(b"same", None));
    for field in ["ciphertext", "nonce", "tag", "encrypted_aes_key"] {
        assert_ne!(
            string_field(&one, field),
            string_field(&other, field),
            "{field}"
        );
    }
}

#[test]
fn test_plaintext_beyond_the_limit_is_refused() {
    let mut sealer = Sealer::new(10).expect("a sealer");
    sealer.write(b"0123456789").expect("room");
    assert!(matches!(sealer.write(b"!"), Err(Error::Value(_))));
    let mut sealer = Sealer::new(10).expect("a sealer");
    sealer.window(11).expect("room");
    assert!(matches!(sealer.advance(11), Err(Error::Value(_))));
    assert!(matches!(sealer.window(4097), Err(Error::Value(_))));
}

#[test]
fn test_package_of_another_implementation_opens() {
    let package = include_bytes!("fixtures/package.json");
    let sealed = Sealed::parse(package).expect("the outer shape");
    assert_eq!(sealed.processed_at(), Some(Number::Integer(1_765_432_100)));
    assert_eq!(
        sealed.open(&KEY).expect("opens"),
        FIXTURE_PLAINTEXT.as_bytes()
    );
}

#[test]
fn test_wrapped_key_of_another_length_fails_like_any_alteration() {
    for package in [
        &include_bytes!("fixtures/package_key_of_16_bytes.json")[..],
        include_bytes!("fixtures/package_key_of_33_bytes.json"),
    ] {
        let sealed = Sealed::parse(package).expect("the outer shape");
        assert!(matches!(sealed.open(&KEY), Err(Error::Package)));
    }
}

#[test]
fn test_package_for_another_key_fails() {
    let package = seal(b"{}", None);
    let other = PrivateKey::generate(2048).expect("a key");
    assert!(matches!(
        Sealed::parse(&package).expect("shape").open(&other),
        Err(Error::Package)
    ));
    let longer = PrivateKey::generate(4096).expect("a key");
    assert!(matches!(
        Sealed::parse(&package).expect("shape").open(&longer),
        Err(Error::Package)
    ));
}

#[test]
fn test_package_opens_in_the_context_alone_that_it_was_sealed_for() {
    let bound = sealed_in(b"a row");
    let plain = sealed_in(b"");
    let opened = |package, context| {
        let sealed = Sealed::parse(package).expect("shape");
        sealed.bound_to(context).open(&KEY)
    };
    assert_eq!(opened(&bound, b"a row").expect("opens"), b"{}");
    assert_eq!(open(&plain).expect("opens"), b"{}");
    for (package, context) in [
        (&bound, &b""[..]),
        (&bound, b"a rox"),
        (&bound, b"a row "),
        (&plain, b"a row"),
    ] {
        assert!(matches!(opened(package, context), Err(Error::Package)));
    }
}

#[test]
fn test_every_truncation_and_every_appended_byte_fails() {
    let package = seal(b"{\"a\": 1}", Some(5));
    for len in 0..package.len() {
        assert!(
            matches!(open(&package[..len]), Err(Error::Package)),
            "{len} bytes"
        );
    }
    for extra in [b'}', b'x', 0, b','] {
        let longer = [&package[..], &[extra]].concat();
        assert!(matches!(open(&longer), Err(Error::Package)));
    }
    let spaced = [b" \t\r\n", &package[..], b" \t\r\n"].concat();
    open(&spaced).expect("white space around a JSON text is part of it");
}

#[test]
fn test_every_altered_byte_fails() {
    let package = seal(b"{\"a\": 1}", None);
    for at in 0..package.len() {
        for flip in [0x01, 0x20, 0x80] {
            let mut altered = package.to_vec();
            altered[at] ^= flip;
            assert!(
                matches!(open(&altered), Err(Error::Package)),
                "byte {at} ^ {flip:#x}"
            );
        }
    }
}

#[test]
fn test_base64_that_is_not_canonical_fails() {
    let package = seal(b"\0", None);
    let text = String::from_utf8(package.to_vec()).expect("text");
    let base64 = string_field(&package, "ciphertext").to_owned();
    assert!(base64.ends_with("=="));
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = digits
        .iter()
        .position(|&digit| digit == base64.as_bytes()[1])
        .expect("a digit");
    let last = char::from(digits[value ^ 1]);
    let variants = [
        format!("{}{last}==", &base64[..1]),
        base64.trim_end_matches('=').to_owned(),
        format!("{} {}", &base64[..2], &base64[2..]),
        format!("{base64}===="),
        format!("{base64}{base64}"),
        "====".to_owned(),
    ];
    for variant in variants {
        let altered = text.replace(&format!("\"{base64}\""), &format!("\"{variant}\""));
        assert_ne!(altered, text);
        assert!(Sealed::parse(altered.as_bytes()).is_err(), "{variant}");
    }
}

#[test]
fn test_threads_share_one_key() {
    let package = seal(&pattern(5000), None);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert!(open(&package).expect("opens") == pattern(5000));
                }
            });
        }
    });
}

fn seal(plaintext: &[u8], processed_at: Option<i64>) -> Package {
    let mut sealer = Sealer::new(LIMIT).expect("a sealer");
    sealer.write(plaintext).expect("room");
    sealer
        .finish(KEY.public_key(), processed_at)
        .expect("a package")
}

fn sealed_in(context: &[u8]) -> Package {
    let mut sealer = Sealer::bound_to(context, LIMIT).expect("a sealer");
    sealer.write(b"{}").expect("room");
    sealer.finish(KEY.public_key(), None).expect("a package")
}

fn open(package: &[u8]) -> Result<Vec<u8>, Error> {
    Sealed::parse(package)?.open(&KEY)
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 31 % 251) as u8).collect()
}

fn find(text: &[u8], part: &[u8]) -> usize {
    text.windows(part.len())
        .position(|window| window == part)
        .expect("a part")
}

fn string_field<'a>(package: &'a [u8], name: &str) -> &'a str {
    let start = find(package, format!("\"{name}\": \"").as_bytes()) + name.len() + 5;
    let len = find(&package[start..], b"\"");
    std::str::from_utf8(&package[start..start + len]).expect("text")
}
