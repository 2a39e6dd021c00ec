//! Standard output is data, standard error is talk; both stand here.

use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write};

use afterimage::{Error, Result, code};
use serde::Serialize;

use crate::args::{Globals, When};

/// Where a command's answer goes.
pub(crate) struct Output {
    out: BufWriter<Stdout>,
    pub json: bool,
    quiet: bool,
    /// Whether escape sequences may be written to standard output.
    color: bool,
    /// How many characters a line may have; a file or a pipe gets all of them.
    width: Option<usize>,
}

impl Output {
    pub(crate) fn new(globals: &Globals) -> Self {
        let color = match globals.color {
            When::Auto => anstream::ColorChoice::Auto,
            When::Always => anstream::ColorChoice::Always,
            When::Never => anstream::ColorChoice::Never,
        };
        color.write_global();
        let stdout = io::stdout();
        let colored = match globals.color {
            When::Always => true,
            When::Never => false,
            When::Auto => stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        };
        Self {
            out: BufWriter::with_capacity(64 << 10, stdout),
            json: globals.json,
            quiet: globals.quiet,
            color: colored,
            width: (io::stdout().is_terminal() && !globals.verbose).then(columns),
        }
    }

    /// Bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).map_err(failed)
    }

    /// One line of text.
    pub(crate) fn line(&mut self, line: &str) -> Result<()> {
        self.bytes(line.as_bytes())?;
        self.bytes(b"\n")
    }

    /// One JSON document on a line.
    pub(crate) fn document(&mut self, document: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.out, document)
            .map_err(io::Error::from)
            .and_then(|()| self.out.write_all(b"\n"))
            .map_err(failed)
    }

    /// Makes sure that everything is out; at the end, and before waiting for more.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.out.flush().map_err(failed)
    }

    /// The data stream itself, for those who write events.
    pub(crate) fn stream(&mut self) -> &mut dyn Write {
        &mut self.out
    }

    /// A table, each line no wider than the terminal.
    pub(crate) fn table(&mut self, table: &comfy_table::Table) -> Result<()> {
        for line in table.lines() {
            self.line(&self.fit(line.trim_end()))?;
        }
        Ok(())
    }

    /// Plain text, cut where the terminal ends.
    pub(crate) fn fit(&self, text: &str) -> String {
        match self.width {
            Some(width) if text.chars().nth(width).is_some() => {
                let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
                cut.push('\u{2026}');
                cut
            }
            _ => text.to_owned(),
        }
    }

    /// Text in a color, if colors are wanted.
    pub(crate) fn paint(&self, style: &str, text: &str) -> String {
        if self.color { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Says something that is no data.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            tell(text);
        }
    }

    /// Says something that should not go unnoticed.
    pub(crate) fn warn(&self, text: &str) {
        if !self.quiet {
            tell(&format!("\x1b[1;33mwarning\x1b[0m: {text}"));
        }
    }
}

pub(crate) fn tell(text: &str) {
    // With standard error closed there is nobody to tell.
    drop(writeln!(anstream::stderr().lock(), "{text}"));
}

/// How wide the terminal is: as the shell says, else wide enough for most values.
fn columns() -> usize {
    const UNKNOWN: usize = 200;
    let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    told.filter(|columns| *columns > 0).unwrap_or(UNKNOWN)
}

fn failed(source: io::Error) -> Error {
    Error::new(&code::IO, "could not write to standard output").with_source(source)
}

/// A table without lines, for people.
pub(crate) fn table(header: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(header.iter().copied());
    table
}
