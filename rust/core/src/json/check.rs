//! Checks a whole text in the arena before a reader makes Python objects of it.
//!
//! CPython does not wipe an object that it frees. So a text must be refused before the first object is made: both
//! readers (`read`, `parts`) run only on a text that passed here, and find no fault of their own. Checked are UTF-8,
//! the grammar, the nesting, duplicate names in an object (all values but the last would be freed), the digits of
//! integers, and the memory that the objects would take.

use crate::Error;
use crate::arena::check_required;
use crate::json::bounds::{DEEPEST, LONGEST_DIGITS};
use crate::json::known_names::index_of;
use crate::json::unescape::unescape;
use crate::json::walk::{Quoted, Syntax, Walker};
use std::hash::{DefaultHasher, Hasher as _};

/// The most memory that the Python objects of one text may take, by the estimates below.
///
/// The largest real answers have log probabilities: 32,768 tokens with 20 alternatives each, the most that any service
/// offers, are 46 MB of JSON (one answer has at most 48 MiB), 1.4 million containers and 5.5 million values. The
/// estimates put them at 465 MB. They put 30 MB of `{}`, ten million objects, at 2.2 GB.
pub const MOST_OBJECT_BYTES: usize = 512 << 20;

// Upper bounds of what CPython 3.11 to 3.14 takes for each object: its header, the garbage collector's header,
// allocation in steps of 16 bytes, and the spare room of lists and dicts. The characters of strings are not counted:
// they take at most four bytes for each byte of text, whose size is bounded already.
const CONTAINER_BYTES: usize = 192;
const FIELD_BYTES: usize = 32;
const ITEM_BYTES: usize = 16;
const STRING_BYTES: usize = 80;
const NUMBER_BYTES: usize = 32;

enum Fault {
    Syntax,
    Memory,
}

impl From<Syntax> for Fault {
    fn from(_: Syntax) -> Self {
        Self::Syntax
    }
}

type Check<T> = Result<T, Fault>;

/// Checks a text whose outermost value must be an object. Returns how many levels of objects and arrays it has.
///
/// [`Error::NotJson`] for every fault of the text, [`Error::Memory`] if there is no memory to note the names of a large
/// object, [`Error::Unlocked`] if locked memory is required and there is not enough of it.
pub fn check_object(text: &[u8]) -> crate::Result<usize> {
    if std::str::from_utf8(text).is_err() {
        return Err(Error::NotJson);
    }
    let mut checker = Checker::new(text);
    match checker.document() {
        Ok(()) => check_required().map(|()| checker.levels),
        Err(Fault::Syntax) => Err(Error::NotJson),
        Err(Fault::Memory) => Err(Error::Memory("no memory for the names in a package")),
    }
}

/// The containers that are open, outermost first, each by its closing bracket.
struct Open {
    closing: [u8; DEEPEST + 1],
    count: usize,
}

impl Open {
    /// Never exceeds the array: [`Walker::enter`] refuses to go deeper.
    fn push(&mut self, closing: u8) {
        self.closing[self.count] = closing;
        self.count += 1;
    }

    fn last(&self) -> Option<u8> {
        Some(self.closing[self.count.checked_sub(1)?])
    }
}

struct Checker<'text> {
    walker: Walker<&'text [u8]>,
    open: Open,
    /// For each open object, the index in `names` of its first name.
    first_names: Vec<usize>,
    /// Digests of the names in all open objects, outermost first.
    names: Vec<u64>,
    /// The deepest nesting so far.
    levels: usize,
    object_bytes: usize,
}

impl<'text> Checker<'text> {
    fn new(text: &'text [u8]) -> Self {
        Self {
            walker: Walker::new(text),
            open: Open {
                closing: [0; DEEPEST + 1],
                count: 0,
            },
            first_names: Vec::with_capacity(16),
            names: Vec::with_capacity(64),
            levels: 0,
            object_bytes: 0,
        }
    }

    // A loop and not a recursion: a hostile text must not decide how much stack is needed.
    fn document(&mut self) -> Check<()> {
        self.walker.expect_object()?;
        loop {
            if self.value()? && self.after_value()? {
                return Ok(self.walker.end()?);
            }
        }
    }

