//! Other names for collections and fields. Both images of an event get them, so that a history that
//! was consistent stays so.

use super::event::Event;
use super::options::ImportMapping;
use crate::error::{Error, Result, code};
use crate::format::image::{CodecId, OwnedImage};
use crate::json::Tree;

/// A mapping that remembers what it has met.
#[derive(Debug)]
pub(super) struct Mapper {
    collections: Vec<Renaming>,
    drops: Vec<Field>,
    moves: Vec<Field>,
}

#[derive(Debug)]
struct Renaming {
    from: String,
    to: String,
    is_met: bool,
}

/// A field that is left out, or stands elsewhere.
#[derive(Debug)]
struct Field {
    /// As it was given.
    text: String,
    /// Only there, if it is certain that a collection is named.
    collection: Option<String>,
    path: Vec<String>,
    to: Vec<String>,
    is_met: bool,
}

impl Field {
    fn new(text: &str, to: &str) -> Result<Self> {
        let (collection, path) = match text.split_once('/') {
            Some((collection, path)) => (Some(collection.to_owned()), path),
            None => (None, text),
        };
        let steps = |path: &str| path.split('.').map(str::to_owned).collect::<Vec<_>>();
        Ok(Self {
            text: text.to_owned(),
            collection,
            path: checked(steps(path), text)?,
            to: steps(to),
            is_met: false,
        })
    }

    /// Whether it is meant for records of this collection, and not for those of all.
    fn is_for(&self, collection: &str) -> bool {
        match (&self.collection, &self.path[..]) {
            (Some(only), _) => only == collection,
            (None, [first, _, ..]) => first == collection,
            (None, _) => false,
        }
    }

    /// Where the field is in records of this collection.
    fn path_in(&self, collection: &str) -> &[String] {
        match (&self.collection, &self.path[..]) {
            (Some(only), _) if only != collection => &[],
            (None, [first, rest @ ..]) if first == collection && !rest.is_empty() => rest,
            (_, path) => path,
        }
    }
}

fn checked(path: Vec<String>, text: &str) -> Result<Vec<String>> {
    if path.iter().any(String::is_empty) {
        let message = format!("`{text}` is no path of fields: steps are separated by one dot");
        return Err(Error::new(&code::INVALID_OPTION, message));
    }
    Ok(path)
}

impl Mapper {
    pub(super) fn new(mapping: &ImportMapping) -> Result<Self> {
        let collection = |(from, to): &(String, String)| {
            let (from, to) = (from.clone(), to.clone());
            Renaming { from, to, is_met: false }
        };
        let moved = |(from, to): &(String, String)| {
            let field = Field::new(from, to)?;
            checked(field.to.clone(), to).map(|_| field)
        };
        Ok(Self {
            collections: mapping.collections.iter().map(collection).collect(),
            drops: mapping
                .drop_fields
                .iter()
                .map(|text| Field::new(text, ""))
                .collect::<Result<_>>()?,
            moves: mapping.fields.iter().map(moved).collect::<Result<_>>()?,
        })
    }

    /// The event under its new names.
    pub(super) fn apply(&mut self, mut event: Event) -> Result<Event> {
        if !(self.drops.is_empty() && self.moves.is_empty()) {
            for image in [&mut event.before, &mut event.after].into_iter().flatten() {
                self.image(&event.collection, image)?;
            }
        }
        if let Some(renaming) =
            self.collections.iter_mut().find(|renaming| renaming.from == event.collection)
        {
            renaming.is_met = true;
            event.collection.clone_from(&renaming.to);
        }
        Ok(event)
    }

    /// The new name of a collection.
    pub(super) fn collection<'a>(&'a self, name: &'a str) -> &'a str {
        let renaming = self.collections.iter().find(|renaming| renaming.from == name);
        renaming.map_or(name, |renaming| &renaming.to)
    }

