//! Where a field stands in a value.

use std::fmt;
use std::str::FromStr;

use super::{Tree, write_string};
use crate::error::{Error, Result, code};

/// A path of at most this many steps leads as deep as a value may be.
const STEPS_MAX: usize = super::JSON_DEPTH_MAX;

/// The names and array indices that lead to a field, written `rooms.0.number`. A name that holds a
/// dot or a quote, or is empty, is written as a JSON string: `prices."12.50"`. A dot in front, as
/// jq has it, changes nothing.
///
/// ```
/// use afterimage::json::{FieldPath, Tree};
///
/// let tree = Tree::parse(br#"{"rooms":[{"a.b":204}]}"#)?;
/// let path: FieldPath = r#"rooms.0."a.b""#.parse()?;
/// assert_eq!(path.find(&tree), Some(&Tree::Number("204".into())));
/// # Ok::<(), afterimage::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(Vec<String>);

impl FieldPath {
    /// The path of these steps.
    #[must_use]
    pub const fn new(steps: Vec<String>) -> Self {
        Self(steps)
    }

    /// The names and indices, outermost first.
    #[must_use]
    pub fn steps(&self) -> &[String] {
        &self.0
    }

    /// The value it leads to.
    #[must_use]
    pub fn find<'a>(&self, tree: &'a Tree) -> Option<&'a Tree> {
        self.0.iter().try_fold(tree, |tree, step| tree.step(step))
    }
}

impl FromStr for FieldPath {
    type Err = Error;

    /// `Invalid` with the offset of what is not understood.
    fn from_str(text: &str) -> Result<Self> {
        let mut steps = Vec::new();
        let mut rest = text.strip_prefix('.').unwrap_or(text);
        loop {
            let wrong = |what: &str| {
                let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
                let message = format!("`{shown}` is no path of a field: {what}");
                Error::new(&code::INVALID_OPTION, message)
                    .at_offset((text.len() - rest.len()) as u64)
            };
            if steps.len() >= STEPS_MAX {
                return Err(wrong("it has too many steps"));
            }
            let length = if rest.starts_with('"') { quoted_length(rest) } else { rest.find('.') };
            let (step, tail) = rest.split_at(length.unwrap_or(rest.len()));
            let name = if step.starts_with('"') {
                Tree::parse(step.as_bytes()).ok().and_then(|tree| tree.as_str().map(str::to_owned))
            } else {
                (!step.is_empty() && !step.contains('"')).then(|| step.to_owned())
            };
            let name = name.ok_or_else(|| {
                wrong("write steps with dots between, and a name with a dot as a JSON string")
            })?;
            steps.push(name);
            match tail.strip_prefix('.') {
                Some(tail) => rest = tail,
                None if tail.is_empty() => return Ok(Self(steps)),
                None => return Err(wrong("a dot is expected behind a quoted name")),
            }
        }
    }
}

/// How long the JSON string is with which `text` begins.
fn quoted_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            if step.is_empty() || step.contains(['.', '"']) || step.chars().any(char::is_control) {
                write_string(step, f)?;
            } else {
                f.write_str(step)?;
            }
        }
        Ok(())
    }
}
