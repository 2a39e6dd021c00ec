//! A read model of one's own: how many reservations there are in each status. It survives a restart,
//! because what it counted and how far it has read are saved together, and a rebuild from the start
//! gives the same.
//!
//! `cargo run --example status_totals`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::BTreeMap;
use std::path::Path;

use afterimage::json::Tree;
use afterimage::{
    CodecId, Collection, Error, Image, Json, Lsn, Projection, Result, Runner, Store,
    TransactionView, code,
};
use serde::{Deserialize, Serialize};

const RESERVATIONS: Collection<Reservation, Json> = Collection::new("reservations");

#[derive(Serialize, Deserialize)]
struct Reservation {
    status: String,
}

/// The read model: saved as a whole, position included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Totals {
    position: u64,
    by_status: BTreeMap<String, i64>,
}

impl Projection for Totals {
    fn name(&self) -> &'static str {
        "status-totals"
    }

    fn position(&self) -> Lsn {
        Lsn::new(self.position)
    }

    fn apply(&mut self, transaction: &TransactionView<'_>) -> Result<()> {
        for change in transaction.changes() {
            let change = change?;
            if change.collection() != RESERVATIONS.name() {
                continue;
            }
            // Both images are there: what left a status and what came to one.
            for (image, step) in [(change.before(), -1), (change.after(), 1)] {
                if let Some(status) = image.and_then(status) {
                    *self.by_status.entry(status).or_default() += step;
                }
            }
        }
        self.by_status.retain(|_, count| *count != 0);
        self.position = transaction.lsn().get();
        Ok(())
    }
}

fn status(image: Image<'_>) -> Option<String> {
    if image.codec() != CodecId::Json {
        return None;
    }
    let tree = Tree::parse(image.bytes()).ok()?;
    Some(tree.get("status")?.as_str()?.to_owned())
}

/// Reads the saved model, or begins anew.
fn load(path: &Path) -> Totals {
    let saved = std::fs::read(path).ok();
    saved.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

fn save(totals: &Totals, path: &Path) -> Result<()> {
    let bytes = serde_json::to_vec(totals)
        .map_err(|e| Error::new(&code::ENCODE, "the totals can't be written").with_source(e))?;
    std::fs::write(path, bytes).map_err(|error| Error::from_io(error, "save the totals", path))
}

fn book(store: &Store, id: u32, status: &str) -> Result<()> {
    let reservation = Reservation { status: status.to_owned() };
    store.write(|tx| tx.put(&RESERVATIONS, format!("r-{id}"), &reservation)).map(drop)
}

fn main() -> Result<()> {
    let directory = tempfile::tempdir()
        .map_err(|error| Error::from_io(error, "create a directory", Path::new(".")))?;
    let saved = directory.path().join("totals.json");
    let store = Store::open(directory.path().join("hotel.store"))?;
    for id in 0..100 {
        book(&store, id, "confirmed")?;
    }

    let mut runner = Runner::new(&store, load(&saved));
    runner.catch_up()?;
    save(runner.projection(), &saved)?;
    println!("after the first run:  {:?}", runner.projection().by_status);
    drop(runner);

    for id in 0..40 {
        book(&store, id, "checked-in")?;
    }
    store.write(|tx| tx.delete(&RESERVATIONS, "r-99"))?;

    let mut runner = Runner::new(&store, load(&saved));
    println!("after the restart:    {} transactions behind", runner.lag());
    runner.catch_up()?;
    let expected = BTreeMap::from([("checked-in".to_owned(), 40), ("confirmed".to_owned(), 59)]);
    assert_eq!(runner.projection().by_status, expected);

    let old = runner.rebuild(Totals::default())?;
    assert_eq!(&old, runner.projection(), "a rebuild gives the same");
    println!("after the rebuild:    {:?}", runner.projection().by_status);
    store.close()
}
