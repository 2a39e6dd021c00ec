//! Merging, as the model does it: on values in which arrays of things with an `id` are maps
//! already, so that there is one rule for fields and elements.

use afterimage::OnConflict;
use serde_json::{Map, Value as Json};

/// A value as a map of maps; none if it is not JSON.
pub(super) fn canonical(bytes: &[u8]) -> Option<Json> {
    serde_json::from_slice(bytes).ok().map(flat)
}

fn flat(value: Json) -> Json {
    match value {
        Json::Array(items) => {
            let key = |item: &Json| item["id"].to_string().trim_matches('"').to_owned();
            Json::Object(items.into_iter().map(|item| (key(&item), flat(item))).collect())
        }
        Json::Object(fields) => {
            fields.into_iter().map(|(name, value)| (name, flat(value))).collect()
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => value,
    }
}

/// What `ours` and `theirs` made of `base`, and the paths at which they can't agree.
pub(super) fn three(
    base: &Json,
    ours: &Json,
    theirs: &Json,
    on_conflict: OnConflict,
) -> (Json, Vec<String>) {
    let mut paths = Vec::new();
    let sides = [Some(base), Some(ours), Some(theirs)];
    let merged = field("", sides, on_conflict, &mut paths).expect("both are there");
    (merged, paths)
}

fn field(
    path: &str,
    [base, ours, theirs]: [Option<&Json>; 3],
    on_conflict: OnConflict,
    paths: &mut Vec<String>,
) -> Option<Json> {
    let (is_mine, is_yours) = (ours != base, theirs != base);
    match (is_mine, is_yours) {
        (_, false) => return ours.cloned(),
        (false, true) => return theirs.cloned(),
        (true, true) if ours == theirs => return ours.cloned(),
        (true, true) => {}
    }
    if let (Some(Json::Object(b)), Some(Json::Object(o)), Some(Json::Object(t))) =
        (base, ours, theirs)
    {
        let mut merged = Map::new();
        for name in b.keys().chain(o.keys()).chain(t.keys()) {
            if merged.contains_key(name) || paths.iter().any(|known| *known == join(path, name)) {
                continue;
            }
            let sides = [b.get(name), o.get(name), t.get(name)];
            merged.extend(
                field(&join(path, name), sides, on_conflict, paths)
                    .map(|value| (name.clone(), value)),
            );
        }
        return Some(Json::Object(merged));
    }
    paths.push(path.to_owned());
    if on_conflict == OnConflict::Theirs { theirs.cloned() } else { ours.cloned() }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// `now` with what it lacks of `past`.
pub(super) fn with_lost(now: &Json, past: &Json) -> Json {
    let (Json::Object(new), Json::Object(old)) = (now, past) else { return now.clone() };
    let mut merged = new.clone();
    for (name, past) in old {
        let value = new.get(name).map_or_else(|| past.clone(), |now| with_lost(now, past));
        merged.insert(name.clone(), value);
    }
    Json::Object(merged)
}
