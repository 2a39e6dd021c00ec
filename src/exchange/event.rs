//! One change as one JSON object a line, in the shape of Debezium's envelope
//! (<https://debezium.io/documentation/reference/stable/connectors/postgresql.html>).

use std::borrow::Cow;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::error::{Error, Result, code};
use crate::format::image::{CodecId, Image, Op, OwnedImage};
use crate::format::metadata::Metadata;
use crate::json::Tree;
use crate::store::{ChangeView, Record, TransactionView};

/// Which store the events come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventSource {
    /// The store's id.
    pub store: Uuid,
}

/// Writes a change as a change event, with a line feed.
///
/// # Errors
/// `Io` from the output; `Corrupt` if the change before it can't be read.
pub fn write_event(
    out: &mut dyn Write,
    transaction: &TransactionView<'_>,
    change: &ChangeView<'_>,
    source: EventSource,
) -> Result<()> {
    let previous = change.previous_lsn()?;
    let mut write = || {
        write!(out, "{{\"op\":\"{}\",", change.op().as_str())?;
        write_record(out, change.collection(), change.key())?;
        write!(out, ",\"before\":")?;
        write_value(out, change.before())?;
        write!(out, ",\"after\":")?;
        write_value(out, change.after())?;
        write!(out, ",\"ts_us\":{},\"transaction\":", transaction.time().as_micros())?;
        write_transaction(out, transaction, change.order())?;
        write!(out, ",\"source\":{{\"connector\":\"afterimage\",\"store\":\"{}\"", source.store)?;
        write_shapes(out, change.before(), change.after())?;
        writeln!(out, ",\"previous_lsn\":{previous}}}}}")
    };
    write().map_err(output_failed)
}

/// Writes a record as an event of operation `r`.
pub(super) fn write_state(
    out: &mut dyn Write,
    collection: &str,
    record: &Record<'_>,
    source: EventSource,
) -> io::Result<()> {
    write!(out, "{{\"op\":\"r\",")?;
    write_record(out, collection, record.key())?;
    write!(out, ",\"before\":null,\"after\":")?;
    write_value(out, Some(record.image()))?;
    write!(out, ",\"ts_us\":{},\"source\":", record.time().as_micros())?;
    write!(out, "{{\"connector\":\"afterimage\",\"store\":\"{}\"", source.store)?;
    write_shapes(out, None, Some(record.image()))?;
    writeln!(out, ",\"lsn\":{}}}}}", record.lsn())
}

fn write_record(out: &mut dyn Write, collection: &str, key: &[u8]) -> io::Result<()> {
    write!(out, "\"collection\":{},\"key\":", Value::from(collection))?;
    write_key(out, key)
}

/// Writes a key: a string, or `{"$bytes":…}` if it is not UTF-8.
///
/// # Errors
/// From the output.
pub fn write_key(out: &mut dyn Write, key: &[u8]) -> io::Result<()> {
    match std::str::from_utf8(key) {
        Ok(text) => write!(out, "{}", Value::from(text)),
        Err(_) => write!(out, "{{\"$bytes\":\"{}\"}}", BASE64.encode(key)),
    }
}

/// Writes a value: JSON as it is stored, anything else as `{"$bytes":…}`, no image as `null`.
///
/// # Errors
/// From the output.
pub fn write_value(out: &mut dyn Write, image: Option<Image<'_>>) -> io::Result<()> {
    let Some(image) = image else { return out.write_all(b"null") };
    if image.codec() != CodecId::Json || !is_one_line_of_json(image.bytes()) {
        return write!(out, "{{\"$bytes\":\"{}\"}}", BASE64.encode(image.bytes()));
    }
    if is_mistakable(image.bytes()) {
        out.write_all(b"{\"$json\":")?;
        out.write_all(image.bytes())?;
        return out.write_all(b"}");
    }
    out.write_all(image.bytes())
}

/// Whoever stores bytes as JSON could have stored anything; a broken line helps nobody.
fn is_one_line_of_json(bytes: &[u8]) -> bool {
    !bytes.contains(&b'\n') && serde_json::from_slice::<&RawValue>(bytes).is_ok()
}

