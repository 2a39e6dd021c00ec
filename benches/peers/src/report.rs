//! The tables, as Markdown.

use std::fmt::Write as _;

use crate::engine::{self, ENGINES, Engine, OWN};
use crate::results::{Cell, Column, Results, short};
use crate::workloads::{Headline, Settings, WORKLOADS, Who, Workload};

/// All tables of a run.
pub(crate) fn markdown(results: &Results) -> String {
    let mut text = format!("{}\n\n", heading(results));
    for workload in &WORKLOADS {
        if let Some(table) = table(results, workload) {
            let _ = writeln!(text, "## {}\n\n{}", workload.title, table.markdown());
            for line in notes(results, workload) {
                let _ = writeln!(text, "* {line}");
            }
            text.push('\n');
        }
    }
    text
}

/// On what, how often, with what.
pub(crate) fn heading(results: &Results) -> String {
    let machine = &results.machine;
    let versions: Vec<String> =
        results.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    format!(
        "{} cores of {}, {} GiB, Linux {}. Medians of {} runs, each in a fresh process and a \
         fresh directory; scale {}. 16-byte keys in random order, 100-byte values. {}.",
        machine.cores,
        machine.processor,
        machine.memory_gib,
        machine.kernel,
        results.repeats,
        results.scale,
        versions.join(", ")
    )
}

/// Rows and columns of text.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    fn markdown(&self) -> String {
        let mut text = format!("| {} |\n|---|", self.head.join(" | "));
        text.push_str(&"--:|".repeat(self.head.len() - 1));
        for row in &self.rows {
            let _ = write!(text, "\n| {} |", row.join(" | "));
        }
        text.push('\n');
        text
    }
}

/// The table of a workload; `None` if it did not run.
pub(crate) fn table(results: &Results, workload: &Workload) -> Option<Table> {
    let cells = results.of(workload);
    if cells.is_empty() {
        return None;
    }
    if workload.id == "growth" {
        return Some(growth_table(cells[0]));
    }
    if workload.id == "limits" {
        return Some(limits_table(cells[0]));
    }
    let mut columns: Vec<&str> = Vec::new();
    for column in cells.iter().flat_map(|cell| &cell.columns) {
        if !columns.contains(&column.name.as_str()) {
            columns.push(&column.name);
        }
    }
    if columns.is_empty() && cells.iter().all(|cell| cell.errors.is_empty()) {
        return None;
    }
    let mut head = vec!["engine".to_owned()];
    head.extend(columns.iter().map(|name| (*name).to_owned()));
    for headline in workload.headlines {
        if workload.who != Who::Own {
            head.push(format!("afterimage x: {}", headline.column));
        }
        if !headline.limit.is_empty() {
            head.push(format!("of {}", headline.limit));
        }
    }
    let own = cells.iter().find(|cell| cell.engine == OWN).copied();
    let row = |cell: &&Cell| {
        let mut row = vec![name(cell, workload)];
        row.extend(columns.iter().map(|column| shown(cell.median(column).map(short))));
        for headline in workload.headlines {
            let ratios = ratios(results, headline, cell, own);
            row.extend(ratios.into_iter().skip(usize::from(workload.who == Who::Own)));
        }
        row
    };
    Some(Table { head, rows: cells.iter().map(row).collect() })
}

/// The engine's name, with a star if its promise is weaker.
pub(crate) fn name(cell: &Cell, workload: &Workload) -> String {
    let weaker = matches!(workload.settings, Settings::Buffered | Settings::Both)
        && engine::find(cell.engine).is_ok_and(|engine| !engine.weaker.is_empty());
    let failed = if cell.errors.is_empty() { "" } else { " (failed)" };
    format!("{}{}{failed}", cell.engine, if weaker { " *" } else { "" })
}

fn shown(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

/// How much better afterimage is, and how near to the limit the engine comes.
fn ratios(results: &Results, headline: &Headline, cell: &Cell, own: Option<&Cell>) -> Vec<String> {
    let value = cell.median(headline.column);
    let own = own.and_then(|own| own.median(headline.column));
    let better = value.zip(own).map(|(value, own)| {
        format!("{:.2}", if headline.less { value / own } else { own / value })
    });
    let mut ratios = vec![shown(better)];
    if !headline.limit.is_empty() {
        let limit = results.limit(headline.limit);
        let share = value.zip(limit).map(|(value, limit)| format!("{:.0}%", 100.0 * value / limit));
        ratios.push(shown(share));
    }
    ratios
}

/// One limit a row.
fn limits_table(cell: &Cell) -> Table {
    let row = |column: &Column| vec![column.name.clone(), short(column.median)];
    let head = vec!["limit".to_owned(), "value".to_owned()];
    Table { head, rows: cell.columns.iter().map(row).collect() }
}

/// The columns `SIZE operation unit`, sizes down and operations across.
fn growth_table(cell: &Cell) -> Table {
    let (mut sizes, mut operations) = (Vec::new(), Vec::new());
    for (size, operation) in cell.columns.iter().filter_map(|c| c.name.split_once(' ')) {
        if !sizes.contains(&size) {
            sizes.push(size);
        }
        if !operations.contains(&operation) {
            operations.push(operation);
        }
    }
    let row = |size: &&str| {
        let value =
            |operation: &&str| shown(cell.median(&format!("{size} {operation}")).map(short));
        let mut row = vec![(*size).to_owned()];
        row.extend(operations.iter().map(value));
        row
    };
    let mut head = vec!["records".to_owned()];
    head.extend(operations.iter().map(|operation| (*operation).to_owned()));
    Table { head, rows: sizes.iter().map(row).collect() }
}

/// What stands below a table: settings, what they survive, and failures.
pub(crate) fn notes(results: &Results, workload: &Workload) -> Vec<String> {
    let mut lines = Vec::new();
    if matches!(workload.id, "limits" | "growth") {
        return lines;
    }
    let cells = results.of(workload);
    for engine in &ENGINES {
        let Some(cell) = cells.iter().find(|cell| cell.engine == engine.id) else { continue };
        lines.push(format!("{}: {}", engine.id, settings(engine, workload.settings)));
        for error in &cell.errors {
            lines.push(format!("{} FAILED: {error}", engine.id));
        }
    }
    lines
}

fn settings(engine: &Engine, settings: Settings) -> String {
    let star = if engine.weaker.is_empty() { "" } else { " [* weaker promise]" };
    let buffered = format!("{} - {}{star}", engine.buffered, engine.buffered_survives);
    let durable = format!("{} - kill and power cut: all that was acknowledged", engine.durable);
    match settings {
        Settings::Reading => engine.buffered.to_owned(),
        Settings::Buffered => format!("{buffered}; history: {}", engine.history),
        Settings::Durable => format!("{durable}; history: {}", engine.history),
        Settings::Both => {
            format!("buffered: {buffered}; durable: {durable}; history: {}", engine.history)
        }
    }
}
