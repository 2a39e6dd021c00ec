//! Comma-separated values (RFC 4180): a line that names the columns, then a record a line.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read, Write};

use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder, Writer};

use super::event::{Event, one_line_of_json, output_failed, write_value};
use super::options::{CsvTypes, RecordShape};
use super::records::{Records, write_address, wrong};
use super::source::{LINE_BYTES_MAX, Line, shown};
use crate::error::{Error, Result, code};
use crate::format::image::{CodecId, OwnedImage};
use crate::json::Tree;
use crate::store::{KeyRange, Record, Snapshot};

/// The columns of an export that stand for no field.
const KEY_COLUMN: &str = "_key";
const VALUE_COLUMN: &str = "_value";
/// More columns than this are no table for anybody.
const COLUMNS_MAX: usize = 16_384;

/// Reads a table, one record at a time.
pub(super) struct Table<'i> {
    reader: Reader<Counted<'i>>,
    records: Records,
    types: CsvTypes,
    header: Option<Header>,
    row: ByteRecord,
    is_done: bool,
}

struct Header {
    columns: Vec<String>,
    key: usize,
}

/// An input of which no more is read for one record than a record may have, and whose lines are
/// counted: the reader of the table takes blank lines, and the second half of a line's end, for the
/// beginning of the next record.
struct Counted<'i> {
    input: &'i mut dyn BufRead,
    left: u64,
    read: u64,
    /// Line feeds before the piece that was read last, and where they are in that one.
    feeds_before: u64,
    feeds: Vec<u64>,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = loop {
            match self.input.read(into) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => return Err(io::ErrorKind::FileTooLarge.into()),
        }
        if count > 0 {
            self.feeds_before += self.feeds.len() as u64;
            let read = (self.read..).zip(into.iter().take(count));
            let feeds = read.filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
            self.feeds = feeds.collect();
            self.read += count as u64;
        }
        Ok(count)
    }
}

impl Counted<'_> {
    /// The line in which a record begins that ends at this byte and has so many line feeds itself.
    fn line(&self, end: u64, feeds: u64) -> u64 {
        let passed = self.feeds.partition_point(|at| at + 1 < end) as u64;
        (1 + self.feeds_before + passed).saturating_sub(feeds)
    }
}

impl<'i> Table<'i> {
    pub(super) fn new(input: &'i mut dyn BufRead, shape: &RecordShape, types: CsvTypes) -> Self {
        let input = Counted { input, left: 0, read: 0, feeds_before: 0, feeds: Vec::new() };
        Self {
            // How many cells there are, and whether they are text, is checked line by line.
            reader: ReaderBuilder::new().has_headers(false).flexible(true).from_reader(input),
            records: Records::new(shape),
            types,
            header: None,
            row: ByteRecord::new(),
            is_done: false,
        }
    }

    pub(super) fn collection(&self) -> &str {
        &self.records.shape.collection
    }

    /// The next record. Without a header there is none.
    pub(super) fn next(&mut self) -> Result<Option<Line>> {
        if self.is_done {
            return Ok(None);
        }
        if self.header.is_none() {
            let number = match self.read()? {
                Ok(number) => number.unwrap_or(1),
                Err(line) => return Ok(Some(line)),
            };
            match header(&self.row, &self.records.shape) {
                Ok(header) => self.header = Some(header),
                Err(error) => {
                    self.is_done = true;
                    return Ok(Some(Line { number, event: Err(error) }));
                }
            }
        }
        match self.read()? {
            Ok(None) => Ok(None),
            Ok(Some(number)) => Ok(Some(Line { number, event: self.event(number) })),
            Err(line) => Ok(Some(line)),
        }
    }

    /// Reads a row; says in which line it begins. Of one that can't be read nothing follows.
    fn read(&mut self) -> Result<Result<Option<u64>, Line>> {
        self.reader.get_mut().left = LINE_BYTES_MAX;
        let read = self.reader.read_byte_record(&mut self.row);
        let feeds = self.row.as_slice().split(|byte| *byte == b'\n').count() - 1;
        let number = self.reader.get_ref().line(self.reader.position().byte(), feeds as u64);
        match read {
            Ok(true) => Ok(Ok(Some(number))),
            Ok(false) => Ok(Ok(None)),
            Err(error) => {
                self.is_done = true;
                not_read(error, number).map(Err)
            }
        }
    }

    fn event(&mut self, number: u64) -> Result<Event> {
        let Some(header) = &self.header else { return Err(wrong("the table has no header")) };
        let (cells, columns) = (self.row.len(), header.columns.len());
        if cells != columns {
            let message = format!("{cells} cells, where the header names {columns} columns");
            return Err(Error::new(&code::INVALID_DOCUMENT, message));
        }
        let drop_key = self.records.shape.drop_key;
        let (mut key, mut fields) = (String::new(), Vec::with_capacity(columns));
        for (at, (column, cell)) in header.columns.iter().zip(&self.row).enumerate() {
            let cell = as_text(cell)?;
            if at == header.key {
                cell.clone_into(&mut key);
            }
            if at != header.key || !drop_key {
                fields.push((column.clone(), value(cell, self.types)));
            }
        }
        let bytes = Tree::Object(fields).to_string().into_bytes();
        self.records.keyed(number, &key, OwnedImage { bytes, codec: CodecId::Json, schema: 0 })
    }
}

/// A row that is too long, or an input that can't be read.
fn not_read(error: csv::Error, number: u64) -> Result<Line> {
    if let ErrorKind::Io(source) = error.into_kind()
        && source.kind() != io::ErrorKind::FileTooLarge
    {
        let message = format!("could not read on from line {number}");
        return Err(Error::new(&code::IO, message).with_source(source));
    }
    let message = "the line, or what stands behind an open quote, is too long";
    Ok(Line::wrong(number, message))
}

