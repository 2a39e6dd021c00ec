//! Checked reading of foreign bytes. Nobody else takes bytes of a file apart.

/// What did not fit: where in the bytes, and what was expected there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) offset: usize,
    pub(crate) what: &'static str,
}

/// The longest varint of a `u64`.
pub(crate) const VARINT_BYTES_MAX: usize = 10;

/// A position in bytes that only moves forward and never beyond the end.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// A cursor that stands at `at`; one behind the end reads nothing but errors.
    pub(crate) const fn at(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub(crate) const fn offset(&self) -> usize {
        self.at
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    /// What has not been read yet.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(crate) const fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { offset: self.at, what }
    }

    #[inline]
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(length).ok_or(self.malformed("length overflows"))?;
        let taken =
            self.bytes.get(self.at..end).ok_or(self.malformed("bytes end before the field"))?;
        self.at = end;
        Ok(taken)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let start = self.at;
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| Malformed { offset: start, what: "field has another length" })
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn i64(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    #[inline]
    pub(crate) fn u128(&mut self) -> Result<u128, Malformed> {
        Ok(u128::from_le_bytes(self.array()?))
    }

    /// An unsigned LEB128 number: seven bits a byte, the lowest first, in the fewest bytes.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        match self.bytes.get(self.at) {
            // Most are one byte long.
            Some(byte) if *byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(*byte))
            }
            Some(_) | None => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let malformed = |what| Err(self.malformed(what));
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let mut value = 0_u64;
        for (index, byte) in rest.iter().take(VARINT_BYTES_MAX).enumerate() {
            let shift = index * 7;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                if *byte == 0 && index > 0 {
                    return malformed("number is not in its shortest form");
                }
                self.at += index + 1;
                return Ok(value);
            }
        }
        if rest.len() < VARINT_BYTES_MAX {
            return malformed("bytes end before the field");
        }
        malformed("number is longer than 64 bits")
    }

    /// A varint that must fit into 32 bits.
    #[inline]
    pub(crate) fn varint_u32(&mut self) -> Result<u32, Malformed> {
        let start = self.malformed("number is longer than 32 bits");
        u32::try_from(self.varint()?).map_err(|_| start)
    }

    /// A varint that counts bytes which must still be left.
    #[inline]
    pub(crate) fn varint_length(&mut self) -> Result<usize, Malformed> {
        let start = self.malformed("length is beyond the end");
        let length = usize::try_from(self.varint()?).map_err(|_| start)?;
        if length > self.left() { Err(start) } else { Ok(length) }
    }

    /// Demands that the next `length` bytes are zero.
    pub(crate) fn zeros(&mut self, length: usize) -> Result<(), Malformed> {
        let start = self.malformed("reserved bytes are not zero");
        if self.take(length)?.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(start) }
    }
}

/// The first bytes of something, read in a register: small numbers, one behind the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word {
    bits: u128,
    passed: usize,
}

impl Word {
    const BYTES: usize = size_of::<u128>();

    /// `None` if there are fewer bytes than the word holds.
    #[inline]
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        let bits = u128::from_le_bytes(*bytes.first_chunk::<{ Self::BYTES }>()?);
        Some(Self { bits, passed: 0 })
    }

    /// The next byte; behind the end zero, which [`passed`](Self::passed) tells.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the lowest byte is meant")]
    pub(crate) const fn byte(&mut self) -> u8 {
        let byte = self.bits as u8;
        self.bits >>= u8::BITS;
        self.passed += 1;
        byte
    }

    /// A varint in its shortest form; `None` if it is longer than five bytes.
    #[inline]
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let first = self.byte();
        if first < 0x80 {
            return Some(u64::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        for index in 1..5 {
            let byte = self.byte();
            value |= u64::from(byte & 0x7f) << (index * 7);
            if byte < 0x80 {
                return (byte > 0).then_some(value);
            }
        }
        None
    }

    /// A varint that counts no more bytes than `most`.
    #[inline]
    pub(crate) fn length(&mut self, most: usize) -> Option<usize> {
        usize::try_from(self.varint()?).ok().filter(|length| *length <= most)
    }

    /// How many bytes were read; `None` if they were more than the word holds.
    #[inline]
    pub(crate) fn passed(&self) -> Option<usize> {
        (self.passed <= Self::BYTES).then_some(self.passed)
    }
}

/// A small buffer on the stack to build a header in: the write path must not allocate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scratch<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Scratch<N> {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; N], length: 0 }
    }

    /// Appends the field that the layout has at this offset.
    pub(crate) fn field(&mut self, offset: usize, bytes: &[u8]) {
        assert_eq!(self.length, offset, "fields are written in the order of the layout");
        self.put(bytes);
    }

    /// Appends bytes. Panics when they do not fit: `N` is the proven maximum of the structure.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        let room = self.bytes.get_mut(self.length..end);
        assert!(room.is_some(), "the structure's maximum is proven to fit its scratch space");
        if let Some(room) = room {
            room.copy_from_slice(bytes);
        }
        self.length = end;
    }

    pub(crate) fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put(&[low_byte(value) | 0x80]);
            value >>= 7;
        }
        self.put(&[low_byte(value)]);
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Appends a varint to a vector.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    out.push(low_byte(value));
}

const fn low_byte(value: u64) -> u8 {
    (value & 0x7f) as u8
}
