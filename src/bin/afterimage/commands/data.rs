//! `init`, `put`, `get`, `delete`, `scan`, `collections`.

use std::path::Path;

use afterimage::{
    CodecId, Commit, Error, Image, KeyRange, Lsn, PreviewChange, Result, Store, code, json,
};

use super::DONE;
use crate::address::{record, show_key};
use crate::args::{CollectionsArgs, DeleteArgs, GetArgs, InitArgs, PutArgs, ScanArgs};
use crate::context::Context;
use crate::failure::usage;
use crate::files;
use crate::render::{RecordDocument, raw_key, safe, value_line};

/// Standard input is read up to this; more is refused by the library with its own error.
const VALUE_BYTES_MAX: u64 = 1 << 30;

pub(super) fn init(context: &mut Context, args: &InitArgs) -> Result<u8> {
    let path = context.path()?;
    let mut options = Store::options().create_new(true);
    if let Some(bytes) = args.segment_bytes {
        options = options.segment_bytes(bytes);
    }
    if args.signed.dry_run {
        check_place(&path)?;
        if context.out.json {
            context.out.document(&serde_json::json!({"dry_run": true, "path": path}))?;
        } else {
            context.out.line(&format!("would create a store in {}", path.display()))?;
        }
        return Ok(DONE);
    }
    let store = options.open(&path)?;
    let id = store.id().to_string();
    store.close()?;
    if context.out.json {
        context.out.document(&serde_json::json!({"store": id, "path": path}))?;
    } else {
        context.out.say(&format!("created store {id} in {}", path.display()));
    }
    Ok(DONE)
}

/// Refuses, without a trace, the places that `init` would refuse.
fn check_place(path: &Path) -> Result<()> {
    let absent = |error: &Error| error.code().id == code::NOT_A_STORE.id;
    match Store::options().read_only(true).open(path) {
        Err(error) if absent(&error) && files::holds_something(path)? => {
            let message = "the directory holds other files";
            Err(Error::new(&code::DIRECTORY_NOT_EMPTY, message).at_path(path))
        }
        Err(error) if absent(&error) => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(Error::new(&code::STORE_EXISTS, "there is a store").at_path(path)),
    }
}

pub(super) fn put(context: &mut Context, args: &PutArgs) -> Result<u8> {
    let (collection, key) = record(&args.record)?;
    let (bytes, codec) = value(args)?;
    let image = Image::new(&bytes, codec);
    let expected = args.if_lsn.map(Lsn::new);
    if args.signed.dry_run {
        let store = context.reader(false)?;
        let mut tx = store.rehearse();
        if let Some(lsn) = expected {
            tx.expect_record_lsn(&collection, &key, lsn)?;
        }
        tx.put_image(&collection, &key, image)?;
        return preview(context, &tx.preview()?);
    }
    let store = context.writer()?;
    let author = args.signed.author();
    let mut tx = store.begin()?;
    tx.sign(&author);
    if let Some(lsn) = expected {
        tx.expect_record_lsn(&collection, &key, lsn)?;
    }
    tx.put_image(&collection, &key, image)?;
    let commit = tx.commit()?;
    store.close()?;
    committed(context, &commit)
}

/// The value that the arguments name, and its codec.
fn value(args: &PutArgs) -> Result<(Vec<u8>, CodecId)> {
    let value = args.value.as_deref();
    if args.bytes && value.is_none_or(|value| value == "-") {
        return Ok((files::standard_input(VALUE_BYTES_MAX)?, CodecId::Raw));
    }
    if args.bytes {
        return Err(usage("--bytes takes the value from standard input; leave the JSON out"));
    }
    let text = match value {
        Some("-") => files::standard_input(VALUE_BYTES_MAX)?,
        Some(text) => text.as_bytes().to_vec(),
        None => return Err(usage("no value is given; write JSON, `-`, or --bytes")),
    };
    Ok((json::normalise(&text)?.into_bytes(), CodecId::Json))
}

