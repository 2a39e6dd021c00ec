//! Merging, as the model does it: on values of another library, arrays by their `id`.

use afterimage::OnConflict;
use serde_json::{Map, Value as Json};

/// The value, if it is JSON.
pub(super) fn parsed(bytes: &[u8]) -> Option<Json> {
    serde_json::from_slice(bytes).ok()
}

fn id(item: &Json) -> String {
    item["id"].to_string().trim_matches('"').to_owned()
}

fn by_id<'a>(items: &'a [Json], wanted: &str) -> Option<&'a Json> {
    items.iter().find(|item| id(item) == wanted)
}

/// The ids of both, those of `other` put in behind their neighbours.
fn ids(own: &[Json], other: &[Json]) -> Vec<String> {
    let mut ids: Vec<String> = own.iter().map(id).collect();
    let mut neighbour: Option<String> = None;
    for item in other.iter().map(id) {
        if !ids.contains(&item) {
            let place = ids.iter().position(|known| Some(known) == neighbour.as_ref());
            ids.insert(place.map_or(0, |place| place + 1), item.clone());
        }
        neighbour = Some(item);
    }
    ids
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
    if let (Some(Json::Array(b)), Some(Json::Array(o)), Some(Json::Array(t))) = (base, ours, theirs)
    {
        let mut merged = Vec::new();
        for wanted in ids(o, t) {
            let sides = [by_id(b, &wanted), by_id(o, &wanted), by_id(t, &wanted)];
            merged.extend(field(&join(path, &wanted), sides, on_conflict, paths));
        }
        return Some(Json::Array(merged));
    }
    paths.push(path.to_owned());
    if on_conflict == OnConflict::Theirs { theirs.cloned() } else { ours.cloned() }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// `now` with what it lacks of `past`.
pub(super) fn with_lost(now: &Json, past: &Json) -> Json {
    if let (Json::Array(new), Json::Array(old)) = (now, past) {
        let element = |wanted: &String| match (by_id(new, wanted), by_id(old, wanted)) {
            (Some(now), Some(past)) => with_lost(now, past),
            (one, other) => one.or(other).expect("one of them").clone(),
        };
        return Json::Array(ids(new, old).iter().map(element).collect());
    }
    let (Json::Object(new), Json::Object(old)) = (now, past) else { return now.clone() };
    let mut merged = new.clone();
    for (name, past) in old {
        let value = new.get(name).map_or_else(|| past.clone(), |now| with_lost(now, past));
        merged.insert(name.clone(), value);
    }
    Json::Object(merged)
}
