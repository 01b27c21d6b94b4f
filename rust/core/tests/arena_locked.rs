//! The arena's figures of locked memory agree with the kernel's, under every limit.
#![cfg(target_os = "linux")]

#[path = "own_process/locked.rs"]
mod locked;
#[path = "own_process/mod.rs"]
mod own_process;

use locked::{mapping_of, mappings, vm_locked_bytes};
use nomyo_core::arena::{Arena, Status, status, unlocked_serves_here, with_keys};
use nomyo_core::pem::private_from_pem;
use own_process::{Memlock, passes, passes_limited};

#[global_allocator]
static ARENA: Arena = Arena;

const EIGHT_MIB: Memlock = Memlock("8388608");
const SIXTY_FOUR_KIB: Memlock = Memlock("65536");
const NOTHING: Memlock = Memlock("0");

/// Returns the arena's status, after comparing it with the kernel's figure.
fn true_status() -> Status {
    let status = status();
    assert_eq!(status.locked_bytes, vm_locked_bytes(), "{status:?}");
    status
}

#[test]
fn status_agrees_with_the_kernel_under_every_limit() {
    for limit in [EIGHT_MIB, SIXTY_FOUR_KIB, NOTHING] {
        passes_limited(&limit, "child_status_agrees_with_the_kernel");
    }
    passes("child_status_agrees_with_the_kernel");
}

#[test]
#[ignore = "runs under a limit of its own"]
fn child_status_agrees_with_the_kernel() {
    let mut held: Vec<Vec<u8>> = Vec::new();
    for size in [10, 1000, 3000, 20_000, 100_000, 300_000, 3_000_000] {
        held.extend((0..20).map(|_| vec![1; size]));
        held.push(with_keys(|| vec![2; size]));
        true_status();
    }
    while held.pop().is_some() {
        true_status();
    }
}

#[test]
fn default_limit_locks_three_quarters_of_itself() {
    passes_limited(&EIGHT_MIB, "child_default_limit");
}

#[test]
#[ignore = "runs under a limit of its own"]
fn child_default_limit() {
    let before = true_status();
    assert_eq!(before.limit_bytes, Some(8 << 20));
    assert_eq!(before.budget_bytes, 6 << 20);
    assert_eq!(before.unlocked_bytes, 0);
    let plaintext: Vec<Vec<u8>> = (0..5000).map(|_| vec![3; 2000]).collect();
    let full = true_status();
    assert!(
        full.unlocked_bytes > 0 && full.locked_bytes <= full.budget_bytes,
        "{full:?}"
    );
    // The keys still have their reserve.
    let key = with_keys(|| vec![4_u8; 100_000]);
    let mapping = mapping_of(key.as_ptr() as usize);
    assert!(mapping.has("lo") && mapping.has("dd"), "{}", mapping.flags);
    assert_eq!(status().unlocked_key_peak_bytes, 0);
    drop((plaintext, key, mapping));
    let after = true_status();
    assert_eq!(after.unlocked_bytes, 0, "{after:?}");
}

#[test]
fn smallest_usual_limit_serves_a_key_and_an_operation_locked() {
    passes_limited(&SIXTY_FOUR_KIB, "child_key_under_the_smallest_limit");
}

#[test]
#[ignore = "runs under a limit of its own"]
fn child_key_under_the_smallest_limit() {
    let before = true_status();
    assert_eq!(
        (before.limit_bytes, before.budget_bytes),
        (Some(65_536), 57_344)
    );
    // Made by `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:4096`; it protects nothing.
    let key = private_from_pem(include_bytes!("fixtures/private_4096.pem"), None).unwrap();
    assert_eq!(key.bits(), 4096);
    let mut wrapped = vec![0; key.public_key().modulus_len()];
    for _ in 0..50 {
        key.public_key().wrap(&[7; 32], &mut wrapped).unwrap();
        assert_eq!(key.unwrap(&wrapped).unwrap().as_bytes(), &[7; 32]);
    }
    assert_eq!(true_status().unlocked_key_peak_bytes, 0);
}

#[test]
fn nothing_is_claimed_to_be_locked_under_a_limit_of_zero() {
    passes_limited(&NOTHING, "child_limit_of_zero");
}

#[test]
#[ignore = "runs under a limit of its own"]
fn child_limit_of_zero() {
    let status = true_status();
    assert!(!nomyo_core::os::can_lock());
    assert_eq!((status.locked_bytes, status.budget_bytes), (0, 0));
    assert_eq!(status.limit_bytes, Some(0));
    assert!(status.unlocked_bytes > 0);
    let secret = with_keys(|| vec![5_u8; 1000]);
    let mapping = mapping_of(secret.as_ptr() as usize);
    assert!(!mapping.has("lo") && mapping.has("dd"), "{}", mapping.flags);
}

#[test]
fn every_block_served_unlocked_counts_for_the_thread_that_asked() {
    passes_limited(&NOTHING, "child_every_block_counts");
}

