//! One JSON document: an array of objects that have their keys in a field, or an object whose names
//! are the keys.

use std::io::{self, BufRead, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::event::{one_line_of_json, output_failed};
use super::options::RecordShape;
use super::records::{Records, write_address};
use super::source::{LINE_BYTES_MAX, Line};
use crate::error::{Error, Result, code};
use crate::format::image::{CodecId, Image, OwnedImage};
use crate::json::Tree;
use crate::store::{KeyRange, Snapshot};

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Reads a document, one record at a time.
pub(super) struct Document<'i> {
    text: Text<'i>,
    records: Records,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    Start,
    /// Behind the bracket that opens it.
    First(Kind),
    /// Behind a record.
    Next(Kind),
    Done,
}

#[derive(Clone, Copy)]
enum Kind {
    Array,
    Object,
}

impl Kind {
    const fn close(self) -> u8 {
        match self {
            Self::Array => b']',
            Self::Object => b'}',
        }
    }
}

/// Why no record comes: the input can't be read, or is no such document.
enum Stop {
    Failed(Error),
    Wrong(&'static str),
}

impl<'i> Document<'i> {
    pub(super) fn new(input: &'i mut dyn BufRead, shape: &RecordShape) -> Self {
        let text = Text { input, line: 1 };
        Self { text, records: Records::new(shape), stage: Stage::Start }
    }

    pub(super) fn collection(&self) -> &str {
        &self.records.shape.collection
    }

    /// The next record. Behind a place where the document itself is broken there is none.
    pub(super) fn next(&mut self) -> Result<Option<Line>> {
        match self.step() {
            Ok(line) => Ok(line),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Wrong(message)) => {
                self.stage = Stage::Done;
                Ok(Some(Line::wrong(self.text.line, message)))
            }
        }
    }

    fn step(&mut self) -> Result<Option<Line>, Stop> {
        if let Stage::Start = self.stage {
            self.text.skip(BYTE_ORDER_MARK)?;
            let kind = match self.text.token()? {
                Some(b'[') => Kind::Array,
                Some(b'{') => Kind::Object,
                Some(_) => return Err(Stop::Wrong("neither an array of objects nor an object")),
                None => return Err(Stop::Wrong("the document is empty")),
            };
            self.text.bump(1)?;
            self.stage = Stage::First(kind);
        }
        let (Stage::First(kind) | Stage::Next(kind)) = self.stage else { return Ok(None) };
        let token = self.text.token()?;
        if token == Some(kind.close()) {
            self.text.bump(1)?;
            self.stage = Stage::Done;
            return match self.text.token()? {
                None => Ok(None),
                Some(_) => Err(Stop::Wrong("something follows the document")),
            };
        }
        if let Stage::Next(_) = self.stage {
            if token != Some(b',') {
                return Err(Stop::Wrong("a comma is expected, or the end of the document"));
            }
            self.text.bump(1)?;
        }
        self.stage = Stage::Next(kind);
        self.record(kind).map(Some)
    }

    fn record(&mut self, kind: Kind) -> Result<Line, Stop> {
        let start = self.text.token()?;
        let number = self.text.line;
        let name = match kind {
            Kind::Array => None,
            Kind::Object if start == Some(b'"') => {
                let name = self.text.string()?;
                if self.text.token()? != Some(b':') {
                    return Err(Stop::Wrong("a colon is expected behind the key"));
                }
                self.text.bump(1)?;
                Some(name)
            }
            Kind::Object => return Err(Stop::Wrong("a key is expected, a string")),
        };
        let value = self.text.value(kind.close())?;
        let event = match name {
            None => parse(&value).and_then(|tree| self.records.of_object(number, tree)),
            Some(name) => parse(&name).and_then(|name| {
                let image = image(&parse(&value)?)?;
                self.records.keyed(number, name.as_str().unwrap_or_default(), image)
            }),
        };
        Ok(Line { number, event })
    }
}