pub(super) fn get(context: &mut Context, args: &GetArgs) -> Result<u8> {
    let (collection, key) = record(&args.record)?;
    let (_store, snapshot) = context.snapshot(&args.reading)?;
    let Some(found) = snapshot.record(&collection, &key)? else {
        return Err(absent(&collection, &key, snapshot.lsn()));
    };
    if context.out.json {
        context.out.document(&RecordDocument::new(&collection, &found))?;
    } else {
        context.out.bytes(found.image().bytes())?;
        if found.image().codec() == CodecId::Json {
            context.out.bytes(b"\n")?;
        }
    }
    Ok(DONE)
}

fn absent(collection: &str, key: &[u8], at: Lsn) -> Error {
    let record = format!("{}/{}", safe(collection), show_key(key));
    Error::new(&code::NO_SUCH_RECORD, format!("there is no record {record} at LSN {at}"))
}

pub(super) fn delete(context: &mut Context, args: &DeleteArgs) -> Result<u8> {
    let (collection, key) = record(&args.record)?;
    let store = if args.signed.dry_run { context.reader(false)? } else { context.writer()? };
    if store.snapshot().record(&collection, &key)?.is_none() {
        return Err(absent(&collection, &key, store.head()));
    }
    let mut tx = if args.signed.dry_run { store.rehearse() } else { store.begin()? };
    tx.sign(&args.signed.author());
    if let Some(lsn) = args.if_lsn {
        tx.expect_record_lsn(&collection, &key, Lsn::new(lsn))?;
    }
    tx.delete_record(&collection, &key)?;
    if args.signed.dry_run {
        return preview(context, &tx.preview()?);
    }
    let commit = tx.commit()?;
    store.close()?;
    committed(context, &commit)
}

/// Tells what a commit has written.
pub(super) fn committed(context: &mut Context, commit: &Commit<()>) -> Result<u8> {
    if context.out.json {
        context.out.document(&serde_json::json!({
            "lsn": commit.lsn(),
            "ts": commit.time(),
            "ts_us": commit.time().as_micros(),
            "changes": commit.changes(),
        }))?;
    } else {
        context.out.say(&format!("committed as LSN {}", commit.lsn()));
    }
    Ok(DONE)
}

/// Tells what would be written.
fn preview(context: &mut Context, changes: &[PreviewChange]) -> Result<u8> {
    if context.out.json {
        let changes: Vec<_> = changes
            .iter()
            .map(|change| {
                serde_json::json!({
                    "collection": change.collection,
                    "key": raw_key(&change.key),
                    "op": change.op.as_str(),
                })
            })
            .collect();
        context.out.document(&serde_json::json!({"dry_run": true, "changes": changes}))?;
        return Ok(DONE);
    }
    for change in changes {
        let record = format!("{}/{}", safe(&change.collection), show_key(&change.key));
        context.out.line(&format!("would {} {record}", change.op))?;
    }
    Ok(DONE)
}

pub(super) fn scan(context: &mut Context, args: &ScanArgs) -> Result<u8> {
    let (_store, snapshot) = context.snapshot(&args.reading)?;
    let range = match &args.prefix {
        Some(prefix) => KeyRange::prefix(&crate::address::parse_key(prefix)?),
        None => KeyRange::all(),
    };
    let scan = snapshot.scan(&args.collection, range)?;
    let records: Box<dyn Iterator<Item = _>> =
        if args.reverse { Box::new(scan.rev()) } else { Box::new(scan) };
    for found in records.take(args.limit.unwrap_or(usize::MAX)) {
        let found = found?;
        if context.out.json {
            context.out.document(&RecordDocument::new(&args.collection, &found))?;
        } else {
            let line = format!("{}\t{}", show_key(found.key()), value_line(found.image()));
            let line = context.out.fit(&line);
            context.out.line(&line)?;
        }
    }
    Ok(DONE)
}

pub(super) fn collections(context: &mut Context, args: &CollectionsArgs) -> Result<u8> {
    let (_store, snapshot) = context.snapshot(&args.reading)?;
    let found = snapshot.collections()?;
    let shown = found.iter().filter(|info| args.system || !info.is_system());
    if context.out.json {
        for info in shown {
            context.out.document(info)?;
        }
        return Ok(DONE);
    }
    let mut table = crate::output::table(&["collection", "records", "since LSN"]);
    for info in shown {
        table.add_row([safe(&info.name), info.records.to_string(), info.created_lsn.to_string()]);
    }
    context.out.table(&table)?;
    Ok(DONE)
}
