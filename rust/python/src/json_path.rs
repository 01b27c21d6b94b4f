//! Where in a payload a fault lies, told without telling content.
//!
//! The path is put together on the way out of the recursion, so that it costs nothing until then. It
//! names a key only where that reads like the name of a field; any other key may be content, and is
//! shown by its position.

use crate::errors;
use nomyo_core::Error;
use pyo3::prelude::*;

const LONGEST_NAME_BYTES: usize = 64;

/// Why a payload cannot be written, and where.
pub struct Fault {
    reason: Reason,
    /// From the fault outwards.
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
    /// The value under a key that reads like a name.
    Name(String),
    /// The value under the n-th key.
    Key(usize),
    /// The n-th item.
    Index(usize),
}

impl Step {
    /// The step to the value under a key, given as UTF-8, that is the `position`-th.
    pub fn to_key(key: &[u8], position: usize) -> Self {
        let starts_well = key.first().is_some_and(|byte| !byte.is_ascii_digit());
        let reads_well = key
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        match std::str::from_utf8(key) {
            Ok(name) if starts_well && reads_well && key.len() <= LONGEST_NAME_BYTES => {
                Self::Name(name.to_owned())
            }
            _ => Self::Key(position),
        }
    }
}

impl Fault {
    /// A value that JSON or the protocol cannot hold.
    pub fn value(text: impl Into<String>) -> Box<Self> {
        Self::new(Reason::Value(text.into()))
    }

    /// An object of a class that JSON does not know.
    pub fn class(text: impl Into<String>) -> Box<Self> {
        Self::new(Reason::Type(text.into()))
    }

    /// A dict that another thread changed meanwhile.
    pub fn changed() -> Box<Self> {
        Self::new(Reason::Changed)
    }

    fn new(reason: Reason) -> Box<Self> {
        Box::new(Self {
            reason,
            steps: Vec::new(),
        })
    }

    /// The same fault, seen from one level further out.
    pub fn below(mut self: Box<Self>, step: Step) -> Box<Self> {
        self.steps.push(step);
        self
    }

    /// As a Python exception without context.
    pub fn raise(self, py: Python<'_>, limit_bytes: usize) -> PyErr {
        let path = render(&self.steps);
        match self.reason {
            Reason::Value(text) => errors::value_error(py, &format!("{path}: {text}")),
            Reason::Type(text) => errors::type_error(py, &format!("{path}: {text}")),
            Reason::Changed => errors::runtime_error(
                py,
                &format!("{path}: the dict changed while it was being sealed"),
            ),
            // All that a sealer finds wrong with what it is given.
            Reason::Core(Error::Value(_)) => errors::value_error(
                py,
                &format!("{path}: here the payload grows beyond {limit_bytes} bytes of JSON"),
            ),
            // A SecureBuffer of the parent process, or one that is not locked.
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
