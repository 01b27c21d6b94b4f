//! Private keys as PEM: plain PKCS#8, PKCS#8 under a password, and the JavaScript client's own form.
//!
//! Rules:
//! - Text and DER of a private key stay in the arena; so do derived keys. The stack is scrubbed.
//! - Written under a password is PBES2 (RFC 8018, section 6.2): PBKDF2 with HMAC-SHA-256, 600,000
//!   rounds (OWASP's figure for it), a random salt of 16 bytes, AES-256-CBC. `openssl` and Python's
//!   `cryptography` read it.
//! - A wrong password and damaged ciphertext cannot be told apart, and read alike.
//! - A password is never ignored: one that is given for a plain key is an error.

pub(crate) mod armor;
mod cbc;
mod encryption;
mod kdf;

use crate::rsa::{PrivateKey, with_key_memory};
use crate::{Error, Result};
use pkcs8::der::Decode;

/// Fewest characters of a password for writing; reading takes any.
pub const MIN_PASSWORD_CHARS: usize = 8;
/// Most bytes of a private key's PEM that are looked at.
pub const MAX_PRIVATE_PEM_BYTES: usize = 64 * 1024;

const PLAIN: &str = "PRIVATE KEY";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// Reads a private key: PKCS#8, plain or PBES2, or the JavaScript client's form.
///
/// The password is UTF-8. Raises [`Error::Key`].
pub fn private_from_pem(text: &[u8], password: Option<&[u8]>) -> Result<PrivateKey> {
    if text.len() > MAX_PRIVATE_PEM_BYTES {
        return Err(Error::Key("expected a private key of at most 64 KiB"));
    }
    with_key_memory(|| {
        let block = armor::decode(text)?;
        if block.label == PLAIN.as_bytes() {
            from_plain_label(&block.der, password)
        } else if block.label == ENCRYPTED.as_bytes() {
            let password = password.ok_or(Error::Key(
                "the private key is encrypted: its password is needed",
            ))?;
            from_decrypted(&encryption::decrypt_pbes2(&block.der, password)?)
        } else {
            Err(Error::Key(
                "expected a PEM block labelled PRIVATE KEY or ENCRYPTED PRIVATE KEY (PKCS#8)",
            ))
        }
    })
}

/// Writes a private key as PKCS#8 PEM, as PBES2 where there is a password.
///
/// [`Error::Value`] for a password of fewer than 8 characters, or one that is not UTF-8.
pub fn private_to_pem(key: &PrivateKey, password: Option<&[u8]>) -> Result<Vec<u8>> {
    password.map_or(Ok(()), check_new_password)?;
    with_key_memory(|| {
        let der = key.pkcs8_der()?;
        match password {
            None => Ok(armor::encode(PLAIN, &der)),
            Some(password) => {
                let encrypted = encryption::encrypt_pbes2(&der, password)?;
                Ok(armor::encode(ENCRYPTED, &encrypted))
            }
        }
    })
}

/// Whether a password may protect a new file.
pub(crate) fn check_new_password(password: &[u8]) -> Result<()> {
    let text = std::str::from_utf8(password)
        .map_err(|_| Error::Value("a password for a key file is UTF-8"))?;
    if text.chars().count() < MIN_PASSWORD_CHARS {
        return Err(Error::Value(
            "a password for a key file has at least 8 characters",
        ));
    }
    Ok(())
}

/// `PRIVATE KEY` is what the JavaScript client writes over its encrypted form, too.
fn from_plain_label(der: &[u8], password: Option<&[u8]>) -> Result<PrivateKey> {
    match (is_pkcs8(der), password) {
        (true, None) => PrivateKey::from_pkcs8_der(der),
        (true, Some(_)) => Err(Error::Key(
            "a password was given, but the private key is not encrypted",
        )),
        (false, Some(password)) => from_decrypted(&encryption::decrypt_javascript(der, password)?),
        (false, None) => Err(Error::Key(
            "expected a private key as PKCS#8 (it is damaged, or encrypted by the JavaScript \
             client: then its password is needed)",
        )),
    }
}

fn from_decrypted(der: &[u8]) -> Result<PrivateKey> {
    if !is_pkcs8(der) {
        return Err(encryption::WRONG_PASSWORD_OR_DAMAGED);
    }
    PrivateKey::from_pkcs8_der(der)
}

fn is_pkcs8(der: &[u8]) -> bool {
    pkcs8::PrivateKeyInfoRef::from_der(der).is_ok()
}
