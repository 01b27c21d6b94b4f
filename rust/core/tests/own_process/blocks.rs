//! Blocks of the arena to hide, and what is asked about them.
#![allow(dead_code)]

use crate::locked::mapping_of;
use nomyo_core::arena::with_keys;
use nomyo_core::os;

/// Blocks of every kind: slots, runs, mappings, keys.
pub struct Blocks {
    pub all: Vec<Vec<u8>>,
    pub key: Vec<u8>,
}

impl Blocks {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let sizes = [24, 1500, 60_000, 400_000].into_iter().cycle().take(12);
        Self {
            all: sizes
                .enumerate()
                .map(|(mark, size)| vec![mark as u8; size])
                .collect(),
            key: with_keys(|| vec![0xAE; 2000]),
        }
    }

    pub fn assert_as_they_were(&self) {
        for (mark, block) in self.all.iter().enumerate() {
            assert!(block.iter().all(|byte| usize::from(*byte) == mark));
        }
        assert!(self.key.iter().all(|byte| *byte == 0xAE));
    }

    pub fn assert_hidden(&self) {
        for block in self.all.iter().chain([&self.key]) {
            assert_hidden(block.as_ptr() as usize);
        }
    }
}

pub fn assert_hidden(address: usize) {
    let mapping = mapping_of(address);
    // Locked, not in core dumps, not in children (proc_pid_smaps(5)).
    assert!(
        ["lo", "dd", "dc"].iter().all(|flag| mapping.has(flag)),
        "{}",
        mapping.flags
    );
    assert_eq!(os::others_can_read(address as *const u8), Some(false));
}

/// Limits the file descriptors of this process.
pub fn limit_descriptors(count: u64) {
    let limit = libc::rlimit {
        rlim_cur: count,
        rlim_max: 1000,
    };
    // SAFETY: the struct is valid for the call.
    let answer = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(answer, 0);
}
