//! What a child does: damage after damage, each told before and after.

use std::io::Write;
use std::path::Path;

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::image::Image;
use super::{Batch, Subject, damage, opening, rows};
use crate::engine::{Outcome, Peer};

/// Address space of a child; an allocation beyond it fails.
pub(super) const MEMORY_BYTES: u64 = 4 << 30;

/// Begins the line that tells which damage is tried.
pub(super) const BEGIN: &str = "BEGIN ";
/// Begins the line with a verdict.
pub(super) const END: &str = "END ";
/// Begins the line with what a panic said.
pub(super) const PANIC: &str = "PANIC ";

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Class {
    /// Opening, a read, or the engine's own check is an error.
    Detected,
    /// Acknowledged records are missing, and opening told that something was cut off.
    Told,
    /// Acknowledged records are missing, and nothing said so.
    SilentLoss,
    /// A read returned another value, and even the engine's own check finds nothing.
    WrongValue,
    /// A read returned another value; the engine's own check, if anyone calls it, finds the damage.
    WrongUnlessChecked,
    /// The process panicked or was killed by a signal.
    Abort,
    /// It took too long.
    Hang,
    /// All records are there and right.
    Harmless,
}

/// How a trial ended, and the words of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Verdict {
    pub(super) class: Class,
    pub(super) detail: String,
}

impl Verdict {
    pub(super) fn new(class: Class, detail: impl ToString) -> Self {
        let detail = detail.to_string().chars().take(300).collect();
        Self { class, detail }
    }
}

/// Tries the damages of a batch. Anything but the undamaged files must read right first.
pub(super) fn run(subject: &Subject, batch: &Batch) -> Outcome<()> {
    limit(Resource::As, MEMORY_BYTES)?;
    limit(Resource::Core, 0)?;
    std::panic::set_hook(Box::new(|panic| {
        say(&format!("{PANIC}{}", panic.to_string().replace('\n', " ")));
        std::process::abort();
    }));
    let image = Image::read(&batch.image)?;
    let damages = damage::plan(&image, batch.flips);
    image.write(&batch.work, None)?;
    let (verdict, usual) = outcome(subject, &batch.work, &[]);
    if verdict.class != Class::Harmless {
        return Err(format!("undamaged files: {verdict:?}").into());
    }
    for (number, damage) in damages.iter().enumerate().take(batch.to).skip(batch.from) {
        image.write(&batch.work, Some(damage))?;
        say(&format!("{BEGIN}{number}"));
        let (verdict, _) = outcome(subject, &batch.work, &usual);
        say(&format!("{END}{}", serde_json::to_string(&verdict)?));
    }
    Ok(())
}

fn limit(what: Resource, most: u64) -> Outcome<()> {
    Ok(setrlimit(what, Rlimit { current: Some(most), maximum: Some(most) })?)
}

/// A line that is not lost if the process is.
fn say(line: &str) {
    let mut output = std::io::stdout().lock();
    // A parent that is gone needs no answer.
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}

/// Opens and reads everything; also what opening told, of which the usual does not count.
fn outcome(subject: &Subject, path: &Path, usual: &[String]) -> (Verdict, Vec<String>) {
    match (subject.engine.open)(&opening(path, true)) {
        Ok(peer) => {
            let told = peer.told();
            let news: Vec<&str> =
                told.iter().filter(|line| !usual.contains(line)).map(String::as_str).collect();
            let verdict = read(peer, &news.join("; "));
            (verdict, told)
        }
        Err(error) => (Verdict::new(Class::Detected, format!("open: {error}")), Vec::new()),
    }
}

fn read(mut peer: Box<dyn Peer>, news: &str) -> Verdict {
    let (mut missing, mut wrong, mut failed) = (Vec::new(), Vec::new(), None);
    for (number, row) in rows().iter().enumerate() {
        let mut right = true;
        match peer.get(&row.key, &mut |value| right = value == row.value) {
            Ok(true) if right => {}
            Ok(true) => wrong.push(number),
            Ok(false) => missing.push(number),
            Err(error) => failed = Some(error.to_string()),
        }
    }
    if !wrong.is_empty() {
        let wrong = format!("records {wrong:?}");
        return match peer.verify() {
            Err(error) => {
                Verdict::new(Class::WrongUnlessChecked, format!("{wrong}; verify: {error}"))
            }
            Ok(()) => Verdict::new(Class::WrongValue, wrong),
        };
    }
    if let Some(error) = failed {
        return Verdict::new(Class::Detected, format!("read: {error}"));
    }
    if missing.is_empty() {
        return Verdict::new(Class::Harmless, news);
    }
    let lost = format!("{} records missing, from {}", missing.len(), missing[0]);
    match peer.verify() {
        Err(error) => Verdict::new(Class::Detected, format!("verify: {error}; {lost}")),
        Ok(()) if news.is_empty() => Verdict::new(Class::SilentLoss, lost),
        Ok(()) => Verdict::new(Class::Told, format!("{lost}: {news}")),
    }
}
