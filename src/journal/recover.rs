//! Opening a journal: acts on what [`survey`](super::survey) found and [`cut`](super::cut) decided.
//!
//! Every step leaves a state from which the same recovery starts again: cut bytes are copied to
//! `quarantine/` before they are cut, a segment is sealed before the next one is made, and nothing
//! that holds a frame is deleted.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::Journal;
use super::beacon::{Beacon, Chain};
use super::cut::{Decision, Why};
use super::prepare::{Mould, Prepared, claim};
use super::scan::{Scan, Stop};
use super::seal::Sealing;
use super::segment::{Segment, Tail, segment_start};
use super::survey::{Found, FoundKind, Hole, Settle, Short, Survey, survey, to_usize};
use crate::error::{Error, ErrorKind, Result, code};
use crate::format::control::Control;
use crate::format::names;
use crate::format::segment::SegmentHeader;
use crate::lsn::{Lsn, Position};
use crate::sys::{self, DiskFile, Entry, MapAccess};
use crate::time::Clock;

/// Something that opening a store found or did, and that a person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice(String);

impl Notice {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An opened journal.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) journal: Arc<Journal>,
    pub(crate) tail: Tail,
    pub(crate) chain: Chain,
    pub(crate) notices: Vec<Notice>,
    /// The segment to append to and the changes it holds, if the journal was opened for writing.
    pub(crate) active: Option<(Prepared, u64)>,
}

/// Opens the journal for writing; the store's lock is held. Refuses damage of acknowledged data.
pub(crate) fn open_for_writing(mould: Mould, clock: &Arc<dyn Clock>) -> Result<Opened> {
    let control = Beacon::read(&*mould.disk, &mould.root, &mould.identity)?;
    let settle = if control.clean { Settle::Not } else { Settle::ToWrite };
    let mut survey = survey(&mould, &control, settle)?;
    if let Decision::Damage(why) = survey.decision {
        return Err(damage(&mould, &survey, &control, why));
    }
    if control.clean && survey.segments.iter().any(is_open) {
        // The files were opened for reading while nothing was known about them.
        survey = reopen(&mould, survey)?;
    }
    let beacon = Beacon::open(&*mould.disk, &mould.root, control)?;
    // From here on the shutdown is not clean any more, and that must be durable first.
    beacon.write(&survey.tail_for_beacon(&control), None, false, clock.now())?;
    let mut notices = Vec::new();
    let mut work = Work { mould: &mould, notices: &mut notices, chain: survey.chain };
    work.clear_unused(&mut survey.segments)?;
    let used = survey.end_of_used();
    if survey.tail.end.segment() > used.segment() {
        // It was the start of a segment that is gone now.
        survey.tail.end = used;
    }
    let keep_last = survey.decision == Decision::Continue;
    let cut = survey.hole;
    work.settle(&mut survey.segments, keep_last, cut)?;
    let chain = work.chain;
    let journal = Arc::new(Journal::new(mould, Arc::clone(clock), survey.tail));
    let active = add_all(&journal, survey.segments, keep_last)?;
    let active = match active {
        Some(active) => active,
        None => (new_segment(&journal)?, 0),
    };
    journal.set_beacon(beacon);
    journal.write_beacon(Some(chain), false)?;
    Ok(Opened { journal, tail: survey.tail, chain, notices, active: Some(active) })
}

/// Opens the journal for reading, beside a writer or alone; changes nothing. Of a damaged journal,
/// `salvage` serves what stands before the damage.
pub(crate) fn open_read_only(mould: Mould, clock: Arc<dyn Clock>, salvage: bool) -> Result<Opened> {
    /// A writer may append between two looks at its files, which can seem like damage.
    const LOOKS_MAX: usize = 20;
    let mut notices = Vec::new();
    let mut look = 1;
    let (mut survey, beside_writer) = loop {
        let control = match Beacon::read(&*mould.disk, &mould.root, &mould.identity) {
            Err(error) if salvage && error.kind() == ErrorKind::Corrupt => {
                notices.push(Notice::new(format!("[{}] {error}", error.code().id)));
                Beacon::lost(&mould.identity)
            }
            read => read?,
        };
        let is_written = || -> Result<bool> {
            Ok(mould.disk.lock_holder(&mould.root.join(names::LOCK))?.is_some())
        };
        let live = is_written()?;
        let settle = if control.clean || live { Settle::Not } else { Settle::ToRead };
        let surveyed = survey(&mould, &control, settle);
        let seems_wrong = match &surveyed {
            Ok(survey) => matches!(survey.decision, Decision::Damage(_)),
            // A file may have been sealed or removed meanwhile.
            Err(_) => true,
        };
        // Also by a writer that has come since.
        if seems_wrong && look < LOOKS_MAX && (live || is_written()?) {
            look += 1;
            std::thread::sleep(std::time::Duration::from_millis(10));
            continue;
        }
        let survey = surveyed?;
        let Decision::Damage(why) = survey.decision else {
            // Of a live writer's journal the end is often not whole yet.
            notices.extend(survey.hole.filter(|_| !live).map(|hole| unfinished(&survey, hole)));
            break (survey, live);
        };
        let error = damage(&mould, &survey, &control, why);
        if !salvage {
            return Err(error);
        }
        notices.push(salvaged(&error, survey.tail.lsn));
        break (survey, live);
    };
    leave_to_followers(&mut survey.segments);
    let journal = Arc::new(Journal::opened_for_reading(mould, clock, survey.tail, beside_writer));
    add_all(&journal, survey.segments, false)?;
    Ok(Opened { journal, tail: survey.tail, chain: survey.chain, notices, active: None })
}

