//! The names of the fields in a chat completion. They are no secrets, so all answers share one `str` for each.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

/// Sorted, for the binary search.
const NAMES: [&str; 32] = [
    "arguments",
    "bytes",
    "choices",
    "completion_tokens",
    "content",
    "created",
    "data",
    "finish_reason",
    "function",
    "id",
    "index",
    "logprob",
    "logprobs",
    "message",
    "messages",
    "model",
    "name",
    "object",
    "prompt_tokens",
    "reasoning_content",
    "refusal",
    "role",
    "system_fingerprint",
    "text",
    "token",
    "tool_calls",
    "top_logprobs",
    "total_tokens",
    "type",
    "url",
    "usage",
    "value",
];

static STRINGS: [PyOnceLock<Py<PyString>>; NAMES.len()] =
    [const { PyOnceLock::new() }; NAMES.len()];

/// Returns the shared string of a name, if it has one.
pub fn known_key<'py>(py: Python<'py>, key: &[u8]) -> Option<Bound<'py, PyAny>> {
    let index = index_of(key)?;
    let string = STRINGS[index].get_or_init(py, || PyString::intern(py, NAMES[index]).unbind());
    Some(string.bind(py).clone().into_any())
}

/// Whether a name has a shared string.
pub fn is_known(key: &[u8]) -> bool {
    index_of(key).is_some()
}

fn index_of(key: &[u8]) -> Option<usize> {
    NAMES.binary_search_by(|name| name.as_bytes().cmp(key)).ok()
}
