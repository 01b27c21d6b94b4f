//! Sets up the core.

use crate::crypto::{gate, hooks};
#[cfg(not(target_os = "linux"))]
use crate::fork;
use crate::{buffer, exit};
use std::sync::Once;

/// Sets up the arena, AWS-LC's memory hooks and the handlers of fork and exit.
///
/// Idempotent, and cheap after the first call. It must run before any other use of AWS-LC: a block that AWS-LC had
/// allocated before its hooks were set would be freed into the wrong allocator.
pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        gate::prepare();
        hooks::install();
        buffer::prepare();
        exit::register();
        // On Linux, loading the library has done this.
        #[cfg(not(target_os = "linux"))]
        fork::register();
    });
}
