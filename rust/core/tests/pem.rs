//! Reads and writes keys as PEM: our own, OpenSSL's, and those that Python's `cryptography` wrote.

use nomyo_core::Error;
use nomyo_core::crypto::rsa::{PrivateKey, PublicKey};
use nomyo_core::pem::{private_from_pem, private_to_pem};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

#[global_allocator]
static ARENA: nomyo_core::arena::Arena = nomyo_core::arena::Arena;

const PRIVATE: &[u8] = include_bytes!("fixtures/private.pem");
const PUBLIC: &[u8] = include_bytes!("fixtures/public.pem");
const JAVASCRIPT: &[u8] = include_bytes!("fixtures/private_javascript.pem");
const PBES2: &[u8] = include_bytes!("fixtures/private_pbes2.pem");
const PASSWORD: &str = "korrekt Pferd Bätterie";

static KEY: LazyLock<PrivateKey> =
    LazyLock::new(|| private_from_pem(PRIVATE, None).expect("the fixture's key"));

#[test]
fn test_public_key_is_written_as_it_was_read() {
    let key = PublicKey::from_pem(PUBLIC).expect("a key");
    assert_eq!(key.pem().as_bytes(), PUBLIC);
    assert_eq!((key.bits(), key.modulus_len()), (2048, 256));
    assert_eq!(&key, KEY.public_key());
    assert_eq!(PublicKey::from_der(key.der()).expect("a key"), key);
}

#[test]
fn test_private_key_is_written_as_cryptography_and_openssl_write_it() {
    assert_eq!(private_to_pem(&KEY, None).expect("written"), PRIVATE);
}

#[test]
fn test_fingerprint_is_the_digest_of_the_der() {
    let Some(der) = openssl(&["pkey", "-pubin", "-outform", "DER"], PUBLIC) else {
        return;
    };
    let Some(digest) = openssl(&["dgst", "-sha256", "-binary"], &der) else {
        return;
    };
    let Some(base64) = openssl(&["base64", "-A"], &digest) else {
        return;
    };
    let expected = format!(
        "SHA256:{}",
        String::from_utf8_lossy(&base64).trim_end_matches('=')
    );
    assert_eq!(KEY.public_key().fingerprint(), expected);
}

#[test]
fn test_files_of_other_implementations_are_read() {
    for pem in [PBES2, JAVASCRIPT] {
        let key = private_from_pem(pem, Some(PASSWORD.as_bytes())).expect("a key");
        assert_eq!(key.public_key(), KEY.public_key());
    }
}

#[test]
fn test_text_around_a_block_and_the_form_of_lines_do_not_matter() {
    let variants = |text: &str| {
        [
            text.replace('\n', "\r\n"),
            text.replace('\n', "\r"),
            text.replace('\n', " \t\n"),
            text.replace('\n', "\n\n"),
            text.replace('\n', "\n    "),
            format!("\n\n  {text}\n\t\n"),
            text.trim_end().to_owned(),
            format!("\u{feff}{text}"),
            format!("\u{feff}\r\n {}", text.replace('\n', "\r\n")),
            format!("Bag Attributes\n    friendlyName: x\nKey Attributes: <No Attributes>\n{text}"),
            format!("{text}and more -----BEGIN of text, é\n-----END nothing-----\n"),
            format!("{text}x"),
            format!("see -----BEGIN PUBLIC KEY----- below\n{text}"),
            text.replacen("-----\n", "-----\n\n", 1),
        ]
    };
    let public = String::from_utf8(PUBLIC.to_vec()).expect("text");
    for variant in variants(&public) {
        let key = PublicKey::from_pem(variant.as_bytes()).expect(&variant);
        assert_eq!(&key, KEY.public_key());
    }
    for (pem, password) in [
        (PRIVATE, None),
        (PBES2, Some(PASSWORD)),
        (JAVASCRIPT, Some(PASSWORD)),
    ] {
        for variant in variants(std::str::from_utf8(pem).expect("text")) {
            let key = private_from_pem(variant.as_bytes(), password.map(str::as_bytes));
            assert_eq!(key.expect(&variant).public_key(), KEY.public_key());
        }
    }
}

#[test]
fn test_anything_but_one_block_is_refused() {
    let text = String::from_utf8(PUBLIC.to_vec()).expect("text");
    for wrong in [
        String::new(),
        "-----BEGIN PUBLIC KEY-----".to_owned(),
        "-----BEGIN PUBLIC KEY-----\n".to_owned(),
        "-----BEGIN \n".to_owned(),
        "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n".to_owned(),
        format!("{text}{text}"),
        format!("{text}-----BEGIN X-----\n"),
        format!("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n{text}"),
        format!("x{text}"),
        format!("{}x", text.trim_end()),
        text.replace("-----\nM", "-----M"),
        text.replace("-----\nM", "----- x\nM"),
        text.replace("-----\nM", "-----\nComment: x\n\nM"),
        text.replace("END PUBLIC", "END PRIVATE"),
        text.replace("-----END", "x-----END"),
        text.replace("PUBLIC KEY", "RSA PUBLIC KEY"),
        text.replace("PUBLIC KEY", "PRIVATE KEY"),
        text.replacen("MII", "M-I", 1),
        text.replacen("MII", "M\u{a0}II", 1),
        text.replacen("MII", "MIJ", 1),
        format!("{text}{}", " ".repeat(16 * 1024)),
    ] {
        let answer = PublicKey::from_pem(wrong.as_bytes());
        assert!(matches!(answer, Err(Error::Key(_))), "{wrong}");
    }
}

