//! What was measured, as a table for people and as one object a line for programs.

use afterimage::{Progress, Result};
use comfy_table::CellAlignment;
use serde::Serialize;

use super::measure::{Measured, real};
use super::{Setting, grouped, span};
use crate::context::Context;
use crate::output;
use crate::progress::Display;
use crate::render::count;

const WORKLOADS: u64 = 11;

/// What the machine itself does in place of an operation.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    name: &'static str,
    operations_per_s: f64,
}

impl Limit {
    pub(super) const fn new(name: &'static str, operations_per_s: f64) -> Self {
        Self { name, operations_per_s }
    }
}

/// One workload, measured.
#[derive(Serialize)]
pub(super) struct Row {
    kind: &'static str,
    workload: &'static str,
    threads: u64,
    operations: u64,
    records: u64,
    bytes: Option<u64>,
    seconds: f64,
    records_per_s: f64,
    p50_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
    limit: Option<&'static str>,
    limit_records_per_s: Option<f64>,
    ratio: Option<f64>,
}

impl Row {
    /// A workload with one record an operation, on one thread.
    pub(super) fn new(workload: &'static str, measured: &Measured) -> Self {
        Self {
            kind: "workload",
            workload,
            threads: 1,
            operations: measured.operations,
            records: measured.operations,
            bytes: None,
            seconds: measured.elapsed.as_secs_f64(),
            records_per_s: measured.rate(),
            p50_ns: measured.times.permille(500),
            p99_ns: measured.times.permille(990),
            p999_ns: measured.times.permille(999),
            limit: None,
            limit_records_per_s: None,
            ratio: None,
        }
    }

    pub(super) fn threads(self, threads: u64) -> Self {
        Self { threads, ..self }
    }

    /// So many records an operation.
    pub(super) fn records(self, each: u64) -> Self {
        let records = self.operations * each;
        self.records_in_all(records)
    }

    pub(super) fn records_in_all(self, records: u64) -> Self {
        let records_per_s = real(records) / self.seconds.max(f64::MIN_POSITIVE);
        Self { records, records_per_s, ..self }
    }

    /// So many bytes in all: written to the journal, or of the values that were read.
    pub(super) fn bytes(self, bytes: u64) -> Self {
        Self { bytes: Some(bytes), ..self }
    }

    /// Compares with a limit; after the number of records is set.
    pub(super) fn of(self, limit: Limit) -> Self {
        let each = real(self.records) / real(self.operations.max(1));
        let most = limit.operations_per_s * each;
        let ratio = self.records_per_s / most.max(f64::MIN_POSITIVE);
        let (limit, most) = (Some(limit.name), Some(most));
        Self { limit, limit_records_per_s: most, ratio: Some(ratio), ..self }
    }

    fn title(&self) -> String {
        match self.workload {
            "put_durable" => "put, durable".to_owned(),
            "put_durable_threads" => format!("put, durable, {} threads", self.threads),
            "batch_durable" => format!("{}, durable", self.batch_title()),
            "put_new" => "put, new key".to_owned(),
            "put_update" => "put, over a record".to_owned(),
            "batch" => self.batch_title(),
            "get_past" => "get, in the past".to_owned(),
            "range" => "range of 100 records".to_owned(),
            "scan" => "scan of all records".to_owned(),
            "open" => "open after a checkpoint".to_owned(),
            other => other.to_owned(),
        }
    }

    fn batch_title(&self) -> String {
        let puts = self.records / self.operations.max(1);
        format!("{} a transaction", count(puts, "put"))
    }

    /// How much of the limit was reached.
    fn share(&self) -> String {
        let Some((limit, ratio)) = self.limit.zip(self.ratio) else { return String::new() };
        let of = match limit {
            "write_fdatasync" => "write + fdatasync",
            "copy_crc" => "copy + CRC",
            other => other,
        };
        let percent = ratio * 100.0;
        if percent < 10.0 {
            format!("{percent:.1} % of {of}")
        } else {
            format!("{percent:.0} % of {of}")
        }
    }
}

