//! `point create`, `list`, `annotate`, `protect`, `unprotect`, `delete`.

use std::cmp::Reverse;

use afterimage::{Error, PointKind, PointOptions, RestorePoint, Result, code};

use super::DONE;
use super::data::committed;
use crate::args::{PointAnnotateArgs, PointCommand, PointKindArg, PointListArgs, Signed};
use crate::context::{Context, at};
use crate::failure::usage;
use crate::render::safe;

pub(super) fn run(context: &mut Context, command: &PointCommand) -> Result<u8> {
    match command {
        PointCommand::Create { name, rev, note, protect, signed } => {
            let options =
                PointOptions { note: note.clone(), protected: *protect, ..PointOptions::default() };
            create(context, name, rev.as_deref(), &options, signed)
        }
        PointCommand::List(args) => list(context, args),
        PointCommand::Annotate(args) => annotate(context, args),
        PointCommand::Protect { name, signed } => protect(context, name, true, signed),
        PointCommand::Unprotect { name, signed } => protect(context, name, false, signed),
        PointCommand::Delete { names, signed } => delete(context, names, signed),
    }
}

fn create(
    context: &mut Context,
    name: &str,
    rev: Option<&str>,
    options: &PointOptions,
    signed: &Signed,
) -> Result<u8> {
    let store = if signed.dry_run { context.reader(false)? } else { context.writer()? };
    let lsn = at(&store, rev)?;
    if signed.dry_run {
        if store.point(name).is_ok() {
            let message = format!("the restore point `{}` exists", safe(name));
            return Err(Error::new(&code::POINT_EXISTS, message));
        }
        if context.out.json {
            let document = serde_json::json!({"dry_run": true, "name": name, "lsn": lsn});
            context.out.document(&document)?;
        } else {
            context.out.line(&format!("would name LSN {lsn} `{}`", safe(name)))?;
        }
        return Ok(DONE);
    }
    let commit = store.create_point_with(name, lsn, options, &signed.author())?;
    store.close()?;
    context.out.say(&format!("`{}` is LSN {lsn}", safe(name)));
    if context.out.json { committed(context, &commit) } else { Ok(DONE) }
}

/// Tells what a dry run has found.
fn would(context: &mut Context, what: &str, points: &[RestorePoint]) -> Result<u8> {
    for point in points {
        if context.out.json {
            let document =
                serde_json::json!({"dry_run": true, "name": point.name, "lsn": point.lsn});
            context.out.document(&document)?;
        } else {
            context.out.line(&format!("would {what} {}", shown(point)))?;
        }
    }
    Ok(DONE)
}

fn shown(point: &RestorePoint) -> String {
    format!("the name `{}` of LSN {}", safe(&point.name), point.lsn)
}

fn list(context: &mut Context, args: &PointListArgs) -> Result<u8> {
    let store = context.reader(false)?;
    let mut points = store.points()?;
    let kind = args.kind.map(|kind| match kind {
        PointKindArg::Manual => PointKind::Manual,
        PointKindArg::Auto => PointKind::Automatic,
        PointKindArg::PreMigration => PointKind::PreMigration,
    });
    points.retain(|point| kind.is_none_or(|kind| kind == point.kind));
    points.sort_by_key(|point| Reverse((point.lsn, point.created)));
    points.truncate(args.limit.unwrap_or(usize::MAX));
    if context.out.json {
        for point in &points {
            context.out.document(point)?;
        }
        return Ok(DONE);
    }
    let mut table = crate::output::table(&["name", "LSN", "kind", "named at", "by", "note"]);
    for point in &points {
        let protected = if point.protected { ", protected" } else { "" };
        table.add_row([
            safe(&point.name),
            point.lsn.to_string(),
            format!("{}{protected}", point.kind.as_str()),
            point.created.to_local_string(),
            safe(point.actor.as_deref().unwrap_or("-")),
            remarks(point),
        ]);
    }
    context.out.table(&table)?;
    Ok(DONE)
}

/// The note, then the annotations.
fn remarks(point: &RestorePoint) -> String {
    let note = point.note.iter().map(|note| safe(note));
    let annotations = point.annotations.iter();
    let annotations = annotations.map(|(name, value)| format!("[{}={}]", safe(name), safe(value)));
    note.chain(annotations).collect::<Vec<_>>().join(" ")
}

fn annotate(context: &mut Context, args: &PointAnnotateArgs) -> Result<u8> {
    let PointAnnotateArgs { name, note, set, unset, signed } = args;
    let mut changes = Vec::new();
    for pair in set {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(usage(format!("`--set {}` has no value; write NAME=VALUE", safe(pair))));
        };
        changes.push((name.to_owned(), Some(value.to_owned())));
    }
    changes.extend(unset.iter().map(|name| (name.clone(), None)));
    if note.is_none() && changes.is_empty() {
        return Err(usage("nothing to say about the restore point; give --note, --set or --unset"));
    }
    if signed.dry_run {
        let point = context.reader(false)?.point(name)?;
        return would(context, "annotate", &[point]);
    }
    let store = context.writer()?;
    let commit = store.annotate_point(name, note.as_deref(), &changes, &signed.author())?;
    store.close()?;
    changed(context, &commit)
}

fn protect(context: &mut Context, name: &str, protected: bool, signed: &Signed) -> Result<u8> {
    if signed.dry_run {
        let point = context.reader(false)?.point(name)?;
        return would(context, if protected { "protect" } else { "unprotect" }, &[point]);
    }
    let store = context.writer()?;
    let commit = store.protect_point(name, protected, &signed.author())?;
    store.close()?;
    changed(context, &commit)
}

/// Tells what was written, if anything was.
fn changed(context: &mut Context, commit: &afterimage::Commit<()>) -> Result<u8> {
    if commit.is_empty() && !context.out.json {
        context.out.say("nothing was changed: it is so already");
        return Ok(DONE);
    }
    committed(context, commit)
}

fn delete(context: &mut Context, names: &[String], signed: &Signed) -> Result<u8> {
    let store = context.reader(false)?;
    let points = names.iter().map(|name| store.point(name)).collect::<Result<Vec<_>>>()?;
    drop(store);
    if let Some(point) = points.iter().find(|point| point.protected) {
        let message = format!("the restore point `{}` is protected", safe(&point.name));
        return Err(Error::new(&code::POINT_PROTECTED, message));
    }
    if signed.dry_run {
        return would(context, "forget", &points);
    }
    let what: Vec<_> = points.iter().map(shown).collect();
    if !context.confirm(&format!("forget {}?", what.join(", ")))? {
        context.out.say("nothing was changed");
        return Ok(DONE);
    }
    let store = context.writer()?;
    let commit = store.delete_points(names, &signed.author())?;
    store.close()?;
    committed(context, &commit)
}
