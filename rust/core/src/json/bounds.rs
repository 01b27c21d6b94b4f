//! What is the most that a text may have, in and out.

/// Levels of objects and arrays below the outermost one, the most that are read or written.
pub const DEEPEST: usize = 200;
/// The most digits of an integer that is read or written: the limit up to which Python prints and reads integers by
/// default (`sys.int_info.default_max_str_digits`).
pub const LONGEST_DIGITS: usize = 4300;
