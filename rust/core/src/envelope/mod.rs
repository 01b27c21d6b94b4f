//! The encrypted package: an AES-256-GCM message, its key wrapped with RSA-OAEP, in a JSON object.
//!
//! Rules:
//! - Every package has a fresh AES key and a fresh nonce.
//! - Plaintext to be sealed goes through a window of [`WINDOW_BYTES`]. When the window is full, it is encrypted in
//!   place.
//! - Ciphertext never lies in the arena: it is no secret and can be large, and locked memory is scarce.
//! - Opening fails in one way and at one place, the tag: [`Error::Package`](crate::Error::Package). If it fails, the
//!   plaintext is wiped and not returned.
//! - A message of the protocol has no context. Any other package is bound to a context, which says what it is for and
//!   is authenticated by GCM. So neither can take the other's place.
//! - An opened package is decrypted into the arena, or into memory that the caller gives. The stack is scrubbed after
//!   sealing and after opening.

mod open;
mod padme;
mod seal;
mod storage;

pub use crate::package::Number;
pub use open::Sealed;
pub use padme::padded_len;
pub use seal::{MAX_WINDOW_REQUEST_BYTES, Sealer, WINDOW_BYTES};
pub use storage::Package;
