//! Values on their way into a filter and out of it. No digit is lost on it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jaq_json::{Map, Num, Val};

use crate::format::image::{CodecId, Image};
use crate::json::{JSON_DEPTH_MAX, Tree};

/// Integers up to this many digits are numbers to calculate with; longer ones are handed on as they
/// are written, because reading them takes time by the square of their length.
const INTEGER_DIGITS_MAX: usize = 1000;

pub(super) fn of_image(image: Image<'_>) -> Tree {
    if let (CodecId::Json, Ok(tree)) = (image.codec(), Tree::parse(image.bytes())) {
        return tree;
    }
    Tree::Object(vec![("$bytes".to_owned(), Tree::String(STANDARD.encode(image.bytes())))])
}

pub(super) fn of_tree(tree: &Tree) -> Val {
    match tree {
        Tree::Null => Val::Null,
        Tree::Bool(value) => Val::Bool(*value),
        Tree::Number(text) => Val::Num(number(text)),
        Tree::String(text) => string(text),
        Tree::Array(items) => items.iter().map(of_tree).collect(),
        Tree::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (string(name), of_tree(value)));
            Val::obj(fields.collect::<Map>())
        }
    }
}

fn string(text: &str) -> Val {
    Val::utf8_str(text.as_bytes().to_vec())
}

/// What an integer would not be written as again, such as `-0`, stays the text it is.
fn number(text: &str) -> Num {
    let written = || Num::Dec(text.to_owned().into());
    if text.len() > INTEGER_DIGITS_MAX {
        return written();
    }
    match Num::from_str_radix(text, 10) {
        Some(integer) if integer.to_string() == text => integer,
        _ => written(),
    }
}

/// The value as JSON, or why it is none.
pub(super) fn to_tree(value: &Val) -> Result<Tree, String> {
    tree(value, 0)
}

fn tree(value: &Val, depth: usize) -> Result<Tree, String> {
    if depth > JSON_DEPTH_MAX {
        return Err("an output is nested too deeply".to_owned());
    }
    Ok(match value {
        Val::Null => Tree::Null,
        Val::Bool(value) => Tree::Bool(*value),
        Val::Num(Num::Float(float)) => Tree::Number(finite(*float)?),
        Val::Num(number) => Tree::Number(number.to_string()),
        Val::TStr(bytes) => Tree::String(text(bytes)?),
        Val::BStr(_) => return Err("an output holds bytes, which JSON has not".to_owned()),
        Val::Arr(items) => {
            let items = items.iter().map(|item| tree(item, depth + 1));
            Tree::Array(items.collect::<Result<_, _>>()?)
        }
        Val::Obj(fields) => {
            let field = |(name, value): (&Val, &Val)| {
                let Val::TStr(bytes) = name else {
                    return Err(format!("an output has a field whose name is no string: {name}"));
                };
                Ok((text(bytes)?, tree(value, depth + 1)?))
            };
            Tree::Object(fields.iter().map(field).collect::<Result<_, _>>()?)
        }
    })
}

/// Infinity and what is not a number are not JSON; to write another number for them, as jq does,
/// would store what nobody calculated.
fn finite(float: f64) -> Result<String, String> {
    if float.is_finite() {
        Ok(Num::Float(float).to_string())
    } else {
        Err(format!("an output is {float}, which JSON has not"))
    }
}

fn text(bytes: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(bytes);
    text.map(str::to_owned).map_err(|_| "an output holds text that is not UTF-8".to_owned())
}
