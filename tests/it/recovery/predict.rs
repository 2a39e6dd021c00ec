//! What an undo or a restore must come to, from whole states alone.

use std::collections::{BTreeMap, BTreeSet};

use afterimage::{OnConflict, OwnedImage, RestoreMode, UndoMode};
use serde_json::Value as Json;

use super::merging::{parsed, three, with_lost};
use super::model::{Model, Slot, is_json};
use super::requests::{RestoreRequest, UndoRequest};

/// A value to the byte, or one that was merged, of which only the meaning is foreseen.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Foreseen {
    Exactly(Option<OwnedImage>),
    Meaning(Json),
}

impl Foreseen {
    fn is(&self, value: Option<&OwnedImage>) -> bool {
        match self {
            Self::Exactly(own) => own.as_ref() == value,
            Self::Meaning(own) => value
                .is_some_and(|value| is_json(value) && parsed(&value.bytes).as_ref() == Some(own)),
        }
    }

    /// Whether a value that was found is the one that was foreseen.
    pub(super) fn agrees(&self, found: Option<&OwnedImage>) -> bool {
        self.is(found)
    }

    fn meaning(&self) -> Option<Json> {
        match self {
            Self::Exactly(own) => {
                own.as_ref().filter(|own| is_json(own)).and_then(|own| parsed(&own.bytes))
            }
            Self::Meaning(own) => Some(own.clone()),
        }
    }
}

/// A conflict: the change, the first later one, and where the two differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clash {
    pub(super) lsn: usize,
    pub(super) later: usize,
    pub(super) paths: BTreeSet<String>,
}

#[derive(Debug, Default)]
pub(super) struct Prediction {
    pub(super) values: BTreeMap<Slot, Foreseen>,
    pub(super) clashes: BTreeMap<Slot, Clash>,
    pub(super) refused: bool,
    /// Nothing was chosen but what can't be undone.
    pub(super) impossible: bool,
    pub(super) transactions: BTreeSet<usize>,
}

/// The transactions that are asked for.
fn chosen(model: &Model, undo: &UndoRequest) -> BTreeSet<usize> {
    let (after, until) = undo.between.unwrap_or((0, model.head()));
    let fits = |lsn: &usize| {
        let by = &model.at(*lsn).by;
        (undo.actors.is_empty() || by.actor.as_ref().is_some_and(|a| undo.actors.contains(a)))
            && undo.correlation.as_ref().is_none_or(|id| by.correlation.as_ref() == Some(id))
            && undo.attribute.as_ref().is_none_or(|(name, v)| by.attributes.get(name) == Some(v))
    };
    (after + 1..=until).filter(fits).collect()
}

/// The chosen changes of each record, oldest first.
fn steps(
    model: &Model,
    undo: &UndoRequest,
    chosen: &BTreeSet<usize>,
) -> BTreeMap<Slot, Vec<usize>> {
    let mut steps: BTreeMap<Slot, Vec<usize>> = BTreeMap::new();
    for lsn in chosen {
        for slot in model.at(*lsn).touched.iter().filter(|slot| undo.scope.names(slot)) {
            steps.entry(slot.clone()).or_default().push(*lsn);
        }
    }
    steps
}

/// The newest of the changes that does not meet what the one after it, or the present, began with.
fn strict_clash(model: &Model, slot: &Slot, steps: &[usize]) -> Option<usize> {
    let mut next = model.value(model.head(), slot);
    for lsn in steps.iter().rev() {
        let (before, after) = (model.value(lsn - 1, slot), model.value(*lsn, slot));
        if next != after && next != before {
            return Some(*lsn);
        }
        next = before;
    }
    None
}

/// Who wrote to the record after this transaction without being chosen.
fn later<'m>(
    model: &'m Model,
    slot: &'m Slot,
    lsn: usize,
    chosen: &'m BTreeSet<usize>,
) -> impl Iterator<Item = usize> + 'm {
    (lsn + 1..=model.head())
        .filter(move |l| model.at(*l).touched.contains(slot) && !chosen.contains(l))
}