/// A limit, measured.
#[derive(Serialize)]
struct LimitRow {
    kind: &'static str,
    workload: &'static str,
    #[serde(skip)]
    title: &'static str,
    operations: u64,
    bytes: u64,
    seconds: f64,
    operations_per_s: f64,
    bytes_per_s: f64,
    p50_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
}

/// A line of JSON: what was measured, and with which settings.
#[derive(Serialize)]
struct Line<'a, T> {
    #[serde(flatten)]
    row: &'a T,
    #[serde(flatten)]
    setting: &'a Setting,
}

/// Tells lines of JSON as they are measured, and the table at the end.
pub(super) struct Report<'a> {
    context: &'a mut Context,
    setting: &'a Setting,
    display: Display,
    begun: u64,
    rows: Vec<Row>,
    limits: Vec<LimitRow>,
}

impl<'a> Report<'a> {
    pub(super) fn new(context: &'a mut Context, setting: &'a Setting) -> Self {
        let display = Display::new(&context.globals);
        Self { context, setting, display, begun: 0, rows: Vec::new(), limits: Vec::new() }
    }

    /// Shows which workload begins.
    pub(super) fn begin(&mut self, phase: &'static str) {
        let done = self.begun;
        self.begun += 1;
        self.display.show(Progress { phase, done, total: WORKLOADS, unit: "workloads" });
    }

    pub(super) fn add(&mut self, row: Row) -> Result<()> {
        self.line(&row)?;
        self.rows.push(row);
        Ok(())
    }

    /// A limit whose operation moves so many bytes.
    pub(super) fn limit(
        &mut self,
        workload: &'static str,
        title: &'static str,
        bytes: u64,
        measured: &Measured,
    ) -> Result<()> {
        let row = LimitRow {
            kind: "limit",
            workload,
            title,
            operations: measured.operations,
            bytes: measured.operations * bytes,
            seconds: measured.elapsed.as_secs_f64(),
            operations_per_s: measured.rate(),
            bytes_per_s: measured.rate() * real(bytes),
            p50_ns: measured.times.permille(500),
            p99_ns: measured.times.permille(990),
            p999_ns: measured.times.permille(999),
        };
        self.line(&row)?;
        self.limits.push(row);
        Ok(())
    }

    fn line(&mut self, row: &impl Serialize) -> Result<()> {
        if !self.context.out.json {
            return Ok(());
        }
        self.context.out.document(&Line { row, setting: self.setting })?;
        // Each line stands for a second or more; who reads them should not wait for the last.
        self.context.out.flush()
    }

    /// Ends with the table.
    pub(super) fn finish(self) -> Result<()> {
        self.display.finish();
        if self.context.out.json {
            return Ok(());
        }
        let mut workloads =
            output::table(&["workload", "records", "p50", "p99", "p99.9", "of the limit"]);
        for row in &self.rows {
            workloads.add_row([
                row.title(),
                format!("{}/s", grouped(row.records_per_s)),
                span(row.p50_ns),
                span(row.p99_ns),
                span(row.p999_ns),
                row.share(),
            ]);
        }
        align(&mut workloads);
        let mut limits = output::table(&["limit of the machine", "rate", "p50", "p99", "p99.9"]);
        for row in &self.limits {
            limits.add_row([
                row.title.to_owned(),
                rate(row),
                span(row.p50_ns),
                span(row.p99_ns),
                span(row.p999_ns),
            ]);
        }
        align(&mut limits);
        let out = &mut self.context.out;
        out.line(&format!("{}\n", self.setting))?;
        out.table(&workloads)?;
        out.line("")?;
        out.table(&limits)
    }
}

/// Figures end below each other.
fn align(table: &mut comfy_table::Table) {
    for column in 1..=4 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// Of a limit that waits for the disk, how often it does; of others, how much they move.
fn rate(row: &LimitRow) -> String {
    if row.workload.ends_with("fdatasync") {
        format!("{}/s", grouped(row.operations_per_s))
    } else {
        format!("{:.1} GB/s", row.bytes_per_s / 1e9)
    }
}
