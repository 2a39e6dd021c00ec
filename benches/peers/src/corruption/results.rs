//! What came out: counts by engine, moment, file and kind of damage.

use std::fmt;

use serde::Serialize;

use super::args::Args;
use super::damage::{Damage, KINDS, Kind};
use super::image::Image;
use super::supervise::LIMIT;
use super::trial::{Class, MEMORY_BYTES, Verdict};
use super::{COMMITS, Moment, Subject, VALUE_BYTES};
use crate::engine::Outcome;
use crate::results::Machine;

/// Everything a report is made of.
#[derive(Serialize)]
pub(super) struct Results {
    pub(super) machine: Machine,
    pub(super) flips: usize,
    pub(super) commits: u64,
    pub(super) record_bytes: usize,
    pub(super) seconds_max: u64,
    pub(super) memory_bytes_max: u64,
    pub(super) engines: Vec<Setting>,
    pub(super) findings: Vec<Findings>,
    pub(super) failures: Vec<String>,
}

/// How an engine was used.
#[derive(Serialize)]
pub(super) struct Setting {
    pub(super) engine: &'static str,
    pub(super) version: String,
    pub(super) durable: &'static str,
    pub(super) recovery: &'static str,
}

impl Results {
    /// Nothing yet.
    pub(super) fn new(args: &Args) -> Outcome<Self> {
        let setting = |subject: &&'static Subject| Setting {
            engine: subject.engine.id,
            version: (subject.version)(subject.engine.package),
            durable: subject.engine.durable,
            recovery: subject.recovery,
        };
        Ok(Self {
            machine: Machine::this()?,
            flips: args.flips,
            commits: COMMITS,
            record_bytes: VALUE_BYTES + size_of::<crate::rows::Key>(),
            seconds_max: LIMIT.as_secs(),
            memory_bytes_max: MEMORY_BYTES,
            engines: args.subjects.iter().map(setting).collect(),
            findings: Vec::new(),
            failures: Vec::new(),
        })
    }
}

/// What was found of one engine at one moment.
#[derive(Serialize)]
pub(super) struct Findings {
    pub(super) engine: &'static str,
    pub(super) moment: Moment,
    pub(super) all: Counts,
    pub(super) files: Vec<FileFindings>,
    /// The trials that were neither detected nor harmless.
    pub(super) cases: Vec<Case>,
}

/// What was found of one file.
#[derive(Serialize)]
pub(super) struct FileFindings {
    pub(super) path: String,
    pub(super) bytes: u64,
    /// Bytes of blocks that are not all zeros.
    pub(super) live_bytes: u64,
    pub(super) kinds: Vec<(Kind, Counts)>,
}

/// One trial.
#[derive(Serialize)]
pub(super) struct Case {
    file: String,
    damage: Kind,
    /// The byte that was changed, the first of the block, or the new length.
    offset: usize,
    bit: Option<u32>,
    class: Class,
    detail: String,
}

/// How many trials ended how.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Counts {
    pub(super) trials: u64,
    pub(super) detected: u64,
    pub(super) told: u64,
    pub(super) silent_loss: u64,
    pub(super) wrong_value: u64,
    pub(super) wrong_unless_checked: u64,
    pub(super) abort: u64,
    pub(super) hang: u64,
    pub(super) harmless: u64,
}

impl Counts {
    fn count(&mut self, class: Class) {
        self.trials += 1;
        *match class {
            Class::Detected => &mut self.detected,
            Class::Told => &mut self.told,
            Class::SilentLoss => &mut self.silent_loss,
            Class::WrongValue => &mut self.wrong_value,
            Class::WrongUnlessChecked => &mut self.wrong_unless_checked,
            Class::Abort => &mut self.abort,
            Class::Hang => &mut self.hang,
            Class::Harmless => &mut self.harmless,
        } += 1;
    }

    /// The sum of several.
    pub(super) fn sum<'c>(counts: impl Iterator<Item = &'c Self>) -> Self {
        counts.fold(Self::default(), |sum, one| Self {
            trials: sum.trials + one.trials,
            detected: sum.detected + one.detected,
            told: sum.told + one.told,
            silent_loss: sum.silent_loss + one.silent_loss,
            wrong_value: sum.wrong_value + one.wrong_value,
            wrong_unless_checked: sum.wrong_unless_checked + one.wrong_unless_checked,
            abort: sum.abort + one.abort,
            hang: sum.hang + one.hang,
            harmless: sum.harmless + one.harmless,
        })
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} trials: {} detected, {} told, {} silent, {} wrong, {} abort, {} hang, {} harmless",
            self.trials,
            self.detected,
            self.told,
            self.silent_loss,
            self.wrong_value + self.wrong_unless_checked,
            self.abort,
            self.hang,
            self.harmless
        )
    }
}

impl Findings {
    /// Counts the verdicts on these damages.
    pub(super) fn new(
        subject: &Subject,
        moment: Moment,
        image: &Image,
        damages: &[Damage],
        verdicts: &[Verdict],
    ) -> Self {
        let path = |file: usize| image.files[file].path.display().to_string();
        let mut files: Vec<FileFindings> = (0..image.files.len())
            .map(|number| FileFindings {
                path: path(number),
                bytes: image.files[number].length,
                live_bytes: image.files[number].live_bytes(),
                kinds: KINDS.map(|kind| (kind, Counts::default())).to_vec(),
            })
            .collect();
        let mut cases = Vec::new();
        for (damage, verdict) in damages.iter().zip(verdicts) {
            let kinds = files[damage.file].kinds.iter_mut();
            kinds
                .filter(|(kind, _)| *kind == damage.kind)
                .for_each(|(_, c)| c.count(verdict.class));
            if !matches!(verdict.class, Class::Detected | Class::Harmless) {
                cases.push(Case {
                    file: path(damage.file),
                    damage: damage.kind,
                    offset: damage.offset,
                    bit: (damage.kind == Kind::Flip).then_some(damage.bit),
                    class: verdict.class,
                    detail: verdict.detail.clone(),
                });
            }
        }
        let all = files.iter().flat_map(|file| &file.kinds).map(|(_, counts)| counts);
        Self { engine: subject.engine.id, moment, all: Counts::sum(all), files, cases }
    }

    /// The counts of one kind of damage in all files.
    pub(super) fn of(&self, kind: Kind) -> Counts {
        let kinds = self.files.iter().flat_map(|file| &file.kinds);
        Counts::sum(kinds.filter(|(of, _)| *of == kind).map(|(_, counts)| counts))
    }

    /// Zeros that were skipped because nothing stands in their blocks.
    pub(super) fn skipped_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes.saturating_sub(file.live_bytes)).sum()
    }
}
