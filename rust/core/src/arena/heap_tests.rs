//! Tests the heap against a model. There is no memory behind it, only the bookkeeping.

use super::chunk::{Chunk, Chunks, chunk_of, index_in_chunk};
use super::heap::{Heap, Lane};
use super::pages::Kept;
use super::size::{CLASSES, slot_size};
use std::collections::HashSet;

const UNIT: usize = 2048;
const USABLE: usize = 126;

/// A heap with its bookkeeping, and the pieces of 8 bytes that the model has as taken, by unit and offset.
struct Model {
    heap: Heap,
    chunks: Chunks,
    taken: HashSet<(u32, usize)>,
    live: Vec<Live>,
}

#[derive(Clone, Copy)]
enum Live {
    Slot {
        unit: u32,
        class: usize,
        slot: usize,
    },
    Run {
        unit: u32,
        units: usize,
    },
}

impl Live {
    /// Every 8 bytes that the block covers.
    fn granules(self) -> Vec<(u32, usize)> {
        match self {
            Live::Slot { unit, class, slot } => {
                let size = slot_size(class);
                (slot * size..(slot + 1) * size)
                    .step_by(8)
                    .map(|at| (unit, at))
                    .collect()
            }
            Live::Run { unit, units } => (0..units as u32)
                .flat_map(|next| (0..UNIT).step_by(8).map(move |at| (unit + next, at)))
                .collect(),
        }
    }
}

impl Model {
    /// Two locked chunks and two unlocked ones.
    fn new() -> Self {
        let all: Vec<Chunk> = (0..4).map(|_| Chunk::closed()).collect();
        let chunks = Chunks::new(all.leak(), UNIT);
        let mut heap = Heap::new();
        for chunk in 0..4 {
            // SAFETY: one thread, no other reference.
            unsafe { chunks.ledger(chunk) }.open(USABLE, (chunk < 2).then_some(Kept::Locked));
            heap.adopt(&chunks, chunk);
        }
        Self {
            heap,
            chunks,
            taken: HashSet::new(),
            live: Vec::new(),
        }
    }

    fn take_slot(&mut self, lane: Lane, class: usize) {
        if let Some((unit, slot)) = self.heap.take_slot(&self.chunks, lane, class) {
            self.note(lane, Live::Slot { unit, class, slot });
        }
    }

    fn take_run(&mut self, lane: Lane, units: usize, step: usize) {
        if let Some(unit) = self.heap.take_run(&self.chunks, lane, units, step) {
            assert_eq!(index_in_chunk(unit) % step, 0);
            self.note(lane, Live::Run { unit, units });
        }
    }

    fn note(&mut self, lane: Lane, block: Live) {
        for (unit, at) in block.granules() {
            assert_eq!(
                chunk_of(unit) < 2,
                lane == Lane::Locked,
                "from the wrong lane"
            );
            assert!(
                index_in_chunk(unit) < USABLE && at < UNIT,
                "outside of the chunk"
            );
            assert!(self.taken.insert((unit, at)), "handed out twice");
        }
        self.live.push(block);
    }

    fn put(&mut self, at: usize) {
        let block = self.live.swap_remove(at);
        for granule in block.granules() {
            assert!(self.taken.remove(&granule));
        }
        let (unit, lane) = match block {
            Live::Slot { unit, class, slot } => {
                let lane = self.heap.put_slot(&self.chunks, unit, class, slot);
                (unit, lane)
            }
            Live::Run { unit, units } => (unit, self.heap.put_run(&self.chunks, unit, units)),
        };
        // SAFETY: one thread, no other reference.
        let locked = unsafe { self.chunks.ledger(chunk_of(unit)) }.locked;
        assert_eq!(lane == Lane::Locked, locked, "went back to the wrong lane");
    }

    fn check(&self) {
        assert_eq!(self.heap.in_use, self.taken.len() * 8);
        // SAFETY: one thread, no other reference.
        let by_chunk = (0..4).map(|chunk| unsafe { self.chunks.in_use_bytes(chunk) });
        assert_eq!(self.heap.in_use, by_chunk.sum::<usize>());
    }
}

