//! Runs the arena's own sources under the model checker Loom, in every order that threads can have.
//!
//! The files that are included by `#[path]` are those that the core compiles. The others stand for parts of the core:
//! - `sync`: Loom's atomics and cells;
//! - `os`: pages are counted and not mapped; a byte of model memory stands for every granule of a block, so that Loom
//!   sees every access to it;
//! - `arena/region` and `arena/heaps`: the statics, of which every execution gets fresh ones;
//! - `arena/mapping`: refuses all requests.
//!
//! Loom runs a model once for every order of its threads' steps, and for every value that a relaxed load may see,
//! within a bound of preemptions if the model sets one. It fails if two accesses to one cell, one of them a write, are
//! not ordered by a lock. For the memory of a block this proves that a thread that allocates it sees it wiped.
#![cfg(test)]

mod os;
#[path = "../../core/src/spin.rs"]
#[allow(dead_code)]
mod spin;
mod sync;

/// The same modules as in `nomyo_core::arena`.
// Each source is used in part only.
#[allow(dead_code)]
mod arena {
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
}

mod models;
