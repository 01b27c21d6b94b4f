//! The names of the fields in a chat completion, which are no secrets: one `str` each for the process.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

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

/// The shared string of a name, where it is one of the known.
pub fn known_key<'py>(py: Python<'py>, key: &[u8]) -> Option<Bound<'py, PyAny>> {
    let index = NAMES
        .binary_search_by(|name| name.as_bytes().cmp(key))
        .ok()?;
    let string = STRINGS[index].get_or_init(py, || PyString::intern(py, NAMES[index]).unbind());
    Some(string.bind(py).clone().into_any())
}