#[test]
fn test_der_with_anything_behind_it_is_refused() {
    let public = [KEY.public_key().der(), &[0]].concat();
    assert!(matches!(PublicKey::from_der(&public), Err(Error::Key(_))));
    let private = [&KEY.pkcs8_der().expect("DER")[..], &[0]].concat();
    assert!(matches!(
        PrivateKey::from_pkcs8_der(&private),
        Err(Error::Key(_))
    ));
}

#[test]
fn test_every_truncation_of_a_der_is_refused() {
    let (public, private) = (KEY.public_key().der(), KEY.pkcs8_der().expect("DER"));
    for len in 0..public.len() {
        assert!(PublicKey::from_der(&public[..len]).is_err());
    }
    for len in 0..private.len() {
        assert!(PrivateKey::from_pkcs8_der(&private[..len]).is_err());
    }
}

#[test]
fn test_private_key_whose_numbers_do_not_fit_is_refused() {
    let der = KEY.pkcs8_der().expect("DER");
    // The modulus ends some 290 bytes in; every later byte belongs to a secret number or its frame.
    for at in (300..der.len()).step_by(37) {
        let mut damaged = der.clone();
        damaged[at] ^= 1;
        assert!(PrivateKey::from_pkcs8_der(&damaged).is_err(), "byte {at}");
    }
}

#[test]
fn test_keys_that_are_too_weak_or_of_another_kind_are_refused() {
    for pem in [
        &include_bytes!("fixtures/public_1024_bits.pem")[..],
        include_bytes!("fixtures/public_exponent_3.pem"),
        include_bytes!("fixtures/public_elliptic.pem"),
    ] {
        assert!(matches!(PublicKey::from_pem(pem), Err(Error::Key(_))));
    }
    for pem in [
        &include_bytes!("fixtures/private_1024_bits.pem")[..],
        include_bytes!("fixtures/private_exponent_3.pem"),
        include_bytes!("fixtures/private_elliptic.pem"),
        include_bytes!("fixtures/private_pkcs1.pem"),
        PUBLIC,
    ] {
        assert!(matches!(private_from_pem(pem, None), Err(Error::Key(_))));
    }
}

#[test]
fn test_only_2048_and_4096_bits_are_made() {
    for bits in [0, 1024, 2047, 3071, 8192] {
        assert!(matches!(PrivateKey::generate(bits), Err(Error::Value(_))));
    }
    let key = PrivateKey::generate(4096).expect("a key");
    assert_eq!((key.bits(), key.public_key().modulus_len()), (4096, 512));
    let again = PrivateKey::from_pkcs8_der(&key.pkcs8_der().expect("DER")).expect("a key");
    assert_eq!(again.public_key(), key.public_key());
}

#[test]
fn test_password_is_needed_and_never_ignored() {
    let reason = |pem: &[u8], password: Option<&str>| match private_from_pem(
        pem,
        password.map(str::as_bytes),
    ) {
        Err(Error::Key(reason)) => reason,
        other => panic!("{other:?}"),
    };
    assert!(reason(PBES2, None).contains("password is needed"));
    assert!(reason(JAVASCRIPT, None).contains("password is needed"));
    assert!(reason(PRIVATE, Some(PASSWORD)).contains("not encrypted"));
    let wrong = "wrong password, or the private key is damaged";
    assert_eq!(reason(PBES2, Some("korrekt Pferd")), wrong);
    assert_eq!(reason(PBES2, Some("")), wrong);
    assert_eq!(reason(JAVASCRIPT, Some("korrekt Pferd")), wrong);
}

