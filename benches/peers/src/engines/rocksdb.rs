//! RocksDB.

use std::sync::atomic::{AtomicU64, Ordering};

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, Options,
    ReadOptions, WriteBatch, WriteOptions,
};

use crate::engine::{Engine, Opening, Outcome, Peer, Seen, Stripes, audit_row, audits_a_change};
use crate::rows::{Key, Row};

/// As it is registered.
pub(crate) const ENGINE: Engine = Engine {
    id: "rocksdb",
    package: "rocksdb",
    buffered: "WAL written to the kernel a commit (default), LZ4, bloom 10, cache 1 GiB",
    buffered_survives: "kill: all; power cut: a prefix",
    durable: "WriteOptions::set_sync(true) (group commit)",
    history: "striped lock, get, one batch over two column families",
    weaker: "",
    open,
};

struct Rocks {
    database: DB,
    durable: bool,
    history: bool,
    next: AtomicU64,
    stripes: Stripes,
}

fn open(opening: &Opening<'_>) -> Outcome<Box<dyn Peer>> {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_bloom_filter(10.0, false);
    blocks.set_block_cache(&Cache::new_lru_cache(1 << 30));
    let mut options = Options::default();
    options.create_if_missing(!opening.exists);
    options.create_missing_column_families(!opening.exists);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_block_based_table_factory(&blocks);
    let family = |name| ColumnFamilyDescriptor::new(name, options.clone());
    let families = ["things", "audit"].map(family);
    let path = opening.path.join("bench.rocksdb");
    Ok(Box::new(Rocks {
        database: DB::open_cf_descriptors(&options, path, families)?,
        durable: opening.durable,
        history: opening.history,
        next: AtomicU64::new(0),
        stripes: Stripes::default(),
    }))
}

impl Rocks {
    fn family(&self, name: &str) -> &ColumnFamily {
        self.database.cf_handle(name).expect("opened with this family")
    }

    fn write<'r>(&self, rows: impl Iterator<Item = (&'r Key, &'r [u8])>) -> Outcome<()> {
        let (things, audit) = (self.family("things"), self.family("audit"));
        let mut batch = WriteBatch::default();
        for (key, value) in rows {
            if self.history {
                let old = self.database.get_pinned_cf(things, key)?;
                let sequence = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
                batch.put_cf(audit, sequence, audit_row(key, old.as_deref(), value));
            }
            batch.put_cf(things, key, value);
        }
        let mut options = WriteOptions::default();
        options.set_sync(self.durable);
        Ok(self.database.write_opt(batch, &options)?)
    }
}

impl Peer for Rocks {
    fn put(&self, key: &Key, value: &[u8]) -> Outcome<()> {
        let _lock = self.history.then(|| self.stripes.one(key));
        self.write(std::iter::once((key, value)))
    }

    fn put_many(&self, rows: &[Row]) -> Outcome<()> {
        let _locks = self.history.then(|| self.stripes.all(rows));
        self.write(rows.iter().map(|row| (&row.key, &row.value[..])))
    }

    fn load(&self, rows: &[Row]) -> Outcome<()> {
        let things = self.family("things");
        let mut batch = WriteBatch::default();
        rows.iter().for_each(|row| batch.put_cf(things, row.key, &row.value));
        Ok(self.database.write(batch)?)
    }

    fn get(&self, key: &Key, seen: Seen<'_>) -> Outcome<bool> {
        let found = self.database.get_pinned_cf(self.family("things"), key)?;
        found.iter().for_each(|value| seen(value));
        Ok(found.is_some())
    }

    fn get_many(&self, keys: &[Key], seen: Seen<'_>) -> Outcome<()> {
        let snapshot = self.database.snapshot();
        let things = self.family("things");
        for key in keys {
            snapshot.get_pinned_cf(things, key)?.iter().for_each(|value| seen(value));
        }
        Ok(())
    }

    fn multi_get(&self, keys: &[Key], seen: Seen<'_>) -> Outcome<bool> {
        let things = self.family("things");
        for found in self.database.batched_multi_get_cf(things, keys, false) {
            found?.iter().for_each(|value| seen(value));
        }
        Ok(true)
    }

    fn scan(&self, from: Option<&Key>, limit: usize, seen: Seen<'_>) -> Outcome<()> {
        let mut rows =
            self.database.raw_iterator_cf_opt(self.family("things"), ReadOptions::default());
        match from {
            Some(key) => rows.seek(key),
            None => rows.seek_to_first(),
        }
        for _ in 0..limit {
            let Some(value) = rows.value() else { break };
            seen(value);
            rows.next();
        }
        Ok(rows.status()?)
    }

    fn changes_kept(&self) -> Outcome<u64> {
        let mut rows = self.database.raw_iterator_cf(self.family("audit"));
        let mut kept = 0;
        rows.seek_to_first();
        while let Some(value) = rows.value() {
            kept += u64::from(audits_a_change(value));
            rows.next();
        }
        rows.status()?;
        Ok(kept)
    }

    fn flush(&self) -> Outcome<()> {
        Ok(self.database.flush_wal(true)?)
    }
}
