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

use super::cursor::{Cursor, Malformed, Scratch, Word};
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

/// Two bytes, `back`, previous, collection, both lengths, and one byte of a key.
pub(crate) const CHANGE_BYTES_MIN: usize = 8;
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
    #[inline]
    pub(crate) fn parse(cursor: &mut Cursor<'a>, frame: Position) -> Result<Self, Malformed> {
        let back = cursor.offset() as u64;
        let own = frame.bits().checked_add(back).map(Position::from_bits);
        match own.and_then(|own| Self::parse_short(cursor.rest(), own)) {
            Some(short) if u64::from(short.back) == back => {
                cursor.take(short.length).map(|_| short.change)
            }
            Some(_) | None => Self::parse_any(cursor, frame),
        }
    }

    /// Reads a change whose header takes no more than a word, as nearly all do; `bytes` begin with
    /// it, at `own`. Leaves what it does not understand to [`parse_any`](Self::parse_any).
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "else what is read is moved about more than read")]
    pub(crate) fn parse_short(bytes: &'a [u8], own: Position) -> Option<Short<'a>> {
        let mut header = Word::new(bytes)?;
        let (first, codecs) = (header.byte(), header.byte());
        if first & !(OPERATION_MASK | HAS_SCHEMAS) != 0 {
            return None;
        }
        let op = Op::from_number(first & OPERATION_MASK).ok()?;
        let back = u32::try_from(header.varint()?).ok()?;
        let previous = match header.varint()? {
            0 => Position::NONE,
            distance => {
                let bits = own.bits().checked_sub(distance).filter(|bits| *bits != 0)?;
                Position::from_bits(bits)
            }
        };
        let collection = u32::try_from(header.varint()?).ok()?;
        let mut schema = || {
            let schema = if first & HAS_SCHEMAS == 0 { 0 } else { header.varint()? };
            u32::try_from(schema).ok()
        };
        let (before_schema, after_schema) = (schema()?, schema()?);
        let key_length = header.length(KEY_BYTES_MAX).filter(|length| *length > 0)?;
        let (before_codec, after_codec) = (codecs & 0x0f, codecs >> 4);
        let mut length =
            |codec: u8| if codec == 0 { Some(0) } else { header.length(IMAGE_BYTES_MAX) };
        let (before_length, after_length) = (length(before_codec)?, length(after_codec)?);
        let (key, rest) = bytes.get(header.passed()?..)?.split_at_checked(key_length)?;
        let (before, rest) = rest.split_at_checked(before_length)?;
        let (after, rest) = rest.split_at_checked(after_length)?;
        let image = |bytes, codec, schema| match codec {
            0 => Some(None),
            codec => {
                Some(Some(Image::new(bytes, CodecId::from_number(codec)?).with_schema(schema)))
            }
        };
        let before = image(before, before_codec, before_schema)?;
        let after = image(after, after_codec, after_schema)?;
        let change = Self { op, collection, previous, key, before, after };
        change.fits().then_some(Short { change, back, length: bytes.len() - rest.len() })
    }

    /// Whether there are the images that the operation asks for.
    const fn fits(&self) -> bool {
        match self.op {
            Op::Create | Op::Read => self.before.is_none() && self.after.is_some(),
            Op::Update => self.before.is_some() && self.after.is_some(),
            Op::Delete => self.before.is_some() && self.after.is_none(),
        }
    }

    fn parse_any(cursor: &mut Cursor<'a>, frame: Position) -> Result<Self, Malformed> {
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
        let change = Self { op, collection, previous, key, before, after };
        if !change.fits() {
            return Err(Malformed { what: "images do not fit the operation", ..start });
        }
        Ok(change)
    }
}

/// A change as [`parse_short`](Change::parse_short) reads it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Short<'a> {
    pub(crate) change: Change<'a>,
    /// How many bytes it says it stands behind the start of its frame.
    pub(crate) back: u32,
    /// Its bytes.
    pub(crate) length: usize,
}

/// How many bytes the change that begins at `bytes` stands behind the start of its frame.
#[inline]
pub(crate) fn back(bytes: &[u8]) -> Result<u32, Malformed> {
    Cursor::at(bytes, 2).varint_u32()
}

/// How many bytes [`back`] may need to look at.
pub(crate) const BACK_BYTES_MAX: usize = 2 + 5;

#[inline]
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lengths() -> impl Strategy<Value = usize> {
        prop_oneof![0..3_usize, 120..135_usize, 16_380..16_390_usize]
    }

    proptest! {
        /// The short way reads what the careful one reads, or leaves it to that.
        #[test]
        fn both_ways_to_read_a_change_agree(
            op in 1..5_u8,
            back in prop_oneof![0..200_u32, any::<u32>()],
            distance in prop_oneof![0..200_u64, 1..1_u64 << 40],
            collection in prop_oneof![0..130_u32, any::<u32>()],
            (key, before, after) in (lengths(), lengths(), lengths()),
            schemas in prop::option::of((0..300_u32, any::<u32>())),
            (flipped, bit) in (any::<prop::sample::Index>(), 0..24_u8),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let frame = Position::from_bits(1 << 50);
            let (key, before, after) = (vec![1; key + 1], vec![2; before], vec![3; after]);
            let (old, new) = schemas.unwrap_or_default();
            let change = Change {
                op: Op::from_number(op).expect("known"),
                collection,
                previous: match distance {
                    0 => Position::NONE,
                    _ => Position::from_bits(frame.bits() + u64::from(back) - distance),
                },
                key: &key,
                before: (op == 2 || op == 3)
                    .then(|| Image::new(&before, CodecId::Json).with_schema(old)),
                after: (op != 3).then(|| Image::new(&after, CodecId::Raw).with_schema(new)),
            };
            let own = Position::from_bits(frame.bits() + u64::from(back));
            let mut bytes = change.header(own, back).as_slice().to_vec();
            bytes.extend_from_slice(&key);
            for image in [change.before, change.after].into_iter().flatten() {
                bytes.extend_from_slice(image.bytes());
            }
            let place = flipped.index(bytes.len().min(24));
            if bit < 8 {
                bytes[place] ^= 1 << bit;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            // The careful way looks for the change where it says it stands.
            let mut all = vec![0; 300];
            let at = back as usize % 256;
            all.truncate(at);
            all.extend_from_slice(&bytes);
            let mut cursor = Cursor::at(&all, at);
            let careful = Change::parse_any(&mut cursor, frame);
            let place = Position::from_bits(frame.bits() + at as u64);
            match Change::parse_short(&bytes, place).filter(|short| short.back as usize == at) {
                Some(short) => {
                    prop_assert_eq!(careful, Ok(short.change));
                    prop_assert_eq!(cursor.offset(), at + short.length);
                }
                None if bit >= 8 && cut.is_none() && at == back as usize => {
                    prop_assert!(careful.is_ok());
                }
                None => {}
            }
        }
    }
}
