//! Loom's atomics, thrice: for the parent of a fork, for its child, and for threads that do not exist any more.
//!
//! A forked child has its own copy of the memory. So these atomics have a second value, which [`fork`] copies from the
//! first, and a thread uses the one of the process that it is in. The third keeps its initial value for a thread that is
//! ending, so that nothing stops it.
//!
//! Of stores with `SeqCst`, Loom shows the latest to a load with `SeqCst`, as the language demands. The initial value is
//! no such store to Loom; so it is stored again.

use crate::process;
use loom::sync::atomic;
use std::cell::RefCell;
use std::sync::Arc;
pub use std::sync::atomic::Ordering;

std::thread_local! {
    /// All atomics of this execution.
    static ALL: RefCell<Vec<Arc<dyn Inherited>>> = const { RefCell::new(Vec::new()) };
}

/// Has the child begin with the values that the parent has now. Other threads of the parent may change some while others
/// are copied; so the child may find more than it could in truth.
pub fn fork() {
    let all = ALL.with_borrow(Clone::clone);
    all.iter().for_each(|atomic| atomic.copy());
}

/// Forgets the atomics of the execution before.
pub fn forget_all() {
    ALL.with_borrow_mut(Vec::clear);
}

trait Inherited {
    fn copy(&self);
}

/// A thread that was ended changes nothing any more: to the others it stands still.
macro_rules! thrice {
    ($name:ident, $of:ty, $touch:ident, $nothing:expr) => {
        pub struct $name(Arc<[atomic::$name; 3]>);

        impl Inherited for [atomic::$name; 3] {
            fn copy(&self) {
                // Loom sees this access, and tries the orders of all others with it.
                let value = self[0].$touch($nothing, Ordering::Acquire);
                self[1].store(value, Ordering::Relaxed);
            }
        }

        impl $name {
            pub fn new(value: $of) -> Self {
                let each = Arc::new([(); 3].map(|()| atomic::$name::new(value)));
                each.iter()
                    .for_each(|one| one.store(value, Ordering::SeqCst));
                ALL.with_borrow_mut(|all| all.push(each.clone()));
                Self(each)
            }

            fn here(&self) -> &atomic::$name {
                &self.0[process::number()]
            }

            #[track_caller]
            pub fn load(&self, order: Ordering) -> $of {
                match process::stands_still() {
                    true => $nothing,
                    false => self.here().load(order),
                }
            }

            #[track_caller]
            pub fn store(&self, value: $of, order: Ordering) {
                if !process::stands_still() {
                    self.here().store(value, order);
                    process::note_change();
                }
            }

            #[track_caller]
            pub fn compare_exchange(
                &self,
                current: $of,
                new: $of,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$of, $of> {
                let outcome = self.here().compare_exchange(current, new, success, failure);
                outcome.inspect(|_| process::note_change())
            }

            #[track_caller]
            pub fn compare_exchange_weak(
                &self,
                current: $of,
                new: $of,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$of, $of> {
                self.compare_exchange(current, new, success, failure)
            }
        }
    };
}

thrice!(AtomicBool, bool, fetch_or, false);
thrice!(AtomicU32, u32, fetch_or, 0);

/// Operations that no other thread sees if this one was ended.
macro_rules! changes {
    ($($change:ident $same:expr,)*) => {
        impl AtomicU32 {
            $(
                #[track_caller]
                pub fn $change(&self, value: u32, order: Ordering) -> u32 {
                    if process::stands_still() {
                        return value;
                    }
                    let before = self.here().$change(value, order);
                    let is_same: fn(u32, u32) -> bool = $same;
                    if !is_same(before, value) {
                        process::note_change();
                    }
                    before
                }
            )*
        }
    };
}

changes! {
    fetch_add |_, added| added == 0,
    fetch_sub |_, taken| taken == 0,
    fetch_or |before, bits| before | bits == before,
    fetch_and |before, bits| before & bits == before,
}
