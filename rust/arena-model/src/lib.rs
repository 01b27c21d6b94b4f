//! Runs the core's own sources under the model checker Loom, in every order that threads can have: the arena, and what
//! stops threads for a fork, for the exit and while memory is hidden, and the uses of pages that are closed at rest.
//!
//! The files that are included by `#[path]` are those that the core compiles. The others stand for parts of the core:
//! - `sync` and `atomics`: Loom's atomics and cells, of which a forked child has its own;
//! - `process`: fork, exit and the end of threads, which call what the core registered;
//! - `scene`: memory that threads work on, and modules around the sources that are of no interest themselves;
//! - `os`: pages are counted and not mapped; a byte of model memory stands for every granule of a block, so that Loom
//!   sees every access to it;
//! - `arena/region` and `arena/heaps`: the statics, of which every execution gets fresh ones;
//! - `arena/key_pages`: the pages of a private key, whose opening, use and closing Loom sees;
//! - `arena/mapping`: refuses all requests;
//! - `arena/whole`: the arena's work at a fork and at exit.
//!
//! Loom runs a model once for every order of its threads' steps, and for every value that a relaxed load may see,
//! within a bound of preemptions if the model sets one. It fails if two accesses to one cell, one of them a write, are
//! not ordered by a lock. For the memory of a block this proves that a thread that allocates it sees it wiped.
#![cfg(test)]

#[path = "../../core/src/all_locks.rs"]
mod all_locks;
mod atomics;
#[path = "../../core/src/error.rs"]
#[allow(dead_code)]
mod error;
#[path = "../../core/src/exit.rs"]
mod exit;
#[path = "../../core/src/exiting.rs"]
mod exiting;
#[path = "../../core/src/fork.rs"]
mod fork;
#[path = "../../core/src/generation.rs"]
#[allow(dead_code)]
mod generation;
mod os;
mod process;
#[path = "../../core/src/refused.rs"]
#[allow(dead_code)]
mod refused;
mod scene;
#[path = "../../core/src/spin.rs"]
#[allow(dead_code)]
mod spin;
#[path = "../../core/src/standstill.rs"]
mod standstill;
mod sync;
#[path = "../../core/src/uses.rs"]
mod uses;

use error::{Error, Result};
use scene::{buffer, hidden, page_lock};

#[path = "../../core/src/crypto"]
#[allow(dead_code)]
mod crypto {
    pub mod gate;
    pub mod rsa {
        mod closed;
        pub use crate::scene::pkey;

        /// A private key of the core, as far as it is about its pages.
        pub struct PrivateKey(closed::ClosedPkey);

        impl PrivateKey {
            pub fn load() -> Self {
                let closed = closed::ClosedPkey::load(|| Ok(pkey::Pkey::read()));
                Self(closed.unwrap_or_else(|_| unreachable!("nothing is refused")))
            }

            pub fn use_once(&self) {
                let used = self.0.with(pkey::Pkey::complete);
                used.unwrap_or_else(|_| unreachable!("nothing is refused"));
            }
        }
    }
    pub use crate::scene::random;
}

/// The same modules as in `nomyo_core::arena`.
// Each source is used in part only.
#[allow(dead_code)]
mod arena {
    #[path = "../../../core/src/arena/all_locks.rs"]
    pub mod all_locks;
    #[path = "../../../core/src/arena/bits.rs"]
    mod bits;
    #[path = "../../../core/src/arena/blocks.rs"]
    pub mod blocks;
    #[path = "../../../core/src/arena/budget.rs"]
    pub mod budget;
    #[path = "../../../core/src/arena/chunk.rs"]
    pub mod chunk;
    #[path = "../../../core/src/arena/growth.rs"]
    pub mod growth;
    #[path = "../../../core/src/arena/heap.rs"]
    pub mod heap;
    pub mod heaps;
    pub mod key_pages;
    mod mapping;
    #[path = "../../../core/src/arena/pages.rs"]
    pub mod pages;
    pub mod region;
    #[path = "../../../core/src/arena/size.rs"]
    pub mod size;
    #[path = "../../../core/src/arena/spare.rs"]
    pub mod spare;
    #[path = "../../../core/src/arena/supply.rs"]
    pub mod supply;
    mod whole;

    pub use heaps::without_keys;
    pub use key_pages::KeyPages;
    pub use whole::{relock_inherited, wipe_all};
}

mod arena_models;
mod key_models;
mod process_models;
mod use_models;