/// Says that of a damaged journal only the first part is served.
pub(crate) fn salvaged(error: &Error, last: Lsn) -> Notice {
    Notice::new(format!(
        "[{}] {error}; serving what stands before it, up to LSN {last}",
        error.code().id
    ))
}

/// Leaves out the newest segments if nothing of them was taken in: the writer may still write to
/// the one before, and may remove such a segment and make another one of the same number. It is
/// opened when it is written to.
fn leave_to_followers(segments: &mut Vec<Found>) {
    while segments.last().is_some_and(holds_nothing) {
        segments.pop();
    }
}

impl Survey {
    /// What the beacon may say before recovery has synced anything: no more than it said.
    fn tail_for_beacon(&self, control: &Control) -> Tail {
        Tail {
            lsn: control.durable_lsn,
            crc: control.durable_crc,
            end: control.durable_end.min(self.end_of_used()),
            ..self.tail
        }
    }

    /// Where the last segment begins that recovery will not remove.
    fn end_of_used(&self) -> Position {
        match self.segments.iter().rfind(|found| !is_unused(found)) {
            Some(used) => segment_start(used.number),
            None => Position::NONE,
        }
    }
}

/// Says that something stands behind the last transaction, which nothing vouches for.
fn unfinished(survey: &Survey, hole: Hole) -> Notice {
    Notice::new(format!(
        "behind LSN {} stands a write that was interrupted: at offset {} of segment {}, {} is \
         wrong; opening for writing will set it aside",
        survey.tail.lsn, hole.offset, hole.segment, hole.malformed.what
    ))
}

/// Whether no transaction of it was taken in.
fn holds_nothing(found: &Found) -> bool {
    match &found.kind {
        FoundKind::Unused => true,
        FoundKind::Open { scan, .. } => scan.transactions == 0 && scan.seal.is_none(),
        FoundKind::Sealed { .. } => false,
    }
}

/// Whether it is removed and made anew: the first one is kept, once it has a header.
fn is_unused(found: &Found) -> bool {
    holds_nothing(found) && (found.number > 1 || matches!(found.kind, FoundKind::Unused))
}

fn is_open(found: &Found) -> bool {
    matches!(found.kind, FoundKind::Open { .. })
}

/// Opens the unsealed files for writing.
fn reopen(mould: &Mould, mut survey: Survey) -> Result<Survey> {
    for found in survey.segments.iter_mut().filter(|found| is_open(found)) {
        let path = names::segment(&mould.root, found.number);
        found.file = mould.disk.open(&path, sys::Access::Write)?;
    }
    Ok(survey)
}

fn damage(mould: &Mould, survey: &Survey, control: &Control, why: Why) -> Error {
    let lsn = survey.tail.lsn.next();
    if let Some(short) = survey.short {
        return cut_short(mould, short).at_lsn(lsn);
    }
    let error = match (why, survey.hole) {
        (Why::Beacon, None) => Error::new(
            &code::JOURNAL_INCOMPLETE,
            format!(
                "the journal ends at LSN {} but LSN {} was durable",
                survey.tail.lsn, control.durable_lsn
            ),
        )
        .at_path(&names::segment(&mould.root, survey.tail.end.segment().max(1)))
        .at_offset(u64::from(survey.tail.end.offset())),
        (_, Some(hole)) => damage_at(mould, hole, why),
        (_, None) => Error::new(&code::JOURNAL_INCOMPLETE, "acknowledged transactions are missing"),
    };
    error.at_lsn(lsn)
}

