//! The tables of this comparison, as Markdown.

use std::fmt::Write as _;

use super::damage::KINDS;
use super::results::{Counts, Findings, Results};
use super::{MOMENTS, Moment};

const HEAD: &str = "trials | detected | told | silent loss | wrong value | wrong unless checked \
                    | abort | hang | harmless | silent share |";

/// All tables of a run.
pub(super) fn markdown(results: &Results) -> String {
    let mut text = format!("{}\n\n", heading(results));
    for moment in MOMENTS {
        let of = |findings: &&Findings| findings.moment == moment;
        let findings: Vec<&Findings> = results.findings.iter().filter(of).collect();
        let _ = writeln!(text, "## {}\n\n{}", title(moment), by_kind(&findings));
        let _ = writeln!(text, "Bits flipped, by file:\n\n{}", by_file(&findings));
    }
    for setting in &results.engines {
        let (id, durable, recovery) = (setting.engine, setting.durable, setting.recovery);
        let skipped = MOMENTS.map(|moment| {
            let of = |found: &&Findings| found.engine == id && found.moment == moment;
            results.findings.iter().find(of).map_or(0, Findings::skipped_bytes)
        });
        let _ = writeln!(
            text,
            "* {id} {}: {durable}; recovery: {recovery}; bytes in blocks of zeros, not damaged: \
             {} after a crash, {} after closing",
            setting.version, skipped[0], skipped[1]
        );
    }
    for failure in &results.failures {
        let _ = writeln!(text, "* FAILED: {failure}");
    }
    text
}

fn title(moment: Moment) -> &'static str {
    match moment {
        Moment::Crash => "Files as a crash leaves them",
        Moment::Closed => "Files of a database that was closed",
    }
}

fn heading(results: &Results) -> String {
    let machine = &results.machine;
    format!(
        "{} durable commits of {} bytes, then one damage a trial: up to {} bits flipped and blocks \
         of 512 bytes zeroed in each file, {} lengths, the file missing. Each trial opens the \
         copy and reads all records, at most {} s and {} GiB of address space. {} cores of {}, \
         Linux {}.",
        results.commits,
        results.record_bytes,
        results.flips,
        results.flips.div_ceil(4),
        results.seconds_max,
        results.memory_bytes_max >> 30,
        machine.cores,
        machine.processor,
        machine.kernel
    )
}

fn by_kind(findings: &[&Findings]) -> String {
    let mut text = format!("| engine | damage | {HEAD}\n|---|---|{}", "--:|".repeat(10));
    for found in findings {
        for kind in KINDS {
            let row = row(&found.of(kind));
            let _ = write!(text, "\n| {} | {} | {row}", found.engine, kind.name());
        }
        let _ = write!(text, "\n| {} | **all** | {}", found.engine, row(&found.all));
    }
    text.push('\n');
    text
}

fn by_file(findings: &[&Findings]) -> String {
    let mut text =
        format!("| engine | file | bytes | live | {HEAD}\n|---|---|{}", "--:|".repeat(12));
    for found in findings {
        for file in found.files.iter().filter(|file| file.live_bytes > 0) {
            let (_, flips) = &file.kinds[0];
            let (path, bytes, live) = (&file.path, file.bytes, file.live_bytes);
            let row = row(flips);
            let _ = write!(text, "\n| {} | {path} | {bytes} | {live} | {row}", found.engine);
        }
    }
    text.push('\n');
    text
}

fn row(counts: &Counts) -> String {
    let share = 100.0 * counts.silent_loss as f64 / counts.trials.max(1) as f64;
    format!(
        "{} | {} | {} | {} | {} | {} | {} | {} | {} | {share:.1} % |",
        counts.trials,
        counts.detected,
        counts.told,
        counts.silent_loss,
        counts.wrong_value,
        counts.wrong_unless_checked,
        counts.abort,
        counts.hang,
        counts.harmless
    )
}
