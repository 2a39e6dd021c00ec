//! What is asked for in a random history: once for the store, once for the model.

use afterimage::{
    Condition, Lsn, OnConflict, OwnedImage, Restore, RestoreMode, Scope, Undo, UndoMode,
};
use serde_json::Value as Json;

use super::model::{COLLECTIONS, Model, Slot, owned};
use crate::random::Random;

pub(super) const ACTORS: [&str; 4] = ["ana", "bo", "cleo", "dan"];
pub(super) const CORRELATIONS: [&str; 3] = ["chk-1", "chk-2", "chk-3"];
const ON_CONFLICT: [OnConflict; 3] = [OnConflict::Fail, OnConflict::Ours, OnConflict::Theirs];

pub(super) fn pick<T: Clone>(random: &mut Random, items: &[T]) -> T {
    let index = usize::try_from(random.below(items.len() as u64)).expect("small");
    items[index].clone()
}

pub(super) fn up_to(random: &mut Random, bound: usize) -> usize {
    usize::try_from(random.below(bound as u64)).expect("small")
}

/// Which records, in words that both understand.
#[derive(Clone, Debug, Default)]
pub(super) struct ScopeRequest {
    collections: Vec<&'static str>,
    records: Vec<Slot>,
    prefixes: Vec<Slot>,
    has_condition: bool,
}

/// The condition of these tests.
fn fits(image: &OwnedImage) -> bool {
    image.bytes.len().is_multiple_of(2)
}

impl ScopeRequest {
    fn random(random: &mut Random, model: &Model) -> Self {
        let mut scope = Self::default();
        let mut slots: Vec<Slot> = Vec::new();
        for lsn in 0..=model.head() {
            slots.extend(model.at(lsn).touched.iter().cloned());
        }
        let used: Vec<_> = COLLECTIONS
            .into_iter()
            .filter(|name| slots.iter().any(|slot| slot.0 == *name))
            .collect();
        if !slots.is_empty() {
            match random.below(8) {
                0 => scope.collections.push(pick(random, &used)),
                1 | 2 => {
                    for _ in 0..=random.below(2) {
                        scope.records.push(pick(random, &slots));
                    }
                }
                3 => scope.prefixes.push((pick(random, &used), b"a/".to_vec())),
                4 => {
                    scope.collections.push(pick(random, &used));
                    scope.records.push(pick(random, &slots));
                }
                _ => {}
            }
        }
        scope.has_condition = random.below(8) == 0;
        scope
    }

    pub(super) fn is_everything(&self) -> bool {
        self.collections.is_empty() && self.records.is_empty() && self.prefixes.is_empty()
    }

    pub(super) fn names(&self, slot: &Slot) -> bool {
        self.is_everything()
            || self.collections.contains(&slot.0)
            || self.records.contains(slot)
            || self.prefixes.iter().any(|(c, p)| *c == slot.0 && slot.1.starts_with(p))
    }

    /// Whether the record's value, or the one that it had, is like that.
    pub(super) fn fits(&self, model: &Model, slot: &Slot, past: Option<&OwnedImage>) -> bool {
        let now = model.value(model.head(), slot);
        !self.has_condition || [now, past].into_iter().flatten().any(fits)
    }

