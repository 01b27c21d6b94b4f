//! What targets share: keys, and another reader of JSON as judge.

pub mod judge;

use nomyo_core::crypto::rsa::{PrivateKey, PublicKey};
use std::sync::OnceLock;

/// A key pair of 2048 bits, so that an operation is fast.
pub const PRIVATE_PEM: &[u8] = include_bytes!("../../core/tests/fixtures/private.pem");

/// The private key of [`PRIVATE_PEM`].
pub fn private_key() -> &'static PrivateKey {
    static KEY: OnceLock<PrivateKey> = OnceLock::new();
    KEY.get_or_init(|| {
        nomyo_core::init();
        nomyo_core::pem::private_from_pem(PRIVATE_PEM, None).expect("the fixture is a key")
    })
}

/// Its public key.
pub fn public_key() -> &'static PublicKey {
    private_key().public_key()
}
