//! Random histories: rotation, checkpoints, reopening, kills that leave torn tails, readers and
//! writers; cut at random places and built up to random moments.

use std::fs;
use std::path::PathBuf;

use afterimage::{Lsn, Slice, Store};

use super::{assert_rebuilt, build};
use crate::common::{Place, killed_copy, raw, say};
use crate::number::number;
use crate::random::Random;

struct History {
    place: Place,
    path: PathBuf,
    store: Option<Store>,
    random: Random,
    kills: u64,
}

impl History {
    fn new(seed: u64) -> Self {
        let place = Place::new();
        let path = place.path();
        let store = Some(Place::options().segment_bytes(4096).open(&path).expect("opened"));
        Self { place, path, store, random: Random(seed), kills: 0 }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("open")
    }

    fn step(&mut self) {
        match self.random.below(40) {
            0..30 => self.transaction(),
            30 => drop(self.store().checkpoint().expect("a checkpoint")),
            31..34 => drop(self.store().sync().expect("durable")),
            34 | 35 => {
                self.store.take().expect("open").close().expect("closed");
                self.store = Some(Place::options().open(&self.path).expect("opened again"));
            }
            36 | 37 => self.kill(),
            _ => drop(self.store().refresh().expect("nothing to take in")),
        }
    }

    fn transaction(&mut self) {
        let (mut random, store) = (Random(self.random.below(u64::MAX >> 1)), self.store());
        let written = store.write(|tx| {
            if random.below(2) == 0 {
                tx.actor(["ana", "bo"][usize::from(random.below(2) == 0)]);
                tx.message(format!("turn {}", random.below(1000)));
            }
            for _ in 0..=random.below(4) {
                let collection = ["things", "rooms"][usize::from(random.below(3) == 0)];
                let key = format!("k{}", random.below(12));
                let most = if random.below(25) == 0 { 9000 } else { 300 };
                let value = vec![b'x'; usize::try_from(random.below(most)).expect("small")];
                match random.below(4) {
                    0 => drop(tx.delete_record(collection, key.as_bytes())?),
                    _ => tx.put_image(collection, key.as_bytes(), raw(&value))?,
                }
            }
            Ok(())
        });
        written.expect("committed");
    }

    /// Goes on with what a killed process leaves, of which the last write may be torn.
    fn kill(&mut self) {
        let (place, kills) = (&self.place, &mut self.kills);
        let path = killed_copy(&self.path, || {
            *kills += 1;
            place.beside(&format!("copy-{kills}.store"))
        });
        drop(self.store.take());
        if self.random.below(2) == 0 {
            tear(&path);
        }
        let reader = Store::options().read_only(true).open(&path).expect("read");
        let newest = Slice::newest(&reader).expect("told");
        assert_eq!(newest, reader.head(), "nobody writes, so all that is found was synced");
        if newest > Lsn::ZERO {
            Slice::take(&reader, Lsn::ZERO, newest, 1 << 20).expect("taken");
        }
        self.store = Some(Place::options().open(&path).expect("recovered"));
        self.path = path;
    }

    /// Slices from the first transaction on, each to a random one, with a random limit.
    fn cut(&mut self) -> Vec<Slice> {
        let head = self.store().sync().expect("durable");
        let mut slices: Vec<Slice> = Vec::new();
        let mut after = Lsn::ZERO;
        while after < head {
            let until = after.get() + 1 + self.random.below(head.get() - after.get());
            let bytes_max = 1 << self.random.below(18);
            let until = Lsn::new(until);
            let slice = Slice::take(self.store(), after, until, bytes_max).expect("taken");
            after = slice.last();
            slices.push(slice);
        }
        slices
    }
}

/// The beginning of a frame behind the last one.
fn tear(path: &std::path::Path) {
    let mut segments: Vec<_> = fs::read_dir(path.join("journal"))
        .expect("listed")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    segments.sort();
    for path in segments.iter().rev() {
        let mut bytes = fs::read(path).expect("read");
        let Some(last) = bytes.iter().rposition(|byte| *byte != 0).filter(|last| *last > 128)
        else {
            continue;
        };
        let end = (last + 1).next_multiple_of(4) + 8;
        if let Some(room) = bytes.get_mut(end..end + 60) {
            room.fill(0x51);
            fs::write(path, &bytes).expect("written");
        }
        return;
    }
}

#[test]
fn random_histories_come_back_from_random_slices() {
    let seeds = number("AFTERIMAGE_SLICE_SEEDS", 6);
    let first = number("AFTERIMAGE_SLICE_FIRST", 1);
    let mut moments = 0;
    for seed in first..first + seeds {
        let mut history = History::new(seed);
        let steps = 10 + history.random.below(120);
        let before = history.random.below(steps);
        let mut early = Vec::new();
        for step in 0..steps {
            history.step();
            if step == before {
                early = history.cut();
            }
        }
        let slices = history.cut();
        // Those that were taken early go together with later ones, wherever they meet.
        let joined = early.last().map_or(Lsn::ZERO, Slice::last);
        let rest = Slice::take(history.store(), joined, history.store().head(), usize::MAX);
        early.extend(rest);
        let head = history.store().head().get();
        let few = head <= 12;
        let targets = if few { (0..=head).collect() } else { targets(&mut history.random, head) };
        for (turn, to) in targets.into_iter().enumerate() {
            let source = if turn % 2 == 0 { &slices } else { &early };
            let directory = history.place.beside(&format!("built-{turn}.store"));
            let built = build(source, to, &directory);
            let report = built.unwrap_or_else(|error| panic!("seed {seed}, to {to}: {error:?}"));
            assert_rebuilt(history.store(), &report);
            moments += 1;
        }
    }
    say(&format!("{seeds} histories, {moments} moments built"));
}

fn targets(random: &mut Random, head: u64) -> Vec<u64> {
    let mut targets: Vec<u64> = (0..4).map(|_| random.below(head + 1)).collect();
    targets.push(head);
    targets
}
