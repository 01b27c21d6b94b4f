//! The ID of a request.

use crate::errors;
use pyo3::prelude::*;
use std::io;

/// Draw a UUID4 (RFC 9562, section 5.4) as text. Unlike `uuid.uuid4`, this does not release the GIL.
///
/// The random bytes come from the system, since the ID is no secret. AWS-LC's first random bytes take 30 ms, which
/// would block the event loop.
#[pyfunction]
pub fn new_payload_id(py: Python<'_>) -> PyResult<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| errors::os_error(py, None, &io::Error::from(error)))?;
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let digits = |range: std::ops::Range<usize>| -> String {
        bytes[range]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    };
    let groups = [
        digits(0..4),
        digits(4..6),
        digits(6..8),
        digits(8..10),
        digits(10..16),
    ];
    Ok(groups.join("-"))
}
