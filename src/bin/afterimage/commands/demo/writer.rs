//! The writing side of the demo: the hotel's transactions, and the child process that is killed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use afterimage::{
    CodecId, Durability, Error, Image, ImportOptions, Lsn, Result, Store, code, json,
};

use super::Stage;
use super::hotel::{Deed, Hotel};
use crate::args::DemoArgs;

/// Writes one transaction of the hotel.
pub(super) fn write(store: &Store, deed: &Deed) -> Result<(Lsn, u64)> {
    let commit = store.write(|tx| {
        tx.actor(deed.actor).message(&deed.message);
        for (collection, key, value) in &deed.writes {
            match value {
                Some(value) => {
                    let text = json::normalise(value.to_string().as_bytes())?;
                    let image = Image::new(text.as_bytes(), CodecId::Json);
                    tx.put_image(collection, key.as_bytes(), image)?;
                }
                None => {
                    tx.delete_record(collection, key.as_bytes())?;
                }
            }
        }
        Ok(())
    })?;
    Ok((commit.lsn(), u64::from(commit.changes())))
}

/// The hotel as it was after its first transactions.
pub(super) fn hotel_after(seed: u64, transactions: u64) -> Hotel {
    let mut hotel = Hotel::new(seed);
    for _ in 0..transactions {
        hotel.next();
    }
    hotel
}

/// The child: writes durably, tells each acknowledged LSN, and never ends by itself before its work
/// is done.
pub(super) fn write_until_killed(directory: &Path, args: &DemoArgs) -> Result<()> {
    let stage = Stage::in_directory(directory);
    let mut out = std::io::stdout().lock();
    let mut tell = |lsn: Lsn| {
        let told = writeln!(out, "{lsn}").and_then(|()| out.flush());
        told.map_err(|error| Error::from_io(error, "tell the parent", directory))
    };
    if let Some(file) = &args.from {
        let store = Store::open(&stage.killed)?;
        let mut input = crate::files::input(&file.display().to_string())?;
        store.import(&mut *input, &ImportOptions::default(), &mut |_| {
            // A parent that has gone away will not kill; then the import just ends.
            drop(tell(store.durable()));
        })?;
        return store.close();
    }
    let store = Store::open(&stage.store)?;
    let mut hotel = Hotel::new(args.seed);
    let mut changes = 0;
    while changes < args.changes {
        let (lsn, written) = write(&store, &hotel.next())?;
        changes += written;
        tell(lsn)?;
    }
    store.close()
}

/// What became of the child.
pub(super) struct Killed {
    pub pid: u32,
    /// The last LSN that it told as acknowledged.
    pub acknowledged: Lsn,
    /// Whether it was still writing.
    pub in_the_middle: bool,
}

/// Starts the child, kills it with SIGKILL once it has acknowledged `after` lines, and says what it
/// had acknowledged.
pub(super) fn kill_a_writer(directory: &Path, args: &DemoArgs, after: u64) -> Result<Killed> {
    let failed = |error| Error::from_io(error, "run the writing process", directory);
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command.arg("demo").arg(directory).arg("--write-until-killed");
    command.arg("--seed").arg(args.seed.to_string());
    command.arg("--changes").arg(args.changes.to_string());
    if let Some(file) = &args.from {
        command.arg("--from").arg(file);
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(failed)?;
    let pid = child.id();
    let stdout = child
        .stdout
        .take()
        .ok_or_else(|| Error::new(&code::IO, "the writing process has no output"))?;
    let mut acknowledged = Lsn::ZERO;
    let mut lines = BufReader::new(stdout).lines();
    let mut killed = false;
    let mut count = 0;
    // What it told before the kill is read to the end: each line is a promise.
    while let Some(Ok(line)) = lines.next() {
        if let Ok(lsn) = line.parse() {
            acknowledged = Lsn::new(lsn);
        }
        count += 1;
        if count >= after && !killed {
            killed = true;
            child.kill().map_err(failed)?;
        }
    }
    let status = child.wait().map_err(failed)?;
    Ok(Killed { pid, acknowledged, in_the_middle: killed && !status.success() })
}

/// Writes the rest of the hotel's history, until it has made this many changes. Returns how many
/// transactions and changes that was.
pub(super) fn write_rest(store: &Store, args: &DemoArgs) -> Result<(u64, u64, Hotel)> {
    let mut hotel = hotel_after(args.seed, store.head().get());
    let mut changes: u64 = 0;
    for transaction in store.transactions(..)? {
        changes += user_changes(&transaction?)?;
    }
    let (mut transactions, mut written) = (0, 0);
    while changes + written < args.changes {
        written += write(store, &hotel.next())?.1;
        transactions += 1;
    }
    store.sync()?;
    Ok((transactions, written, hotel))
}

fn user_changes(transaction: &afterimage::TransactionView<'_>) -> Result<u64> {
    let mut count = 0;
    for change in transaction.changes() {
        count += u64::from(!change?.is_system());
    }
    Ok(count)
}

/// Opens a store of the demo to write much in a short time.
pub(super) fn open(path: &Path) -> Result<Store> {
    Store::options().durability(Durability::Process).open(path)
}
