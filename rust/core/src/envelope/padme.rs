//! The sizes of the Padmé scheme: a size tells little of a length, and is at most 12 % above it.
//!
//! Nikitin, Barman, Lueks, Underwood, Hubaux, Ford: Reducing Metadata Leakage from Encrypted Files and Communication
//! with PURBs. PoPETs 2019(4), section 4, algorithm 1.

/// Returns the least size of the scheme that is not below `len`, or [`usize::MAX`] if that is beyond it.
///
/// Of a length with E + 1 bits, the size keeps the first floor(log2 E) + 2 bits; the others are zero.
pub fn padded_len(len: usize) -> usize {
    let Some(exponent) = len.checked_ilog2().filter(|bits| *bits > 0) else {
        return len; // 0 and 1
    };
    let kept_bits = exponent.ilog2() + 1;
    let free_bits = exponent.saturating_sub(kept_bits);
    let mask = (1 << free_bits) - 1;
    len.checked_add(mask).map_or(usize::MAX, |sum| sum & !mask)
}

#[cfg(test)]
mod tests {
    use super::padded_len;

    #[test]
    fn test_sizes_are_those_of_the_paper_s_algorithm() {
        // Calculated by the paper's algorithm with floating-point logarithms, as it is printed there.
        let pairs = [
            (0, 0),
            (1, 1),
            (2, 2),
            (8, 8),
            (9, 10),
            (100, 104),
            (128, 128),
            (129, 144),
            (1_000, 1_024),
            (1_025, 1_088),
            (65_537, 67_584),
            (10_485_760, 10_485_760),
            (10_485_761, 10_747_904),
        ];
        for (len, size) in pairs {
            assert_eq!(padded_len(len), size, "{len}");
        }
    }

    #[test]
    fn test_size_is_at_most_12_percent_above_and_stays_what_it_is() {
        for len in (1..300_000).chain((1 << 20)..(1 << 20) + 5_000) {
            let size = padded_len(len);
            assert!(
                len <= size && (size - len) * 100 <= len * 12,
                "{len}: {size}"
            );
            assert_eq!(padded_len(size), size, "{len}");
        }
    }

    #[test]
    fn test_length_beyond_all_sizes_does_not_overflow() {
        assert_eq!(padded_len(usize::MAX), usize::MAX);
    }
}
