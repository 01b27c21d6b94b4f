//! Tests how much of the budget keys and other allocations may claim.

use super::budget::{Budget, CAP_BYTES, Share};

fn budget(limit: Option<u64>) -> Budget {
    let budget = Budget::new();
    budget.set(limit, None, 4096);
    budget
}

#[test]
fn others_stop_where_the_reserve_of_keys_begins() {
    let budget = budget(Some(8 << 20));
    assert_eq!(budget.total(), 1536);
    assert_eq!(budget.claim(Share::General, 9999, 1), Some(1152));
    assert_eq!(budget.claim(Share::General, 1, 1), None);
    assert_eq!(budget.claim(Share::Keys, 9999, 1), Some(384));
    assert_eq!(budget.claim(Share::Keys, 1, 1), None);
    assert_eq!(budget.claimed(), 1536);
}

#[test]
fn keys_may_go_beyond_their_reserve_and_others_then_have_less() {
    let budget = budget(Some(8 << 20));
    assert_eq!(budget.claim(Share::Keys, 1500, 1), Some(1500));
    assert_eq!(budget.claim(Share::General, 63, 1), Some(36));
    budget.give_back(Share::Keys, 1500);
    assert_eq!(budget.claim(Share::General, 9999, 63), Some(1116));
}

#[test]
fn small_limit_goes_to_keys_first() {
    let budget = budget(Some(64 << 10));
    assert_eq!(budget.total(), 14);
    assert_eq!(budget.claim(Share::General, 63, 1), Some(1));
    assert_eq!(budget.claim(Share::Keys, 63, 1), Some(13));
}

#[test]
fn nothing_may_be_locked_under_a_limit_of_zero() {
    let budget = budget(Some(0));
    assert_eq!(budget.claim(Share::Keys, 63, 1), None);
    assert_eq!(budget.claim(Share::General, 63, 1), None);
}

#[test]
fn without_a_limit_the_cap_holds() {
    assert_eq!(budget(None).total(), CAP_BYTES / 4096);
    let small_machine = Budget::new();
    small_machine.set(None, Some(512 << 20), 4096);
    assert_eq!(small_machine.total(), (64 << 20) / 4096);
}