/// The text of a document, of which a piece at a time is in memory.
struct Text<'i> {
    input: &'i mut dyn BufRead,
    /// Where the next byte stands.
    line: u64,
}

impl Text<'_> {
    /// What is at hand; nothing at the end.
    fn ahead(&mut self) -> Result<&[u8], Stop> {
        // Twice, because the borrow of what is returned would last over the loop.
        loop {
            match self.input.fill_buf() {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        let line = self.line;
        self.input.fill_buf().map_err(|error| failed_at(line, error))
    }

    fn failed(&self, error: io::Error) -> Stop {
        failed_at(self.line, error)
    }

    /// Goes on by so many bytes of what is at hand.
    fn bump(&mut self, count: usize) -> Result<(), Stop> {
        let passed = self.ahead()?.iter().take(count).filter(|byte| **byte == b'\n').count();
        self.line += passed as u64;
        self.input.consume(count);
        Ok(())
    }

    /// Passes these bytes, if they stand here.
    fn skip(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        if self.ahead()?.starts_with(bytes) { self.bump(bytes.len()) } else { Ok(()) }
    }

    /// The next byte that is not white space, which stays where it is.
    fn token(&mut self) -> Result<Option<u8>, Stop> {
        loop {
            let ahead = self.ahead()?;
            if ahead.is_empty() {
                return Ok(None);
            }
            let is_space = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
            let spaces = ahead.iter().take_while(|byte| is_space(byte)).count();
            let token = ahead.get(spaces).copied();
            self.bump(spaces)?;
            if token.is_some() {
                return Ok(token);
            }
        }
    }

    /// A string with its quotes, of which the first one stands here.
    fn string(&mut self) -> Result<Vec<u8>, Stop> {
        let mut quotes = 0;
        let mut escaped = false;
        self.until(true, |byte| {
            let was_escaped = escaped;
            escaped = byte == b'\\' && !was_escaped;
            quotes += u8::from(byte == b'"' && !was_escaped);
            quotes == 2
        })
    }

    /// A value, up to the comma or the bracket behind it.
    fn value(&mut self, close: u8) -> Result<Vec<u8>, Stop> {
        let (mut depth, mut quoted, mut escaped) = (0_u64, false, false);
        self.until(false, |byte| {
            if quoted {
                let was_escaped = escaped;
                escaped = byte == b'\\' && !was_escaped;
                quoted = byte != b'"' || was_escaped;
                return false;
            }
            let ends = depth == 0 && (byte == b',' || byte == close);
            match byte {
                b'"' => quoted = true,
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            ends
        })
    }

    /// The bytes up to the one that is the last, with it or without.
    fn until(
        &mut self,
        with_last: bool,
        mut is_last: impl FnMut(u8) -> bool,
    ) -> Result<Vec<u8>, Stop> {
        let mut found = Vec::new();
        loop {
            let ahead = self.ahead()?;
            if ahead.is_empty() {
                return Err(Stop::Wrong("the document ends inside a value"));
            }
            let end = ahead.iter().position(|byte| is_last(*byte));
            let count = end.map_or(ahead.len(), |end| end + usize::from(with_last));
            found.extend(ahead.iter().take(count));
            self.bump(count)?;
            if found.len() as u64 > LINE_BYTES_MAX {
                return Err(Stop::Wrong("a value is longer than a value can be"));
            }
            if end.is_some() {
                return Ok(found);
            }
        }
    }
}

fn failed_at(line: u64, source: io::Error) -> Stop {
    let message = format!("could not read on from line {line}");
    Stop::Failed(Error::new(&code::IO, message).with_source(source))
}

fn parse(text: &[u8]) -> Result<Tree> {
    Tree::parse(text).map_err(|error| {
        let offset = error.place().offset.unwrap_or_default();
        let message = format!("{} at byte {offset} of the value", error.message());
        Error::new(&code::INVALID_DOCUMENT, message)
    })
}

/// The names that make an object stand for something else than itself.
const MARKS: [&str; 4] = ["$bytes", "$json", "$codec", "$schema"];

/// Whether an object, stored as it is, would be read as something else.
fn is_mistakable(tree: &Tree) -> bool {
    let Tree::Object(fields) = tree else { return false };
    fields.iter().all(|(name, _)| MARKS.contains(&name.as_str()))
        && fields.iter().any(|(name, _)| name == "$bytes" || name == "$json")
}

/// The image of a value: JSON, or what `$bytes` or `$json` stand for, with codec and schema.
fn image(tree: &Tree) -> Result<OwnedImage> {
    let wrong = |message| Error::new(&code::INVALID_DOCUMENT, message);
    if !is_mistakable(tree) {
        let bytes = tree.to_string().into_bytes();
        return Ok(OwnedImage { bytes, codec: CodecId::Json, schema: 0 });
    }
    let schema = match tree.get("$schema") {
        None => 0,
        Some(Tree::Number(text)) => text.parse().map_err(|_| wrong("`$schema` is too large"))?,
        Some(_) => return Err(wrong("`$schema` is a number")),
    };
    match (tree.get("$bytes"), tree.get("$json"), tree.get("$codec")) {
        (None, Some(value), None) => {
            let bytes = value.to_string().into_bytes();
            Ok(OwnedImage { bytes, codec: CodecId::Json, schema })
        }
        (Some(Tree::String(text)), None, codec) => {
            let codec = match codec {
                None => Some(CodecId::Raw),
                Some(codec) => codec.as_str().and_then(|name| name.parse().ok()),
            };
            let codec = codec.ok_or_else(|| wrong("`$codec` is not known to this release"))?;
            let bytes = BASE64
                .decode(text)
                .map_err(|source| wrong("`$bytes` is not base64").with_source(source))?;
            Ok(OwnedImage { bytes, codec, schema })
        }
        _ => Err(wrong("`$bytes` holds a string and may have `$codec`, `$json` stands alone")),
    }
}

/// Writes the records of a collection as one JSON object, a line for each key. Returns how many.
///
/// A key is written as in an address: what is not UTF-8, or begins with `0x`, in hexadecimal. A
/// value that is not JSON is `{"$bytes":…,"$codec":…}`; with a schema version, also `$schema`.
///
/// # Errors
/// `NotFound` for a collection that never existed; `Corrupt`; `Io` from the output.
pub fn export_json(snapshot: &Snapshot, collection: &str, out: &mut dyn Write) -> Result<u64> {
    let mut count = 0;
    let records = snapshot.scan(collection, KeyRange::all())?;
    out.write_all(b"{").map_err(output_failed)?;
    for record in records {
        let record = record?;
        let comma = if count > 0 { "," } else { "" };
        let key = Tree::String(write_address(record.key()));
        write!(out, "{comma}\n{key}:")
            .and_then(|()| write_value(out, record.image()))
            .map_err(output_failed)?;
        count += 1;
    }
    out.write_all(b"\n}\n").map_err(output_failed)?;
    Ok(count)
}

fn write_value(out: &mut dyn Write, image: Image<'_>) -> io::Result<()> {
    let schema = match image.schema() {
        0 => String::new(),
        schema => format!(",\"$schema\":{schema}"),
    };
    match one_line_of_json(image) {
        None => {
            let bytes = BASE64.encode(image.bytes());
            write!(out, "{{\"$bytes\":\"{bytes}\",\"$codec\":\"{}\"{schema}}}", image.codec())
        }
        Some(tree) if is_mistakable(&tree) || !schema.is_empty() => {
            out.write_all(b"{\"$json\":")?;
            out.write_all(image.bytes())?;
            write!(out, "{schema}}}")
        }
        Some(_) => out.write_all(image.bytes()),
    }
}