pub(super) fn undo(model: &Model, undo: &UndoRequest) -> Prediction {
    let mut all = chosen(model, undo);
    let mut prediction = Prediction::default();
    if steps(model, undo, &all).is_empty() {
        prediction.impossible =
            undo.scope.is_everything() && all.iter().any(|lsn| model.at(*lsn).system);
        return prediction;
    }
    if undo.mode == UndoMode::Cascade {
        loop {
            let mut more = BTreeSet::new();
            for (slot, steps) in steps(model, undo, &all) {
                if !undo.scope.fits(model, &slot, model.value(steps[0] - 1, &slot)) {
                    continue;
                }
                if let Some(lsn) = strict_clash(model, &slot, &steps) {
                    more.extend(later(model, &slot, lsn, &all));
                }
            }
            if more.is_empty() {
                break;
            }
            all.extend(more);
        }
    }
    let steps = steps(model, undo, &all);
    let of_use = steps.values().flatten().copied().collect();
    for (slot, steps) in steps {
        if !undo.scope.fits(model, &slot, model.value(steps[0] - 1, &slot)) {
            continue;
        }
        let (value, clash) = one(model, undo.mode, (&slot, &steps), &all);
        prediction.values.insert(slot.clone(), value);
        if let Some(clash) = clash {
            prediction.refused |=
                matches!(undo.mode, UndoMode::Strict | UndoMode::Merge(OnConflict::Fail));
            prediction.clashes.insert(slot, clash);
        }
    }
    prediction.transactions = of_use;
    prediction
}

/// What becomes of one record.
fn one(
    model: &Model,
    mode: UndoMode,
    (slot, steps): (&Slot, &[usize]),
    all: &BTreeSet<usize>,
) -> (Foreseen, Option<Clash>) {
    let now = model.value(model.head(), slot).cloned();
    let oldest = model.value(steps[0] - 1, slot).cloned();
    let clash = |lsn: usize, paths: BTreeSet<String>| {
        let later = later(model, slot, lsn, all).next().expect("somebody was it");
        Clash { lsn, later, paths }
    };
    let whole = || BTreeSet::from([String::new()]);
    let strict = strict_clash(model, slot, steps);
    match (mode, strict) {
        (_, None) => (Foreseen::Exactly(oldest), None),
        (UndoMode::Strict | UndoMode::Cascade, Some(lsn)) => {
            (Foreseen::Exactly(now), Some(clash(lsn, whole())))
        }
        (UndoMode::Force, Some(lsn)) => (Foreseen::Exactly(oldest), Some(clash(lsn, whole()))),
        (UndoMode::Nonconflicting, Some(lsn)) => {
            let behind = steps.iter().find(|step| **step > lsn);
            let kept = behind.map_or(now, |step| model.value(step - 1, slot).cloned());
            (Foreseen::Exactly(kept), Some(clash(lsn, whole())))
        }
        (UndoMode::Merge(on_conflict), Some(_)) => merged(model, on_conflict, (slot, steps), clash),
    }
}

