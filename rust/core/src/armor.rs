//! Reads and writes the text form of keys (PEM, RFC 7468): one block, whatever text stands around it.
//!
//! The text may be a private key, so its base64 is handled in constant time.

use crate::crypto::base64;
use crate::{Error, Result};

const NOT_PEM: Error = Error::Key(
    "expected a PEM block, from -----BEGIN to -----END, with nothing but base64 between them",
);
const TWO_BLOCKS: Error = Error::Key("expected one PEM block, not several");
const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// Bytes that make a line of 64 characters.
const LINE_BYTES: usize = 48;
const LINE_CHARS: usize = 64;

/// A decoded block.
pub(crate) struct Block<'a> {
    pub(crate) label: &'a [u8],
    pub(crate) der: Vec<u8>,
}

/// Decodes the one block in `text`, with any other text before and behind it (RFC 7468, section 2).
///
/// A boundary has a line of its own, with blanks or a byte order mark before it and blanks after it. Lines end with LF,
/// CRLF or CR. Two blocks are refused, since nothing says which of them is meant.
pub(crate) fn decode(text: &[u8]) -> Result<Block<'_>> {
    let mut begins = memchr::memmem::find_iter(text, BEGIN).filter(|at| starts_a_line(text, *at));
    let begin = begins.next().ok_or(NOT_PEM)?;
    if begins.next().is_some() {
        return Err(TWO_BLOCKS);
    }
    let rest = &text[begin + BEGIN.len()..];
    let label_len = memchr::memmem::find(rest, DASHES).ok_or(NOT_PEM)?;
    let (label, rest) = rest.split_at(label_len);
    let body = end_of_line(&rest[DASHES.len()..]).ok_or(NOT_PEM)?;
    let end = memchr::memmem::find_iter(body, END)
        .find(|at| starts_a_line(body, *at))
        .ok_or(NOT_PEM)?;
    let rest = strip_prefix(&body[end + END.len()..], label)?;
    let rest = strip_prefix(rest, DASHES)?;
    if end_of_line(rest).is_none() {
        return Err(NOT_PEM);
    }
    // Headers and any other text within the block are refused by this: they have characters that base64 does not have.
    Ok(Block {
        label,
        der: decode_body(&body[..end])?,
    })
}

/// Whether only blanks stand between the beginning of a line and this place.
fn starts_a_line(text: &[u8], at: usize) -> bool {
    let before = text[..at].trim_ascii_end();
    let blanks = &text[before.len()..at];
    let is_first = before.is_empty() || before == BYTE_ORDER_MARK;
    is_first || blanks.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
}

/// Returns the text after this line; `None` if anything but blanks is left on the line. At the end of the text, the
/// rest is empty.
fn end_of_line(text: &[u8]) -> Option<&[u8]> {
    let rest = text.trim_ascii_start();
    let blanks = &text[..text.len() - rest.len()];
    let is_end = rest.is_empty() || blanks.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
    is_end.then_some(rest)
}

/// Writes a block as OpenSSL does: 64 characters a line, and a line feed after each line.
pub(crate) fn encode(label: &str, der: &[u8]) -> Vec<u8> {
    let lines = der.len().div_ceil(LINE_BYTES);
    let capacity = lines * (LINE_CHARS + 1) + 2 * (label.len() + 20);
    let mut text = Vec::with_capacity(capacity);
    for part in ["-----BEGIN ", label, "-----\n"] {
        text.extend_from_slice(part.as_bytes());
    }
    for bytes in der.chunks(LINE_BYTES) {
        base64::encode_append(bytes, &mut text);
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
    base64::decode(&chars)
        .filter(|der| !der.is_empty())
        .ok_or(NOT_PEM)
}

fn strip_prefix<'a>(text: &'a [u8], prefix: &[u8]) -> Result<&'a [u8]> {
    text.strip_prefix(prefix).ok_or(NOT_PEM)
}