    /// Passes over a value, or enters a container that has items. Returns true if it passed over all of the value.
    fn value(&mut self) -> Check<bool> {
        match self.walker.peek().ok_or(Syntax)? {
            b'"' => self.string_value()?,
            b'{' => return self.enter(b'}'),
            b'[' => return self.enter(b']'),
            b't' => self.walker.literal(b"true")?,
            b'f' => self.walker.literal(b"false")?,
            b'n' => self.walker.literal(b"null")?,
            _ => self.number()?,
        }
        Ok(true)
    }

    /// Enters a container. Returns true if it was empty, and so is passed over already.
    fn enter(&mut self, closing: u8) -> Check<bool> {
        self.count_bytes(CONTAINER_BYTES)?;
        let has_items = self.walker.enter(self.open.count, closing)?;
        self.levels = self.levels.max(self.open.count + 1);
        if has_items {
            self.open.push(closing);
            if closing == b'}' {
                self.first_names.push(self.names.len());
            }
            self.before_item(closing)?;
        }
        Ok(!has_items)
    }

    /// Goes on to the next value, closing containers on the way. Returns true if the outermost value has ended.
    fn after_value(&mut self) -> Check<bool> {
        while let Some(closing) = self.open.last() {
            if self.walker.more(closing)? {
                self.before_item(closing)?;
                return Ok(false);
            }
            self.open.count -= 1;
            if closing == b'}' {
                self.check_names()?;
            }
        }
        Ok(true)
    }

    /// Passes over what stands before an item's value: its name, if the container is an object.
    fn before_item(&mut self, closing: u8) -> Check<()> {
        if closing == b']' {
            return self.count_bytes(ITEM_BYTES);
        }
        let name = self.walker.string()?;
        let digest = self.name(&name)?;
        self.names.try_reserve(1).map_err(|_| Fault::Memory)?;
        self.names.push(digest);
        Ok(self.walker.colon()?)
    }

    /// Refuses an object that has ended if it has a name twice, and forgets its names.
    ///
    /// It compares digests. Two different names share one by chance in 1 of 2^64 pairs, and the only person who could
    /// search for such a pair is the one who wrote the text.
    fn check_names(&mut self) -> Check<()> {
        let first = self.first_names.pop().unwrap_or(0);
        let names = &mut self.names[first..];
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Fault::Syntax);
        }
        self.names.truncate(first);
        Ok(())
    }

    /// Counts a name's bytes and returns its digest, taken after escapes are resolved.
    fn name(&mut self, name: &Quoted) -> Check<u64> {
        let raw = &self.walker.text[name.content.clone()];
        self.count_bytes(if index_of(raw).is_some() {
            FIELD_BYTES
        } else {
            FIELD_BYTES + STRING_BYTES
        })?;
        if !name.escaped {
            return Ok(digest(raw));
        }
        let mut room = Vec::new();
        room.try_reserve_exact(raw.len())
            .map_err(|_| Fault::Memory)?;
        room.extend_from_slice(raw);
        let len = unescape(&mut room).ok_or(Syntax)?;
        Ok(digest(&room[..len]))
    }

    fn string_value(&mut self) -> Check<()> {
        self.walker.string()?;
        self.count_bytes(STRING_BYTES)
    }

    fn number(&mut self) -> Check<()> {
        let start = self.walker.at();
        let integral = self.walker.number()?;
        let number = &self.walker.text[start..self.walker.at()];
        if !integral {
            return self.count_bytes(NUMBER_BYTES);
        }
        if number.len() > LONGEST_DIGITS + usize::from(number[0] == b'-') {
            return Err(Fault::Syntax);
        }
        if is_shared(number) {
            return Ok(());
        }
        // CPython stores 30 bits in 4 bytes, so a decimal digit takes 0.44 bytes.
        self.count_bytes(NUMBER_BYTES + number.len() / 2)
    }

    fn count_bytes(&mut self, bytes: usize) -> Check<()> {
        self.object_bytes += bytes;
        if self.object_bytes > MOST_OBJECT_BYTES {
            return Err(Fault::Syntax);
        }
        Ok(())
    }
}

fn digest(name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(name);
    hasher.finish()
}

/// Whether CPython already has the object of this integer: it keeps one for each from -5 to 256, of which only 0 to 256
/// are looked for here.
fn is_shared(text: &[u8]) -> bool {
    match text.len() {
        1 | 2 => text[0] != b'-',
        3 => text[0] != b'-' && text <= &b"256"[..],
        _ => false,
    }
}
