//! Base64 in constant time, for text that may be a private key: looking it up in a table would leave traces in the
//! cache. Text that is no secret goes through `base64_simd`.

use aws_lc_sys as ffi;

/// Appends the characters of `bytes` to `text`, with padding.
pub(crate) fn encode_append(bytes: &[u8], text: &mut Vec<u8>) {
    // EVP_EncodeBlock ends its output with a zero byte.
    let most = bytes.len().div_ceil(3) * 4 + 1;
    let start = text.len();
    text.resize(start + most, 0);
    // SAFETY: the room behind `start` holds four characters for every three bytes, and the zero byte.
    let chars =
        unsafe { ffi::EVP_EncodeBlock(text[start..].as_mut_ptr(), bytes.as_ptr(), bytes.len()) };
    text.truncate(start + chars);
}

/// Decodes padded base64 without white space; `None` for anything else.
pub(crate) fn decode(chars: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = vec![0; chars.len() / 4 * 3];
    let mut len = 0;
    // SAFETY: every pointer comes with the length of the slice behind it.
    let done = unsafe {
        ffi::EVP_DecodeBase64(
            bytes.as_mut_ptr(),
            &mut len,
            bytes.len(),
            chars.as_ptr(),
            chars.len(),
        )
    };
    bytes.truncate(len);
    (done == 1).then_some(bytes)
}
