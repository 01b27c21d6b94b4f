//! Decrypts and encrypts private keys: PBES2, and the JavaScript client's form.

use crate::crypto::pbkdf2::{self, Prf};
use crate::crypto::{cbc, random};
use crate::{Error, Result};
use pkcs8::der::asn1::OctetStringRef;
use pkcs8::der::{Decode, Encode};
use pkcs8::pkcs5::pbes2::{self, EncryptionScheme, Kdf, Pbkdf2Params, Pbkdf2Prf};
use pkcs8::{EncryptedPrivateKeyInfo, EncryptedPrivateKeyInfoRef, pkcs5};

pub(super) const WRONG_PASSWORD_OR_DAMAGED: Error =
    Error::Key("wrong password, or the private key is damaged");
// Also for a malformed structure: the parameters of an unknown scheme cannot be parsed, so the two look the same.
const UNKNOWN_SCHEME: Error = Error::Key(
    "expected an encrypted private key as PKCS#8 with PBES2: PBKDF2 (HMAC with SHA-1 or SHA-2, a \
     salt of at most 32 bytes) and AES-CBC",
);

const WRITE_ROUNDS: u32 = 600_000;
const WRITE_SALT_BYTES: usize = 16;
const WRITE_KEY_BYTES: usize = 32;
/// The JavaScript client's figures.
const JAVASCRIPT_ROUNDS: u32 = 100_000;
const JAVASCRIPT_SALT_BYTES: usize = 16;
const JAVASCRIPT_KEY_BYTES: usize = 32;

/// Decrypts an EncryptedPrivateKeyInfo (RFC 5958, section 3) into PKCS#8 DER.
pub(super) fn decrypt_pbes2(der: &[u8], password: &[u8]) -> Result<Vec<u8>> {
    let info = EncryptedPrivateKeyInfoRef::from_der(der).map_err(|_| UNKNOWN_SCHEME)?;
    let pkcs5::EncryptionScheme::Pbes2(scheme) = &info.encryption_algorithm else {
        return Err(UNKNOWN_SCHEME);
    };
    let iv = match &scheme.encryption {
        EncryptionScheme::Aes128Cbc { iv }
        | EncryptionScheme::Aes192Cbc { iv }
        | EncryptionScheme::Aes256Cbc { iv } => iv,
        _ => return Err(UNKNOWN_SCHEME),
    };
    let Kdf::Pbkdf2(params) = &scheme.kdf else {
        return Err(UNKNOWN_SCHEME);
    };
    let key = derive(params, scheme.encryption.key_size(), password)?;
    cbc::decrypt(&key, iv, info.encrypted_data.as_bytes()).map_err(|_| WRONG_PASSWORD_OR_DAMAGED)
}

/// Encrypts PKCS#8 DER into an EncryptedPrivateKeyInfo.
pub(super) fn encrypt_pbes2(der: &[u8], password: &[u8]) -> Result<Vec<u8>> {
    let (mut salt, mut iv) = ([0; WRITE_SALT_BYTES], [0; cbc::BLOCK_BYTES]);
    random::fill(&mut salt)?;
    random::fill(&mut iv)?;
    let mut key = vec![0; WRITE_KEY_BYTES];
    pbkdf2::derive(Prf::HmacSha256, password, &salt, WRITE_ROUNDS, &mut key)?;
    let encrypted = cbc::encrypt(&key, &iv, der)?;
    encode_pbes2(&salt, iv, &encrypted).map_err(|_| Error::Crypto)
}

/// Decrypts the form that the JavaScript client writes: 16 bytes of salt, 16 bytes of iv, then AES-256-CBC.
pub(super) fn decrypt_javascript(bytes: &[u8], password: &[u8]) -> Result<Vec<u8>> {
    let parts = bytes.split_first_chunk::<JAVASCRIPT_SALT_BYTES>();
    let parts = parts.and_then(|(salt, rest)| Some((salt, rest.split_first_chunk()?)));
    let Some((salt, (iv, encrypted))) = parts else {
        return Err(WRONG_PASSWORD_OR_DAMAGED);
    };
    let mut key = vec![0; JAVASCRIPT_KEY_BYTES];
    pbkdf2::derive(Prf::HmacSha256, password, salt, JAVASCRIPT_ROUNDS, &mut key)?;
    cbc::decrypt(&key, iv, encrypted).map_err(|_| WRONG_PASSWORD_OR_DAMAGED)
}

fn derive(params: &Pbkdf2Params, key_bytes: usize, password: &[u8]) -> Result<Vec<u8>> {
    let length_fits = |len: u16| usize::from(len) == key_bytes;
    if !params.key_length.is_none_or(length_fits) {
        return Err(UNKNOWN_SCHEME);
    }
    let prf = match params.prf {
        Pbkdf2Prf::HmacWithSha1 => Prf::HmacSha1,
        Pbkdf2Prf::HmacWithSha224 => Prf::HmacSha224,
        Pbkdf2Prf::HmacWithSha256 => Prf::HmacSha256,
        Pbkdf2Prf::HmacWithSha384 => Prf::HmacSha384,
        Pbkdf2Prf::HmacWithSha512 => Prf::HmacSha512,
        _ => return Err(UNKNOWN_SCHEME),
    };
    let mut key = vec![0; key_bytes];
    let (salt, rounds) = (params.salt.as_ref(), params.iteration_count);
    pbkdf2::derive(prf, password, salt, rounds, &mut key)?;
    Ok(key)
}

fn encode_pbes2(
    salt: &[u8],
    iv: [u8; cbc::BLOCK_BYTES],
    encrypted: &[u8],
) -> pkcs8::Result<Vec<u8>> {
    let scheme = pbes2::Parameters::generate_pbkdf2_sha256_aes256cbc(WRITE_ROUNDS, salt, iv)?;
    let info = EncryptedPrivateKeyInfo {
        encryption_algorithm: pkcs5::EncryptionScheme::Pbes2(scheme),
        encrypted_data: OctetStringRef::new(encrypted)?,
    };
    let mut der = vec![0; usize::try_from(info.encoded_len()?)?];
    info.encode_to_slice(&mut der)?;
    Ok(der)
}
