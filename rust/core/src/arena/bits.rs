//! Bit maps of free units and slots. Pure arithmetic.

/// A map of the units of a chunk, or of the slots of a unit: one bit each, 1 for free.
pub type Map = u128;

/// Returns the first multiple of `step` (a power of two up to 64) at which `len` (1 to 128) ones in a row begin.
#[inline]
pub fn find_run(map: Map, len: usize, step: usize) -> Option<usize> {
    let starts = run_starts(map, len) & MULTIPLES[step.trailing_zeros() as usize];
    (starts != 0).then(|| starts.trailing_zeros() as usize)
}

/// Returns a mask of `len` ones from bit `first` on.
#[inline]
pub fn run_mask(first: usize, len: usize) -> Map {
    let ones = if len >= 128 { Map::MAX } else { (1 << len) - 1 };
    ones << first
}

/// Masks of every bit, every second bit, every fourth, ... every 64th, from the lowest on.
const MULTIPLES: [Map; 7] = {
    let mut masks = [Map::MAX; 7];
    let mut power = 1;
    while power < masks.len() {
        masks[power] = Map::MAX / ((1 << (1 << power)) - 1);
        power += 1;
    }
    masks
};

/// Returns a map of the bits at which `len` ones in a row begin. Every round doubles the length that a bit stands for
/// (Warren, Hacker's Delight, 6-2).
#[inline]
fn run_starts(mut map: Map, len: usize) -> Map {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_walk_over_the_bits_finds() {
        let mut map = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C834_u128;
        for round in 0..1000_u32 {
            // Marsaglia's xorshift, widened; every second map is made denser, so that long runs occur.
            map ^= map << 13;
            map ^= map >> 7;
            map ^= map << 17;
            let dense = map | map.rotate_left(9) | map.rotate_left(23) | map.rotate_left(41);
            let map = if round.is_multiple_of(2) { dense } else { map };
            for len in 1..=128 {
                for step in [1, 2, 4, 8, 16, 32, 64] {
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
        assert_eq!(find_run(Map::MAX, 128, 1), Some(0));
        assert_eq!(run_mask(0, 128), Map::MAX);
        assert_eq!(run_mask(3, 2), 0b11000);
    }

    fn walk(map: Map, len: usize, step: usize) -> Option<usize> {
        (0..=128 - len)
            .step_by(step)
            .find(|first| map & run_mask(*first, len) == run_mask(*first, len))
    }
}