fn as_text(cell: &[u8]) -> Result<&str> {
    std::str::from_utf8(cell).map_err(|source| {
        Error::new(&code::INVALID_DOCUMENT, "a cell is not UTF-8").with_source(source)
    })
}

fn header(row: &ByteRecord, shape: &RecordShape) -> Result<Header> {
    let columns = row.iter().map(|cell| as_text(cell).map(str::to_owned));
    let columns: Vec<String> = columns.collect::<Result<_>>()?;
    if columns.is_empty() {
        let message = "the table is empty; its first line names the columns";
        return Err(Error::new(&code::INVALID_DOCUMENT, message));
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = columns.iter().find(|column| !seen.insert(*column)) {
        let message = format!("the column `{}` stands twice", shown(twice.as_bytes()));
        return Err(Error::new(&code::INVALID_DOCUMENT, message));
    }
    let Some(key) = columns.iter().position(|column| *column == shape.key) else {
        let all = shown(columns.join(", ").as_bytes());
        return Err(wrong(format!(
            "no column is named `{}`, the key; there are: {all}",
            shape.key
        )));
    };
    Ok(Header { columns, key })
}

fn value(cell: &str, types: CsvTypes) -> Tree {
    let text = || Tree::String(cell.to_owned());
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.');
    match types {
        CsvTypes::Auto if cell.is_empty() => Tree::Null,
        // What JSON writes the same way without quotes; `null` is a word like any other.
        CsvTypes::Auto if cell.chars().all(is_plain) => match Tree::parse(cell.as_bytes()) {
            Ok(tree @ (Tree::Number(_) | Tree::Bool(_))) => tree,
            Ok(_) | Err(_) => text(),
        },
        CsvTypes::Auto | CsvTypes::Strings => text(),
    }
}

/// Writes the records of a collection as comma-separated values. Returns how many.
///
/// The column `_key` holds the keys as in an address; then comes a column for each field that any
/// record has at its top, in the order in which they come first, which takes reading the collection
/// twice. A string is written as it is, what is nested as JSON, null and what is absent as nothing.
/// Values that are no JSON objects stand in a column `_value`, as in change events. Not everything
/// comes back from a table as it was; from the other formats it does.
///
/// # Errors
/// `NotFound` for a collection that never existed; `Invalid` for fields that can't be columns;
/// `Corrupt`; `Io` from the output.
pub fn export_csv(snapshot: &Snapshot, collection: &str, out: &mut dyn Write) -> Result<u64> {
    let mut columns = Columns::default();
    for record in snapshot.scan(collection, KeyRange::all())? {
        columns.take(fields(&record?).as_deref())?;
    }
    let mut table = Writer::from_writer(out);
    let failed = |error: csv::Error| output_failed(io::Error::other(error));
    let value_column = columns.has_values.then_some(VALUE_COLUMN);
    let names = columns.names.iter().map(String::as_str);
    let header = std::iter::once(KEY_COLUMN).chain(value_column).chain(names);
    table.write_record(header).map_err(failed)?;
    let mut count = 0;
    for record in snapshot.scan(collection, KeyRange::all())? {
        let record = record?;
        table.write_record(columns.cells(&record)?).map_err(failed)?;
        count += 1;
    }
    table.flush().map_err(output_failed)?;
    Ok(count)
}

/// The fields of a value that is a JSON object.
fn fields(record: &Record<'_>) -> Option<Vec<(String, Tree)>> {
    match one_line_of_json(record.image()) {
        Some(Tree::Object(fields)) => Some(fields),
        Some(_) | None => None,
    }
}

#[derive(Default)]
struct Columns {
    names: Vec<String>,
    places: BTreeMap<String, usize>,
    has_values: bool,
}

impl Columns {
    fn take(&mut self, fields: Option<&[(String, Tree)]>) -> Result<()> {
        let Some(fields) = fields else {
            self.has_values = true;
            return Ok(());
        };
        for (name, _) in fields {
            if self.places.contains_key(name) {
                continue;
            }
            let message = match name.as_str() {
                KEY_COLUMN | VALUE_COLUMN => format!("a field is named `{name}`, as a column is"),
                _ if self.names.len() >= COLUMNS_MAX => {
                    format!("the records have more than {COLUMNS_MAX} different fields")
                }
                _ => {
                    self.places.insert(name.clone(), self.names.len());
                    self.names.push(name.clone());
                    continue;
                }
            };
            return Err(Error::new(&code::INVALID_OPTION, format!("{message}; export as json")));
        }
        Ok(())
    }

    fn cells(&self, record: &Record<'_>) -> Result<Vec<String>> {
        let mut cells = vec![String::new(); self.names.len()];
        let mut whole = String::new();
        if let Some(fields) = fields(record) {
            for (name, value) in fields {
                let place = self.places.get(&name).and_then(|place| cells.get_mut(*place));
                if let Some(cell) = place {
                    *cell = text(value);
                }
            }
        } else {
            let mut bytes = Vec::new();
            write_value(&mut bytes, Some(record.image())).map_err(output_failed)?;
            whole = String::from_utf8_lossy(&bytes).into_owned();
        }
        let key = write_address(record.key());
        let value = self.has_values.then_some(whole);
        Ok(std::iter::once(key).chain(value).chain(cells).collect())
    }
}

fn text(value: Tree) -> String {
    match value {
        Tree::Null => String::new(),
        Tree::String(text) => text,
        Tree::Bool(_) | Tree::Number(_) | Tree::Array(_) | Tree::Object(_) => value.to_string(),
    }
}
