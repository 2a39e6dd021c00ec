//! Merging JSON values field by field, elements of arrays by their key.
//!
//! The three-way merge is that of `diff3` (S. Khanna, K. Kunal, B. C. Pierce, *A Formal
//! Investigation of Diff3*, FSTTCS 2007) on trees instead of lines: what only one side changed is
//! taken, what both changed differently is a conflict.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Tree;

/// The fields by which the elements of an array may be told apart, in the order they are tried.
const ELEMENT_KEYS: [&str; 5] = ["id", "_id", "key", "uuid", "name"];

/// A place where both sides made something different of the base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldConflict {
    /// The names, array indices or element keys that lead to it, joined by dots; empty: the whole
    /// value.
    pub path: String,
    /// What both started from, as JSON text; none if it was absent.
    pub base: Option<String>,
    /// What our side made of it.
    pub ours: Option<String>,
    /// What their side made of it.
    pub theirs: Option<String>,
}

/// Which side counts where both changed the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Ours.
    Ours,
    /// Theirs.
    Theirs,
}

/// Merges what `ours` and `theirs` made of `base`; where both made something different, `prefer`
/// counts, and the place is told.
///
/// Objects are merged by field. Arrays of objects that each have a different `id` (or `_id`, `key`,
/// `uuid`, `name`) are merged by element: ours in their order, and what only theirs have behind the
/// element that it stood behind there. Everything else is taken as a whole.
///
/// ```
/// use afterimage::json::{Side, Tree, merge_three};
/// let tree = |text: &str| Tree::parse(text.as_bytes());
/// let (base, ours) = (tree(r#"{"room":1,"name":"Ana"}"#)?, tree(r#"{"room":1,"name":"Bo"}"#)?);
/// let (merged, conflicts) =
///     merge_three(&base, &ours, &tree(r#"{"room":2,"name":"Ana"}"#)?, Side::Ours);
/// assert_eq!(merged.to_string(), r#"{"room":2,"name":"Bo"}"#);
/// assert!(conflicts.is_empty());
/// # Ok::<(), afterimage::Error>(())
/// ```
#[must_use]
pub fn merge_three(
    base: &Tree,
    ours: &Tree,
    theirs: &Tree,
    prefer: Side,
) -> (Tree, Vec<FieldConflict>) {
    let mut merge = Merge { prefer, path: Vec::new(), conflicts: Vec::new() };
    let merged = merge.value(Some(base), Some(ours), Some(theirs));
    (merged.unwrap_or(Tree::Null), merge.conflicts)
}

/// What `now` is with everything that it lacks of `past`: fields of objects, and elements of arrays
/// that are told apart by a key as in [`merge_three`]. What both have stays as it is in `now`.
#[must_use]
pub fn bring_back(now: &Tree, past: &Tree) -> Tree {
    match (now, past) {
        (Tree::Object(new), Tree::Object(old)) => {
            let known = fields(new);
            let lost = old.iter().filter(|(name, _)| !known.contains_key(name.as_str()));
            let old = fields(old);
            let kept = new.iter().map(|(name, now)| {
                let value =
                    old.get(name.as_str()).map_or(now.clone(), |past| bring_back(now, past));
                (name.clone(), value)
            });
            Tree::Object(kept.chain(lost.cloned()).collect())
        }
        (Tree::Array(new), Tree::Array(old)) => {
            let Some([known, old]) = elements([new, old]) else { return now.clone() };
            let (new_by_key, old_by_key) = (by_key(&known), by_key(&old));
            let element = |key| match (new_by_key.get(key), old_by_key.get(key)) {
                (Some(now), Some(past)) => Some(bring_back(now, past)),
                (one, other) => one.or(other).map(|tree| (*tree).clone()),
            };
            Tree::Array(in_their_places(&known, &old).filter_map(element).collect())
        }
        _ => now.clone(),
    }
}

struct Merge {
    prefer: Side,
    path: Vec<String>,
    conflicts: Vec<FieldConflict>,
}

impl Merge {
    fn value(
        &mut self,
        base: Option<&Tree>,
        ours: Option<&Tree>,
        theirs: Option<&Tree>,
    ) -> Option<Tree> {
        if ours == theirs || theirs == base {
            return ours.cloned();
        }
        if ours == base {
            return theirs.cloned();
        }
        if let (Some(Tree::Object(base)), Some(Tree::Object(ours)), Some(Tree::Object(theirs))) =
            (base, ours, theirs)
        {
            return Some(self.object(base, ours, theirs));
        }
        if let (Some(Tree::Array(base)), Some(Tree::Array(ours)), Some(Tree::Array(theirs))) =
            (base, ours, theirs)
            && let Some([base, ours, theirs]) = elements([base, ours, theirs])
        {
            return Some(self.array(&base, &ours, &theirs));
        }
        self.conflict(base, ours, theirs)
    }

