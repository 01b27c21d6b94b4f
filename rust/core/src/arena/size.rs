//! Chooses the kind of place for a request by its size and alignment. Pure arithmetic.
//!
//! A small request gets a slot in a unit of its size class, a larger one a run of whole units, and the largest a
//! mapping of its own. The classes are the powers of two from 16 to 1,024 and the sizes halfway between them, so a slot
//! is at most half as large again as the request.

/// The number of size classes.
pub const CLASSES: usize = 13;

/// How many units the longest run has. A chunk has 126 usable units, or 112 if memory is scarce.
pub const LONGEST_RUN: usize = 112;

/// The kind of place that serves a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A slot of this class.
    Slot(usize),
    /// This many units in a row, the first at a multiple of `align` units.
    Run { units: usize, align: usize },
    /// A mapping of its own.
    Mapping,
}

impl Place {
    /// How many units a chunk must have to hold it.
    pub fn least_units(self) -> usize {
        match self {
            Place::Run { units, .. } => units,
            _ => 1,
        }
    }

    /// How many bytes it takes in a chunk with units of `unit` bytes.
    pub fn bytes(self, unit: usize) -> usize {
        match self {
            Place::Slot(class) => slot_size(class),
            Place::Run { units, .. } => units * unit,
            Place::Mapping => 0,
        }
    }
}

/// Chooses the place for `size` bytes (not 0) at a multiple of `align` (a power of two).
#[inline]
pub fn place_for(size: usize, align: usize, unit: usize) -> Place {
    let padded = if size < align { align } else { size };
    if padded <= unit / 2 {
        return Place::Slot(class_for(padded, align));
    }
    if padded > LONGEST_RUN * unit {
        return Place::Mapping;
    }
    Place::Run {
        units: size.div_ceil(unit),
        align: (align / unit).max(1),
    }
}

/// Returns the size of a slot of this class in bytes: 16, 24, 32, 48, ... 768, 1,024.
#[inline]
pub const fn slot_size(class: usize) -> usize {
    let base = if class.is_multiple_of(2) { 16 } else { 24 };
    base << (class / 2)
}

/// Returns the number of the slot that begins at `offset` in a unit of this class; `None` if none begins there.
#[inline]
pub fn slot_at(class: usize, offset: usize) -> Option<usize> {
    let slot = match class.is_multiple_of(2) {
        true => offset >> (4 + class / 2),
        // Compilers turn a division by a constant into a multiplication; a division by a variable would cost 10 ns.
        false => (offset >> (3 + class / 2)) / 3,
    };
    (slot * slot_size(class) == offset).then_some(slot)
}

/// Returns the smallest class for `size` bytes whose slots all lie at multiples of `align` (at most 1,024).
#[inline]
fn class_for(size: usize, align: usize) -> usize {
    if size <= 16 {
        return 0;
    }
    let below = size - 1;
    let power = below.ilog2() as usize;
    let upper_half = (below >> (power - 1)) & 1;
    let class = (power - 4) * 2 + upper_half + 1;
    // Slots of 24, 48, 96... lie at multiples of 8, 16, 32...
    let halfway = !class.is_multiple_of(2);
    if halfway && align > 8 << (class / 2) {
        class + 1
    } else {
        class
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_fits_its_place_and_lies_aligned() {
        for unit in [256, 2048] {
            for align in (0..=11).map(|power| 1_usize << power) {
                for size in 1..=8192 {
                    check(size, align, unit);
                }
            }
        }
    }

    fn check(size: usize, align: usize, unit: usize) {
        match place_for(size, align, unit) {
            Place::Slot(class) => {
                assert!(
                    class < CLASSES && slot_size(class) >= size,
                    "{size} {align} {class}"
                );
                assert!(unit / slot_size(class) >= 2);
                assert_eq!(slot_size(class) % align, 0, "{size} {align} {class}");
            }
            Place::Run {
                units,
                align: steps,
            } => {
                assert!(units * unit >= size && units <= LONGEST_RUN);
                assert!(steps * unit >= align);
            }
            Place::Mapping => assert!(size.max(align) > LONGEST_RUN * unit),
        }
    }

    #[test]
    fn no_smaller_class_would_do() {
        for size in 17..=1024 {
            let Place::Slot(class) = place_for(size, 1, 2048) else {
                panic!("{size}")
            };
            assert!(slot_size(class - 1) < size, "{size} {class}");
        }
    }

    #[test]
    fn only_beginnings_of_slots_have_a_number() {
        for class in 0..CLASSES {
            let size = slot_size(class);
            for offset in 0..4096_usize {
                let expected = offset.is_multiple_of(size).then_some(offset / size);
                assert_eq!(slot_at(class, offset), expected, "{class} {offset}");
            }
        }
    }
}
