//! What an event does to its record, in each of the modes.

use super::event::Event;
use super::options::{ImportMode, ImportOptions};
use super::rehearsal::{Effect, Rehearsal, Trace};
use super::source::{at_line, shown};
use crate::error::{Error, Result, code};
use crate::format::image::{CodecId, Image, Op, OwnedImage};
use crate::json::Tree;
use crate::store::Transaction;

/// Puts the events of a group into a transaction; checks each against what it sees, which in a dry
/// run is first of all what was rehearsed.
pub(super) fn fill(
    tx: &mut Transaction<'_>,
    group: &[(u64, Event)],
    options: &ImportOptions,
    mut rehearsal: Option<&mut Rehearsal>,
) -> Result<Vec<Effect>> {
    let mut effects = Vec::with_capacity(group.len());
    for (number, event) in group {
        let taken = decide(tx, event, options, rehearsal.as_deref())
            .and_then(|decision| apply(tx, event, decision));
        let effect = taken.map_err(|error| at_line(*number, error))?;
        effects.push(effect);
        if let (Some(rehearsal), true) = (&mut rehearsal, effect != Effect::Skipped) {
            rehearsal.note(event);
        }
    }
    Ok(effects)
}

/// A record that an event meets.
#[derive(Clone, Copy)]
enum Current<'a> {
    Stored(Image<'a>),
    Rehearsed(Trace),
}

impl Current<'_> {
    /// Whether the record is this image already.
    fn is(&self, image: Image<'_>) -> bool {
        match self {
            Self::Stored(current) => *current == image,
            Self::Rehearsed(trace) => trace.is_image(image),
        }
    }
}

/// What is to be done about an event.
enum Decision {
    /// Its after image becomes the record.
    Write {
        exists: bool,
    },
    /// This does.
    Combine(OwnedImage),
    Leave(Effect),
}

fn decide(
    tx: &Transaction<'_>,
    event: &Event,
    options: &ImportOptions,
    rehearsal: Option<&Rehearsal>,
) -> Result<Decision> {
    let current = match rehearsal.and_then(|rehearsal| rehearsal.record(event)) {
        Some(rehearsed) => (*rehearsed).map(Current::Rehearsed),
        None => {
            tx.record(&event.collection, &event.key)?.map(|record| Current::Stored(record.image()))
        }
    };
    let write = Decision::Write { exists: current.is_some() };
    match options.mode {
        ImportMode::Append if options.upsert => Ok(write),
        ImportMode::Append => check(event, current).map(|()| write),
        ImportMode::Replace => Ok(match (current, &event.after) {
            (Some(current), Some(after)) if current.is(after.as_image()) => {
                Decision::Leave(Effect::Unchanged)
            }
            _ => write,
        }),
        ImportMode::Merge => {
            let after = record_of(event, options.mode)?;
            Ok(match current {
                Some(Current::Stored(current)) => match combined(current, after) {
                    combined if combined.as_image() == current => {
                        Decision::Leave(Effect::Unchanged)
                    }
                    combined => Decision::Combine(combined),
                },
                Some(Current::Rehearsed(_)) | None => write,
            })
        }
        ImportMode::SkipExisting => {
            record_of(event, options.mode)?;
            Ok(if current.is_some() { Decision::Leave(Effect::Skipped) } else { write })
        }
    }
}

fn apply(tx: &mut Transaction<'_>, event: &Event, decision: Decision) -> Result<Effect> {
    let (collection, key) = (&event.collection, &event.key);
    match (decision, &event.after) {
        (Decision::Leave(effect), _) => Ok(effect),
        (Decision::Combine(image), _) => {
            tx.put_image(collection, key, image.as_image())?;
            Ok(Effect::Updated)
        }
        (Decision::Write { exists }, Some(after)) => {
            tx.put_image(collection, key, after.as_image())?;
            Ok(if exists { Effect::Updated } else { Effect::Created })
        }
        (Decision::Write { exists: true }, None) => {
            tx.delete_record(collection, key)?;
            Ok(Effect::Deleted)
        }
        (Decision::Write { exists: false }, None) => Ok(Effect::Nothing),
    }
}

/// The value of an event that is a record, as the modes need it that look at what exists.
pub(super) fn record_of(event: &Event, mode: ImportMode) -> Result<&OwnedImage> {
    match (event.op, &event.after) {
        (None | Some(Op::Create | Op::Read), Some(after)) => Ok(after),
        (_, _) => Err(Error::new(
            &code::IMPORT_MODE,
            format!("{}: the mode {} takes no updates and deletions", named(event), mode.as_str()),
        )),
    }
}

/// The store's value with the input's fields.
pub(super) fn combined(current: Image<'_>, after: &OwnedImage) -> OwnedImage {
    let tree = |image: Image<'_>| match image.codec() {
        CodecId::Json => Tree::parse(image.bytes()).ok(),
        CodecId::Raw | CodecId::Bincode | CodecId::Rkyv => None,
    };
    let (Some(old), Some(new)) = (tree(current), tree(after.as_image())) else {
        return after.clone();
    };
    let is_combined = matches!((&old, &new), (Tree::Object(_), Tree::Object(_)));
    if !is_combined {
        return after.clone();
    }
    let bytes = merged(old, new).to_string().into_bytes();
    // Of a later version than the input it stays so, as what only the store has is of that version.
    let schema = after.schema.max(current.schema());
    OwnedImage { bytes, codec: CodecId::Json, schema }
}

fn merged(old: Tree, new: Tree) -> Tree {
    match (old, new) {
        (Tree::Object(mut fields), Tree::Object(new)) => {
            let places: std::collections::BTreeMap<String, usize> =
                fields.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
            for (name, value) in new {
                match places.get(&name).and_then(|at| fields.get_mut(*at)) {
                    Some((_, field)) => {
                        let old = std::mem::replace(field, Tree::Null);
                        *field = merged(old, value);
                    }
                    None => fields.push((name, value)),
                }
            }
            Tree::Object(fields)
        }
        (_, new) => new,
    }
}

/// Whether the event fits what the store holds.
fn check(event: &Event, current: Option<Current<'_>>) -> Result<()> {
    let what = match (event.op, current) {
        (Some(Op::Create | Op::Read), Some(_)) => "it creates a record that exists",
        (Some(Op::Update), None) => "it updates a record that does not exist",
        (Some(Op::Delete), None) => "it deletes a record that does not exist",
        (_, current) => match (&event.before, current) {
            (Some(before), Some(current)) if !is_before(before, current) => {
                "its before image is not what the store holds"
            }
            (Some(_), None) => "it has a before image and the record does not exist",
            _ => return Ok(()),
        },
    };
    Err(Error::new(&code::IMPORT_CONTRADICTION, format!("{}: {what}", named(event))))
}

/// The record of an event, for a message.
pub(super) fn named(event: &Event) -> String {
    format!("{}/{}", shown(event.collection.as_bytes()), shown(&event.key))
}

fn is_before(before: &OwnedImage, current: Current<'_>) -> bool {
    match current {
        Current::Stored(image) => is_same(before, image),
        Current::Rehearsed(trace) => trace.is_value(before.as_image()),
    }
}

/// Whether two images are the same value; JSON is compared by value and not by text.
pub(super) fn is_same(image: &OwnedImage, current: Image<'_>) -> bool {
    if image.codec != current.codec() {
        return false;
    }
    image.bytes == current.bytes()
        || (image.codec == CodecId::Json
            && match (Tree::parse(&image.bytes), Tree::parse(current.bytes())) {
                (Ok(image), Ok(current)) => image == current,
                _ => false,
            })
}
