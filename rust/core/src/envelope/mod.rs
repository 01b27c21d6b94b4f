//! The encrypted package: an AES-256-GCM message, its key wrapped with RSA-OAEP, in a JSON object.
//!
//! Rules:
//! - Every package has a fresh AES key and a fresh nonce.
//! - Plaintext to be sealed is in memory no longer than it takes to fill the window of
//!   [`WINDOW_BYTES`], which is then encrypted in place.
//! - Ciphertext never lies in the arena: it is no secret, can be large, and locked memory is scarce.
//! - Opening fails in one way and at one place, the tag: [`Error::Package`](crate::Error::Package).
//!   Plaintext of a package that failed is wiped and never returned.
//! - A package that is no message of the protocol's is bound to a context, what it is for, which GCM
//!   authenticates: neither can stand in the other's place. The protocol's has none.
//! - What is opened lies in the arena. The stack is scrubbed after either direction.

mod open;
mod seal;
mod storage;

pub use crate::package::Number;
pub use open::Sealed;
pub use seal::{MAX_WINDOW_REQUEST_BYTES, Sealer, WINDOW_BYTES};
pub use storage::Package;
