//! Filters in the language of jq: a condition on a record's value, or what is to become of it.
//!
//! A filter sees one value and nothing else: it has no clock, environment, files, standard input or
//! output. So the same value gives the same answer, on any machine and at any time.

mod value;

use jaq_core::data::JustLut;
use jaq_core::load::{Arena, File, Loader, lex, parse};
use jaq_core::{Compiler, Ctx, Vars, compile, load};
use jaq_json::Val;

use crate::error::{Error, Result, code};
use crate::format::image::Image;
use crate::json::Tree;

/// Filters are written in at most this many bytes.
const FILTER_BYTES_MAX: usize = 1 << 16;
/// Filters have at most this many words and signs: each may be a step deeper into the stack.
const FILTER_TOKENS_MAX: usize = 1000;
/// Brackets are nested at most this deep in a filter: they take more of the stack.
const FILTER_DEPTH_MAX: usize = 32;
/// A filter gives at most this many outputs for one value.
const OUTPUTS_MAX: usize = 1 << 20;
/// Of a filter's own message, which may quote the value, at most this many characters are told.
const MESSAGE_CHARS_MAX: usize = 300;

/// What jq has and these filters have not: it reaches outside the value, or ends the process.
const WITHHELD: [&str; 11] = [
    "now",
    "localtime",
    "strflocaltime",
    "env",
    "halt",
    "halt_error",
    "debug",
    "debug_empty",
    "stderr",
    "stderr_empty",
    "input_line_number",
];

/// A filter in the language of [jq](https://jqlang.org/manual/), as [jaq](https://docs.rs/jaq-core)
/// understands it.
///
/// All of jq's language and functions but those that reach outside of the value: `now`,
/// `localtime`, `strflocaltime`, `env`, `$ENV`, `input`, `inputs`, `debug`, `stderr`, `halt`,
/// `halt_error`, and modules.
///
/// Numbers that a filter hands on keep their digits; what it calculates is exact for integers, and
/// a float for anything else. Two numbers that are not both integers are compared as floats.
///
/// # Limits
/// A filter may have 65,536 bytes and 1,000 words and signs, and nest 32 deep. It may give
/// 1,048,576 outputs for a value, each as deep as JSON may be
/// ([`JSON_DEPTH_MAX`](crate::json::JSON_DEPTH_MAX)). Not bounded are the time between two outputs,
/// the memory that one output takes, and how deep functions that the filter defines call
/// themselves: `last(repeat(1))` does not end, and `def f: 1 + f; f` overflows the stack, which
/// ends the process. Do not run the filters of strangers.
///
/// ```
/// use afterimage::{Filter, json::Tree};
///
/// let filter = Filter::compile(r#".status == "open" and (.items | length) > 1"#)?;
/// let order = Tree::parse(br#"{"status":"open","items":["a","b"]}"#)?;
/// assert!(filter.is_true_of(&order)?);
/// let names = Filter::compile(".items[]")?.run(&order)?;
/// assert_eq!(names.len(), 2);
/// # Ok::<(), afterimage::Error>(())
/// ```
pub struct Filter {
    text: String,
    program: jaq_core::Filter<JustLut<Val>>,
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filter").field("text", &self.text).finish_non_exhaustive()
    }
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// `Invalid` with the offset of what is not understood.
    pub fn compile(text: &str) -> Result<Self> {
        check_size(text)?;
        let definitions = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
        let functions = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
        let arena = Arena::default();
        let modules = Loader::new(definitions.filter(|def| !WITHHELD.contains(&def.name)))
            .load(&arena, File { code: text, path: () })
            .map_err(|errors| not_understood(text, &errors))?;
        load::import(&modules, |_| Err(String::new()))
            .map_err(|errors| not_understood(text, &errors))?;
        let program = Compiler::default()
            .with_funs(functions.filter(|(name, ..)| !WITHHELD.contains(name)))
            .compile(modules)
            .map_err(|errors| unknown(text, &errors))?;
        Ok(Self { text: text.to_owned(), program })
    }

    /// The filter as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What a filter sees of a record: JSON as it is; any other value as change events show it,
    /// `{"$bytes": "<base64>"}`; `null` for a record that is absent.
    #[must_use]
    pub fn input(image: Option<Image<'_>>) -> Tree {
        image.map_or(Tree::Null, value::of_image)
    }

    /// The outputs for a value.
    ///
    /// # Errors
    /// `Invalid` if the filter fails, as by `error("…")` or on a value of the wrong type, if it
    /// gives too many outputs, or one that is not JSON.
    pub fn run(&self, value: &Tree) -> Result<Vec<Tree>> {
        let mut outputs = Vec::new();
        self.each(value, |output| {
            outputs.push(value::to_tree(&output).map_err(|why| self.failed(&why))?);
            Ok(())
        })?;
        Ok(outputs)
    }

    /// Whether the filter holds for a record's value, as [`input`](Self::input) shows it: its last
    /// output is neither `false` nor `null`. Without output it does not hold.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn is_true(&self, image: Image<'_>) -> Result<bool> {
        self.is_true_of(&Self::input(Some(image)))
    }

    /// [`is_true`](Self::is_true), for a value at hand.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn is_true_of(&self, value: &Tree) -> Result<bool> {
        let mut holds = false;
        self.each(value, |output| {
            holds = !matches!(output, Val::Null | Val::Bool(false));
            Ok(())
        })?;
        Ok(holds)
    }

    fn each(&self, value: &Tree, mut take: impl FnMut(Val) -> Result<()>) -> Result<()> {
        let context = Ctx::<JustLut<Val>>::new(&self.program.lut, Vars::new([]));
        let outputs = self.program.id.run((context, value::of_tree(value)));
        for (count, output) in outputs.enumerate() {
            if count >= OUTPUTS_MAX {
                return Err(self.failed(&format!("it gives more than {OUTPUTS_MAX} outputs")));
            }
            match output {
                Ok(output) => take(output)?,
                // `unwrap_valr` of jaq would end the process for what is no error.
                Err(exception) => {
                    return Err(self.failed(&match exception.get_err() {
                        Ok(error) => told(error),
                        Err(_) => "it breaks off".to_owned(),
                    }));
                }
            }
        }
        Ok(())
    }

    fn failed(&self, why: &str) -> Error {
        Error::new(&code::FILTER_FAILED, format!("the filter `{}` failed", shown(&self.text)))
            .with_source(Cause(shown(why)))
    }
}