#[test]
fn test_damage_reads_like_a_wrong_password() {
    for pem in [PBES2, JAVASCRIPT] {
        let mut text = pem.to_vec();
        let last_line = text.len() - 120;
        for byte in &mut text[last_line..last_line + 3] {
            *byte = if *byte == b'A' { b'B' } else { b'A' };
        }
        match private_from_pem(&text, Some(PASSWORD.as_bytes())) {
            Err(Error::Key(reason)) => assert!(reason.contains("damaged"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn test_written_under_a_password_it_opens_with_that_one_only() {
    let pem = private_to_pem(&KEY, Some(PASSWORD.as_bytes())).expect("written");
    assert!(pem.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
    assert!(pem.ends_with(b"\n-----END ENCRYPTED PRIVATE KEY-----\n"));
    let key = private_from_pem(&pem, Some(PASSWORD.as_bytes())).expect("a key");
    assert_eq!(key.public_key(), KEY.public_key());
    assert!(private_from_pem(&pem, Some(b"another one")).is_err());
    let again = private_to_pem(&KEY, Some(PASSWORD.as_bytes())).expect("written");
    assert_ne!(pem, again, "salt and vector are fresh");
}

#[test]
fn test_password_for_writing_has_eight_characters() {
    for short in ["", "1234567", "ÄÖÜäöüß"] {
        assert!(matches!(
            private_to_pem(&KEY, Some(short.as_bytes())),
            Err(Error::Value(_))
        ));
    }
    assert!(matches!(
        private_to_pem(&KEY, Some(&[0xff; 12])),
        Err(Error::Value(_))
    ));
    private_to_pem(&KEY, Some("ÄÖÜäöüß!".as_bytes())).expect("eight characters");
}

#[test]
fn test_openssl_reads_what_is_written() {
    let argument = format!("pass:{PASSWORD}");
    let pem = private_to_pem(&KEY, Some(PASSWORD.as_bytes())).expect("written");
    let Some(plain) = openssl(&["pkey", "-passin", &argument], &pem) else {
        return;
    };
    assert_eq!(plain, PRIVATE);
    let description = openssl(&["asn1parse"], &pem).expect("parsed");
    let description = String::from_utf8_lossy(&description);
    for expected in [
        "PBES2",
        "PBKDF2",
        ":0927C0",
        "hmacWithSHA256",
        "aes-256-cbc",
    ] {
        assert!(
            description.contains(expected),
            "{expected} in {description}"
        );
    }
}

#[test]
fn test_what_openssl_writes_is_read() {
    let argument = format!("pass:{PASSWORD}");
    let base = ["pkcs8", "-topk8", "-passout", &argument];
    for options in [
        &["-v2", "aes-256-cbc"][..],
        &["-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA1"],
        &["-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA224"],
        &[
            "-v2",
            "aes-256-cbc",
            "-v2prf",
            "hmacWithSHA384",
            "-iter",
            "1",
        ],
        &[
            "-v2",
            "aes-256-cbc",
            "-v2prf",
            "hmacWithSHA512",
            "-iter",
            "100000",
        ],
    ] {
        let Some(pem) = openssl(&[&base[..], options].concat(), PRIVATE) else {
            return;
        };
        let key = private_from_pem(&pem, Some(PASSWORD.as_bytes())).expect("a key");
        assert_eq!(key.public_key(), KEY.public_key(), "{options:?}");
    }
}

#[test]
fn test_schemes_that_are_not_known_are_refused() {
    let argument = format!("pass:{PASSWORD}");
    let base = ["pkcs8", "-topk8", "-passout", &argument];
    for options in [
        &["-v2", "des3"][..],
        &["-scrypt"],
        &["-v1", "PBE-SHA1-3DES"],
    ] {
        let Some(pem) = openssl(&[&base[..], options].concat(), PRIVATE) else {
            return;
        };
        let answer = private_from_pem(&pem, Some(PASSWORD.as_bytes()));
        assert!(matches!(answer, Err(Error::Key(_))), "{options:?}");
    }
}

#[test]
fn test_hostile_number_of_rounds_is_refused_at_once() {
    let argument = format!("pass:{PASSWORD}");
    let options = ["pkcs8", "-topk8", "-passout", &argument, "-iter", "2"];
    let Some(pem) = openssl(&[&options[..], &["-outform", "DER"]].concat(), PRIVATE) else {
        return;
    };
    // INTEGER 2 becomes INTEGER 10,000,001, and the frames around it three bytes longer.
    let at = pem
        .windows(3)
        .position(|window| window == [2, 1, 2])
        .expect("the count");
    let mut der = pem.clone();
    der.splice(at..at + 3, [2, 4, 0x00, 0x98, 0x96, 0x81]);
    assert!(der[0] == 0x30 && der[1] == 0x82);
    let len = u16::from_be_bytes([der[2], der[3]]) + 3;
    der[2..4].copy_from_slice(&len.to_be_bytes());
    // The lengths of: the algorithm, its parameters, the derivation, its parameters.
    for frame in [5, 18, 20, 33] {
        assert_eq!(der[frame - 1], 0x30, "a frame at {frame}");
        der[frame] += 3;
    }
    let text = openssl(&["base64"], &der).expect("base64");
    let mut pem = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n".to_vec();
    pem.extend_from_slice(&text);
    pem.extend_from_slice(b"-----END ENCRYPTED PRIVATE KEY-----\n");
    match private_from_pem(&pem, Some(PASSWORD.as_bytes())) {
        Err(Error::Key(reason)) => assert!(reason.contains("10,000,000"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

/// Runs the `openssl` command; `None` if this machine does not have it.
fn openssl(arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn();
    let Ok(mut child) = child else {
        eprintln!("no openssl command here: not tested");
        return None;
    };
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("output");
    assert!(output.status.success(), "openssl {arguments:?}");
    Some(output.stdout)
}
