//! Random histories of transactions, undos and restores, against the model.

use std::collections::{BTreeMap, BTreeSet};

use afterimage::{
    CodecId, Commit, Lsn, OwnedImage, Plan, Purpose, Recovered, Result, Store, UndoMode,
    VerifyDepth, code,
};
use serde_json::{Value as Json, json};

use super::by;
use super::model::{COLLECTIONS, Model, Signature, Slot, State, is_json, known, owned};
use super::predict::{self, Prediction};
use super::requests::{ACTORS, CORRELATIONS, RestoreRequest, UndoRequest, pick, up_to};
use crate::common::Place;
use crate::number::number;
use crate::random::Random;

const STEPS: u64 = 45;
const KEYS: [&[u8]; 6] = [b"a/0", b"a/1", b"b/0", b"b/1", "\u{fc}".as_bytes(), b"\xff\x00"];

/// What was tried.
#[derive(Debug, Default)]
struct Tried {
    transactions: u64,
    undos: BTreeMap<String, u64>,
    restores: BTreeMap<String, u64>,
    changes: u64,
    conflicts: u64,
    refused: u64,
    impossible: u64,
    nothing_to_do: u64,
    undone_again: u64,
}

struct Run {
    place: Place,
    store: Option<Store>,
    model: Model,
    random: Random,
    tried: Tried,
}

fn options() -> afterimage::Options {
    Place::options().checkpoint_every(6000)
}

impl Run {
    fn new(seed: u64, tried: Tried) -> Self {
        let place = Place::new();
        let store = options().open(place.path()).expect("opened");
        let model = Model::new(&store);
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        random.below(1);
        Self { place, store: Some(store), model, random, tried }
    }

    fn store(&self) -> Store {
        self.store.clone().expect("open")
    }

    fn step(&mut self) {
        match self.random.below(30) {
            _ if self.model.head() == 0 => self.transaction(),
            0..15 => self.transaction(),
            15..22 => self.undo(),
            22..27 => self.restore(),
            27 => {
                let name = format!("point-{}", self.model.head());
                let at = Lsn::new(up_to(&mut self.random, self.model.head() + 1) as u64);
                if self.store().create_point(&name, at, None, &by("ana")).is_ok() {
                    let signature = Signature { actor: Some("ana".into()), ..Signature::default() };
                    let state = self.model.now().clone();
                    self.model.push(&self.store(), state, signature, BTreeSet::new());
                }
            }
            28 => drop(self.store().checkpoint().expect("a checkpoint")),
            _ => {
                self.store.take().expect("open").close().expect("closed");
                self.store = Some(options().open(self.place.path()).expect("opened again"));
            }
        }
    }

    fn signature(&mut self) -> Signature {
        let mut signature = Signature::default();
        if self.random.below(8) > 0 {
            signature.actor = Some(pick(&mut self.random, &ACTORS).to_owned());
        }
        if self.random.below(2) == 0 {
            signature.correlation = Some(pick(&mut self.random, &CORRELATIONS).to_owned());
        }
        if self.random.below(3) == 0 {
            signature.attributes.insert("batch".into(), Json::from(self.random.below(3)));
        }
        signature
    }

    fn slot(&mut self) -> Slot {
        let random = &mut self.random;
        let collection = if random.below(3) == 0 { pick(random, &COLLECTIONS) } else { "rooms" };
        (collection, pick(random, &KEYS).to_vec())
    }

    /// Often a small edit of what is there, so that there is something to merge.
    fn value(&mut self, now: Option<&OwnedImage>) -> OwnedImage {
        let random = &mut self.random;
        if random.below(12) == 0 {
            let bytes = vec![b'x'; up_to(random, 4)];
            return OwnedImage { bytes, codec: CodecId::Raw, schema: 0 };
        }
        if random.below(30) == 0 {
            let bytes = random.below(3).to_string().into_bytes();
            return OwnedImage { bytes, codec: CodecId::Json, schema: 0 };
        }
        let known =
            now.filter(|now| is_json(now)).and_then(|now| serde_json::from_slice(&now.bytes).ok());
        let mut object = match known {
            Some(Json::Object(object)) => object,
            _ => serde_json::Map::new(),
        };
        for _ in 0..=random.below(2) {
            let name = pick(random, &["a", "b", "c", "d", "e"]);
            match random.below(7) {
                0 => drop(object.remove(name)),
                1 => drop(object.insert(name.into(), json!({"x": random.below(3), "y": null}))),
                2 | 3 => edit_items(random, object.entry("items").or_insert_with(|| json!([]))),
                _ => drop(object.insert(name.into(), random.below(4).into())),
            }
        }
        let object = Json::Object(object);
        // Not all who write take the trouble to bring JSON into the form in which it is stored.
        let text = if random.below(6) == 0 { format!("{object:#}") } else { object.to_string() };
        OwnedImage { bytes: text.into_bytes(), codec: CodecId::Json, schema: 0 }
    }