fn cut_short(mould: &Mould, Short { segment, length }: Short) -> Error {
    let path = names::segment(&mould.root, segment);
    let wrong = |message: &str| Error::new(&code::JOURNAL_INCOMPLETE, message).at_path(&path);
    match length {
        Some(length) => wrong("the segment was cut short").at_offset(length),
        None => wrong("the journal's last segment is not there any more"),
    }
}

fn damage_at(mould: &Mould, hole: Hole, why: Why) -> Error {
    let evidence = match why {
        Why::Sealed => "the segment was sealed",
        Why::Beacon => "CONTROL says that it was durable",
        Why::Vouched => "later frames say that it was durable",
        Why::Clean => "the store was closed properly",
        Why::Short => "the file was longer",
    };
    let what = hole.malformed.what;
    Error::new(&code::FRAME_DAMAGED, format!("{what} is wrong, and {evidence}"))
        .at_path(&names::segment(&mould.root, hole.segment))
        .at_offset(u64::from(hole.offset))
}

struct Work<'a> {
    mould: &'a Mould,
    notices: &'a mut Vec<Notice>,
    chain: Chain,
}

impl Work<'_> {
    /// Removes a segment that was being made ready when the process ended: it holds nothing.
    fn clear_unused(&mut self, segments: &mut Vec<Found>) -> Result<()> {
        while segments.last().is_some_and(is_unused) {
            let Some(found) = segments.pop() else { break };
            if is_zero_behind_header(&*found.file)? {
                self.mould.disk.remove(found.file.path())?;
            } else {
                self.set_aside(&found)?;
            }
            self.sync_names()?;
        }
        Ok(())
    }

    /// Moves a segment in which nothing continues the journal to `quarantine/`.
    fn set_aside(&mut self, found: &Found) -> Result<()> {
        let name = format!("{:08}.seg", found.number);
        let target = self.free_name(|attempt| match attempt {
            0 => name.clone(),
            _ => format!("{name}.{attempt}"),
        })?;
        self.mould.disk.rename(found.file.path(), &target)?;
        self.mould.disk.sync_dir(&self.mould.root.join(names::QUARANTINE))?;
        self.notices.push(Notice::new(format!(
            "segment {} was written but never acknowledged as durable; it was kept as {}",
            found.number,
            target.display()
        )));
        Ok(())
    }

    /// Seals every segment that is not sealed, except the last one after a clean shutdown.
    fn settle(&mut self, segments: &mut [Found], keep_last: bool, cut: Option<Hole>) -> Result<()> {
        let last = segments.last().map(|found| found.number);
        for found in segments.iter_mut() {
            let keep = keep_last && Some(found.number) == last;
            if let (FoundKind::Open { header, scan }, false) = (&found.kind, keep) {
                let at_cut = cut.is_some_and(|hole| hole.segment == found.number);
                found.kind = self.seal(&*found.file, *header, scan, at_cut)?;
            }
        }
        Ok(())
    }

    fn seal(
        &mut self,
        file: &dyn DiskFile,
        header: SegmentHeader,
        scan: &Scan,
        at_cut: bool,
    ) -> Result<FoundKind> {
        let end = u64::from(scan.end);
        // Where no frame follows, nothing but zeros does.
        if scan.seal.is_none() && matches!(scan.stop, Stop::Hole(_)) {
            self.keep_tail(file, header.number, end, at_cut.then_some(scan.tail.lsn.next()))?;
        }
        let bytes = sys::read_range(file, 0, scan.end as usize)?;
        let (seal, frame) = Sealing {
            seed: header.seed(),
            hash: blake3::hash(&bytes),
            end: scan.end,
            tail: &scan.tail,
            table: scan.table.clone(),
            changes: scan.changes,
            previous_chain: self.chain.hash,
        }
        .build();
        let length = end + frame.len() as u64;
        // With room for the seal, as in `seal::finish`: without, it would be one that was cut.
        file.truncate(length)?;
        file.write_at(end, &frame)?;
        file.sync()?;
        self.chain = Chain { hash: seal.chain(), segment: header.number };
        Ok(FoundKind::Sealed { header, seal, length })
    }

    /// Copies what stands behind the sound frames to `quarantine/`, if it is anything but zeros.
    fn keep_tail(
        &mut self,
        file: &dyn DiskFile,
        segment: u32,
        end: u64,
        lost: Option<Lsn>,
    ) -> Result<()> {
        let mut bytes =
            sys::read_range(file, end, to_usize(file.written_end()?.saturating_sub(end)))?;
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(used);
        if bytes.is_empty() {
            return Ok(());
        }
        let target = self.free_name(|attempt| names::cut_tail(segment, end, attempt))?;
        sys::atomic::publish(&*self.mould.disk, &target, &[&bytes])?;
        if let Some(lsn) = lost {
            self.notices.push(Notice::new(format!(
                "an interrupted write behind LSN {} was cut off: {used} bytes at offset {end} of \
                 segment {segment}, kept as {}; nothing in the store says that it was durable",
                lsn.previous(),
                target.display()
            )));
        }
        Ok(())
    }

    fn free_name(&self, name: impl Fn(u32) -> String) -> Result<PathBuf> {
        /// Each crash inside recovery may leave one file more.
        const ATTEMPTS_MAX: u32 = 10_000;
        let directory = self.mould.root.join(names::QUARANTINE);
        if self.mould.disk.entry(&directory)? == Entry::Nothing {
            self.mould.disk.create_dir(&directory)?;
            self.mould.disk.sync_dir(&self.mould.root)?;
        }
        for attempt in 0..ATTEMPTS_MAX {
            let path = directory.join(name(attempt));
            if self.mould.disk.entry(&path)? == Entry::Nothing {
                return Ok(path);
            }
        }
        Err(Error::new(&code::IO, "quarantine is full of cut tails").at_path(&directory))
    }

    fn sync_names(&self) -> Result<()> {
        self.mould.disk.sync_dir(&self.mould.root.join(names::JOURNAL))
    }
}

