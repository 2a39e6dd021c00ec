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
    let place = place_in(transaction, change)?;
    let mut write = || {
        write!(out, "{{\"op\":\"{}\",", change.op().as_str())?;
        write_record(out, change.collection(), change.key())?;
        write!(out, ",\"before\":")?;
        write_value(out, change.before())?;
        write!(out, ",\"after\":")?;
        write_value(out, change.after())?;
        write!(out, ",\"ts_us\":{},\"transaction\":", transaction.time().as_micros())?;
        write_transaction(out, transaction, place)?;
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
    match one_line_of_json(image) {
        None => write!(out, "{{\"$bytes\":\"{}\"}}", BASE64.encode(image.bytes())),
        Some(tree) if is_mistakable(&tree) => {
            out.write_all(b"{\"$json\":")?;
            out.write_all(image.bytes())?;
            out.write_all(b"}")
        }
        Some(_) => out.write_all(image.bytes()),
    }
}

/// Whoever stores bytes as JSON could have stored anything. Only what an import takes is written as
/// JSON: a line that is broken, or that can't be read again, helps nobody.
pub(super) fn one_line_of_json(image: Image<'_>) -> Option<Tree> {
    let is_json = image.codec() == CodecId::Json && !image.bytes().contains(&b'\n');
    is_json.then(|| Tree::parse(image.bytes()).ok()).flatten()
}

/// Whether the value would be read as "no image" or as one of the wrappers.
fn is_mistakable(tree: &Tree) -> bool {
    match tree {
        Tree::Null => true,
        Tree::Object(fields) => {
            matches!(&fields[..], [(name, _)] if name == "$bytes" || name == "$json")
        }
        Tree::Bool(_) | Tree::Number(_) | Tree::String(_) | Tree::Array(_) => false,
    }
}

/// The change's place among those that are told, and how many those are. Records of new collections
/// stand first and are the store's own: who waits for as many events as there are changes must not
/// wait for them.
fn place_in(transaction: &TransactionView<'_>, change: &ChangeView<'_>) -> Result<(u32, usize)> {
    let mut untold = 0;
    for first in transaction.changes() {
        if change.is_system() || !first?.is_system() {
            break;
        }
        untold += 1;
    }
    Ok((change.order() - untold, transaction.len() - untold as usize))
}

fn write_transaction(
    out: &mut dyn Write,
    transaction: &TransactionView<'_>,
    (order, changes): (u32, usize),
) -> io::Result<()> {
    let metadata = transaction.metadata();
    let lsn = transaction.lsn();
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
    /// What groups consecutive lines into one transaction: `id` or `lsn`, and its JSON text.
    pub(super) group: Option<(&'static str, String)>,
    pub(super) metadata: Metadata,
    /// The store that it comes from, if it is one of ours.
    pub(super) store: Option<Uuid>,
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
    #[serde(borrow, default)]
    transaction: Option<TransactionPart<'a>>,
    #[serde(borrow, default)]
    source: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct TransactionPart<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    lsn: Option<&'a RawValue>,
    actor: Option<String>,
    message: Option<String>,
    correlation: Option<String>,
    causation: Option<String>,
    attributes: Option<Map<String, Value>>,
}

/// Of another system's events `source` may hold anything; what does not fit is not ours.
#[derive(Default, Deserialize)]
#[serde(default)]
struct SourcePart {
    connector: Value,
    store: Value,
    schema: Value,
    codec: Value,
    before_schema: Value,
    before_codec: Value,
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
        let (before_shape, after_shape, store) = shapes(line.source)?;
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
        let group = transaction.group()?;
        Ok(Self {
            op: op.or(after.is_none().then_some(Op::Delete)),
            collection: line.collection,
            key: key(line.key)?,
            before,
            after,
            ts_us: line.ts_us,
            group,
            metadata: transaction.into_metadata()?,
            store,
        })
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> u64 {
        let image = |image: &Option<OwnedImage>| image.as_ref().map_or(0, |i| i.bytes.len());
        let bytes = size_of::<Self>() + self.collection.len() + self.key.len();
        (bytes + image(&self.before) + image(&self.after)) as u64
    }
}

impl TransactionPart<'_> {
    /// By their text: two numbers with many digits may be the same float. An id and an LSN never
    /// name the same transaction.
    fn group(&self) -> Result<Option<(&'static str, String)>> {
        let named = self.id.map(|id| ("id", id)).or(self.lsn.map(|lsn| ("lsn", lsn)));
        let text = |raw: &RawValue| Tree::parse(raw.get().as_bytes()).map(|tree| tree.to_string());
        named.map(|(name, raw)| Ok((name, text(raw)?))).transpose()
    }

    fn into_metadata(self) -> Result<Metadata> {
        let mut attributes: std::collections::BTreeMap<_, _> =
            self.attributes.unwrap_or_default().into_iter().collect();
        if let Some(id) = self.id {
            let id = serde_json::from_str(id.get()).map_err(|source| {
                Error::new(&code::INVALID_EVENT, "`transaction.id` can't be kept")
                    .with_source(source)
            })?;
            attributes.insert("id".to_owned(), id);
        }
        Ok(Metadata {
            actor: self.actor,
            message: self.message,
            correlation: self.correlation,
            causation: self.causation,
            attributes,
        })
    }
}

/// How a value that is not JSON is to be stored.
#[derive(Clone, Copy)]
struct Shape {
    codec: CodecId,
    schema: u32,
}

impl Shape {
    /// What is not named is raw. A name that means nothing here is raw too in another system's
    /// event; in one of ours, from a later release, the value would come back as something else.
    fn of(codec: &Value, schema: &Value, is_ours: bool) -> Result<Self> {
        let known = codec.as_str().and_then(|name| name.parse().ok());
        let number = schema.as_u64().and_then(|schema| u32::try_from(schema).ok());
        let unknown = known.is_none() && !codec.is_null() || number.is_none() && !schema.is_null();
        if is_ours && unknown {
            let message = "codec or schema of the value is not known to this release";
            return Err(Error::new(&code::INVALID_EVENT, message));
        }
        Ok(Self { codec: known.unwrap_or(CodecId::Raw), schema: number.unwrap_or(0) })
    }
}

/// The shapes of the before and of the after image, which are the same unless it says otherwise,
/// and the store.
fn shapes(source: Option<&RawValue>) -> Result<(Shape, Shape, Option<Uuid>)> {
    let raw = Shape { codec: CodecId::Raw, schema: 0 };
    // A source that can't be read is not an object, and so not ours.
    let Some(Ok(source)) = source.map(|raw| serde_json::from_str::<SourcePart>(raw.get())) else {
        return Ok((raw, raw, None));
    };
    let is_ours = source.connector == "afterimage";
    let store = source.store.as_str().and_then(|id| id.parse().ok());
    let or = |own: &Value, other: &Value| if own.is_null() { other.clone() } else { own.clone() };
    let before_codec = or(&source.before_codec, &source.codec);
    let before_schema = or(&source.before_schema, &source.schema);
    Ok((
        Shape::of(&before_codec, &before_schema, is_ours)?,
        Shape::of(&source.codec, &source.schema, is_ours)?,
        store.filter(|_| is_ours),
    ))
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
