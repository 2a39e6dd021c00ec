//! Mixed work, with a model of what it leaves.

use std::collections::BTreeMap;

use afterimage::{CodecId, ErrorKind, Image, KeyRange, Lsn, Snapshot, StateDigest, Store};

use crate::Random;

/// Records are of so many keys, so that the index does not grow.
const KEYS: u64 = 400;
/// Of these some values are large.
const LARGE_KEYS: u64 = 4;
const LARGE_BYTES: u64 = 200_000;
/// Snapshots of old moments are kept, and looked at again later.
const SNAPSHOTS_MAX: usize = 8;

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) transactions: u64,
    pub(crate) checkpoints: u64,
    pub(crate) reads: u64,
    pub(crate) delivered: u64,
    pub(crate) kills: u64,
    pub(crate) openings: u64,
    pub(crate) stores: u64,
}

/// The live records: a number that the value repeats, and its length.
pub(crate) type Model = BTreeMap<Vec<u8>, (u64, usize)>;

fn image_of(number: u64, bytes: usize) -> Vec<u8> {
    let mut image = number.to_le_bytes().repeat(bytes.div_ceil(8));
    image.truncate(bytes);
    image
}

/// A value is at least as long as the number that it repeats.
fn parse(bytes: &[u8]) -> (u64, usize) {
    let number = bytes.first_chunk().map(|word| u64::from_le_bytes(*word)).expect("eight bytes");
    assert!(*bytes == image_of(number, bytes.len()), "a value is whole");
    (number, bytes.len())
}

/// What the store holds.
pub(crate) fn model_of(snapshot: &Snapshot) -> Model {
    match snapshot.scan("things", KeyRange::all()) {
        Ok(scan) => scan
            .map(|record| {
                let record = record.expect("readable");
                (record.key().to_vec(), parse(record.image().bytes()))
            })
            .collect(),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error:?}");
            Model::new()
        }
    }
}

pub(crate) struct Work<'a> {
    pub(crate) store: &'a Store,
    pub(crate) random: &'a mut Random,
    pub(crate) model: &'a mut Model,
    pub(crate) counts: &'a mut Counts,
    snapshots: Vec<(Snapshot, StateDigest, usize)>,
}

impl<'a> Work<'a> {
    pub(crate) fn new(
        store: &'a Store,
        random: &'a mut Random,
        model: &'a mut Model,
        counts: &'a mut Counts,
    ) -> Self {
        Self { store, random, model, counts, snapshots: Vec::new() }
    }

    pub(crate) fn step(&mut self) {
        match self.random.below(100) {
            0 => {
                self.store.checkpoint().expect("a checkpoint");
                self.counts.checkpoints += 1;
            }
            1 => self.put_large(),
            2..=5 => self.put_many(),
            6..=25 => self.delete(),
            26..=29 => self.look_back(),
            30..=45 => self.scan(),
            46..=50 => self.submit(),
            _ => self.put(),
        }
    }

    fn key(&mut self) -> Vec<u8> {
        format!("key-{:03}", self.random.below(KEYS)).into_bytes()
    }

    fn value(&mut self) -> (u64, usize) {
        let bytes = 8 + self.random.below(1 << (4 + self.random.0 % 8));
        (self.random.below(u64::MAX >> 33), usize::try_from(bytes).expect("small"))
    }

    /// Writes records, all at once.
    fn write(&mut self, records: &[(Vec<u8>, (u64, usize))]) {
        let written = self.store.write(|tx| {
            records.iter().try_for_each(|(key, (number, bytes))| {
                let value = image_of(*number, *bytes);
                tx.put_image("things", key, Image::new(&value, CodecId::Raw))
            })
        });
        written.expect("written");
        self.model.extend(records.iter().cloned());
        self.counts.transactions += 1;
    }

    pub(crate) fn put(&mut self) {
        let record = (self.key(), self.value());
        self.write(&[record]);
    }

    fn put_large(&mut self) {
        let key = format!("large-{}", self.random.below(LARGE_KEYS)).into_bytes();
        let bytes = usize::try_from(8 + self.random.below(LARGE_BYTES)).expect("small");
        let record = (key, (self.random.below(1000), bytes));
        self.write(&[record]);
    }

    fn put_many(&mut self) {
        let count = 2 + self.random.below(30);
        let records: Vec<_> = (0..count).map(|_| (self.key(), self.value())).collect();
        self.write(&records);
    }

    fn delete(&mut self) {
        let key = self.key();
        let deleted = self.store.write(|tx| tx.delete_record("things", &key));
        let existed = deleted.expect("deleted").into_value();
        assert_eq!(existed, self.model.remove(&key).is_some());
        self.counts.transactions += u64::from(existed);
    }

    /// Several on their way at once.
    fn submit(&mut self) {
        let mut tickets = Vec::new();
        for _ in 0..5 {
            let (key, (number, bytes)) = (self.key(), self.value());
            let value = image_of(number, bytes);
            let mut tx = self.store.begin().expect("begun");
            tx.put_image("things", &key, Image::new(&value, CodecId::Raw)).expect("put");
            tickets.push(tx.submit().expect("submitted"));
            self.model.insert(key, (number, bytes));
            self.counts.transactions += 1;
        }
        for ticket in tickets {
            ticket.wait().expect("durable");
        }
    }

    /// Looks at moments of long ago, and again at those it has looked at.
    fn look_back(&mut self) {
        if self.snapshots.len() == SNAPSHOTS_MAX {
            let index = usize::try_from(self.random.below(SNAPSHOTS_MAX as u64)).expect("small");
            let (snapshot, digest, records) = self.snapshots.swap_remove(index);
            assert_eq!(snapshot.digest().expect("readable"), digest);
            assert_eq!(model_of(&snapshot).len(), records);
            self.counts.reads += records as u64;
        }
        let lsn = Lsn::new(self.random.below(self.store.head().get() + 1));
        let snapshot = self.store.snapshot_at(lsn).expect("kept");
        let records = if lsn == Lsn::ZERO { 0 } else { model_of(&snapshot).len() };
        let digest = snapshot.digest().expect("readable");
        self.counts.reads += records as u64;
        self.snapshots.push((snapshot, digest, records));
    }

    fn scan(&mut self) {
        let key = self.key();
        let snapshot = self.store.snapshot();
        let found = snapshot.record("things", &key).expect("readable");
        let found = found.map(|record| parse(record.image().bytes()));
        assert_eq!(found, self.model.get(&key).copied());
        let scan = snapshot.scan("things", KeyRange::prefix(b"key-1")).expect("a collection");
        let records: afterimage::Result<Vec<_>> = scan.rev().take(50).collect();
        let history = self.store.record_history("things", &key).expect("a collection");
        let versions: afterimage::Result<Vec<_>> = history.take(20).collect();
        let looked_at = records.expect("readable").len() + versions.expect("readable").len();
        self.counts.reads += 1 + looked_at as u64;
    }

    /// Everything must be as the model says.
    pub(crate) fn finish(self) {
        let snapshot = self.store.snapshot();
        assert!(model_of(&snapshot) == *self.model, "the store is what was written");
    }
}
