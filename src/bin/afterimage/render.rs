//! How values, changes and transactions look to people and as JSON.

use afterimage::{
    ChangeView, CodecId, FieldChange, Image, Op, Record, Result, TransactionView, field_changes,
    write_key, write_value,
};
use serde_json::value::RawValue;

use crate::address::show_key;
use crate::output::Output;

/// A key or value as JSON, ready to stand in a document.
pub(crate) fn raw(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> Box<RawValue> {
    let mut bytes = Vec::new();
    // Writing to memory does not fail, and what the library writes is JSON.
    let written = write(&mut bytes);
    let text = String::from_utf8(bytes).ok().filter(|_| written.is_ok());
    text.and_then(|text| RawValue::from_string(text).ok())
        .unwrap_or_else(|| RawValue::NULL.to_owned())
}

pub(crate) fn raw_key(key: &[u8]) -> Box<RawValue> {
    raw(|out| write_key(out, key))
}

pub(crate) fn raw_value(image: Option<Image<'_>>) -> Box<RawValue> {
    raw(|out| write_value(out, image))
}

/// The object that `get --json` and `scan --json` print.
#[derive(serde::Serialize)]
pub(crate) struct RecordDocument<'a> {
    collection: &'a str,
    key: Box<RawValue>,
    value: Box<RawValue>,
    lsn: u64,
    ts_us: i64,
}

impl<'a> RecordDocument<'a> {
    pub(crate) fn new(collection: &'a str, record: &Record<'_>) -> Self {
        Self {
            collection,
            key: raw_key(record.key()),
            value: raw_value(Some(record.image())),
            lsn: record.lsn().get(),
            ts_us: record.time().as_micros(),
        }
    }
}

/// A value on one line.
pub(crate) fn value_line(image: Image<'_>) -> String {
    let is_control = |c: char| c.is_control() && c != '\n' && c != '\t';
    let text = std::str::from_utf8(image.bytes()).ok();
    let text = if image.codec() == CodecId::Json {
        text.map(str::to_owned)
    } else if image.codec() == CodecId::Raw {
        text.filter(|text| !text.chars().any(is_control))
            .map(|text| text.escape_debug().to_string())
    } else {
        None
    };
    safe(&text.unwrap_or_else(|| format!("<{} {} bytes>", image.codec(), image.bytes().len())))
}

/// JSON text as JSON; text that is none, which stands for bytes, as a string.
pub(crate) fn json_or_text(text: &str) -> Box<RawValue> {
    match RawValue::from_string(text.to_owned()) {
        Ok(json) => json,
        Err(_) => raw(|out| Ok(serde_json::to_writer(out, text)?)),
    }
}

/// A field with its values as JSON; a side on which it is absent is left out, unlike a null.
#[derive(serde::Serialize)]
pub(crate) struct FieldDocument {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Box<RawValue>>,
}

impl FieldDocument {
    pub(crate) fn new(field: FieldChange) -> Self {
        let json = |text: Option<String>| text.as_deref().map(json_or_text);
        Self { path: field.path, before: json(field.before), after: json(field.after) }
    }
}

/// A number of things: `1 change`, `2 changes`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Text from a store, safe for a terminal.
pub(crate) fn safe(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The head of a transaction: LSN, time, actor, message.
pub(crate) fn transaction_head(out: &mut Output, transaction: &TransactionView<'_>) -> Result<()> {
    let metadata = transaction.metadata();
    let lsn = out.paint("33", &format!("transaction {}", transaction.lsn()));
    out.line(&lsn)?;
    out.line(&format!("time:    {}", transaction.time().to_local_string()))?;
    let texts = [
        ("actor:  ", &metadata.actor),
        ("about:  ", &metadata.correlation),
        ("because:", &metadata.causation),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            out.line(&format!("{name} {}", safe(text)))?;
        }
    }
    for (name, value) in &metadata.attributes {
        out.line(&format!("         {} = {}", safe(name), safe(&value.to_string())))?;
    }
    if let Some(message) = &metadata.message {
        out.line("")?;
        for line in message.lines() {
            out.line(&format!("    {}", safe(line)))?;
        }
    }
    out.line("")
}

/// One line: LSN, time, actor, message, number of changes.
pub(crate) fn transaction_line(
    out: &mut Output,
    transaction: &TransactionView<'_>,
    changes: usize,
) -> Result<()> {
    let metadata = transaction.metadata();
    let lsn = transaction.lsn().to_string();
    let time = transaction.time().to_local_string();
    let actor = metadata.actor.as_deref().unwrap_or("-");
    let message = metadata.message.as_deref().unwrap_or_default();
    let message = message.lines().next().unwrap_or_default();
    let changes = count(changes as u64, "change");
    let line = format!("{lsn}  {time}  {}  {changes}  {}", safe(actor), safe(message));
    let painted = out.paint("33", &lsn);
    out.line(&out.fit(line.trim_end()).replacen(&lsn, &painted, 1))
}

/// How many changes a transaction holds, without those of the store's own collections.
pub(crate) fn user_changes(transaction: &TransactionView<'_>) -> Result<usize> {
    let mut count = 0;
    for change in transaction.changes() {
        count += usize::from(!change?.is_system());
    }
    Ok(count)
}

/// One change: its record, and with `patch` the fields that differ.
pub(crate) fn change(out: &mut Output, change: &ChangeView<'_>, patch: bool) -> Result<()> {
    let record = format!("{}/{}", safe(change.collection()), show_key(change.key()));
    record_change(out, &record, change.op(), (change.before(), change.after()), patch)
}

/// One changed record, with the fields that differ.
pub(crate) fn record_change(
    out: &mut Output,
    record: &str,
    op: Op,
    (before, after): (Option<Image<'_>>, Option<Image<'_>>),
    patch: bool,
) -> Result<()> {
    let color = match op {
        Op::Create | Op::Read => "32",
        Op::Update => "36",
        Op::Delete => "31",
    };
    let name = out.paint(color, &format!("{op:<6}"));
    out.line(&format!("  {name}  {record}"))?;
    if patch {
        for field in field_changes(before, after) {
            field_change(out, &field)?;
        }
    }
    Ok(())
}

pub(crate) fn field_change(out: &mut Output, field: &FieldChange) -> Result<()> {
    let path = field_name(&field.path);
    for (color, sign, value) in [("31", '-', &field.before), ("32", '+', &field.after)] {
        if let Some(value) = value {
            let text = out.fit(&format!("    {sign} {path}: {}", safe(value)));
            let text = out.paint(color, &text);
            out.line(&text)?;
        }
    }
    Ok(())
}

/// A field by its path; the whole value has none.
pub(crate) fn field_name(path: &str) -> String {
    if path.is_empty() { "value".to_owned() } else { safe(path) }
}