fn dice(state: &mut u64, bound: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state % bound as u64) as usize
}

fn lane(state: &mut u64) -> Lane {
    [Lane::Locked, Lane::Unlocked][dice(state, 2)]
}

/// Allocates and frees at random. `full` decides how much is held.
fn play(model: &mut Model, state: &mut u64, rounds: usize, full: usize) {
    for _ in 0..rounds {
        match dice(state, 10) {
            0..=4 if model.live.len() < full => {
                let class = dice(state, CLASSES);
                model.take_slot(lane(state), class);
            }
            5 if model.live.len() < full => {
                let step = 1 << dice(state, 5);
                let units = 1 + dice(state, 40);
                model.take_run(lane(state), units, step);
            }
            _ if !model.live.is_empty() => {
                let at = dice(state, model.live.len());
                model.put(at);
            }
            _ => {}
        }
        model.check();
    }
}

#[test]
fn no_byte_is_handed_out_twice_and_all_come_back() {
    let (mut model, mut state) = (Model::new(), 0x9E37_79B9_7F4A_7C15);
    for full in [10, 100, 2000, 50] {
        play(&mut model, &mut state, 4000, full);
    }
    while !model.live.is_empty() {
        model.put(0);
    }
    model.check();
    assert_eq!(model.heap.idle_unlocked_units(), 2 * USABLE);
    // All four chunks are entirely free again, and are removed one by one until one of each kind is left.
    let given: Vec<u32> =
        std::iter::from_fn(|| model.heap.disown_surplus(&model.chunks, 1)).collect();
    assert_eq!(given.len(), 2);
}

#[test]
fn lists_made_anew_lead_to_the_same_free_memory() {
    let (mut model, mut state) = (Model::new(), 0xD1B5_4A32_D192_ED03);
    play(&mut model, &mut state, 3000, 300);
    // As in a forked child that could not lock the second chunk again.
    // SAFETY: one thread, no other reference.
    unsafe { model.chunks.ledger(1) }.locked = false;
    let chunks = model.chunks;
    model.heap.rebuild(&chunks, 0..4);
    let units = |lane: Lane| if lane == Lane::Locked { 0..1 } else { 1..4 };
    for lane in [Lane::Locked, Lane::Unlocked] {
        while let Some(unit) = model.heap.take_run(&chunks, lane, 1, 1) {
            assert!(units(lane).contains(&chunk_of(unit)));
            let block = Live::Run { unit, units: 1 };
            assert!(
                block
                    .granules()
                    .into_iter()
                    .all(|granule| model.taken.insert(granule))
            );
            model.live.push(block);
        }
        for class in 0..CLASSES {
            while let Some((unit, slot)) = model.heap.take_slot(&chunks, lane, class) {
                let block = Live::Slot { unit, class, slot };
                assert!(
                    block
                        .granules()
                        .into_iter()
                        .all(|granule| model.taken.insert(granule))
                );
                model.live.push(block);
            }
        }
    }
    while !model.live.is_empty() {
        model.put(0);
    }
    model.check();
    assert_eq!(model.heap.idle_unlocked_units(), 3 * USABLE);
}

#[test]
fn first_chunk_is_filled_first() {
    let mut model = Model::new();
    for _ in 0..2 * USABLE {
        model.take_run(Lane::Locked, 1, 1);
    }
    // One unit of each chunk is freed, that of the second chunk last.
    model.put(0);
    let second = model.live.iter().position(|block| {
        let Live::Run { unit, .. } = block else {
            return false;
        };
        chunk_of(*unit) == 1
    });
    model.put(second.unwrap());
    let unit = model
        .heap
        .take_run(&model.chunks, Lane::Locked, 1, 1)
        .unwrap();
    assert_eq!(chunk_of(unit), 0);
}
