//! The names of the fields in a chat completion. They are no secrets, so a reader may share one object for each.

/// Sorted, for the binary search.
pub const NAMES: [&str; 32] = [
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

/// Returns the index of a name in [`NAMES`].
pub fn index_of(name: &[u8]) -> Option<usize> {
    NAMES
        .binary_search_by(|known| known.as_bytes().cmp(name))
        .ok()
}
