//! Finding the moment: which transaction took a field from one value to another.

use std::str::FromStr;

use super::log::{Log, LogEntry, LogQuery};
use crate::error::{Error, Result};
use crate::format::image::{CodecId, Image};
use crate::json::{FieldPath, Tree};
use crate::store::{ChangeView, Store, TransactionView};

/// What to look for: changes of the log, and what they did to a field of the record.
#[derive(Clone, Debug, Default)]
pub struct SearchQuery {
    /// Which changes to look at.
    pub changes: LogQuery,
    /// Only changes of this field: its value before is another than that after. Without one,
    /// `from` and `to` are those of the whole value.
    pub field: Option<FieldPath>,
    /// Only changes from this.
    pub from: Option<FieldState>,
    /// Only changes to this.
    pub to: Option<FieldState>,
}

/// What a field is, or a whole value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldState {
    /// It is not there: the record, or the field in it, does not exist. A null is there.
    Absent,
    /// It has this value; numbers are the same however they are written.
    Value(Tree),
}

impl FromStr for FieldState {
    type Err = Error;

    /// The word `absent`, a JSON value, or text that is neither, which stands for a string. Is
    /// always understood; the string "absent" is written as JSON, with its quotes.
    fn from_str(text: &str) -> Result<Self> {
        if text == "absent" {
            return Ok(Self::Absent);
        }
        let tree = Tree::parse(text.as_bytes());
        Ok(Self::Value(tree.unwrap_or_else(|_| Tree::String(text.to_owned()))))
    }
}

/// A change that was found.
#[derive(Clone, Debug)]
pub struct Transition<'a> {
    /// The transaction; the record as it was before is at the LSN in front of it.
    pub transaction: TransactionView<'a>,
    /// The change.
    pub change: ChangeView<'a>,
    /// The field before; `None` if it was absent, or no field was asked for.
    pub from: Option<Tree>,
    /// The field after; `None` if it is absent, or no field was asked for.
    pub to: Option<Tree>,
}

/// Transitions, newest transaction first.
#[derive(Debug)]
pub struct Search<'a> {
    log: Log<'a>,
    sought: Sought,
    /// What is left of the transaction at hand, in the order of its changes.
    open: Option<(TransactionView<'a>, std::vec::IntoIter<ChangeView<'a>>)>,
}

impl Store {
    /// The changes that did to a field what the query asks for, newest transaction first, found as
    /// they are taken. Of a record that is named, only its own versions are looked at.
    ///
    /// # Errors
    /// As [`log`](Self::log).
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("hotel.store");
    /// use afterimage::{CodecId, Image, LogQuery, SearchQuery, Store};
    ///
    /// let store = Store::open(&path)?;
    /// for text in [r#"{"status":"paid"}"#, r#"{"status":"deleted"}"#] {
    ///     let image = Image::new(text.as_bytes(), CodecId::Json);
    ///     store.write(|tx| tx.put_image("invoices", b"17", image))?;
    /// }
    /// let query = SearchQuery {
    ///     field: Some("status".parse()?),
    ///     to: Some("deleted".parse()?),
    ///     ..SearchQuery::default()
    /// };
    /// let found: Vec<_> = store.search(&query)?.collect::<Result<_, _>>()?;
    /// assert_eq!(found[0].transaction.lsn().get(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn search(&self, query: &SearchQuery) -> Result<Search<'_>> {
        Ok(Search { log: self.log(&query.changes)?, sought: Sought::of(query), open: None })
    }
}

impl<'a> Iterator for Search<'a> {
    type Item = Result<Transition<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((transaction, changes)) = &mut self.open {
                for change in changes.by_ref() {
                    if let Some((from, to)) = self.sought.find(change.before(), change.after()) {
                        let transaction = transaction.clone();
                        return Some(Ok(Transition { transaction, change, from, to }));
                    }
                }
            }
            match self.log.next()? {
                Ok(LogEntry { transaction, changes }) => {
                    self.open = Some((transaction, changes.into_iter()));
                }
                Err(error) => {
                    self.open = None;
                    return Some(Err(error));
                }
            }
        }
    }
}

/// What is sought of each change, with what rules a change out without parsing it.
#[derive(Debug)]
struct Sought {
    field: Option<FieldPath>,
    from: Option<FieldState>,
    to: Option<FieldState>,
    /// Text that an image must hold if it has the field.
    names: Vec<String>,
    /// Text that an image must hold if its field is `from`.
    from_text: Option<String>,
    /// Text that an image must hold if its field is `to`.
    to_text: Option<String>,
}

/// A field's value before and after; absent if none.
type Sides = (Option<Tree>, Option<Tree>);