    fn object(&mut self, base: &Fields, ours: &Fields, theirs: &Fields) -> Tree {
        let (base, own, other) = (fields(base), fields(ours), fields(theirs));
        let added = theirs.iter().filter(|(name, _)| !own.contains_key(name.as_str()));
        let mut merged = Vec::with_capacity(ours.len());
        for (name, _) in ours.iter().chain(added) {
            let at = |fields: &BTreeMap<&str, _>| fields.get(name.as_str()).copied();
            self.path.push(name.clone());
            let value = self.value(at(&base), at(&own), at(&other));
            self.path.pop();
            merged.extend(value.map(|value| (name.clone(), value)));
        }
        Tree::Object(merged)
    }

    fn array(&mut self, base: &Elements<'_>, ours: &Elements<'_>, theirs: &Elements<'_>) -> Tree {
        let (base, own, other) = (by_key(base), by_key(ours), by_key(theirs));
        let mut merged = Vec::with_capacity(ours.len());
        for key in in_their_places(ours, theirs) {
            let at = |elements: &BTreeMap<&str, _>| elements.get(key).copied();
            self.path.push(key.to_owned());
            merged.extend(self.value(at(&base), at(&own), at(&other)));
            self.path.pop();
        }
        Tree::Array(merged)
    }

    fn conflict(
        &mut self,
        base: Option<&Tree>,
        ours: Option<&Tree>,
        theirs: Option<&Tree>,
    ) -> Option<Tree> {
        self.conflicts.push(FieldConflict {
            path: self.path.join("."),
            base: base.map(Tree::to_string),
            ours: ours.map(Tree::to_string),
            theirs: theirs.map(Tree::to_string),
        });
        match self.prefer {
            Side::Ours => ours.cloned(),
            Side::Theirs => theirs.cloned(),
        }
    }
}

type Fields = [(String, Tree)];
type Elements<'a> = Vec<(String, &'a Tree)>;

/// Fields found by name: looking each up in turn would be quadratic for a wide object.
pub(crate) fn fields(fields: &Fields) -> BTreeMap<&str, &Tree> {
    fields.iter().map(|(name, value)| (name.as_str(), value)).collect()
}

fn by_key<'a>(elements: &'a Elements<'_>) -> BTreeMap<&'a str, &'a Tree> {
    elements.iter().map(|(key, tree)| (key.as_str(), *tree)).collect()
}

/// The keys of both: ours in their order, and each of those that only theirs have behind the one
/// that it stood behind there.
fn in_their_places<'a>(
    ours: &'a Elements<'_>,
    theirs: &'a Elements<'_>,
) -> impl Iterator<Item = &'a str> {
    let own = by_key(ours);
    let (mut behind, mut place) = (BTreeMap::<_, Vec<&str>>::new(), None);
    for (key, _) in theirs {
        if own.contains_key(key.as_str()) {
            place = Some(key.as_str());
        } else {
            behind.entry(place).or_default().push(key);
        }
    }
    let first = behind.remove(&None).unwrap_or_default();
    let rest = ours.iter().flat_map(move |(key, _)| {
        let added = behind.remove(&Some(key.as_str())).unwrap_or_default();
        std::iter::once(key.as_str()).chain(added)
    });
    first.into_iter().chain(rest)
}

/// The elements of all these arrays by the first key that tells those of each apart.
fn elements<const N: usize>(arrays: [&[Tree]; N]) -> Option<[Elements<'_>; N]> {
    ELEMENT_KEYS.iter().find_map(|name| {
        let keyed = arrays.map(|array| by_element_key(array, name));
        if keyed.iter().any(Option::is_none) {
            return None;
        }
        Some(keyed.map(Option::unwrap_or_default))
    })
}

fn by_element_key<'a>(array: &'a [Tree], name: &str) -> Option<Elements<'a>> {
    let mut seen = BTreeSet::new();
    let mut elements = Vec::with_capacity(array.len());
    for element in array {
        let key = match element.get(name)? {
            Tree::String(text) | Tree::Number(text) => text.clone(),
            Tree::Null | Tree::Bool(_) | Tree::Array(_) | Tree::Object(_) => return None,
        };
        if !seen.insert(key.clone()) {
            return None;
        }
        elements.push((key, element));
    }
    Some(elements)
}