/// Maps the segments and adds them to the journal; gives back the last one for appending.
fn add_all(
    journal: &Journal,
    segments: Vec<Found>,
    append_to_last: bool,
) -> Result<Option<(Prepared, u64)>> {
    let last = segments.last().map(|found| found.number);
    let mut active = None;
    for found in segments {
        match found.kind {
            FoundKind::Unused => {}
            FoundKind::Sealed { header, seal, length } => {
                let map = found.file.map(to_usize(length), MapAccess::Read)?;
                map.advance(to_usize(length));
                let segment = Segment::new(header, found.file, map);
                segment.set_seal(seal);
                journal.add(segment)?;
            }
            FoundKind::Open { header, scan } if append_to_last && Some(found.number) == last => {
                active = Some((append_to(journal, found.file, header, &scan)?, scan.changes));
            }
            FoundKind::Open { header, scan } => {
                let length = to_usize(found.file.length()?);
                let map = found.file.map(length, MapAccess::Read)?;
                map.advance((scan.end as usize).min(length));
                let segment = Segment::new(header, found.file, map);
                scan.table.iter().for_each(|entry| segment.note(*entry));
                journal.add(segment)?;
            }
        }
    }
    Ok(active)
}

/// Opens the last segment for appending behind its sound frames.
fn append_to(
    journal: &Journal,
    file: Arc<dyn DiskFile>,
    header: SegmentHeader,
    scan: &Scan,
) -> Result<Prepared> {
    let end = scan.end as usize;
    let length = file.length()?;
    if journal.mould.access == MapAccess::Append {
        file.allocate(length)?;
    }
    let map = file.map(to_usize(length), journal.mould.access)?;
    let mut writer = claim(&map)?;
    if writer.is_beside() {
        writer.store(0, &sys::read_range(&*file, 0, end)?);
    }
    writer.publish(end);
    let segment = Segment::new(header, Arc::clone(&file), map);
    scan.table.iter().for_each(|entry| segment.note(*entry));
    journal.add(segment)?;
    Ok(Prepared { header, file, map: writer })
}

fn new_segment(journal: &Journal) -> Result<Prepared> {
    let number = journal.segments().last().map_or(1, |segment| segment.number() + 1);
    let bytes = journal.mould.identity.segment_bytes;
    let prepared = journal.mould.cast(number, bytes, journal.clock.now())?;
    let map = Arc::clone(prepared.map.map());
    journal.add(Segment::new(prepared.header, Arc::clone(&prepared.file), map))?;
    Ok(prepared)
}

fn is_zero_behind_header(file: &dyn DiskFile) -> Result<bool> {
    let start = crate::format::segment::SEGMENT_HEADER_BYTES;
    let bytes = sys::read_range(file, start as u64, to_usize(file.written_end()?))?;
    Ok(bytes.iter().all(|byte| *byte == 0))
}