/// A message that is a string stands for itself, without the quotes of JSON.
fn told(error: jaq_core::Error<Val>) -> String {
    let value = error.into_val();
    if let Val::TStr(text) = &value {
        return String::from_utf8_lossy(text).into_owned();
    }
    value.to_string()
}

/// What jaq says.
#[derive(Debug)]
struct Cause(String);

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cause {}

fn shown(text: &str) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut shown: String = chars.by_ref().take(MESSAGE_CHARS_MAX).collect();
    if chars.next().is_some() {
        shown.push('\u{2026}');
    }
    shown
}

fn wrong(text: &str, offset: usize, what: &str) -> Error {
    let message = format!("the filter `{}` is not understood", shown(text));
    Error::new(&code::INVALID_FILTER, message)
        .at_offset(offset.min(text.len()) as u64)
        .with_source(Cause(shown(what)))
}

/// Bounds what reading it recurses on: jaq itself has no bound there.
fn check_size(text: &str) -> Result<()> {
    if text.len() > FILTER_BYTES_MAX {
        let what = format!("it is longer than {FILTER_BYTES_MAX} bytes");
        return Err(wrong(text, FILTER_BYTES_MAX, &what));
    }
    let (mut depth, mut tokens, mut after_word) = (0_usize, 0_usize, false);
    for (offset, byte) in text.bytes().enumerate() {
        let is_word = byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii();
        tokens += usize::from(!(byte.is_ascii_whitespace() || is_word && after_word));
        after_word = is_word;
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > FILTER_DEPTH_MAX {
            let what = format!("it is nested deeper than {FILTER_DEPTH_MAX}");
            return Err(wrong(text, offset, &what));
        }
        if tokens > FILTER_TOKENS_MAX {
            let what = format!("it has more than {FILTER_TOKENS_MAX} words and signs");
            return Err(wrong(text, offset, &what));
        }
    }
    Ok(())
}

/// Where `part`, a slice of `text`, begins.
fn offset(text: &str, part: &str) -> usize {
    (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize).unwrap_or(text.len())
}

fn not_understood(text: &str, errors: &load::Errors<&str, ()>) -> Error {
    let (found, what) = match errors.first().map(|(_, error)| error) {
        Some(load::Error::Lex(errors)) => lexed(errors),
        Some(load::Error::Parse(errors)) => parsed(errors),
        Some(load::Error::Io(errors)) => errors
            .first()
            .map_or((text, String::new()), |(path, _)| (*path, "it asks for a module".to_owned())),
        None => (text, String::new()),
    };
    wrong(text, offset(text, found), &what)
}

fn lexed<'a>(errors: &[lex::Error<&'a str>]) -> (&'a str, String) {
    errors.first().map_or(("", String::new()), |(expected, found)| {
        (*found, format!("a {} is expected", expected.as_str()))
    })
}

fn parsed<'a>(errors: &[parse::Error<&'a str>]) -> (&'a str, String) {
    errors.first().map_or(("", String::new()), |(expected, found)| {
        let at = if found.is_empty() { "the end".to_owned() } else { format!("`{found}`") };
        (*found, format!("{} is expected at {at}", expected.as_str()))
    })
}

fn unknown(text: &str, errors: &compile::Errors<&str, ()>) -> Error {
    let first = errors.iter().find_map(|(_, errors)| errors.first());
    let Some((name, kind)) = first else { return wrong(text, 0, "") };
    let what = if WITHHELD.contains(name) {
        format!("`{name}` reaches outside of the value")
    } else {
        format!("there is no {} `{name}`", kind.as_str())
    };
    wrong(text, offset(text, name), &what)
}

#[cfg(test)]
mod tests;
