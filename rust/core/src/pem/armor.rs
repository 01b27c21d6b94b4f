//! The textual armour of RFC 7468, strictly: one block, nothing but white space around it.
//!
//! Base64 is AWS-LC's (`EVP_EncodeBlock`, `EVP_DecodeBase64`), which is constant time: the text may
//! be a private key, and a table of values would leave its traces in the cache.

use crate::{Error, Result};
use aws_lc_sys as ffi;

const NOT_PEM: Error = Error::Key("expected one PEM block and nothing else");
/// Bytes that make a line of 64 characters.
const LINE_BYTES: usize = 48;
const LINE_CHARS: usize = 64;

/// A decoded block.
pub(crate) struct Block<'a> {
    pub(crate) label: &'a [u8],
    pub(crate) der: Vec<u8>,
}

/// Decodes the one block in `text`.
pub(crate) fn decode(text: &[u8]) -> Result<Block<'_>> {
    let rest = strip_prefix(text.trim_ascii(), b"-----BEGIN ")?;
    let label_len = memchr::memmem::find(rest, b"-----").ok_or(NOT_PEM)?;
    let (label, rest) = rest.split_at(label_len);
    let rest = strip_suffix(&rest[5..], b"-----")?;
    let rest = strip_suffix(rest, label)?;
    let body = strip_suffix(rest, b"-----END ")?;
    // A second block, a header or any other text has characters that base64 does not have.
    if !body.starts_with(b"\n") && !body.starts_with(b"\r\n") || !body.ends_with(b"\n") {
        return Err(NOT_PEM);
    }
    Ok(Block {
        label,
        der: decode_body(body)?,
    })
}

/// Writes a block as OpenSSL does: 64 characters a line, a line feed after each.
pub(crate) fn encode(label: &str, der: &[u8]) -> Vec<u8> {
    let lines = der.len().div_ceil(LINE_BYTES);
    let capacity = lines * (LINE_CHARS + 1) + 2 * (label.len() + 20);
    let mut text = Vec::with_capacity(capacity);
    for part in ["-----BEGIN ", label, "-----\n"] {
        text.extend_from_slice(part.as_bytes());
    }
    // EVP_EncodeBlock ends its output with a zero byte.
    let mut line = vec![0; LINE_CHARS + 1];
    for bytes in der.chunks(LINE_BYTES) {
        // SAFETY: at most 48 bytes become at most 64 characters and a zero byte.
        let chars = unsafe { ffi::EVP_EncodeBlock(line.as_mut_ptr(), bytes.as_ptr(), bytes.len()) };
        text.extend_from_slice(&line[..chars]);
        text.push(b'\n');
    }
    for part in ["-----END ", label, "-----\n"] {
        text.extend_from_slice(part.as_bytes());
    }
    text
}

fn decode_body(body: &[u8]) -> Result<Vec<u8>> {
    let mut chars = Vec::with_capacity(body.len());
    chars.extend(body.iter().filter(|byte| !byte.is_ascii_whitespace()));
    let mut der = vec![0; chars.len() / 4 * 3];
    let mut len = 0;
    // SAFETY: every pointer comes with the length of the slice behind it.
    let done = unsafe {
        ffi::EVP_DecodeBase64(
            der.as_mut_ptr(),
            &mut len,
            der.len(),
            chars.as_ptr(),
            chars.len(),
        )
    };
    if done != 1 || len == 0 {
        return Err(NOT_PEM);
    }
    der.truncate(len);
    Ok(der)
}

fn strip_prefix<'a>(text: &'a [u8], prefix: &[u8]) -> Result<&'a [u8]> {
    text.strip_prefix(prefix).ok_or(NOT_PEM)
}

fn strip_suffix<'a>(text: &'a [u8], suffix: &[u8]) -> Result<&'a [u8]> {
    text.strip_suffix(suffix).ok_or(NOT_PEM)
}