    fn transaction(&mut self) {
        let store = self.store();
        let by = self.signature();
        let before = self.model.now().clone();
        let mut state = before.clone();
        let mut written = BTreeSet::new();
        let mut tx = store.begin().expect("a transaction");
        sign(&mut tx, &by);
        for _ in 0..=self.random.below(5) {
            let slot = match self.random.below(4) {
                0 => written.first().cloned().unwrap_or_else(|| self.slot()),
                _ => self.slot(),
            };
            if self.random.below(4) == 0 {
                tx.delete_record(slot.0, &slot.1).expect("deleted");
                state.remove(&slot);
            } else {
                let value = self.value(state.get(&slot));
                tx.put_image(slot.0, &slot.1, value.as_image()).expect("put");
                state.insert(slot.clone(), value);
            }
            written.insert(slot);
        }
        let touched: BTreeSet<_> = written
            .into_iter()
            .filter(|slot| before.contains_key(slot) || state.contains_key(slot))
            .collect();
        let commit = tx.commit().expect("committed");
        self.tried.transactions += 1;
        if commit.is_empty() {
            assert!(touched.is_empty(), "nothing came of it");
        } else {
            self.model.push(&store, state, by, touched);
        }
    }

    fn undo(&mut self) {
        let request = UndoRequest::random(&mut self.random, &self.model);
        let prediction = predict::undo(&self.model, &request);
        let store = self.store();
        *self.tried.undos.entry(format!("{:?}", request.mode)).or_default() += 1;
        let plan = store.plan_undo(&request.own());
        if prediction.impossible {
            let error = plan.expect_err("nothing can be undone");
            assert_eq!(error.code().id, code::NOT_UNDOABLE.id, "{request:?}");
            self.tried.impossible += 1;
            return;
        }
        let plan = plan.expect("planned");
        let Purpose::Undo { transactions } = plan.purpose() else { panic!("an undo") };
        let own: Vec<_> = prediction.transactions.iter().map(|l| Lsn::new(*l as u64)).collect();
        assert_eq!(*transactions, own, "{request:?}");
        let merges = matches!(request.mode, UndoMode::Merge(_));
        check_plan(&plan, &self.model, &prediction, merges);
        let again = |author: &afterimage::Author| store.undo(&request.own(), author);
        let digest = self.model.at(self.model.head()).digest;
        let before = self.model.head();
        if self.carry_out(&plan, &prediction, again) && request.is_of_the_newest(before) {
            assert_eq!(self.model.at(before + 1).digest, self.model.at(before - 1).digest);
        }
        self.perhaps_take_back(before, digest);
    }

    fn restore(&mut self) {
        let request = RestoreRequest::random(&mut self.random, &self.model);
        let prediction = predict::restore(&self.model, &request);
        let store = self.store();
        *self.tried.restores.entry(request.kind()).or_default() += 1;
        let plan = store.plan_restore(&request.own()).expect("planned");
        let merges = request.mode == afterimage::RestoreMode::Merge;
        check_plan(&plan, &self.model, &prediction, merges);
        let again = |author: &afterimage::Author| store.restore(&request.own(), author);
        let before = self.model.head();
        let digest = self.model.at(before).digest;
        self.carry_out(&plan, &prediction, again);
        if request.is_whole() {
            let now = store.snapshot().digest().expect("readable");
            assert_eq!(now, self.model.at(request.target).digest, "{request:?}");
        }
        self.perhaps_take_back(before, digest);
    }

