//! One change of one record inside a frame.
//!
//! ```text
//! operation      u8      low 3 bits: 1 create, 2 update, 3 delete, 4 read; bit 3: schemas follow
//! codecs         u8      low half: of the before image, high half: of the after image; 0: no image
//! back           varint  bytes from the start of the frame to this change
//! previous       varint  distance in positions to the record's previous change; 0: there is none
//! collection     varint  number of the collection
//! before schema  varint  only if bit 3 is set
//! after schema   varint  only if bit 3 is set
//! key length     varint  1 to 65,536
//! before length  varint  only with a before image
//! after length   varint  only with an after image
//! key, before image, after image
//! ```
//!
//! `back` leads from the change, which is what the index and the version chain point to, to the
//! frame with its LSN, time and checksum.

use super::cursor::{Cursor, Malformed, Scratch};
use super::image::{CodecId, Image, Op};
use crate::lsn::Position;

/// Bits of the first byte that hold the operation.
pub(crate) const OPERATION_MASK: u8 = 0x07;
/// Bit of the first byte that says that both schema versions follow.
pub(crate) const HAS_SCHEMAS: u8 = 0x08;
/// Keys are 1 to this many bytes.
pub(crate) const KEY_BYTES_MAX: usize = 65_536;
/// Images are 0 to this many bytes.
pub(crate) const IMAGE_BYTES_MAX: usize = 1 << 30;

/// Two bytes, `back` 5, previous 10, collection 5, schemas 2 x 5, key length 3, lengths 2 x 5.
pub(crate) const CHANGE_HEADER_BYTES_MAX: usize = 45;

/// The fields of a change that stand before its key.
pub(crate) type ChangeHeader = Scratch<CHANGE_HEADER_BYTES_MAX>;

/// One change, borrowed from a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change<'a> {
    pub(crate) op: Op,
    pub(crate) collection: u32,
    /// Where the record's previous change begins, or nowhere.
    pub(crate) previous: Position,
    pub(crate) key: &'a [u8],
    pub(crate) before: Option<Image<'a>>,
    pub(crate) after: Option<Image<'a>>,
}

impl<'a> Change<'a> {
    /// Whether it is a change of this record.
    pub(crate) fn is_of(&self, collection: u32, key: &[u8]) -> bool {
        self.collection == collection && self.key == key
    }

    /// The header for a change that will begin at `position`, `back` bytes into its frame.
    pub(crate) fn header(&self, position: Position, back: u32) -> ChangeHeader {
        let schema = |image: Option<Image<'_>>| image.map_or(0, |image| image.schema());
        let codec = |image: Option<Image<'_>>| image.map_or(0, |image| image.codec().number());
        let (before_schema, after_schema) = (schema(self.before), schema(self.after));
        let has_schemas = before_schema != 0 || after_schema != 0;
        let mut out = ChangeHeader::new();
        out.put(&[
            self.op.number() | if has_schemas { HAS_SCHEMAS } else { 0 },
            codec(self.before) | (codec(self.after) << 4),
        ]);
        out.put_varint(u64::from(back));
        out.put_varint(if self.previous.is_none() {
            0
        } else {
            assert!(self.previous < position, "a previous change stands before its successor");
            position.bits() - self.previous.bits()
        });
        out.put_varint(u64::from(self.collection));
        if has_schemas {
            out.put_varint(u64::from(before_schema));
            out.put_varint(u64::from(after_schema));
        }
        out.put_varint(self.key.len() as u64);
        for image in [self.before, self.after].into_iter().flatten() {
            out.put_varint(image.bytes().len() as u64);
        }
        out
    }

    /// Reads the change that begins at the cursor, which stands `back` bytes into a frame that
    /// begins at `frame`.
    pub(crate) fn parse(cursor: &mut Cursor<'a>, frame: Position) -> Result<Self, Malformed> {
        let start = cursor.malformed("change");
        let (first, codecs) = (cursor.u8()?, cursor.u8()?);
        if first & !(OPERATION_MASK | HAS_SCHEMAS) != 0 {
            return Err(Malformed { what: "unknown bits in a change", ..start });
        }
        let op = Op::from_number(first & OPERATION_MASK)
            .map_err(|malformed| Malformed { offset: start.offset, ..malformed })?;
        if usize::try_from(cursor.varint_u32()?) != Ok(start.offset) {
            return Err(Malformed { what: "change does not know its own place", ..start });
        }
        let previous = previous(cursor, frame, start)?;
        let collection = cursor.varint_u32()?;
        let (before_schema, after_schema) = if first & HAS_SCHEMAS == 0 {
            (0, 0)
        } else {
            (cursor.varint_u32()?, cursor.varint_u32()?)
        };
        let key_length = cursor.varint_length()?;
        if key_length == 0 || key_length > KEY_BYTES_MAX {
            return Err(Malformed { what: "key length", ..start });
        }
        let before_codec = codec(codecs & 0x0f, start)?;
        let after_codec = codec(codecs >> 4, start)?;
        let before_length = before_codec.map(|_| cursor.varint_length()).transpose()?;
        let after_length = after_codec.map(|_| cursor.varint_length()).transpose()?;
        let key = cursor.take(key_length)?;
        let mut image = |codec: Option<CodecId>, length: Option<usize>, schema| {
            let (Some(codec), Some(length)) = (codec, length) else { return Ok(None) };
            if length > IMAGE_BYTES_MAX {
                return Err(Malformed { what: "image length", ..start });
            }
            Ok(Some(Image::new(cursor.take(length)?, codec).with_schema(schema)))
        };
        let before = image(before_codec, before_length, before_schema)?;
        let after = image(after_codec, after_length, after_schema)?;
        let fits = match op {
            Op::Create | Op::Read => before.is_none() && after.is_some(),
            Op::Update => before.is_some() && after.is_some(),
            Op::Delete => before.is_some() && after.is_none(),
        };
        if !fits {
            return Err(Malformed { what: "images do not fit the operation", ..start });
        }
        Ok(Self { op, collection, previous, key, before, after })
    }
}

/// How many bytes the change that begins at `bytes` stands behind the start of its frame.
pub(crate) fn back(bytes: &[u8]) -> Result<u32, Malformed> {
    Cursor::at(bytes, 2).varint_u32()
}

/// How many bytes [`back`] may need to look at.
pub(crate) const BACK_BYTES_MAX: usize = 2 + 5;

fn previous(
    cursor: &mut Cursor<'_>,
    frame: Position,
    start: Malformed,
) -> Result<Position, Malformed> {
    let distance = cursor.varint()?;
    if distance == 0 {
        return Ok(Position::NONE);
    }
    let own = frame.bits().checked_add(start.offset as u64);
    match own.and_then(|own| own.checked_sub(distance)) {
        Some(bits) if bits != 0 => Ok(Position::from_bits(bits)),
        _ => Err(Malformed { what: "previous change stands before the journal", ..start }),
    }
}

fn codec(number: u8, start: Malformed) -> Result<Option<CodecId>, Malformed> {
    if number == 0 {
        return Ok(None);
    }
    match CodecId::from_number(number) {
        Some(codec) => Ok(Some(codec)),
        None => Err(Malformed { what: "unknown codec", ..start }),
    }
}
