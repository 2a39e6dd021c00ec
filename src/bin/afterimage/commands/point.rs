//! `point create`, `point list`, `point delete`.

use afterimage::{Error, Lsn, Result, Store, code};

use super::DONE;
use super::data::committed;
use crate::args::{PointCommand, Signed};
use crate::context::{Context, at};
use crate::render::safe;

pub(super) fn run(context: &mut Context, command: &PointCommand) -> Result<u8> {
    match command {
        PointCommand::Create { name, rev, note, signed } => {
            create(context, name, rev.as_deref(), note.as_deref(), signed)
        }
        PointCommand::List => list(context),
        PointCommand::Delete { name, signed } => delete(context, name, signed),
    }
}

fn create(
    context: &mut Context,
    name: &str,
    rev: Option<&str>,
    note: Option<&str>,
    signed: &Signed,
) -> Result<u8> {
    let open = |context: &Context| -> Result<Store> {
        if signed.dry_run { context.reader(false) } else { context.writer() }
    };
    let store = open(context)?;
    let lsn = at(&store, rev)?;
    if signed.dry_run {
        if store.point(name).is_ok() {
            let message = format!("the restore point `{}` exists", safe(name));
            return Err(Error::new(&code::POINT_EXISTS, message));
        }
        let what = format!("would name LSN {lsn} `{}`", safe(name));
        return would(context, &what, name, lsn);
    }
    let commit = store.create_point(name, lsn, note, &signed.author())?;
    store.close()?;
    context.out.say(&format!("`{}` is LSN {lsn}", safe(name)));
    if context.out.json { committed(context, &commit) } else { Ok(DONE) }
}

/// Tells what a dry run has found.
fn would(context: &mut Context, what: &str, name: &str, lsn: Lsn) -> Result<u8> {
    if context.out.json {
        let document = serde_json::json!({"dry_run": true, "name": name, "lsn": lsn});
        context.out.document(&document)?;
    } else {
        context.out.line(what)?;
    }
    Ok(DONE)
}

fn list(context: &mut Context) -> Result<u8> {
    let store = context.reader(false)?;
    let points = store.points()?;
    if context.out.json {
        for point in &points {
            context.out.document(point)?;
        }
        return Ok(DONE);
    }
    let mut table = crate::output::table(&["name", "LSN", "named at", "by", "note"]);
    for point in &points {
        table.add_row([
            safe(&point.name),
            point.lsn.to_string(),
            point.created.to_local_string(),
            safe(point.actor.as_deref().unwrap_or("-")),
            safe(point.note.as_deref().unwrap_or_default()),
        ]);
    }
    context.out.table(&table)?;
    Ok(DONE)
}

fn delete(context: &mut Context, name: &str, signed: &Signed) -> Result<u8> {
    let point = context.reader(false)?.point(name)?;
    let what = format!("the name `{}` of LSN {}", safe(&point.name), point.lsn);
    if signed.dry_run {
        return would(context, &format!("would forget {what}"), name, point.lsn);
    }
    if !context.confirm(&format!("forget {what}?"))? {
        context.out.say("nothing was changed");
        return Ok(DONE);
    }
    let store = context.writer()?;
    let commit = store.delete_point(name, &signed.author())?;
    store.close()?;
    committed(context, &commit)
}
