//! Records as they are written on a command line, `COLLECTION/KEY`.

use afterimage::{Error, Result};

use crate::failure::usage;

/// A collection, or one record of it.
pub(crate) struct Subject {
    pub collection: String,
    pub key: Option<Vec<u8>>,
}

impl Subject {
    /// Reads `COLLECTION[/KEY]`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        match text.split_once('/') {
            None => Ok(Self { collection: text.to_owned(), key: None }),
            Some((collection, key)) => {
                Ok(Self { collection: collection.to_owned(), key: Some(parse_key(key)?) })
            }
        }
    }
}

/// Reads `COLLECTION/KEY`.
pub(crate) fn record(text: &str) -> Result<(String, Vec<u8>)> {
    match Subject::parse(text)? {
        Subject { collection, key: Some(key) } => Ok((collection, key)),
        Subject { .. } => {
            Err(usage(format!("`{}` names no record; write COLLECTION/KEY", text.escape_debug())))
        }
    }
}

/// Reads a key: `0x` and hexadecimal digits, or the text itself.
pub(crate) fn parse_key(text: &str) -> Result<Vec<u8>> {
    let Some(digits) = text.strip_prefix("0x") else { return Ok(text.as_bytes().to_vec()) };
    let wrong = || -> Error {
        usage(format!(
            "the key `{}` begins with 0x and is not hexadecimal; write the key's bytes as 0x…",
            text.escape_debug()
        ))
    };
    if digits.is_empty() || !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return Err(wrong());
    }
    (0..digits.len())
        .step_by(2)
        .map(|at| {
            let pair = digits.get(at..at + 2).unwrap_or_default();
            u8::from_str_radix(pair, 16).map_err(|_| wrong())
        })
        .collect()
}

/// Shows a key so that [`parse_key`] reads it again; control characters are written in hexadecimal.
pub(crate) fn show_key(key: &[u8]) -> String {
    match std::str::from_utf8(key) {
        Ok(text) if !text.starts_with("0x") && !text.chars().any(char::is_control) => {
            text.to_owned()
        }
        _ => key.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_shown() {
        for key in
            [&b"g-17"[..], b"0x", b"0xyz", b"\x00\xff", b"a/b", b"line\nfeed", "ü".as_bytes()]
        {
            assert_eq!(parse_key(&show_key(key)).expect("readable"), key);
        }
        assert_eq!(show_key(b"0x12"), "0x30783132");
        assert!(parse_key("0x1").is_err());
        assert!(parse_key("0x1g").is_err());
        assert!(parse_key("0x").is_err());
    }
}
