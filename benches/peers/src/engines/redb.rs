//! redb.

use std::sync::atomic::{AtomicU64, Ordering};

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use redb::{ReadableTableMetadata, WriteTransaction};

use crate::engine::{Engine, Opening, Outcome, Peer, Seen, audit_row};
use crate::rows::{Key, Row};

const THINGS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("things");
const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");

/// As it is registered.
pub(crate) const ENGINE: Engine = Engine {
    id: "redb",
    package: "redb",
    buffered: "Durability::None, cache 1 GiB (default)",
    buffered_survives: "kill: NOTHING since the last Immediate commit; power cut: the same",
    durable: "Durability::Immediate, one-phase commit (default)",
    history: "old value from insert(), second table, same transaction",
    weaker: "buffered puts stay in the process: a kill loses all of them",
    open,
};

struct Redb {
    database: Database,
    durability: Durability,
    history: bool,
    next: AtomicU64,
}

fn open(opening: &Opening<'_>) -> Outcome<Box<dyn Peer>> {
    let path = opening.path.join("bench.redb");
    let (database, next) = if opening.exists {
        (Database::open(path)?, 0)
    } else {
        let database = Database::create(path)?;
        let tx = database.begin_write()?;
        tx.open_table(THINGS)?;
        let next = tx.open_table(AUDIT)?.len()?;
        tx.commit()?;
        (database, next)
    };
    let durability = if opening.durable { Durability::Immediate } else { Durability::None };
    let (history, next) = (opening.history, AtomicU64::new(next));
    Ok(Box::new(Redb { database, durability, history, next }))
}

impl Redb {
    fn begin(&self) -> Outcome<WriteTransaction> {
        let mut tx = self.database.begin_write()?;
        tx.set_durability(self.durability)?;
        Ok(tx)
    }

    fn write<'r>(
        &self,
        tx: &WriteTransaction,
        rows: impl Iterator<Item = (&'r Key, &'r [u8])>,
    ) -> Outcome<()> {
        let mut things = tx.open_table(THINGS)?;
        let mut audit = tx.open_table(AUDIT)?;
        for (key, value) in rows {
            let row = {
                let old = things.insert(&key[..], value)?;
                audit_row(key, old.as_ref().map(|old| old.value()), value)
            };
            audit.insert(self.next.fetch_add(1, Ordering::Relaxed), &row[..])?;
        }
        Ok(())
    }
}

fn write_plain<'r>(
    tx: &WriteTransaction,
    rows: impl Iterator<Item = (&'r Key, &'r [u8])>,
) -> Outcome<()> {
    let mut things = tx.open_table(THINGS)?;
    for (key, value) in rows {
        things.insert(&key[..], value)?;
    }
    Ok(())
}

impl Peer for Redb {
    fn put(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        let tx = self.begin()?;
        let rows = std::iter::once((key, value));
        if self.history { self.write(&tx, rows) } else { write_plain(&tx, rows) }?;
        Ok(tx.commit()?)
    }

    fn put_many(&self, rows: &[Row]) -> Outcome<()> {
        let tx = self.begin()?;
        let rows = rows.iter().map(|row| (&row.key, &row.value[..]));
        if self.history { self.write(&tx, rows) } else { write_plain(&tx, rows) }?;
        Ok(tx.commit()?)
    }

    fn load(&self, rows: &[Row]) -> Outcome<()> {
        let mut tx = self.database.begin_write()?;
        tx.set_durability(Durability::None)?;
        write_plain(&tx, rows.iter().map(|row| (&row.key, &row.value[..])))?;
        Ok(tx.commit()?)
    }

    fn get(&self, key: &Key, seen: Seen<'_>) -> Outcome<bool> {
        let table = self.database.begin_read()?.open_table(THINGS)?;
        let found = table.get(&key[..])?;
        found.iter().for_each(|value| seen(value.value()));
        Ok(found.is_some())
    }

    fn get_many(&self, keys: &[Key], seen: Seen<'_>) -> Outcome<()> {
        let table = self.database.begin_read()?.open_table(THINGS)?;
        for key in keys {
            table.get(&key[..])?.iter().for_each(|value| seen(value.value()));
        }
        Ok(())
    }

    fn scan(&self, from: Option<&Key>, limit: usize, seen: Seen<'_>) -> Outcome<()> {
        let table = self.database.begin_read()?.open_table(THINGS)?;
        let from: &[u8] = from.map_or(&[], |key| &key[..]);
        for row in table.range(from..)?.take(limit) {
            seen(row?.1.value());
        }
        Ok(())
    }

    fn changes_kept(&self) -> Outcome<u64> {
        let table = self.database.begin_read()?.open_table(AUDIT)?;
        let mut kept = 0;
        for row in table.iter()? {
            kept += u64::from(crate::engine::audits_a_change(row?.1.value()));
        }
        Ok(kept)
    }

    fn flush(&self) -> Outcome<()> {
        Ok(self.database.begin_write()?.commit()?)
    }

    fn verify(&mut self) -> Outcome<()> {
        let sound = self.database.check_integrity()?;
        if sound { Ok(()) } else { Err("check_integrity found damage, and repaired it".into()) }
    }
}
