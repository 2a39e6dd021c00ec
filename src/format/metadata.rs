//! Who wrote a transaction, why, and in what context.
//!
//! In a frame: a sequence of fields, each a tag byte, a varint length, and that many bytes.
//! Absent fields are not written, so a transaction without metadata costs nothing.

use std::collections::BTreeMap;

use super::cursor::{Cursor, Malformed, put_varint};

/// Tag of the actor.
pub(crate) const TAG_ACTOR: u8 = 1;
/// Tag of the message.
pub(crate) const TAG_MESSAGE: u8 = 2;
/// Tag of the correlation id.
pub(crate) const TAG_CORRELATION: u8 = 3;
/// Tag of the causation id.
pub(crate) const TAG_CAUSATION: u8 = 4;
/// Tag of an attribute: a varint length, the name, and JSON text to the end of the field.
pub(crate) const TAG_ATTRIBUTE: u8 = 5;

/// The metadata of a transaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// Who did it.
    pub actor: Option<String>,
    /// Why.
    pub message: Option<String>,
    /// What it belongs to: a request, a job, a conversation.
    pub correlation: Option<String>,
    /// What caused it.
    pub causation: Option<String>,
    /// Anything else, by name.
    pub attributes: BTreeMap<String, serde_json::Value>,
}

impl Metadata {
    /// Appends the fields to `out`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let texts = [
            (TAG_ACTOR, &self.actor),
            (TAG_MESSAGE, &self.message),
            (TAG_CORRELATION, &self.correlation),
            (TAG_CAUSATION, &self.causation),
        ];
        for (tag, text) in texts {
            if let Some(text) = text {
                out.push(tag);
                put_varint(out, text.len() as u64);
                out.extend_from_slice(text.as_bytes());
            }
        }
        for (name, value) in &self.attributes {
            let value = value.to_string();
            let mut name_length = Vec::new();
            put_varint(&mut name_length, name.len() as u64);
            out.push(TAG_ATTRIBUTE);
            put_varint(out, (name_length.len() + name.len() + value.len()) as u64);
            out.extend_from_slice(&name_length);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(value.as_bytes());
        }
    }

    /// Reads fields to the end of `bytes`. A field with an unknown tag is skipped: later releases
    /// may add some.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut metadata = Self::default();
        let mut cursor = Cursor::new(bytes);
        while cursor.left() > 0 {
            let tag = cursor.u8()?;
            let length = cursor.varint_length()?;
            let at = cursor.malformed("metadata field");
            let field = cursor.take(length)?;
            match tag {
                TAG_ACTOR => metadata.actor = Some(text(field, at)?),
                TAG_MESSAGE => metadata.message = Some(text(field, at)?),
                TAG_CORRELATION => metadata.correlation = Some(text(field, at)?),
                TAG_CAUSATION => metadata.causation = Some(text(field, at)?),
                TAG_ATTRIBUTE => {
                    let (name, value) = attribute(field, at)?;
                    metadata.attributes.insert(name, value);
                }
                _ => {}
            }
        }
        Ok(metadata)
    }
}

fn text(field: &[u8], at: Malformed) -> Result<String, Malformed> {
    match std::str::from_utf8(field) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(Malformed { what: "metadata text is not UTF-8", ..at }),
    }
}

fn attribute(field: &[u8], at: Malformed) -> Result<(String, serde_json::Value), Malformed> {
    let mut cursor = Cursor::new(field);
    let name_length = cursor.varint_length()?;
    let name = text(cursor.take(name_length)?, at)?;
    let value = cursor.take(cursor.left())?;
    match serde_json::from_slice(value) {
        Ok(value) => Ok((name, value)),
        Err(_) => Err(Malformed { what: "attribute is not JSON", ..at }),
    }
}
