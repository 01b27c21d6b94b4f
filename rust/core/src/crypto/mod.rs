//! All use of AWS-LC: no other module of the core or the binding names it (`tests/project/test_core_layers.py` tests
//! this).
//!
//! Rules:
//! - [`hooks`] are installed before any other use of AWS-LC. [`crate::init`] does that, and every function here that
//!   can be called first calls it.
//! - Code that makes AWS-LC take a lock, its error queue's included, goes through the `gate`.
//! - Code that relies on AWS-LC's sources, and not on its documentation, has a row in UPGRADING.md.

pub mod aead;
pub(crate) mod base64;
pub(crate) mod cbc;
pub mod certificates;
mod cipher;
pub(crate) mod constant_time;
pub mod cpu;
pub(crate) mod gate;
#[cfg(test)]
mod gate_tests;
pub mod hooks;
pub(crate) mod pbkdf2;
pub mod random;
pub mod rsa;
pub mod sha256;
pub mod signature;
mod version;

pub use version::version;
