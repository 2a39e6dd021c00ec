//! `search`.

use afterimage::{Lsn, Result, SearchQuery, Timestamp, Transition};
use serde_json::value::RawValue;

use super::{DONE, past};
use crate::address::{Subject, show_key};
use crate::args::SearchArgs;
use crate::context::Context;
use crate::render::{self, raw_key, raw_value, safe};

pub(super) fn run(context: &mut Context, args: &SearchArgs) -> Result<u8> {
    let store = context.reader(args.choice.salvage)?;
    let subject = Subject::parse(&args.subject)?;
    let query = SearchQuery {
        changes: past::query(&store, Some(subject), &args.choice)?,
        field: args.field.as_deref().map(str::parse).transpose()?,
        from: args.from.as_deref().map(str::parse).transpose()?,
        to: args.to.as_deref().map(str::parse).transpose()?,
    };
    let field = query.field.as_ref().map(ToString::to_string);
    let found = store.search(&query)?.take(args.choice.n.unwrap_or(usize::MAX));
    if args.choice.reverse {
        for transition in reversed(found.collect::<Result<_>>()?) {
            show(context, field.as_deref(), &transition)?;
        }
    } else {
        for transition in found {
            show(context, field.as_deref(), &transition?)?;
        }
    }
    Ok(DONE)
}

/// Oldest transaction first; the changes of one stay in their order.
fn reversed(mut found: Vec<Transition<'_>>) -> Vec<Transition<'_>> {
    found.sort_by_key(|transition| transition.transaction.lsn());
    found
}

/// The object that `search --json` prints for each change. A side on which the field, or without
/// one the record, is absent is left out, unlike a null.
#[derive(serde::Serialize)]
struct Document<'a> {
    lsn: Lsn,
    ts: Timestamp,
    actor: Option<&'a str>,
    message: Option<&'a str>,
    correlation: Option<&'a str>,
    op: &'a str,
    collection: &'a str,
    key: Box<RawValue>,
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Box<RawValue>>,
    restore: String,
}

fn show(context: &mut Context, field: Option<&str>, found: &Transition<'_>) -> Result<()> {
    let Transition { transaction, change, from, to } = found;
    let record = format!("{}/{}", change.collection(), show_key(change.key()));
    let restore = context.restore_command(transaction.lsn(), &["--key", &record]);
    let metadata = transaction.metadata();
    let out = &mut context.out;
    if out.json {
        let json = |text: &afterimage::json::Tree| render::json_or_text(&text.to_string());
        let (from, to) = if field.is_some() {
            (from.as_ref().map(json), to.as_ref().map(json))
        } else {
            let value = |image| raw_value(Some(image));
            (change.before().map(value), change.after().map(value))
        };
        return out.document(&Document {
            lsn: transaction.lsn(),
            ts: transaction.time(),
            actor: metadata.actor.as_deref(),
            message: metadata.message.as_deref(),
            correlation: metadata.correlation.as_deref(),
            op: change.op().as_str(),
            collection: change.collection(),
            key: raw_key(change.key()),
            field,
            from,
            to,
            restore,
        });
    }
    render::transaction_line(out, transaction, render::user_changes(transaction)?)?;
    render::change(out, change, field.is_none())?;
    if let Some(field) = field {
        let text = |value: &afterimage::json::Tree| value.to_string();
        let (before, after) = (from.as_ref().map(text), to.as_ref().map(text));
        let change = afterimage::FieldChange { path: field.to_owned(), before, after };
        render::field_change(out, &change)?;
    }
    out.line(&format!("  {}\n", safe(&restore)))
}
