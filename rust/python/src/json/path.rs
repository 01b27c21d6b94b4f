//! Why a payload cannot be written, and the path to the place, such as `messages[3].content`.
//!
//! The path shows no content: it names a key only if the key looks like the name of a field. Any other key may be
//! content, so the path shows its position. The path is built while the recursion returns, so a payload without a fault
//! does not pay for it.

use crate::errors;
use nomyo_core::Error;
use pyo3::prelude::*;

const LONGEST_NAME_BYTES: usize = 64;

/// Why a payload cannot be written, and where.
pub struct Fault {
    reason: Reason,
    /// Innermost first.
    steps: Vec<Step>,
}

enum Reason {
    Value(String),
    Type(String),
    Changed,
    Core(Error),
    Python(PyErr),
}

/// One level of a path.
pub enum Step {
    /// The value under a key that looks like the name of a field.
    Name(String),
    /// The value under the key at this position of a dict.
    Key(usize),
    /// The item of a list or tuple at this index.
    Index(usize),
}

impl Step {
    /// Makes the step to the value under `key` (UTF-8), which stands at `position` in its dict.
    pub fn to_key(key: &[u8], position: usize) -> Self {
        match std::str::from_utf8(key) {
            Ok(name) if looks_like_a_name(key) => Self::Name(name.to_owned()),
            _ => Self::Key(position),
        }
    }
}

/// Whether a key is a word of at most 64 ASCII letters, digits and underscores that begins with no digit.
fn looks_like_a_name(key: &[u8]) -> bool {
    let starts_well = key.first().is_some_and(|byte| !byte.is_ascii_digit());
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    starts_well && key.iter().all(is_word) && key.len() <= LONGEST_NAME_BYTES
}

impl Fault {
    /// A value that JSON or the protocol cannot hold: a ValueError.
    pub fn value(text: impl Into<String>) -> Box<Self> {
        Self::new(Reason::Value(text.into()))
    }

    /// An object of a class that JSON does not know: a TypeError.
    pub fn class(text: impl Into<String>) -> Box<Self> {
        Self::new(Reason::Type(text.into()))
    }

    /// A dict that another thread changed while it was being written: a RuntimeError.
    pub fn changed() -> Box<Self> {
        Self::new(Reason::Changed)
    }

    fn new(reason: Reason) -> Box<Self> {
        Box::new(Self {
            reason,
            steps: Vec::new(),
        })
    }

    /// Adds the step by which the container one level further out leads to the fault.
    pub fn below(mut self: Box<Self>, step: Step) -> Box<Self> {
        self.steps.push(step);
        self
    }

    /// Returns the Python exception for this fault, without context.
    pub fn into_exception(self, py: Python<'_>, limit_bytes: usize) -> PyErr {
        let path = render(&self.steps);
        match self.reason {
            Reason::Value(text) => errors::value_error(py, &format!("{path}: {text}")),
            Reason::Type(text) => errors::type_error(py, &format!("{path}: {text}")),
            Reason::Changed => errors::runtime_error(
                py,
                &format!("{path}: the dict changed while it was being sealed"),
            ),
            // A sealer or a measure returns `Error::Value` only beyond its limit.
            Reason::Core(Error::Value(_)) => errors::value_error(
                py,
                &format!("{path}: here the payload grows beyond {limit_bytes} bytes of JSON"),
            ),
            // The payload has a SecureBuffer of the parent process, or one that is not locked.
            Reason::Core(error @ (Error::Forked | Error::Unlocked)) => {
                errors::security_error(py, &format!("{path}: {error}"))
            }
            Reason::Core(error) => errors::from_core(py, error),
            Reason::Python(error) => error,
        }
    }
}

impl From<Error> for Box<Fault> {
    fn from(error: Error) -> Self {
        Fault::new(Reason::Core(error))
    }
}

impl From<PyErr> for Box<Fault> {
    fn from(error: PyErr) -> Self {
        Fault::new(Reason::Python(error))
    }
}

fn render(steps: &[Step]) -> String {
    if steps.is_empty() {
        return "payload".to_owned();
    }
    let mut path = String::new();
    for step in steps.iter().rev() {
        match step {
            Step::Name(name) if path.is_empty() => path.push_str(name),
            Step::Name(name) => path.extend([".", name]),
            Step::Key(position) => path.push_str(&format!("[<key {position}>]")),
            Step::Index(index) => path.push_str(&format!("[{index}]")),
        }
    }
    path
}