    /// By the plan, or by the call that makes one of its own. Says whether something was written.
    fn carry_out(
        &mut self,
        plan: &Plan<'_>,
        prediction: &Prediction,
        again: impl Fn(&afterimage::Author) -> Result<Commit<Recovered>>,
    ) -> bool {
        let store = self.store();
        let before = self.model.now().clone();
        let actor = pick(&mut self.random, &ACTORS);
        let author = by(actor);
        let done = match self.random.below(2) {
            0 => store.execute(plan, &author),
            _ => again(&author),
        };
        if prediction.refused {
            let error = done.expect_err("it is refused");
            assert_eq!(error.code().id, code::UNDO_CONFLICT.id);
            assert_eq!(store.head().get(), self.model.head() as u64, "nothing was written");
            self.tried.refused += 1;
            return false;
        }
        let done = done.expect("carried out");
        let counts = plan.counts();
        self.tried.conflicts += counts.conflict;
        assert_eq!((done.value().counts, done.value().plan), (counts, plan.id()));
        assert_eq!(done.value().point.is_some(), counts.changes() > 0);
        if counts.changes() == 0 {
            assert!(done.is_empty() && store.head().get() == self.model.head() as u64);
            self.tried.nothing_to_do += 1;
            return false;
        }
        self.tried.changes += counts.changes();
        let (state, touched) = outcome(plan, before);
        let attributes =
            store.transaction(store.head()).expect("kept").metadata().attributes.clone();
        let signature = Signature { actor: Some(actor.to_owned()), correlation: None, attributes };
        self.model.push(&store, state, signature, touched);
        self.check_diff(plan);
        let point = store.point(done.value().point.as_ref().expect("named")).expect("there");
        assert_eq!(point.lsn.get() + 1, self.model.head() as u64);
        true
    }

    /// The counts of a plan are what its execution did.
    fn check_diff(&self, plan: &Plan<'_>) {
        let (store, head) = (self.store(), Lsn::new(self.model.head() as u64));
        let diff = store.diff(head.previous(), head).expect("compared");
        let mut counts = plan.counts();
        for record in &diff {
            match (record.before, record.after) {
                (None, _) => counts.create -= 1,
                (Some(_), Some(_)) => counts.update -= 1,
                (Some(_), None) => counts.delete -= 1,
            }
        }
        assert_eq!(counts.changes(), 0, "{diff:?}");
    }

    /// Whatever was done last is undone: all is as before.
    fn perhaps_take_back(&mut self, before: usize, digest: afterimage::StateDigest) {
        if self.model.head() == before || self.random.below(3) > 0 {
            return;
        }
        let store = self.store();
        let request = UndoRequest::of(self.model.head(), UndoMode::Strict);
        let prediction = predict::undo(&self.model, &request);
        let plan = store.plan_undo(&request.own()).expect("planned");
        assert!(plan.not_undone().len() >= 2, "the point and the record of what was done stay");
        check_plan(&plan, &self.model, &prediction, false);
        assert!(self.carry_out(&plan, &prediction, |author| store.undo(&request.own(), author)));
        assert_eq!(store.snapshot().digest().expect("readable"), digest);
        self.tried.undone_again += 1;
    }

    fn end(self) -> Tried {
        let store = self.store();
        self.model.check_everything(&store);
        let report = store.verify(VerifyDepth::Deep, &mut |_| {}).expect("looked");
        assert!(report.valid, "{report:?}");
        self.tried
    }
}

fn sign(tx: &mut afterimage::Transaction<'_>, by: &Signature) {
    if let Some(actor) = &by.actor {
        tx.actor(actor);
    }
    if let Some(id) = &by.correlation {
        tx.correlation(id);
    }
    for (name, value) in &by.attributes {
        tx.attribute(name, value.clone());
    }
}

fn edit_items(random: &mut Random, items: &mut Json) {
    let Json::Array(items) = items else { panic!("always an array") };
    let id = random.below(4);
    let place = items.binary_search_by_key(&id, |item| item["id"].as_u64().expect("a number"));
    match place {
        Ok(at) if random.below(3) == 0 => drop(items.remove(at)),
        Ok(at) => items[at]["v"] = random.below(5).into(),
        // Merged arrays have what came back at their end.
        Err(_) if items.iter().any(|item| item["id"] == id) => {}
        Err(at) => items.insert(at, json!({"id": id, "v": random.below(5)})),
    }
}

