//! JSON (RFC 8259) between Python objects and the arena; `nomyo_core::json` knows the grammar.
//!
//! Out: `write` walks a payload and escapes it into a sink, and names the `path` to a fault. In: `read` makes objects of
//! a text that the core has checked.

pub mod known_keys;
pub mod numbers;
pub mod path;
pub mod read;
pub mod write;
