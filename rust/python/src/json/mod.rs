//! JSON (RFC 8259) between Python objects and the arena.
//!
//! Out: `write` walks a payload and escapes it (`escape`) into a `sink`, and names the `path` to a fault. In: `check`
//! judges a whole text by the grammar (`walk`) before `read` makes objects of it, or `parts` finds the content of an
//! answer in it.

pub mod check;
pub mod escape;
pub mod known_keys;
pub mod numbers;
pub mod parts;
pub mod path;
pub mod read;
pub mod sink;
pub mod unescape;
pub mod walk;
pub mod write;
