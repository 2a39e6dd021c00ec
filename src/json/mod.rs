//! JSON without loss: numbers stay the text they were written in, and never pass through a float.
//!
//! What is stored under the codec `json` is the compact form of [`normalise`]; comparing, showing
//! and taking apart goes through [`Tree`].

mod merge;
mod number;
mod parse;
mod path;
#[cfg(test)]
mod tests;

use std::fmt::{self, Write as _};

pub(crate) use merge::fields;
pub use merge::{FieldConflict, Side, bring_back, merge_three};
pub use parse::JSON_DEPTH_MAX;
pub use path::FieldPath;

use crate::error::Result;

/// A JSON value.
#[derive(Clone, Debug)]
pub enum Tree {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as it was written.
    Number(String),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Tree>),
    /// An object in the order of its fields; each name once.
    Object(Vec<(String, Tree)>),
}

impl Tree {
    /// Reads one JSON value. Of fields with the same name the last one counts.
    ///
    /// # Errors
    /// `Invalid` with the offset if the text is not JSON, is nested deeper than
    /// [`JSON_DEPTH_MAX`], or holds a lone surrogate, which can't be kept.
    ///
    /// ```
    /// use afterimage::json::Tree;
    /// let tree = Tree::parse(br#"{"price": 1.10, "tags": ["new"]}"#)?;
    /// assert_eq!(tree.to_string(), r#"{"price":1.10,"tags":["new"]}"#);
    /// # Ok::<(), afterimage::Error>(())
    /// ```
    pub fn parse(text: &[u8]) -> Result<Self> {
        parse::parse(text)
    }

    /// The field of this name, if this is an object that has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(fields) = self else { return None };
        fields.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The value at a path of names and array indices separated by dots.
    #[must_use]
    pub fn at_path(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, Self::step)
    }

    /// The item of an array by its index, or the field of an object by its name.
    fn step(&self, step: &str) -> Option<&Self> {
        match self {
            Self::Array(items) => items.get(step.parse::<usize>().ok()?),
            Self::Object(_) => self.get(step),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) => None,
        }
    }

    /// Whether two values are the same, however their numbers are written: `1.50` and `15e-1` are.
    /// `==` compares numbers as they are written.
    #[must_use]
    pub fn same_value(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => number::same(a, b),
            (Self::Array(a), Self::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same_value(b))
            }
            (Self::Object(a), Self::Object(b)) => {
                let (a, b) = (by_name(a), by_name(b));
                let same = |((x, a), (y, b)): (&(String, Self), &(String, Self))| {
                    x == y && a.same_value(b)
                };
                a.len() == b.len() && a.into_iter().zip(b).all(same)
            }
            _ => self == other,
        }
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }
}

/// Equal values; the order of an object's fields does not matter, the way a number is written does.
impl PartialEq for Tree {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Number(a), Self::Number(b)) | (Self::String(a), Self::String(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Object(a), Self::Object(b)) => same_fields(a, b),
            _ => false,
        }
    }
}

impl Eq for Tree {}

/// Each value is compared with one other, once. To compare in order first and by name after that
/// would visit what lies below twice, and twice again at each level: nesting would cost 2^depth.
fn same_fields(a: &[(String, Tree)], b: &[(String, Tree)]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    if a.iter().zip(b).all(|((a, _), (b, _))| a == b) {
        return a.iter().zip(b).all(|((_, a), (_, b))| a == b);
    }
    by_name(a) == by_name(b)
}

fn by_name(fields: &[(String, Tree)]) -> Vec<&(String, Tree)> {
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    fields
}

/// Compact on one line; with `{:#}` indented.
impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indent = f.alternate().then_some(0);
        write(self, f, indent)
    }
}

/// Checks JSON text and brings it into the form in which it is stored: compact, on one line.
///
/// # Errors
/// As [`Tree::parse`].
pub fn normalise(text: &[u8]) -> Result<String> {
    Ok(Tree::parse(text)?.to_string())
}

fn write(tree: &Tree, f: &mut fmt::Formatter<'_>, indent: Option<usize>) -> fmt::Result {
    match tree {
        Tree::Null => f.write_str("null"),
        Tree::Bool(true) => f.write_str("true"),
        Tree::Bool(false) => f.write_str("false"),
        Tree::Number(text) => f.write_str(text),
        Tree::String(text) => write_string(text, f),
        Tree::Array(items) => {
            let items = items.iter().map(|item| (None, item));
            write_items(('[', ']'), items, f, indent)
        }
        Tree::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (Some(name.as_str()), value));
            write_items(('{', '}'), fields, f, indent)
        }
    }
}

fn write_items<'a>(
    (open, close): (char, char),
    items: impl ExactSizeIterator<Item = (Option<&'a str>, &'a Tree)>,
    f: &mut fmt::Formatter<'_>,
    indent: Option<usize>,
) -> fmt::Result {
    f.write_char(open)?;
    let empty = items.len() == 0;
    let inside = indent.map(|indent| indent + 1);
    for (index, (name, value)) in items.enumerate() {
        if index > 0 {
            f.write_char(',')?;
        }
        line(f, inside)?;
        if let Some(name) = name {
            write_string(name, f)?;
            f.write_str(if inside.is_some() { ": " } else { ":" })?;
        }
        write(value, f, inside)?;
    }
    if !empty {
        line(f, indent)?;
    }
    f.write_char(close)
}

fn line(f: &mut fmt::Formatter<'_>, indent: Option<usize>) -> fmt::Result {
    match indent {
        Some(indent) => write!(f, "\n{:1$}", "", indent * 2),
        None => Ok(()),
    }
}

/// A string with its quotes; escapes what JSON demands, and nothing else. Letter for letter what
/// `serde_json` writes: a typed value must have the same bytes, and so the same digest, when it
/// comes back from a change event.
fn write_string(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    let mut rest = text;
    let escaped = |c: char| c == '"' || c == '\\' || (c as u32) < 0x20;
    while let Some((plain, tail)) = rest.find(escaped).and_then(|at| rest.split_at_checked(at)) {
        f.write_str(plain)?;
        let mut tail = tail.chars();
        match tail.next() {
            Some('"') => f.write_str("\\\"")?,
            Some('\\') => f.write_str("\\\\")?,
            Some('\n') => f.write_str("\\n")?,
            Some('\r') => f.write_str("\\r")?,
            Some('\t') => f.write_str("\\t")?,
            Some('\u{8}') => f.write_str("\\b")?,
            Some('\u{c}') => f.write_str("\\f")?,
            Some(other) => write!(f, "\\u{:04x}", other as u32)?,
            None => {}
        }
        rest = tail.as_str();
    }
    f.write_str(rest)?;
    f.write_char('"')
}