/// Whether the value would be read as "no image" or as one of the wrappers.
fn is_mistakable(bytes: &[u8]) -> bool {
    if bytes == b"null" {
        return true;
    }
    let may_wrap = bytes.starts_with(b"{")
        && bytes
            .get(..16.min(bytes.len()))
            .is_some_and(|start| start.windows(2).any(|pair| pair == b"\"$" || pair == b"\"\\"));
    may_wrap
        && Tree::parse(bytes).is_ok_and(|tree| {
            let Tree::Object(fields) = &tree else { return false };
            matches!(&fields[..], [(name, _)] if name == "$bytes" || name == "$json")
        })
}

fn write_transaction(
    out: &mut dyn Write,
    transaction: &TransactionView<'_>,
    order: u32,
) -> io::Result<()> {
    let metadata = transaction.metadata();
    let (lsn, changes) = (transaction.lsn(), transaction.len());
    write!(out, "{{\"lsn\":{lsn},\"order\":{order},\"changes\":{changes}")?;
    let texts = [
        ("actor", &metadata.actor),
        ("message", &metadata.message),
        ("correlation", &metadata.correlation),
        ("causation", &metadata.causation),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            write!(out, ",\"{name}\":{}", Value::from(text.as_str()))?;
        }
    }
    write!(out, ",\"attributes\":{{")?;
    for (index, (name, value)) in metadata.attributes.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        write!(out, "{comma}{}:{value}", Value::from(name.as_str()))?;
    }
    write!(out, "}}}}")
}

/// Codec and schema of the after image, or of the before image of a deletion; those of the before
/// image too where they differ.
fn write_shapes(
    out: &mut dyn Write,
    before: Option<Image<'_>>,
    after: Option<Image<'_>>,
) -> io::Result<()> {
    let Some(image) = after.or(before) else { return Ok(()) };
    write!(out, ",\"schema\":{},\"codec\":\"{}\"", image.schema(), image.codec())?;
    match before {
        Some(before) if (before.schema(), before.codec()) != (image.schema(), image.codec()) => {
            let (schema, codec) = (before.schema(), before.codec());
            write!(out, ",\"before_schema\":{schema},\"before_codec\":\"{codec}\"")
        }
        Some(_) | None => Ok(()),
    }
}

pub(super) fn output_failed(source: io::Error) -> Error {
    Error::new(&code::IO, "could not write the events").with_source(source)
}

/// A line of an import, understood.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) op: Option<Op>,
    pub(super) collection: String,
    pub(super) key: Vec<u8>,
    pub(super) before: Option<OwnedImage>,
    pub(super) after: Option<OwnedImage>,
    pub(super) ts_us: Option<i64>,
    /// What groups consecutive lines into one transaction.
    pub(super) group: Option<String>,
    pub(super) metadata: Metadata,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    op: Option<Cow<'a, str>>,
    collection: String,
    #[serde(borrow)]
    key: &'a RawValue,
    #[serde(borrow, default, deserialize_with = "present")]
    before: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    after: Option<&'a RawValue>,
    ts_us: Option<i64>,
    #[serde(default)]
    transaction: Option<TransactionPart>,
    #[serde(default)]
    source: Option<SourcePart>,
}

#[derive(Default, Deserialize)]
struct TransactionPart {
    id: Option<Value>,
    lsn: Option<Value>,
    actor: Option<String>,
    message: Option<String>,
    correlation: Option<String>,
    causation: Option<String>,
    attributes: Option<Map<String, Value>>,
}

/// Of another system's events `source` may hold anything; what does not fit is not ours.
#[derive(Default, Deserialize)]
struct SourcePart {
    schema: Option<Value>,
    codec: Option<Value>,
    before_schema: Option<Value>,
    before_codec: Option<Value>,
}

