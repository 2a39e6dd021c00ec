//! afterimage. It keeps history whatever is asked for.

use std::ops::Bound;
use std::path::Path;

use afterimage::{
    CodecId, Durability, ErrorKind, Image, KeyRange, Lsn, Snapshot, Store, VerifyDepth,
};

use crate::engine::{Engine, OWN, OWN_CHECKPOINTED, Outcome, Peer, Seen};
use crate::rows::{Key, Row};

/// The collection that the workloads use.
pub(crate) const THINGS: &str = "things";

/// As it is registered.
pub(crate) const ENGINE: Engine = Engine {
    id: OWN,
    package: "afterimage",
    buffered: "Durability::Process",
    buffered_survives: "kill: all; power cut: a prefix, never a mixture",
    durable: "Durability::Sync (one fdatasync for all that wait)",
    history: "always: both images, in the journal",
    weaker: "",
    open: |opening| Ok(Box::new(Own { store: open(opening.path, opening.durable)? })),
};

/// The same; the workload that kills does it right after a checkpoint.
pub(crate) const CHECKPOINTED: Engine =
    Engine { id: OWN_CHECKPOINTED, buffered: "Durability::Process, then checkpoint()", ..ENGINE };

/// A store in this directory.
pub(crate) fn open(path: &Path, durable: bool) -> Outcome<Store> {
    let durability = if durable { Durability::Sync } else { Durability::Process };
    Ok(Store::options().durability(durability).open(path.join("bench.store"))?)
}

/// One put.
pub(crate) fn put(store: &Store, row: &Row) -> Outcome<Lsn> {
    let image = Image::new(&row.value, CodecId::Raw);
    Ok(store.write(|tx| tx.put_image(THINGS, &row.key, image))?.lsn())
}

/// One get at a moment.
pub(crate) fn get(snapshot: &Snapshot, key: &Key, seen: Seen<'_>) -> Outcome<bool> {
    match snapshot.record(THINGS, key) {
        Ok(Some(record)) => seen(record.image().bytes()),
        Ok(None) => return Ok(false),
        // A collection that nothing was ever put into.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    Ok(true)
}

struct Own {
    store: Store,
}

impl Peer for Own {
    fn put(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        let image = Image::new(value, CodecId::Raw);
        self.store.write(|tx| tx.put_image(THINGS, key, image))?;
        Ok(())
    }

    fn put_many(&self, rows: &[Row]) -> Outcome<()> {
        let mut tx = self.store.begin()?;
        for row in rows {
            tx.put_image(THINGS, &row.key, Image::new(&row.value, CodecId::Raw))?;
        }
        tx.commit()?;
        Ok(())
    }

    fn load(&self, rows: &[Row]) -> Outcome<()> {
        self.put_many(rows)
    }

    fn get(&self, key: &Key, seen: Seen<'_>) -> Outcome<bool> {
        get(&self.store.snapshot(), key, seen)
    }

    fn get_many(&self, keys: &[Key], seen: Seen<'_>) -> Outcome<()> {
        let snapshot = self.store.snapshot();
        for key in keys {
            get(&snapshot, key, seen)?;
        }
        Ok(())
    }

    fn multi_get(&self, keys: &[Key], seen: Seen<'_>) -> Outcome<bool> {
        for record in self.store.snapshot().records(THINGS, keys)?.into_iter().flatten() {
            seen(record.image().bytes());
        }
        Ok(true)
    }

    fn scan(&self, from: Option<&Key>, limit: usize, seen: Seen<'_>) -> Outcome<()> {
        let start = from.map_or(Bound::Unbounded, |key| Bound::Included(key.to_vec()));
        let range = KeyRange::from_bounds(start, Bound::Unbounded);
        let snapshot = self.store.snapshot();
        for record in snapshot.scan(THINGS, range)?.take(limit) {
            seen(record?.image().bytes());
        }
        Ok(())
    }

    fn scan_past(&self, changes_ago: u64, seen: Seen<'_>) -> Outcome<bool> {
        let then = Lsn::new(self.store.head().get().saturating_sub(changes_ago));
        let snapshot = self.store.snapshot_at(then)?;
        for record in snapshot.scan(THINGS, KeyRange::all())? {
            seen(record?.image().bytes());
        }
        Ok(true)
    }

    fn changes_kept(&self) -> Outcome<u64> {
        let mut kept = 0;
        for transaction in self.store.transactions(..)? {
            let transaction = transaction?;
            for change in transaction.changes() {
                let change = change?;
                kept += u64::from(change.collection() == THINGS && change.before().is_some());
            }
        }
        Ok(kept)
    }

    fn flush(&self) -> Outcome<()> {
        self.store.sync()?;
        Ok(())
    }

    fn checkpoint(&self) -> Outcome<()> {
        self.store.checkpoint()?;
        Ok(())
    }

    fn verify(&mut self) -> Outcome<()> {
        let report = self.store.verify(VerifyDepth::Deep, &mut |_| ())?;
        match report.errors.first() {
            Some(found) => Err(found.message.clone().into()),
            None => Ok(()),
        }
    }

    fn told(&self) -> Vec<String> {
        self.store.notices().iter().map(ToString::to_string).collect()
    }
}