fn merged(
    model: &Model,
    on_conflict: OnConflict,
    (slot, steps): (&Slot, &[usize]),
    clash: impl Fn(usize, BTreeSet<String>) -> Clash,
) -> (Foreseen, Option<Clash>) {
    let now = Foreseen::Exactly(model.value(model.head(), slot).cloned());
    let (mut value, mut found): (_, Option<Clash>) = (now.clone(), None);
    for lsn in steps.iter().rev() {
        let (before, after) = (model.value(lsn - 1, slot), model.value(*lsn, slot));
        // Here the meaning counts.
        let means = |image: Option<&OwnedImage>| {
            let meaning = value.meaning();
            meaning.is_some()
                && meaning == image.filter(|i| is_json(i)).and_then(|i| parsed(&i.bytes))
        };
        if [after, before].into_iter().any(|image| value.is(image) || means(image)) {
            value = Foreseen::Exactly(before.cloned());
            continue;
        }
        let tree = |image: &OwnedImage| if is_json(image) { parsed(&image.bytes) } else { None };
        let base = after.map_or(Some(Json::Object(serde_json::Map::new())), tree);
        let sides = (base, value.meaning(), before.and_then(tree));
        let (next, paths) = if let (Some(base), Some(ours), Some(theirs)) = sides {
            let (merged, paths) = three(&base, &ours, &theirs, on_conflict);
            (Some(Foreseen::Meaning(merged)), paths)
        } else {
            (None, vec![String::new()])
        };
        if paths.is_empty() {
            value = next.expect("merged");
            continue;
        }
        match &mut found {
            Some(found) => found.paths.extend(paths),
            None => found = Some(clash(*lsn, paths.into_iter().collect())),
        }
        match (on_conflict, next) {
            (OnConflict::Fail, _) => return (now, found),
            (OnConflict::Ours, None) => return (value, found),
            (OnConflict::Theirs, None) => value = Foreseen::Exactly(before.cloned()),
            (OnConflict::Ours | OnConflict::Theirs, Some(next)) => value = next,
        }
    }
    (value, found)
}

pub(super) fn restore(model: &Model, restore: &RestoreRequest) -> Prediction {
    let mut prediction = Prediction::default();
    let span = restore.target + 1..=model.head();
    let touched: BTreeSet<&Slot> = span.clone().flat_map(|lsn| &model.at(lsn).touched).collect();
    for slot in touched {
        let past = model.value(restore.target, slot);
        if !restore.scope.names(slot) || !restore.scope.fits(model, slot, past) {
            continue;
        }
        let writers: Vec<usize> =
            span.clone().filter(|lsn| model.at(*lsn).touched.contains(slot)).collect();
        let is_by = |lsn: &usize| {
            model.at(*lsn).by.actor.as_ref().is_some_and(|actor| restore.actors.contains(actor))
        };
        let own = writers.iter().find(|lsn| is_by(lsn));
        if !restore.actors.is_empty() && own.is_none() {
            continue;
        }
        let now = model.value(model.head(), slot);
        let mut value = match restore.mode {
            RestoreMode::Replace => Foreseen::Exactly(past.cloned()),
            RestoreMode::Merge => brought_back(now, past),
        };
        let other = writers.iter().find(|lsn| !restore.actors.is_empty() && !is_by(lsn));
        // What others did is not lost if taking back what the actors did leads to what was.
        let back = |value, lsn: &usize| {
            (value == model.value(*lsn, slot)).then(|| model.value(*lsn - 1, slot))
        };
        let undone = writers.iter().rev().filter(|lsn| is_by(lsn)).try_fold(now, back);
        if let (Some(later), Some(lsn)) = (other, own)
            && !value.is(now)
            && undone != Some(past)
        {
            let paths = BTreeSet::from([String::new()]);
            prediction.clashes.insert(slot.clone(), Clash { lsn: *lsn, later: *later, paths });
            prediction.refused |= restore.on_conflict == OnConflict::Fail;
            if restore.on_conflict != OnConflict::Theirs {
                value = Foreseen::Exactly(now.cloned());
            }
        }
        prediction.values.insert(slot.clone(), value);
    }
    prediction
}

fn brought_back(now: Option<&OwnedImage>, past: Option<&OwnedImage>) -> Foreseen {
    let (Some(new), Some(old)) = (now, past) else {
        return Foreseen::Exactly(now.or(past).cloned());
    };
    if !is_json(new) || !is_json(old) {
        return Foreseen::Exactly(Some(new.clone()));
    }
    let [now, past] = [new, old].map(|image| parsed(&image.bytes).expect("JSON"));
    let merged = with_lost(&now, &past);
    if merged == now { Foreseen::Exactly(Some(new.clone())) } else { Foreseen::Meaning(merged) }
}
