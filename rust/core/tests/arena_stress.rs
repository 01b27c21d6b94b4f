//! Threads allocate, fill, resize, pass on and free blocks of all sizes at random, for some seconds.
//!
//! Every block is filled with a pattern that no other block has, and checked before it is resized or freed. So the test
//! finds blocks that overlap, change or are not wiped. `NOMYO_SOAK_S` sets the seconds under each limit, and
//! `NOMYO_SOAK_SEED` the seed; a failure shows the seed it ran with.
#![cfg(target_os = "linux")]

#[path = "block/mod.rs"]
mod block;
#[path = "own_process/locked.rs"]
mod locked;
#[path = "own_process/mod.rs"]
mod own_process;

use block::{Block, Dice};
use nomyo_core::arena::{Arena, Status, status, with_keys};
use own_process::{Memlock, passes, passes_limited};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

#[global_allocator]
static ARENA: Arena = Arena;

const THREADS: usize = 4;
const DEFAULT_SECONDS: f64 = 3.0;

/// The most that a thread holds.
const MOST_BLOCKS: usize = 300;
const MOST_BYTES: usize = 16 << 20;

/// Blocks and alignments go up to this power of two.
const LARGEST_POWER: usize = 20;

#[test]
fn blocks_keep_their_content_where_little_can_be_locked() {
    passes_limited(&Memlock("65536"), "child_stress");
}

#[test]
fn blocks_keep_their_content_under_the_default_limit() {
    passes_limited(&Memlock("8388608"), "child_stress");
}

#[test]
fn blocks_keep_their_content_without_a_limit() {
    passes("child_stress");
}

#[test]
#[ignore = "needs the arena to itself"]
fn child_stress() {
    let seed = seed();
    println!("seed: {seed}");
    // After this first run, the standard library has allocated what it keeps for threads.
    run(seed, Duration::ZERO);
    let before = settled();
    run(seed, duration());
    assert_all_given_back(before, settled());
}

/// Returns the status once it no longer changes: the test harness allocates beside a test.
fn settled() -> Status {
    std::thread::sleep(Duration::from_millis(100));
    status()
}

fn assert_all_given_back(before: Status, after: Status) {
    assert_eq!(after.in_use_bytes, before.in_use_bytes, "{after:?}");
    assert_eq!(after.unlocked_bytes, before.unlocked_bytes, "{after:?}");
    assert_eq!(after.locked_bytes, locked::vm_locked_bytes(), "{after:?}");
    assert!(after.locked_bytes <= after.budget_bytes, "{after:?}");
}