#[test]
#[ignore = "runs under a limit of its own"]
fn child_every_block_counts() {
    let before = unlocked_serves_here();
    let held = [(); 10].map(|()| Box::new([1_u8; 40]));
    let (run, mapping) = (vec![2_u8; 20_000], vec![3_u8; 1_000_000]);
    assert_eq!(unlocked_serves_here(), before + 12);
    let theirs = std::thread::spawn(|| {
        let before = unlocked_serves_here();
        let held = with_keys(|| Box::new([4_u8; 3000]));
        (held, unlocked_serves_here() - before)
    });
    let (block, theirs) = theirs.join().unwrap();
    assert_eq!(theirs, 1);
    let now = unlocked_serves_here();
    drop((held, run, mapping, block));
    assert_eq!(unlocked_serves_here(), now, "giving back is no serve");
}

#[test]
fn no_block_counts_while_memory_can_be_locked() {
    passes_limited(
        &EIGHT_MIB,
        "child_no_block_counts_until_the_budget_is_used_up",
    );
}

#[test]
#[ignore = "runs under a limit of its own"]
fn child_no_block_counts_until_the_budget_is_used_up() {
    let mut held: Vec<Vec<u8>> = [16, 500, 4096, 100_000, 400_000]
        .map(|size| vec![7; size])
        .into();
    held.push(with_keys(|| vec![8; 100_000]));
    assert_eq!(
        (unlocked_serves_here(), status().unlocked_peak_bytes),
        (0, 0)
    );
    held.push(vec![9; 8 << 20]);
    assert_eq!(unlocked_serves_here(), 1);
    held.extend((0..4000).map(|_| vec![7; 2000]));
    assert!(unlocked_serves_here() > 1000, "{}", unlocked_serves_here());
}

#[test]
fn peak_of_unlocked_blocks_is_the_most_that_was_in_use_at_one_time() {
    passes_limited(&NOTHING, "child_peak_of_unlocked_blocks");
}

#[test]
#[ignore = "runs under a limit of its own"]
fn child_peak_of_unlocked_blocks() {
    // Nothing is locked here, so all blocks in use count as unlocked.
    let take = || [60, 3000, 70_000, 800_000].map(|size| vec![1_u8; size]);
    let (first, second) = (take(), take());
    let most = status();
    assert_eq!(most.unlocked_peak_bytes, most.in_use_bytes);
    drop(second);
    let third = take();
    assert_eq!(
        status().unlocked_peak_bytes,
        most.unlocked_peak_bytes,
        "no more than before"
    );
    let fourth = take();
    let more = status();
    assert_eq!(more.unlocked_peak_bytes, more.in_use_bytes);
    drop((first, third, fourth));
    assert_eq!(status().unlocked_peak_bytes, more.unlocked_peak_bytes);
}

#[test]
fn limit_used_up_by_others_is_found_out() {
    passes_limited(&EIGHT_MIB, "child_limit_used_up_by_others");
}

#[test]
#[ignore = "runs under a limit of its own"]
fn child_limit_used_up_by_others() {
    let before = true_status();
    let page = before.page_size;
    let others = (8 << 20) - before.locked_bytes - page;
    // SAFETY: a fresh mapping; it stays until the process ends.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let ptr = libc::mmap(std::ptr::null_mut(), others, libc::PROT_READ, flags, -1, 0);
        assert_eq!(libc::mlock(ptr, others), 0);
        let held: Vec<Vec<u8>> = (0..1000).map(|_| vec![6; 2000]).collect();
        let crowded = status();
        assert_eq!(
            crowded.locked_bytes + others,
            vm_locked_bytes(),
            "{crowded:?}"
        );
        assert!(crowded.unlocked_bytes > 0);
        libc::munlock(ptr, others);
        let more: Vec<Vec<u8>> = (0..1000).map(|_| vec![6; 2000]).collect();
        assert!(true_status().locked_bytes > crowded.locked_bytes);
        drop((held, more));
    }
    true_status();
}

#[test]
fn all_blocks_lie_in_pages_that_are_locked_and_undumpable() {
    passes("child_all_blocks_are_locked_and_undumpable");
}

#[test]
#[ignore = "needs the arena to itself"]
fn child_all_blocks_are_locked_and_undumpable() {
    let blocks: Vec<Vec<u8>> = [16, 500, 4096, 100_000, 400_000]
        .map(|size| vec![7; size])
        .into();
    let all = mappings();
    for block in &blocks {
        let address = block.as_ptr() as usize;
        let mapping = all
            .iter()
            .find(|mapping| mapping.addresses.contains(&address))
            .unwrap();
        assert!(
            mapping.has("lo") && mapping.has("dd"),
            "{} {}",
            block.len(),
            mapping.flags
        );
        assert!(mapping.addresses.contains(&(address + block.len() - 1)));
    }
    let locked = all.iter().filter(|mapping| mapping.has("lo"));
    let locked: usize = locked.map(|mapping| mapping.addresses.len()).sum();
    assert_eq!(locked, true_status().locked_bytes);
}
