//! Reads and builds Python's `str` without leaving a copy behind.

pub mod layout;
pub mod unicode;
pub mod wtf8;