    /// What was asked for and never met.
    pub(super) fn unmet(&self) -> Vec<String> {
        let collections = self.collections.iter().filter(|renaming| !renaming.is_met);
        let fields = self.drops.iter().chain(&self.moves).filter(|field| !field.is_met);
        collections
            .map(|renaming| format!("the input has no collection `{}`", renaming.from))
            .chain(fields.map(|field| format!("no record has a field `{}`", field.text)))
            .collect()
    }

    fn image(&mut self, collection: &str, image: &mut OwnedImage) -> Result<()> {
        if image.codec != CodecId::Json {
            return Ok(());
        }
        let Ok(mut tree) = Tree::parse(&image.bytes) else {
            // Bytes under the name of JSON have no fields.
            return Ok(());
        };
        let mut is_changed = false;
        for field in &mut self.drops {
            let is_met = extract(&mut tree, field.path_in(collection)).is_some();
            field.is_met |= is_met;
            is_changed |= is_met;
        }
        // All are taken out before one is put in, so that two can change places; first those that
        // are meant for this collection alone.
        let mut moved = Vec::new();
        let (own, general): (Vec<_>, Vec<_>) =
            self.moves.iter_mut().partition(|field| field.is_for(collection));
        for field in own.into_iter().chain(general) {
            if let Some(found) = extract(&mut tree, field.path_in(collection)) {
                field.is_met = true;
                moved.push((&*field, found));
            }
        }
        // The last one first, so that each finds the place that it left.
        let deepens = moved.iter().any(|(field, _)| field.to.len() > field.path.len());
        for (field, (place, value)) in moved.into_iter().rev() {
            let stays = match (field.path_in(collection), &field.to[..]) {
                ([from @ .., _], [to @ .., _]) => from == to,
                _ => false,
            };
            insert(&mut tree, &field.to, (stays.then_some(place), value))
                .map_err(|why| not_moved(field, why))?;
            is_changed = true;
        }
        if is_changed {
            image.bytes = tree.to_string().into_bytes();
        }
        if deepens && let Err(error) = Tree::parse(&image.bytes) {
            // What can't be read again must not be stored.
            return Err(Error::new(&code::IMPORT_MAPPING, error.message()));
        }
        Ok(())
    }
}

fn not_moved(field: &Field, why: &str) -> Error {
    let message = format!("`{}` can't become `{}`: {why}", field.text, field.to.join("."));
    Error::new(&code::IMPORT_MAPPING, message)
}

/// Takes a field out; says at which place among its siblings it was.
fn extract(tree: &mut Tree, path: &[String]) -> Option<(usize, Tree)> {
    let [parents @ .., name] = path else { return None };
    let mut tree = tree;
    for step in parents {
        let Tree::Object(fields) = tree else { return None };
        tree = fields.iter_mut().find(|(known, _)| known == step).map(|(_, value)| value)?;
    }
    let Tree::Object(fields) = tree else { return None };
    let place = fields.iter().position(|(known, _)| known == name)?;
    Some((place, fields.remove(place).1))
}

/// Puts a field in, at a place among its siblings, else behind them; makes the objects around it.
fn insert(
    tree: &mut Tree,
    path: &[String],
    (place, value): (Option<usize>, Tree),
) -> Result<(), &'static str> {
    const NO_OBJECT: &str = "what it would stand in is no object";
    let Tree::Object(fields) = tree else { return Err(NO_OBJECT) };
    let Some((name, rest)) = path.split_first() else { return Err("it has no name") };
    let known = fields.iter().position(|(known, _)| known == name);
    if rest.is_empty() {
        if known.is_some() {
            return Err("a field of that name is there");
        }
        let place = place.unwrap_or(usize::MAX).min(fields.len());
        fields.insert(place, (name.clone(), value));
        return Ok(());
    }
    if known.is_none() {
        fields.push((name.clone(), Tree::Object(Vec::new())));
    }
    let at = known.unwrap_or(fields.len() - 1);
    let (_, below) = fields.get_mut(at).ok_or(NO_OBJECT)?;
    insert(below, rest, (place, value))
}