impl Sought {
    fn of(query: &SearchQuery) -> Self {
        let steps = query.field.iter().flat_map(FieldPath::steps);
        // A step that is a number may be an index, which is not written anywhere.
        let is_name = |step: &&String| !step.bytes().all(|byte| byte.is_ascii_digit());
        Self {
            field: query.field.clone(),
            from: query.from.clone(),
            to: query.to.clone(),
            names: steps.filter(is_name).filter_map(|name| plain(name)).collect(),
            from_text: query.from.as_ref().and_then(text_of),
            to_text: query.to.as_ref().and_then(text_of),
        }
    }

    /// The two sides of a change that is sought.
    fn find(&self, before: Option<Image<'_>>, after: Option<Image<'_>>) -> Option<Sides> {
        if self.field.is_none() && self.from.is_none() && self.to.is_none() {
            return Some((None, None));
        }
        if !may_be(self.from.as_ref(), self.from_text.as_deref(), before)
            || !may_be(self.to.as_ref(), self.to_text.as_deref(), after)
        {
            return None;
        }
        let Some(field) = &self.field else {
            let holds = whole_is(self.from.as_ref(), before) && whole_is(self.to.as_ref(), after);
            return holds.then_some((None, None));
        };
        // What rules out most changes comes first.
        let after_first = self.to.is_some().then(|| self.at(field, after));
        if after_first.as_ref().is_some_and(|to| !is(self.to.as_ref(), to.as_ref())) {
            return None;
        }
        let from = self.at(field, before);
        if !is(self.from.as_ref(), from.as_ref()) {
            return None;
        }
        let to = after_first.unwrap_or_else(|| self.at(field, after));
        let changed = match (&from, &to) {
            (Some(from), Some(to)) => !from.same_value(to),
            (None, None) => false,
            (Some(_), None) | (None, Some(_)) => true,
        };
        changed.then_some((from, to))
    }

    fn at(&self, field: &FieldPath, image: Option<Image<'_>>) -> Option<Tree> {
        let image = image?;
        if self.names.iter().any(|name| !may_hold(image, name)) {
            return None;
        }
        field.find(&super::diff::tree(image)?).cloned()
    }
}

/// Whether a field is as it is sought.
fn is(sought: Option<&FieldState>, found: Option<&Tree>) -> bool {
    match (sought, found) {
        (None, _) | (Some(FieldState::Absent), None) => true,
        (Some(FieldState::Value(sought)), Some(found)) => sought.same_value(found),
        (Some(_), _) => false,
    }
}

/// Whether a whole value is as it is sought; one that is not JSON is no JSON value.
fn whole_is(sought: Option<&FieldState>, image: Option<Image<'_>>) -> bool {
    match (sought, image) {
        (None, _) | (Some(FieldState::Absent), None) => true,
        (Some(FieldState::Value(sought)), Some(image)) => {
            super::diff::tree(image).is_some_and(|found| sought.same_value(&found))
        }
        (Some(_), _) => false,
    }
}

/// Whether an image may be what is sought, or hold a field that is, without parsing it.
fn may_be(sought: Option<&FieldState>, text: Option<&str>, image: Option<Image<'_>>) -> bool {
    match (sought, image) {
        (Some(FieldState::Value(_)), None) => false,
        (Some(FieldState::Value(_)), Some(image)) => text.is_none_or(|text| may_hold(image, text)),
        (Some(FieldState::Absent) | None, _) => true,
    }
}

/// Text that stands in every image that holds the value; a number can be written in many ways.
fn text_of(state: &FieldState) -> Option<String> {
    match state {
        FieldState::Value(Tree::String(text)) => plain(text),
        FieldState::Value(Tree::Bool(true)) => Some("true".to_owned()),
        FieldState::Value(Tree::Bool(false)) => Some("false".to_owned()),
        FieldState::Value(Tree::Null) => Some("null".to_owned()),
        FieldState::Value(Tree::Number(_) | Tree::Array(_) | Tree::Object(_))
        | FieldState::Absent => None,
    }
}

/// A string as it stands in JSON, if that needs no escape.
fn plain(text: &str) -> Option<String> {
    let escaped = |c: char| c == '"' || c == '\\' || c.is_control();
    (!text.contains(escaped)).then(|| format!("\"{text}\""))
}

/// Whether the image may be JSON that holds the text. With a backslash in it, anything may be
/// written another way.
fn may_hold(image: Image<'_>, text: &str) -> bool {
    image.codec() == CodecId::Json
        && (contains(image.bytes(), text.as_bytes()) || image.bytes().contains(&b'\\'))
}

fn contains(bytes: &[u8], sought: &[u8]) -> bool {
    let Some((first, rest)) = sought.split_first() else { return true };
    let mut left = bytes;
    while let Some(at) = left.iter().position(|byte| byte == first) {
        left = left.get(at + 1..).unwrap_or_default();
        if left.starts_with(rest) {
            return true;
        }
    }
    false
}
