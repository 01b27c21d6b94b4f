//! Private keys as PEM: plain PKCS#8, PKCS#8 under a password, and the JavaScript client's own form.
//!
//! Rules:
//! - The text and DER of a private key stay in the arena, and so do derived keys. The stack is scrubbed.
//! - With a password, a key is written as PBES2 (RFC 8018, section 6.2): PBKDF2 with HMAC-SHA-256, 600,000 rounds (as
//!   OWASP advises), a random salt of 16 bytes, AES-256-CBC. `openssl` and Python's `cryptography` can read it.
//! - A wrong password and damaged ciphertext give the same error, since they cannot be told apart.
//! - A password is never ignored: if one is given for a plain key, that is an error.

mod encryption;

use crate::crypto::rsa::{PrivateKey, with_key_memory};
use crate::{Error, Result, armor};
use pkcs8::der::Decode;

/// The fewest characters of a password for writing. For reading, any length is accepted.
pub const MIN_PASSWORD_CHARS: usize = 8;
/// The largest PEM of a private key that is read.
pub const MAX_PRIVATE_PEM_BYTES: usize = 64 * 1024;

const PLAIN: &str = "PRIVATE KEY";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// Reads a private key: PKCS#8, plain or encrypted by PBES2, or the JavaScript client's form.
///
/// The password is UTF-8. [`Error::Key`] if the key cannot be read, or is not acceptable.
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

/// Whether a text is an unencrypted PKCS#8 private key. Whether the key itself is acceptable is not checked.
pub(crate) fn is_plain(text: &[u8]) -> Result<bool> {
    with_key_memory(|| {
        let block = armor::decode(text).ok();
        Ok(block.is_some_and(|block| block.label == PLAIN.as_bytes() && is_pkcs8(&block.der)))
    })
}

/// Whether a text is an encrypted private key, in PBES2 or the JavaScript client's form. That form has the label of a
/// plain key, so a damaged plain key counts as encrypted too.
pub(crate) fn is_encrypted(text: &[u8]) -> Result<bool> {
    with_key_memory(|| {
        let block = armor::decode(text).ok();
        Ok(block.is_some_and(|block| {
            block.label == ENCRYPTED.as_bytes()
                || (block.label == PLAIN.as_bytes() && !is_pkcs8(&block.der))
        }))
    })
}

/// Writes a private key as PKCS#8 PEM, encrypted by PBES2 if a password is given.
///
/// [`Error::Value`] if the password has fewer than 8 characters or is not UTF-8.
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

/// Checks a password for a new file; [`Error::Value`] if it is not UTF-8 or too short.
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

/// Reads a block labelled `PRIVATE KEY`. The JavaScript client gives its encrypted form that label too.
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
