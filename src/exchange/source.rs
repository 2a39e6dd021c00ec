//! Where the events of an import come from: an input in one of the formats, one event at a time,
//! with the names that they are to have.

use std::io::{BufRead, Read as _};

use super::document::Document;
use super::event::Event;
use super::mapping::Mapper;
use super::options::{ImportFormat, ImportOptions};
use super::table::Table;
use crate::error::{Error, Result, code};

/// A line is at most this long: two images of a gigabyte each, in base64. So is a record of a
/// document or a table.
pub const LINE_BYTES_MAX: u64 = 3 << 30;

/// What stands at one place of the input.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) number: u64,
    /// The event, or why there is none. What stands behind it can be read on.
    pub(super) event: Result<Event>,
}

impl Line {
    pub(super) fn wrong(number: u64, message: impl Into<String>) -> Self {
        Self { number, event: Err(Error::new(&code::INVALID_DOCUMENT, message)) }
    }
}

/// The events of an input, of the collections that are wanted, under their new names.
pub(super) struct Feed<'i> {
    format: Format<'i>,
    mapper: Mapper,
    collections: &'i [String],
}

enum Format<'i> {
    Changes(Lines<'i>),
    Document(Box<Document<'i>>),
    Table(Box<Table<'i>>),
}

impl<'i> Feed<'i> {
    pub(super) fn new(input: &'i mut dyn BufRead, options: &'i ImportOptions) -> Result<Self> {
        options.check()?;
        let format = match &options.format {
            ImportFormat::Changes => Format::Changes(Lines { input, line: Vec::new(), number: 0 }),
            ImportFormat::Json(shape) => Format::Document(Box::new(Document::new(input, shape))),
            ImportFormat::Csv(shape, types) => {
                Format::Table(Box::new(Table::new(input, shape, *types)))
            }
        };
        let mapper = Mapper::new(&options.mapping)?;
        Ok(Self { format, mapper, collections: &options.collections })
    }

    /// The next one; `None` at the end. An error is one of reading.
    pub(super) fn next(&mut self) -> Result<Option<Line>> {
        loop {
            let read = match &mut self.format {
                Format::Changes(lines) => lines.next()?,
                Format::Document(document) => document.next()?,
                Format::Table(table) => table.next()?,
            };
            let Some(Line { number, event }) = read else { return Ok(None) };
            let event = event.and_then(|event| self.mapper.apply(event));
            let is_wanted = |event: &Event| {
                self.collections.is_empty() || self.collections.contains(&event.collection)
            };
            if event.as_ref().map_or(true, is_wanted) {
                return Ok(Some(Line { number, event }));
            }
        }
    }

    /// The collections that the input is about, whatever it holds.
    pub(super) fn named(&self) -> Vec<String> {
        let of_format = match &self.format {
            Format::Changes(_) => None,
            Format::Document(document) => Some(document.collection()),
            Format::Table(table) => Some(table.collection()),
        };
        match of_format {
            Some(name) => {
                let name = self.mapper.collection(name);
                let is_wanted =
                    self.collections.is_empty() || self.collections.iter().any(|own| own == name);
                is_wanted.then(|| name.to_owned()).into_iter().collect()
            }
            None => self.collections.to_vec(),
        }
    }

    /// What of the mapping was never met.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.mapper.unmet()
    }
}

/// Lines of change events.
struct Lines<'i> {
    input: &'i mut dyn BufRead,
    line: Vec<u8>,
    number: u64,
}

impl Lines<'_> {
    fn next(&mut self) -> Result<Option<Line>> {
        loop {
            self.number += 1;
            let number = self.number;
            self.line.clear();
            let mut input = (&mut *self.input).take(LINE_BYTES_MAX + 1);
            let read = input.read_until(b'\n', &mut self.line).map_err(|source| {
                Error::new(&code::IO, format!("could not read line {number}")).with_source(source)
            })?;
            if read == 0 {
                return Ok(None);
            }
            if read as u64 > LINE_BYTES_MAX {
                let message = format!("line {number} is longer than {LINE_BYTES_MAX} bytes");
                return Err(Error::new(&code::INVALID_EVENT, message));
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some(Line { number, event: Event::parse(&self.line) }));
            }
        }
    }
}

/// An error of one line names it; its kind stays. What is not of the input has the number zero.
pub(super) fn at_line(number: u64, error: Error) -> Error {
    let code = match error.code().id {
        id if id == code::INVALID_JSON.id => &code::INVALID_EVENT,
        _ => error.code(),
    };
    if number == 0 {
        return error;
    }
    let message = format!("line {number}: {}", error.message());
    error.reworded(code, message)
}

/// A name or a key of the input, fit for a message.
pub(super) fn shown(text: &[u8]) -> String {
    const CHARS_MAX: usize = 80;
    String::from_utf8_lossy(text).chars().take(CHARS_MAX).flat_map(char::escape_debug).collect()
}
