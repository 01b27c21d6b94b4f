//! Another reader of JSON, serde_json, with what it leaves open made strict: no name twice in an object.

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Number, Value};
use std::fmt;

/// More brackets than this may be nested deeper than the judge's stack allows.
const MOST_BRACKETS: usize = 2000;

/// Why an object with a name twice is refused.
pub const TWICE: &str = "a name stands twice";

/// What the other reader says of a text.
pub enum Judgement {
    /// An object, and what is in it.
    Object(Value),
    /// No object, or not JSON.
    Refused(String),
    /// It cannot judge: too many brackets, or a number that no double holds.
    Unknown,
}

/// Judges a text.
pub fn judge(text: &[u8]) -> Judgement {
    let brackets = text.iter().filter(|byte| b"[{".contains(byte)).count();
    if brackets > MOST_BRACKETS {
        return Judgement::Unknown;
    }
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    deserializer.disable_recursion_limit();
    let read = Unique.deserialize(&mut deserializer).and_then(|value| {
        deserializer.end()?;
        Ok(value)
    });
    match read {
        Ok(value @ Value::Object(_)) => Judgement::Object(value),
        Ok(_) => Judgement::Refused("not an object".to_owned()),
        Err(error) if error.to_string().contains("number out of range") => Judgement::Unknown,
        Err(error) => Judgement::Refused(error.to_string()),
    }
}

/// Levels of objects and arrays in a value.
pub fn levels(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(levels).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(levels).max().unwrap_or(0),
        _ => 0,
    }
}

/// Replaces what Python's json takes and serde_json refuses: NaN, Infinity and lone surrogates. Nothing else becomes
/// acceptable by that, since an empty array is no part of a number, an escape or a name.
pub fn without_python_only(text: &[u8]) -> Vec<u8> {
    const REPLACED: [(&[u8], &[u8]); 5] = [
        (b"-Infinity", b"[]"),
        (b"Infinity", b"[]"),
        (b"NaN", b"[]"),
        (b"\\ud", b"\\u0"),
        (b"\\uD", b"\\u0"),
    ];
    let mut replaced = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        match REPLACED.iter().find(|(word, _)| rest.starts_with(word)) {
            Some((word, other)) => {
                replaced.extend_from_slice(other);
                rest = &rest[word.len()..];
            }
            None => {
                replaced.push(*first);
                rest = behind;
            }
        }
    }
    replaced
}

#[derive(Clone, Copy)]
struct Unique;

impl<'de> DeserializeSeed<'de> for Unique {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(name) = members.next_key::<Name>()? {
            let value = members.next_value_seed(self)?;
            if values.insert(name.0, value).is_some() {
                return Err(A::Error::custom(TWICE));
            }
        }
        Ok(Value::Object(values))
    }
}

struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}
