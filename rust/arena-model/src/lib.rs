//! The arena's own sources, run by the model checker Loom in every order that threads can.
//!
//! What is included by `#[path]` is what the core compiles. Stand-ins are: atomics and cells (Loom's);
//! the system (`os`: pages are counted, not mapped, and a byte of model memory for every granule of a
//! block shows who touches it when); the statics, made anew for every execution; and blocks with a
//! mapping of their own, of which there are none.
//!
//! Loom runs a model once for every order of its threads' steps, and for every value that a relaxed
//! load may see, up to a bound of preemptions where a model sets one. It fails where two accesses to
//! one cell, one of them a write, are not ordered by a lock: for a block's memory that means that
//! whoever takes it sees it wiped.
#![cfg(test)]

mod os;

/// As `nomyo_core::arena`.
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
    mod mapping;
    pub mod region;
    pub mod shards;
    #[path = "../../../core/src/arena/size.rs"]
    pub mod size;
    #[path = "../../../core/src/arena/spin.rs"]
    pub mod spin;
    #[path = "../../../core/src/arena/supply.rs"]
    pub mod supply;
    mod sync;
}

mod models;
