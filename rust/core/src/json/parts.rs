//! Finds where the parts of a chat completion lie that `open_secret` returns, and passes over the rest.
//!
//! `check` has checked the whole text, so no object has a name twice. Nothing is copied or changed.

use crate::json::unescape::{unescape_into, unescaped_len};
use crate::json::walk::{Quoted, Syntax, Walk, Walker};
use std::ops::Range;

/// The longest name with escapes that is resolved: a longer one is none of those that are looked for.
const LONGEST_NAME_BYTES: usize = 256;

/// Where the parts lie; `None` for a part that is missing.
#[derive(Default)]
pub struct Parts {
    /// The answer's identifier.
    pub id: Option<Range<usize>>,
    /// The model's name.
    pub model: Option<Range<usize>>,
    /// Counts of tokens.
    pub usage: Option<Range<usize>>,
    /// What the router adds, `_metadata`.
    pub metadata: Option<Range<usize>>,
    /// The first choice; all its parts are missing if there is none.
    pub choice: Choice,
}

/// The first choice.
#[derive(Default)]
pub struct Choice {
    /// Why the model stopped.
    pub finish_reason: Option<Range<usize>>,
    /// `message.content`, if it is a string.
    pub content: Option<Quoted>,
}

/// Finds the parts in UTF-8 text whose outermost value is an object.
pub fn find_parts(text: &[u8]) -> Walk<Parts> {
    let mut walker = Walker::new(text);
    let mut parts = Parts::default();
    walker.expect_object()?;
    members(&mut walker, 0, |walker, name| {
        match name {
            b"id" => parts.id = Some(value(walker)?),
            b"model" => parts.model = Some(value(walker)?),
            b"usage" => parts.usage = Some(value(walker)?),
            b"_metadata" => parts.metadata = Some(value(walker)?),
            b"choices" => parts.choice = first_choice(walker)?,
            _ => drop(walker.skip()?),
        }
        Ok(())
    })?;
    walker.end()?;
    Ok(parts)
}

fn first_choice(walker: &mut Walker<&[u8]>) -> Walk<Choice> {
    let mut choice = Choice::default();
    if walker.peek() != Some(b'[') {
        walker.skip()?;
        return Ok(choice);
    }
    let mut more = walker.enter(1, b']')?;
    if more && walker.peek() == Some(b'{') {
        choice = object_choice(walker)?;
        more = walker.more(b']')?;
    }
    while more {
        walker.skip()?;
        more = walker.more(b']')?;
    }
    Ok(choice)
}

fn object_choice(walker: &mut Walker<&[u8]>) -> Walk<Choice> {
    let mut choice = Choice::default();
    members(walker, 2, |walker, name| {
        match name {
            b"finish_reason" => choice.finish_reason = Some(value(walker)?),
            b"message" => choice.content = message_content(walker)?,
            _ => drop(walker.skip()?),
        }
        Ok(())
    })?;
    Ok(choice)
}

fn message_content(walker: &mut Walker<&[u8]>) -> Walk<Option<Quoted>> {
    let mut content = None;
    if walker.peek() != Some(b'{') {
        walker.skip()?;
        return Ok(None);
    }
    members(walker, 3, |walker, name| {
        if name != b"content" {
            return walker.skip().map(drop);
        }
        content = None;
        if walker.peek() != Some(b'"') {
            return walker.skip().map(drop);
        }
        let quoted = walker.string()?;
        content = Some(quoted);
        Ok(())
    })?;
    Ok(content)
}

/// Walks over the object that begins here. `member` gets each name and must pass over its value.
fn members<'text>(
    walker: &mut Walker<&'text [u8]>,
    depth: usize,
    mut member: impl FnMut(&mut Walker<&'text [u8]>, &[u8]) -> Walk<()>,
) -> Walk<()> {
    let mut more = walker.enter(depth, b'}')?;
    while more {
        let quoted = walker.string()?;
        let mut room = Vec::new();
        let name = name_of(walker.text, &quoted, &mut room)?;
        walker.colon()?;
        member(walker, name)?;
        more = walker.more(b'}')?;
    }
    Ok(())
}

/// Returns a name with its escapes resolved, into `room` if it has any. Empty if the name is too long to be one that is
/// looked for.
fn name_of<'a>(text: &'a [u8], quoted: &Quoted, room: &'a mut Vec<u8>) -> Walk<&'a [u8]> {
    let raw = &text[quoted.content.clone()];
    if !quoted.escaped {
        return Ok(raw);
    }
    let len = unescaped_len(raw).ok_or(Syntax)?;
    if len > LONGEST_NAME_BYTES {
        return Ok(b"");
    }
    room.resize(len, 0);
    unescape_into(raw, room).ok_or(Syntax)?;
    Ok(room)
}

/// Passes over a value and returns where it lies.
fn value(walker: &mut Walker<&[u8]>) -> Walk<Range<usize>> {
    let start = walker.at();
    walker.skip()?;
    Ok(start..walker.at())
}
