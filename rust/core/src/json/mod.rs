//! The grammar of JSON (RFC 8259), without Python: texts are checked, walked over, searched, escaped and unescaped.
//!
//! `check` judges a whole text by the grammar (`walk`) before anybody makes objects of it, or `parts` finds the content
//! of an answer in it. What is written goes escaped (`escape`) into a `sink`.

pub mod bounds;
pub mod check;
pub mod escape;
pub mod known_names;
pub mod parts;
pub mod sink;
pub mod unescape;
pub mod walk;
