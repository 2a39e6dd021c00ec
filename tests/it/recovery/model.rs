//! The model: the whole state after every transaction, and who wrote it.

use std::collections::{BTreeMap, BTreeSet};

use afterimage::{CodecId, Image, KeyRange, Lsn, OwnedImage, Snapshot, StateDigest, Store};
use serde_json::Value as Json;

pub(super) const COLLECTIONS: [&str; 3] = ["rooms", "guests", "Gäste"];

/// A collection and a key.
pub(super) type Slot = (&'static str, Vec<u8>);
pub(super) type State = BTreeMap<Slot, OwnedImage>;

#[derive(Clone, Debug, Default)]
pub(super) struct Signature {
    pub(super) actor: Option<String>,
    pub(super) correlation: Option<String>,
    pub(super) attributes: BTreeMap<String, Json>,
}

#[derive(Clone, Debug)]
pub(super) struct Moment {
    pub(super) state: State,
    pub(super) digest: StateDigest,
    pub(super) by: Signature,
    /// The user records that the transaction wrote, be it to the same value.
    pub(super) touched: BTreeSet<Slot>,
    /// Whether it wrote records of the store itself.
    pub(super) system: bool,
}

#[derive(Debug)]
pub(super) struct Model {
    moments: Vec<Moment>,
}

pub(super) fn owned(image: Image<'_>) -> OwnedImage {
    let (bytes, codec, schema) = (image.bytes().to_vec(), image.codec(), image.schema());
    OwnedImage { bytes, codec, schema }
}

pub(super) fn is_json(image: &OwnedImage) -> bool {
    image.codec == CodecId::Json
}

/// The one of [`COLLECTIONS`] that is called so.
pub(super) fn known(collection: &str) -> &'static str {
    COLLECTIONS.into_iter().find(|name| *name == collection).expect("no other is written to")
}

/// Everything that a snapshot shows.
pub(super) fn read(snapshot: &Snapshot) -> State {
    let mut state = State::new();
    for collection in COLLECTIONS {
        // One that never existed holds nothing.
        let Ok(scan) = snapshot.scan(collection, KeyRange::all()) else { continue };
        for record in scan {
            let record = record.expect("readable");
            state.insert((collection, record.key().to_vec()), owned(record.image()));
        }
    }
    state
}

impl Model {
    pub(super) fn new(store: &Store) -> Self {
        let snapshot = store.snapshot();
        let moment = Moment {
            state: read(&snapshot),
            digest: snapshot.digest().expect("readable"),
            by: Signature::default(),
            touched: BTreeSet::new(),
            system: false,
        };
        Self { moments: vec![moment] }
    }

    pub(super) fn head(&self) -> usize {
        self.moments.len() - 1
    }

    pub(super) fn at(&self, lsn: usize) -> &Moment {
        &self.moments[lsn]
    }

    pub(super) fn now(&self) -> &State {
        &self.moments[self.head()].state
    }

    pub(super) fn value(&self, lsn: usize, slot: &Slot) -> Option<&OwnedImage> {
        self.moments[lsn].state.get(slot)
    }

    /// Takes in the transaction that has just been committed. It must have done what was expected.
    pub(super) fn push(
        &mut self,
        store: &Store,
        expected: State,
        by: Signature,
        touched: BTreeSet<Slot>,
    ) {
        let lsn = Lsn::new(self.moments.len() as u64);
        assert_eq!(store.head(), lsn, "one transaction more");
        let transaction = store.transaction(lsn).expect("kept");
        let mut found = BTreeSet::new();
        let mut system = false;
        for change in transaction.changes() {
            let change = change.expect("readable");
            if change.is_system() {
                system = true;
            } else {
                found.insert((known(change.collection()), change.key().to_vec()));
            }
        }
        assert_eq!(found, touched, "the records that LSN {lsn} wrote");
        let snapshot = store.snapshot();
        assert_eq!(read(&snapshot), expected, "the state at LSN {lsn}");
        let digest = snapshot.digest().expect("readable");
        self.moments.push(Moment { state: expected, digest, by, touched, system });
    }

    /// History is as it was written, at every LSN.
    pub(super) fn check_everything(&self, store: &Store) {
        assert_eq!(store.head().get(), self.head() as u64);
        for (lsn, moment) in (0..).zip(&self.moments) {
            let snapshot = store.snapshot_at(Lsn::new(lsn)).expect("kept");
            assert_eq!(read(&snapshot), moment.state, "at LSN {lsn}");
            assert_eq!(snapshot.digest().expect("readable"), moment.digest, "at LSN {lsn}");
        }
    }
}
