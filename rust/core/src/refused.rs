//! Notes which system calls were refused that a promise needs and that nothing else can replace.
//!
//! One refusal counts for all memory and for good, since a kernel without a call does not get it later. Hidden memory is
//! the exception: it is asked for as a whole, and can be asked for again. Refused locks are not noted here: they come and
//! go, and [`crate::arena::status`] counts them.

use std::sync::atomic::{AtomicU8, Ordering};

static REFUSED: AtomicU8 = AtomicU8::new(0);

/// A protection, and the call that gives it. The values are bits.
#[derive(Clone, Copy)]
pub enum Protection {
    /// Locked memory is kept out of core dumps, if the platform can do that: `madvise(MADV_DONTDUMP)`.
    HiddenFromDumps = 1,
    /// Locks and keys are in order after `fork`: `pthread_atfork`, `pthread_key_create`.
    ForkHandled = 2,
    /// The end of the process waits for work, and then wipes: `atexit`.
    ExitHandled = 4,
    /// Memory is hidden even from root, if that was asked for: `memfd_secret`. The last answer counts.
    Hidden = 8,
}

impl Protection {
    const ALL: [Self; 4] = [
        Self::HiddenFromDumps,
        Self::ForkHandled,
        Self::ExitHandled,
        Self::Hidden,
    ];

    /// The name that [`refused`] gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::HiddenFromDumps => "MADV_DONTDUMP",
            Self::ForkHandled => "pthread_atfork",
            Self::ExitHandled => "atexit",
            Self::Hidden => "memfd_secret",
        }
    }

    /// Notes whether the system granted the call.
    pub(crate) fn note(self, granted: bool) {
        if !granted {
            REFUSED.fetch_or(self as u8, Ordering::Relaxed);
        }
    }

    /// Forgets a refusal, since the system grants the call now.
    pub(crate) fn forget_refusal(self) {
        REFUSED.fetch_and(!(self as u8), Ordering::Relaxed);
    }
}

/// The names of the calls that were refused.
pub fn refused() -> impl Iterator<Item = &'static str> {
    let bits = REFUSED.load(Ordering::Relaxed);
    let all = Protection::ALL.into_iter();
    all.filter(move |protection| bits & *protection as u8 != 0)
        .map(Protection::name)
}
