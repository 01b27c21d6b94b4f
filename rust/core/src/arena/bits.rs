//! Bit maps of free units. Pure arithmetic.

/// The first position of `len` (1 to 64) ones in a row that lies at a multiple of `step` (a power of
/// two to 32).
pub fn find_run(map: u64, len: usize, step: usize) -> Option<usize> {
    let starts = run_starts(map, len) & multiples(step);
    (starts != 0).then(|| starts.trailing_zeros() as usize)
}

/// A mask of `len` ones from `first` on.
pub fn run_mask(first: usize, len: usize) -> u64 {
    let ones = if len >= 64 { u64::MAX } else { (1 << len) - 1 };
    ones << first
}

/// The positions from which `len` ones follow. Every round doubles the length that a bit stands for
/// (Warren, Hacker's Delight, 6-2).
fn run_starts(mut map: u64, len: usize) -> u64 {
    let mut missing = len - 1;
    let mut step = 1;
    while missing > 0 {
        let shift = step.min(missing);
        map &= map >> shift;
        missing -= shift;
        step *= 2;
    }
    map
}

/// A mask of every `step`-th bit, from the lowest on (`step`: a power of two to 32).
fn multiples(step: usize) -> u64 {
    u64::MAX / ((1 << step) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_walk_over_the_bits_finds() {
        let mut map = 0x9E37_79B9_7F4A_7C15_u64;
        for round in 0..2000_u32 {
            // xorshift64; every second map is made denser, so that long runs occur.
            map ^= map << 13;
            map ^= map >> 7;
            map ^= map << 17;
            let dense = map | map.rotate_left(9) | map.rotate_left(23) | map.rotate_left(41);
            let map = if round.is_multiple_of(2) { dense } else { map };
            for len in 1..=64 {
                for step in [1, 2, 4, 16] {
                    assert_eq!(
                        find_run(map, len, step),
                        walk(map, len, step),
                        "{map:x} {len} {step}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_full_map_holds_the_longest_run() {
        assert_eq!(find_run(u64::MAX, 64, 1), Some(0));
        assert_eq!(run_mask(0, 64), u64::MAX);
        assert_eq!(run_mask(3, 2), 0b11000);
    }

    fn walk(map: u64, len: usize, step: usize) -> Option<usize> {
        (0..=64 - len)
            .step_by(step)
            .find(|first| map & run_mask(*first, len) == run_mask(*first, len))
    }
}
