//! Where in a chat completion the parts lie that are asked for by themselves. The rest is passed over,
//! and held to the same grammar.
//!
//! Nothing is copied and nothing changed. Of a name that comes twice the last one counts, as in a dict.

use crate::json_unescape::{unescape_into, unescaped_len};
use crate::json_walk::{Quoted, Syntax, Walk, Walker};
use std::ops::Range;

/// Longest name that is looked at where it has escapes.
const LONGEST_NAME_BYTES: usize = 256;

/// Where the parts lie; None for what is not there.
#[derive(Default)]
pub struct Parts {
    pub id: Option<Range<usize>>,
    pub model: Option<Range<usize>>,
    pub usage: Option<Range<usize>>,
    pub metadata: Option<Range<usize>>,
    pub choice: Choice,
}

/// The first choice.
#[derive(Default)]
pub struct Choice {
    pub finish_reason: Option<Range<usize>>,
    /// `message.content`, where it is a string.
    pub content: Option<Quoted>,
}

/// Finds the parts in UTF-8 text whose outermost value is an object.
pub fn find_parts(text: &[u8]) -> Walk<Parts> {
    let mut walker = Walker::new(text);
    let mut parts = Parts::default();
    walker.expect_object()?;
    members(&mut walker, 0, |walker, name| {
        match name {
            b"id" => parts.id = Some(value(walker, 1)?),
            b"model" => parts.model = Some(value(walker, 1)?),
            b"usage" => parts.usage = Some(value(walker, 1)?),
            b"_metadata" => parts.metadata = Some(value(walker, 1)?),
            b"choices" => parts.choice = first_choice(walker)?,
            _ => walker.skip(1)?,
        }
        Ok(())
    })?;
    walker.end()?;
    Ok(parts)
}

fn first_choice(walker: &mut Walker<&[u8]>) -> Walk<Choice> {
    let mut choice = Choice::default();
    if walker.peek() != Some(b'[') {
        walker.skip(1)?;
        return Ok(choice);
    }
    let mut more = walker.enter(1, b']')?;
    if more && walker.peek() == Some(b'{') {
        choice = object_choice(walker)?;
        more = walker.more(b']')?;
    }
    while more {
        walker.skip(2)?;
        more = walker.more(b']')?;
    }
    Ok(choice)
}

fn object_choice(walker: &mut Walker<&[u8]>) -> Walk<Choice> {
    let mut choice = Choice::default();
    members(walker, 2, |walker, name| {
        match name {
            b"finish_reason" => choice.finish_reason = Some(value(walker, 3)?),
            b"message" => choice.content = message_content(walker)?,
            _ => walker.skip(3)?,
        }
        Ok(())
    })?;
    Ok(choice)
}

fn message_content(walker: &mut Walker<&[u8]>) -> Walk<Option<Quoted>> {
    let mut content = None;
    if walker.peek() != Some(b'{') {
        walker.skip(3)?;
        return Ok(None);
    }
    members(walker, 3, |walker, name| {
        if name != b"content" {
            return walker.skip(4);
        }
        content = None;
        if walker.peek() != Some(b'"') {
            return walker.skip(4);
        }
        let quoted = walker.string()?;
        unescaped_len(&walker.text[quoted.content.clone()]).ok_or(Syntax)?;
        content = Some(quoted);
        Ok(())
    })?;
    Ok(content)
}

/// Walks over the object that begins here: `member` passes over the value of each name.
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

/// A name without its escapes, for which there is `room`; empty where it is too long to be one that is
/// asked for.
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

/// Passes over a value: where it lies.
fn value(walker: &mut Walker<&[u8]>, depth: usize) -> Walk<Range<usize>> {
    let start = walker.at();
    walker.skip(depth)?;
    Ok(start..walker.at())
}