fn run(seed: u64, duration: Duration) {
    let shared = &Shared::default();
    let end = Instant::now() + duration;
    std::thread::scope(|scope| {
        let work = |number| move || Worker::new(number, seed, shared).work_until(end);
        let threads: Vec<_> = (0..THREADS)
            .map(|number| scope.spawn(work(number)))
            .collect();
        // The scope waits for closures only. A thread's own memory is freed after that.
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
    shared.boxes.iter().for_each(|letters| {
        let letters = std::mem::take(&mut *letters.lock().unwrap());
        letters.into_iter().for_each(Marked::free);
    });
}

fn duration() -> Duration {
    let seconds = std::env::var("NOMYO_SOAK_S").map(|text| text.parse().expect("seconds"));
    Duration::from_secs_f64(seconds.unwrap_or(DEFAULT_SECONDS))
}

fn seed() -> u64 {
    let by_clock = || {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        since.unwrap().as_nanos() as u64
    };
    let asked = std::env::var("NOMYO_SOAK_SEED").map(|text| text.parse().expect("a number"));
    asked.unwrap_or_else(|_| by_clock())
}

/// What the threads share.
#[derive(Default)]
struct Shared {
    /// For each thread, the blocks that others passed to it, and that it frees.
    boxes: [Mutex<Vec<Marked>>; THREADS],
    /// Blocks marked so far.
    marks: AtomicU64,
}

struct Worker<'a> {
    number: usize,
    dice: Dice,
    shared: &'a Shared,
    held: Vec<Marked>,
    held_bytes: usize,
}

impl<'a> Worker<'a> {
    fn new(number: usize, seed: u64, shared: &'a Shared) -> Self {
        let dice = Dice((seed ^ (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)) | 1);
        let (held, held_bytes) = (Vec::with_capacity(MOST_BLOCKS), 0);
        Self {
            number,
            dice,
            shared,
            held,
            held_bytes,
        }
    }

    fn work_until(mut self, end: Instant) {
        while Instant::now() < end {
            for _ in 0..50 {
                self.step();
            }
            let letters = std::mem::take(&mut *self.shared.boxes[self.number].lock().unwrap());
            letters.into_iter().for_each(Marked::free);
        }
        self.held.drain(..).for_each(Marked::free);
    }

    fn step(&mut self) {
        match self.dice.below(5) {
            0 | 1 if self.held.len() < MOST_BLOCKS && self.held_bytes < MOST_BYTES => self.take(),
            2 if !self.held.is_empty() => self.resize(),
            3 if !self.held.is_empty() => self.give_up().free(),
            _ if !self.held.is_empty() => self.hand_on(),
            _ => {}
        }
    }

    fn take(&mut self) {
        let size = self.size();
        // The lesser of two random numbers, so that large alignments are rare.
        let powers = [(); 2].map(|()| self.dice.below(LARGEST_POWER + 1));
        let align = 1 << powers[0].min(powers[1]);
        let take = || Block::new(size, align);
        let mut block = if self.dice.below(8) == 0 {
            with_keys(take)
        } else {
            take()
        };
        assert_eq!(block.ptr as usize % align, 0, "{size} {align}");
        assert!(is_zero(block.bytes()), "{size} {align}");
        self.held_bytes += size;
        self.held.push(Marked::new(block, self.shared));
    }

    fn resize(&mut self) {
        let at = self.dice.below(self.held.len());
        let size = self.size();
        let block = &mut self.held[at];
        self.held_bytes = self.held_bytes - block.block.layout.size() + size;
        block.resize(size, self.shared);
    }

    fn hand_on(&mut self) {
        let block = self.give_up();
        let other = self.dice.below(THREADS);
        self.shared.boxes[other].lock().unwrap().push(block);
    }

    fn give_up(&mut self) -> Marked {
        let at = self.dice.below(self.held.len());
        let block = self.held.swap_remove(at);
        self.held_bytes -= block.block.layout.size();
        block
    }

    /// 1 byte to 1 MiB: every power of two as often, the larger half less often.
    fn size(&mut self) -> usize {
        let powers = if self.dice.below(8) == 0 {
            LARGEST_POWER
        } else {
            13
        };
        let most = 1 << self.dice.below(powers + 1);
        1 + self.dice.below(most)
    }
}

/// A block filled with a pattern of its own.
struct Marked {
    block: Block,
    mark: u64,
}

impl Marked {
    fn new(block: Block, shared: &Shared) -> Self {
        let mut marked = Self { block, mark: 0 };
        marked.fill(shared);
        marked
    }

    fn fill(&mut self, shared: &Shared) {
        self.mark = shared.marks.fetch_add(1, Ordering::Relaxed) + 1;
        for (at, word) in self.block.bytes().chunks_mut(8).enumerate() {
            word.copy_from_slice(&pattern(self.mark, at)[..word.len()]);
        }
    }

    fn check(&mut self, len: usize) {
        let layout = self.block.layout;
        for (at, word) in self.block.bytes()[..len].chunks(8).enumerate() {
            assert_eq!(
                *word,
                pattern(self.mark, at)[..word.len()],
                "{layout:?} at {}",
                at * 8
            );
        }
    }

    fn resize(&mut self, size: usize, shared: &Shared) {
        let kept = self.block.layout.size().min(size);
        self.check(self.block.layout.size());
        self.block.resize(size);
        assert_eq!(self.block.ptr as usize % self.block.layout.align(), 0);
        self.check(kept);
        self.fill(shared);
    }

    fn free(mut self) {
        self.check(self.block.layout.size());
    }
}

/// Returns the eight bytes of block `mark` at word `at`. None of them is zero.
fn pattern(mark: u64, at: usize) -> [u8; 8] {
    let mixed =
        mark.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (at as u64).wrapping_mul(0xD1B5_4A32_D192_ED03);
    (mixed | 0x0101_0101_0101_0101).to_le_bytes()
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().fold(0, |all, byte| all | byte) == 0
}