    fn own(&self) -> Scope {
        let own = |(collection, key): &Slot| ((*collection).to_owned(), key.clone());
        Scope {
            collections: self.collections.iter().map(|name| (*name).to_owned()).collect(),
            records: self.records.iter().map(own).collect(),
            prefixes: self.prefixes.iter().map(own).collect(),
            condition: self.has_condition.then(|| Condition::new(|image| Ok(fits(&owned(image))))),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct UndoRequest {
    /// After the first, up to the second.
    pub(super) between: Option<(usize, usize)>,
    pub(super) actors: Vec<String>,
    pub(super) correlation: Option<String>,
    pub(super) attribute: Option<(String, Json)>,
    pub(super) scope: ScopeRequest,
    pub(super) mode: UndoMode,
}

impl UndoRequest {
    pub(super) fn of(lsn: usize, mode: UndoMode) -> Self {
        Self {
            between: Some((lsn - 1, lsn)),
            actors: Vec::new(),
            correlation: None,
            attribute: None,
            scope: ScopeRequest::default(),
            mode,
        }
    }

    pub(super) fn random(random: &mut Random, model: &Model) -> Self {
        let mode = match random.below(7) {
            0 => UndoMode::Strict,
            1 => UndoMode::Cascade,
            2 => UndoMode::Force,
            3 => UndoMode::Nonconflicting,
            _ => UndoMode::Merge(pick(random, &ON_CONFLICT)),
        };
        let lsn = 1 + up_to(random, model.head());
        let mut undo = Self::of(lsn, mode);
        if random.below(2) == 0 {
            // The newest are undone most often.
            let back = up_to(random, model.head().min(6));
            undo.between = Some((model.head() - back - 1, model.head() - back));
        }
        match random.below(8) {
            0 | 1 => {
                let from = up_to(random, lsn);
                undo.between = Some((from, lsn));
            }
            2 | 3 => {
                undo.between = None;
                undo.actors.push(pick(random, &ACTORS).to_owned());
                if random.below(3) == 0 {
                    undo.actors.push(pick(random, &ACTORS).to_owned());
                }
            }
            4 => {
                undo.between = None;
                undo.correlation = Some(pick(random, &CORRELATIONS).to_owned());
            }
            5 => {
                undo.between = (random.below(2) == 0).then_some((lsn / 2, model.head()));
                undo.attribute = Some(("batch".to_owned(), Json::from(random.below(3))));
            }
            _ => {}
        }
        if random.below(3) == 0 {
            undo.scope = ScopeRequest::random(random, model);
        }
        undo
    }

    /// Whether it is about the newest transaction, as a whole.
    pub(super) fn is_of_the_newest(&self, head: usize) -> bool {
        let is_all = self.scope.is_everything() && !self.scope.has_condition;
        let has_no_choice =
            self.actors.is_empty() && self.correlation.is_none() && self.attribute.is_none();
        self.between == Some((head - 1, head)) && is_all && has_no_choice
    }

    pub(super) fn own(&self) -> Undo {
        let mut undo = Undo::everything().of(self.scope.own()).mode(self.mode);
        if let Some((after, until)) = self.between {
            undo = undo.between(Lsn::new(after as u64), Lsn::new(until as u64));
        }
        for actor in &self.actors {
            undo = undo.by_actor(actor);
        }
        if let Some(id) = &self.correlation {
            undo = undo.with_correlation(id);
        }
        if let Some((name, value)) = &self.attribute {
            undo = undo.with_attribute(name, value.clone());
        }
        undo
    }
}

#[derive(Clone, Debug)]
pub(super) struct RestoreRequest {
    pub(super) target: usize,
    pub(super) scope: ScopeRequest,
    pub(super) actors: Vec<String>,
    pub(super) mode: RestoreMode,
    pub(super) on_conflict: OnConflict,
}

impl RestoreRequest {
    pub(super) fn random(random: &mut Random, model: &Model) -> Self {
        let mut restore = Self {
            target: up_to(random, model.head() + 1),
            scope: ScopeRequest::default(),
            actors: Vec::new(),
            mode: RestoreMode::Replace,
            on_conflict: pick(random, &ON_CONFLICT),
        };
        if random.below(3) == 0 {
            restore.mode = RestoreMode::Merge;
        }
        if random.below(2) == 0 {
            restore.scope = ScopeRequest::random(random, model);
        }
        if random.below(3) == 0 {
            restore.actors.push(pick(random, &ACTORS).to_owned());
        }
        restore
    }

    /// Whether it is about everything, as it was.
    pub(super) fn is_whole(&self) -> bool {
        self.scope.is_everything()
            && !self.scope.has_condition
            && self.actors.is_empty()
            && self.mode == RestoreMode::Replace
    }

    /// What it is like, for counting.
    pub(super) fn kind(&self) -> String {
        match (self.actors.is_empty(), self.is_whole()) {
            (_, true) => "whole".to_owned(),
            (true, false) => format!("{:?}", self.mode),
            (false, false) => format!("{:?} by an actor, {:?}", self.mode, self.on_conflict),
        }
    }

    pub(super) fn own(&self) -> Restore {
        let mut restore = Restore::to(Lsn::new(self.target as u64))
            .of(self.scope.own())
            .mode(self.mode)
            .on_conflict(self.on_conflict);
        for actor in &self.actors {
            restore = restore.by_actor(actor);
        }
        restore
    }
}