/// What the plan says is what the model foresees.
fn check_plan(plan: &Plan<'_>, model: &Model, prediction: &Prediction, merges: bool) {
    assert_eq!(plan.head().get(), model.head() as u64);
    assert_eq!(plan.is_refused(), prediction.refused);
    assert!(plan.changes().is_sorted_by_key(|change| (change.collection(), change.key())));
    let mut open = prediction.clashes.clone();
    let mut seen = BTreeSet::new();
    for change in plan.changes() {
        let slot = (known(change.collection()), change.key().to_vec());
        let (now, after) = (change.before().map(owned), change.after().map(owned));
        assert_eq!(now.as_ref(), model.now().get(&slot), "{slot:?}");
        let foreseen = prediction.values.get(&slot);
        let foreseen = foreseen.unwrap_or_else(|| panic!("{slot:?} is none of its business"));
        let is_kept = change.conflict().is_some() && prediction.refused;
        assert!(
            is_kept || foreseen.agrees(after.as_ref()),
            "{slot:?}: {foreseen:?}, not {after:?}"
        );
        let clash = open.remove(&slot);
        let told = change.conflict().map(|told| predict::Clash {
            lsn: usize::try_from(told.lsn.get()).expect("small"),
            later: usize::try_from(told.later.get()).expect("small"),
            paths: told.fields.iter().map(|field| field.path.clone()).collect(),
        });
        assert_eq!(told, clash, "{slot:?}");
        assert!(told.is_some() || change.op().is_some(), "{slot:?} is told for no reason");
        if let (true, Some(now), Some(after), true) = (merges, &now, &after, change.op().is_some())
        {
            let is_old = (0..=model.head()).any(|lsn| model.value(lsn, &slot) == Some(after));
            let meaning = |image: &OwnedImage| serde_json::from_slice::<Json>(&image.bytes).ok();
            assert!(is_old || meaning(now) != meaning(after), "{slot:?} is only written anew");
        }
        seen.insert(slot);
    }
    assert_eq!(open, BTreeMap::new(), "conflicts that are not told");
    let missing = prediction.values.iter().filter(|(slot, _)| !seen.contains(*slot));
    let mut unchanged = 0;
    for (slot, foreseen) in missing {
        assert!(foreseen.agrees(model.now().get(slot)), "{slot:?} should become {foreseen:?}");
        unchanged += 1;
    }
    assert_eq!(
        (plan.counts().unchanged, plan.counts().conflict),
        (unchanged, prediction.clashes.len() as u64)
    );
    assert_eq!(plan.id().to_string().parse::<afterimage::PlanId>().expect("read"), plan.id());
}

/// The state that a plan makes of this one, and what it writes.
fn outcome(plan: &Plan<'_>, mut state: State) -> (State, BTreeSet<Slot>) {
    let mut touched = BTreeSet::new();
    for change in plan.changes().iter().filter(|change| change.op().is_some()) {
        let slot = (known(change.collection()), change.key().to_vec());
        match change.after() {
            Some(image) => drop(state.insert(slot.clone(), owned(image))),
            None => drop(state.remove(&slot)),
        }
        touched.insert(slot);
    }
    (state, touched)
}

#[test]
fn any_history_of_undos_and_restores_is_what_the_states_say() {
    let seeds = number("AFTERIMAGE_RECOVERY_SEEDS", 60);
    let first = number("AFTERIMAGE_RECOVERY_FIRST", 0);
    let mut tried = Tried::default();
    for seed in first..first + seeds {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut run = Run::new(seed, std::mem::take(&mut tried));
            for _ in 0..STEPS {
                run.step();
            }
            run.end()
        }));
        // What went wrong has been printed already.
        let hint = || format!("seed {seed}; AFTERIMAGE_RECOVERY_FIRST={seed} begins with it");
        tried = outcome.ok().unwrap_or_else(|| panic!("{}", hint()));
    }
    println!("seeds {first} to {}: {tried:#?}", first + seeds);
    assert!(tried.refused > 0 && tried.undone_again > 0, "every kind was tried: {tried:?}");
}
