//! Reading JSON text (RFC 8259) into a [`Tree`].

use super::Tree;
use crate::error::{Error, Result, code};

/// Arrays and objects are nested at most this deep.
pub const JSON_DEPTH_MAX: usize = 128;

pub(super) fn parse(text: &[u8]) -> Result<Tree> {
    let text = std::str::from_utf8(text).map_err(|source| {
        Error::new(&code::INVALID_JSON, "the text is not UTF-8")
            .at_offset(source.valid_up_to() as u64)
            .with_source(source)
    })?;
    let mut parser = Parser { text, at: 0 };
    let tree = parser.value(0)?;
    parser.skip_space();
    if parser.at < text.len() {
        return Err(parser.wrong("something follows the value"));
    }
    Ok(tree)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn wrong(&self, what: &str) -> Error {
        Error::new(&code::INVALID_JSON, what).at_offset(self.at as u64)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn value(&mut self, depth: usize) -> Result<Tree> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Tree::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Tree::Bool(true)),
            Some(b'f') => self.word("false", Tree::Bool(false)),
            Some(b'n') => self.word("null", Tree::Null),
            Some(_) => Err(self.wrong("a value is expected")),
            None => Err(self.wrong("the text ends where a value is expected")),
        }
    }

    fn word(&mut self, word: &str, tree: Tree) -> Result<Tree> {
        if !self.rest().starts_with(word) {
            return Err(self.wrong("a value is expected"));
        }
        self.at += word.len();
        Ok(tree)
    }

    fn deeper(&self, depth: usize) -> Result<usize> {
        if depth >= JSON_DEPTH_MAX {
            return Err(self.wrong("the value is nested too deeply"));
        }
        Ok(depth + 1)
    }

    fn array(&mut self, depth: usize) -> Result<Tree> {
        let depth = self.deeper(depth)?;
        self.at += 1;
        let mut items = Vec::new();
        if self.ends(b']') {
            return Ok(Tree::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            if self.ends(b']') {
                return Ok(Tree::Array(items));
            }
            self.comma()?;
        }
    }

    fn object(&mut self, depth: usize) -> Result<Tree> {
        let depth = self.deeper(depth)?;
        self.at += 1;
        let mut fields = Vec::new();
        if self.ends(b'}') {
            return Ok(Tree::Object(fields));
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.wrong("the name of a field is expected"));
            }
            let name = self.string()?;
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.wrong("a colon is expected"));
            }
            self.at += 1;
            let value = self.value(depth)?;
            fields.push((name, value));
            if self.ends(b'}') {
                return Ok(Tree::Object(without_doubles(fields)));
            }
            self.comma()?;
        }
    }

    fn ends(&mut self, close: u8) -> bool {
        self.skip_space();
        let ends = self.peek() == Some(close);
        self.at += usize::from(ends);
        ends
    }

    fn comma(&mut self) -> Result<()> {
        if self.peek() != Some(b',') {
            return Err(self.wrong("a comma is expected"));
        }
        self.at += 1;
        Ok(())
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.wrong("a digit is expected")) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<Tree> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(Tree::Number(self.text.get(start..self.at).unwrap_or_default().to_owned()))
    }

    fn string(&mut self) -> Result<String> {
        self.at += 1;
        let mut string = String::new();
        loop {
            let rest = self.rest();
            let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
            let Some(plain) = rest.bytes().position(|byte| special(&byte)) else {
                return Err(self.wrong("the text ends inside a string"));
            };
            string.push_str(rest.get(..plain).unwrap_or_default());
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(string);
                }
                Some(b'\\') => {
                    self.at += 1;
                    string.push(self.escape()?);
                }
                Some(_) | None => return Err(self.wrong("a control character in a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        let escaped = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            Some(_) | None => return Err(self.wrong("an unknown escape")),
        };
        self.at += 1;
        Ok(escaped)
    }

    /// One or two escapes of four digits: what lies beyond the basic plane is two surrogates.
    fn unicode(&mut self) -> Result<char> {
        let first = self.hex()?;
        if let Some(found) = char::from_u32(first) {
            return Ok(found);
        }
        let lone = self.wrong("a lone surrogate, which can't be kept exactly");
        if !(0xd800..0xdc00).contains(&first) || !self.rest().starts_with("\\u") {
            return Err(lone);
        }
        self.at += 1;
        let second = self.hex()?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(lone);
        }
        char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or(lone)
    }

    fn hex(&mut self) -> Result<u32> {
        self.at += 1;
        let digits = self.text.get(self.at..self.at + 4).unwrap_or_default();
        if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(self.wrong("four hexadecimal digits are expected"));
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).map_err(|_| self.wrong("hexadecimal digits"))
    }
}

/// Keeps the last of fields with the same name, at the place of the first.
fn without_doubles(fields: Vec<(String, Tree)>) -> Vec<(String, Tree)> {
    /// Below this many fields, comparing each with each is faster than sorting.
    const FEW: usize = 32;
    let doubled = if fields.len() <= FEW {
        fields
            .iter()
            .enumerate()
            .any(|(index, (name, _))| fields.iter().take(index).any(|(known, _)| known == name))
    } else {
        let mut names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| matches!(pair, [a, b] if a == b))
    };
    if !doubled {
        return fields;
    }
    let mut places = std::collections::BTreeMap::new();
    let mut kept: Vec<(String, Tree)> = Vec::new();
    for (name, value) in fields {
        if let Some(field) = places.get(&name).and_then(|place: &usize| kept.get_mut(*place)) {
            field.1 = value;
        } else {
            places.insert(name.clone(), kept.len());
            kept.push((name, value));
        }
    }
    kept
}
