//! Records that stand for themselves, as documents and tables hold them: which field is the key,
//! and what key that is.

use std::collections::BTreeMap;

use super::event::Event;
use super::options::RecordShape;
use super::source::shown;
use crate::error::{Error, Result, code};
use crate::format::image::{CodecId, OwnedImage};
use crate::format::metadata::Metadata;
use crate::json::Tree;

/// Makes events of records, and sees to it that no key comes twice.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) shape: RecordShape,
    /// The keys so far, and where they stand.
    seen: BTreeMap<Vec<u8>, u64>,
}

impl Records {
    pub(super) fn new(shape: &RecordShape) -> Self {
        Self { shape: shape.clone(), seen: BTreeMap::new() }
    }

    /// The event of an object that has its key in a field.
    pub(super) fn of_object(&mut self, number: u64, tree: Tree) -> Result<Event> {
        let field = &self.shape.key;
        let Tree::Object(mut fields) = tree else {
            return Err(wrong(format!("not an object, and so without a key field `{field}`")));
        };
        let Some(at) = fields.iter().position(|(name, _)| name == field) else {
            return Err(wrong(format!(
                "the object has no key field `{}`",
                shown(field.as_bytes())
            )));
        };
        let Some((_, Tree::String(text) | Tree::Number(text))) = fields.get(at) else {
            let message = format!("the key field `{field}` is neither a string nor a number");
            return Err(wrong(message));
        };
        let text = text.clone();
        if self.shape.drop_key {
            fields.remove(at);
        }
        let bytes = Tree::Object(fields).to_string().into_bytes();
        self.keyed(number, &text, OwnedImage { bytes, codec: CodecId::Json, schema: 0 })
    }

    /// The event of a value under a key that is written as in an address.
    pub(super) fn keyed(&mut self, number: u64, key: &str, image: OwnedImage) -> Result<Event> {
        let bytes = read_key(key)?;
        if let Some(first) = self.seen.insert(bytes.clone(), number) {
            let shown = shown(key.as_bytes());
            return Err(wrong(format!("the key `{shown}` stands in line {first} already")));
        }
        Ok(Event {
            op: None,
            collection: self.shape.collection.clone(),
            key: bytes,
            before: None,
            after: Some(image),
            ts_us: None,
            group: None,
            metadata: Metadata::default(),
            store: None,
        })
    }
}

pub(super) fn wrong(message: impl Into<String>) -> Error {
    Error::new(&code::IMPORT_KEY, message)
}

/// Reads a key as it stands in an address: `0x` and hexadecimal digits, or the text itself.
fn read_key(text: &str) -> Result<Vec<u8>> {
    if text.is_empty() {
        return Err(wrong("the key is empty"));
    }
    let Some(digits) = text.strip_prefix("0x") else { return Ok(text.as_bytes().to_vec()) };
    let is_hex = |byte: u8| byte.is_ascii_hexdigit();
    if digits.is_empty() || !digits.len().is_multiple_of(2) || !digits.bytes().all(is_hex) {
        let shown = shown(text.as_bytes());
        return Err(wrong(format!("the key `{shown}` begins with 0x and is not hexadecimal")));
    }
    let pair = |at| u8::from_str_radix(digits.get(at..at + 2).unwrap_or_default(), 16);
    let bytes: Result<_, _> = (0..digits.len()).step_by(2).map(pair).collect();
    bytes.map_err(|source| wrong("the key is not hexadecimal").with_source(source))
}

/// A key so that it is read again as it is.
pub(super) fn write_address(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) if !text.starts_with("0x") => text.to_owned(),
        Ok(_) | Err(_) => {
            let mut text = "0x".to_owned();
            for byte in key {
                for digit in [byte >> 4, byte & 15] {
                    text.extend(char::from_digit(digit.into(), 16));
                }
            }
            text
        }
    }
}