/// Tells a field that is `null` from one that is absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Event {
    /// Reads one line.
    pub(super) fn parse(line: &[u8]) -> Result<Self> {
        let line: Line<'_> = serde_json::from_slice(line).map_err(|source| {
            // The parser counts lines of its own; the caller knows which line it is.
            let why = source.to_string().replace(" at line 1 column", " at column");
            Error::new(&code::INVALID_EVENT, format!("not a change event: {why}"))
        })?;
        let source = line.source.unwrap_or_default();
        let after_shape = Shape::of(source.codec.as_ref(), source.schema.as_ref());
        let before_shape = Shape::of(
            source.before_codec.as_ref().or(source.codec.as_ref()),
            source.before_schema.as_ref().or(source.schema.as_ref()),
        );
        let op = line.op.as_deref().map(operation).transpose()?;
        let after_given = line.after.is_some();
        let image = |raw: Option<&RawValue>, shape| raw.map(|raw| value(raw, shape)).transpose();
        let before = image(line.before, before_shape)?.flatten();
        let after = image(line.after, after_shape)?.flatten();
        let fits = match op {
            None => after_given,
            Some(Op::Create | Op::Update | Op::Read) => after.is_some(),
            Some(Op::Delete) => after.is_none(),
        };
        if !fits {
            return Err(Error::new(
                &code::INVALID_EVENT,
                "the operation does not fit the after image: `c`, `u` and `r` need one, `d` has \
                 none, and without `op` there must be `after`",
            ));
        }
        let transaction = line.transaction.unwrap_or_default();
        let group = transaction.id.as_ref().or(transaction.lsn.as_ref()).map(Value::to_string);
        Ok(Self {
            op: op.or(after.is_none().then_some(Op::Delete)),
            collection: line.collection,
            key: key(line.key)?,
            before,
            after,
            ts_us: line.ts_us,
            group,
            metadata: transaction.into_metadata(),
        })
    }
}

impl TransactionPart {
    fn into_metadata(self) -> Metadata {
        let mut attributes: std::collections::BTreeMap<_, _> =
            self.attributes.unwrap_or_default().into_iter().collect();
        if let Some(id) = self.id {
            attributes.insert("id".to_owned(), id);
        }
        Metadata {
            actor: self.actor,
            message: self.message,
            correlation: self.correlation,
            causation: self.causation,
            attributes,
        }
    }
}

#[derive(Clone, Copy)]
struct Shape {
    codec: CodecId,
    schema: u32,
}

impl Shape {
    fn of(codec: Option<&Value>, schema: Option<&Value>) -> Self {
        let codec = codec.and_then(Value::as_str).and_then(|name| name.parse().ok());
        let schema = schema.and_then(Value::as_u64).and_then(|schema| schema.try_into().ok());
        Self { codec: codec.unwrap_or(CodecId::Raw), schema: schema.unwrap_or(0) }
    }
}

fn operation(op: &str) -> Result<Op> {
    match op {
        "c" => Ok(Op::Create),
        "u" => Ok(Op::Update),
        "d" => Ok(Op::Delete),
        "r" => Ok(Op::Read),
        other => {
            let shown: String = other.chars().take(20).flat_map(char::escape_debug).collect();
            Err(Error::new(&code::INVALID_EVENT, format!("`{shown}` is no operation: c, u, d, r")))
        }
    }
}

fn key(raw: &RawValue) -> Result<Vec<u8>> {
    let wrong = || Error::new(&code::INVALID_EVENT, "`key` is a string or {\"$bytes\":…}");
    let tree = Tree::parse(raw.get().as_bytes())?;
    match tree.as_str() {
        Some(text) => Ok(text.as_bytes().to_vec()),
        None => wrapped_bytes(&tree)?.ok_or_else(wrong),
    }
}

/// The image of a value; `None` for `null`.
fn value(raw: &RawValue, shape: Shape) -> Result<Option<OwnedImage>> {
    let tree = Tree::parse(raw.get().as_bytes())?;
    if matches!(tree, Tree::Null) {
        return Ok(None);
    }
    if let Some(bytes) = wrapped_bytes(&tree)? {
        return Ok(Some(OwnedImage { bytes, codec: shape.codec, schema: shape.schema }));
    }
    let is_single = matches!(&tree, Tree::Object(fields) if fields.len() == 1);
    let wrapped = is_single.then(|| tree.get("$json")).flatten();
    let text = wrapped.unwrap_or(&tree).to_string();
    let (bytes, schema) = (text.into_bytes(), shape.schema);
    Ok(Some(OwnedImage { bytes, codec: CodecId::Json, schema }))
}

fn wrapped_bytes(tree: &Tree) -> Result<Option<Vec<u8>>> {
    let Tree::Object(fields) = tree else { return Ok(None) };
    match &fields[..] {
        [(name, Tree::String(text))] if name == "$bytes" => {
            BASE64.decode(text).map(Some).map_err(|source| {
                Error::new(&code::INVALID_EVENT, "`$bytes` is not base64").with_source(source)
            })
        }
        [(name, _)] if name == "$bytes" => {
            Err(Error::new(&code::INVALID_EVENT, "`$bytes` holds a string in base64"))
        }
        _ => Ok(None),
    }
}
