//! Writes that reach the disk in another order, in part, or not at all: crash images made from the
//! log of a block device under a real file system.
//!
//! An image holds everything up to a flush, and of the writes after it, up to the cut, any: each is
//! dropped, kept or torn; what belongs to files in sectors of 512 bytes, what belongs to the file
//! system itself in its blocks of 4096, of which it expects as much. What a worker told counts if
//! the last flush that was logged when it was heard is in the image. The next worker begins on such
//! an image, so that recoveries are cut, too.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::blocks::{Blocks, Through, copy};
use crate::log::{self, Log, SECTOR};
use crate::mount::{run, text};
use crate::worker::{Told, hear, start};
use crate::{Random, number};

const STORE: &str = "logged.store";
const BLOCK_SECTORS: u64 = 4096 / SECTOR;
/// So many workers begin on what the one before left; then the file system is made anew.
const GENERATIONS: u64 = 5;

/// A worker's life on a logged device.
struct Recording {
    log: Log,
    /// The entries between mounting and the end of the worker.
    entries: std::ops::Range<usize>,
    told: Told,
    /// How many entries the log had when an LSN was heard of.
    heard: Vec<(usize, u64)>,
    /// The blocks of files.
    data: BTreeSet<u64>,
}

/// What was tried.
#[derive(Debug, Default)]
struct Tried {
    images: u64,
    unmountable: u64,
    /// Promised commits looked up in images.
    commits: u64,
    in_flight: u64,
    lost: u64,
}

/// Writes that were in flight at a cut.
#[derive(Debug, Default)]
struct InFlight {
    all: u64,
    /// Of those, lost in whole or in part.
    lost: u64,
}

impl Tried {
    fn add(&mut self, writes: &InFlight) {
        self.in_flight += writes.all;
        self.lost += writes.lost;
    }
}

/// Has a worker write until it has told so many lines.
fn record(blocks: &mut Blocks, before: &Told, seed: u64, lines: usize) -> Recording {
    assert!(blocks.mount(Through::Log), "mounted");
    let begin = log::length(&blocks.log());
    let mut end = begin;
    let path = blocks.mount_point().join(STORE);
    let mut told = before.clone();
    let mut heard = Vec::new();
    hear(&mut start(&path, seed), |child, line| {
        if told.line(line) && heard.len() < lines {
            let lsn = told.lines.last().map_or(0, |(lsn, _)| *lsn);
            heard.push((log::length(&blocks.log()), lsn));
            if heard.len() == lines {
                end = log::length(&blocks.log());
                child.kill().expect("killed");
            }
        }
    });
    assert_eq!(heard.len(), lines, "it was killed while it wrote");
    let extents = Blocks::extents(&files(&path));
    let data = extents.iter().flat_map(|at| at.physical..at.physical + at.length).collect();
    blocks.unmount();
    Recording { log: Log::read(&blocks.log()), entries: begin..end, told, heard, data }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn opened(image: &Path) -> File {
    File::options().read(true).write(true).open(image).expect("an image")
}

impl Recording {
    /// What counts in an image that holds everything up to this flush.
    fn promised(&self, before: &Told, flush: Option<usize>) -> Told {
        let mut told = self.told.clone();
        let counts =
            |(count, lsn): &(usize, u64)| (self.log.flush_within(*count) <= flush).then_some(*lsn);
        told.promised =
            self.heard.iter().filter_map(counts).max().unwrap_or(0).max(before.promised);
        told
    }

    /// Where to cut: anywhere, or just before a flush, when the most is in flight.
    fn place(&self, random: &mut Random) -> usize {
        let span = (self.entries.end - self.entries.start) as u64 + 1;
        let cut = self.entries.start + usize::try_from(random.below(span)).expect("few");
        let flushes = |entry: &usize| self.log.entries[*entry].flushes();
        match random.below(4) {
            0 => cut,
            _ => (cut..self.entries.end).find(flushes).unwrap_or(cut),
        }
    }

    fn replay(&self, entries: std::ops::Range<usize>, image: &Path) {
        let image = opened(image);
        for entry in &self.log.entries[entries] {
            self.log.replay(*entry, &image, |_| true);
        }
    }

    /// Writes to an image, which has everything before `from`, what else it may have at the cut.
    fn cut(&self, image: &File, from: usize, cut: usize, random: &mut Random) -> InFlight {
        let (all, none) = (random.below(8) == 0, random.below(8) == 0);
        let mut writes = InFlight::default();
        for entry in self.log.entries[from..cut].iter().copied() {
            let (fate, salt) = (random.below(4), random.below(1 << 30));
            let mut whole = true;
            self.log.replay(entry, image, |sector| {
                let block = sector / BLOCK_SECTORS;
                let piece = if self.data.contains(&block) { sector } else { block };
                let kept = match fate {
                    _ if all || entry.is_forced() => true,
                    _ if none => false,
                    0 => false,
                    1 | 2 => Random(salt ^ piece).below(2) == 0,
                    _ => true,
                };
                whole &= kept;
                kept
            });
            writes.all += u64::from(entry.sectors > 0);
            writes.lost += u64::from(!whole);
        }
        writes
    }
}

/// The device, and what was tried on it so far.
struct Trial {
    blocks: Blocks,
    random: Random,
    tried: Tried,
}

impl Trial {
    /// Makes so many images and checks them; leaves one of them, as it was, as `next`, and returns
    /// what it promises.
    fn check(&mut self, recording: &Recording, before: &Told, images: u64) -> Option<Told> {
        let durable = self.blocks.beside("durable");
        let mut cuts: Vec<usize> = (0..images).map(|_| recording.place(&mut self.random)).collect();
        cuts.sort_unstable();
        let kept = self.random.below(images);
        let mut next = None;
        let mut replayed = 0;
        for (number, cut) in (0..).zip(cuts) {
            let flush = recording.log.flush_within(cut);
            let from = flush.map_or(0, |flush| flush + 1);
            recording.replay(replayed..from, &durable);
            replayed = from;
            // A file of its own: the kernel may not have let go of the loop device before.
            let crash = self.blocks.beside(&format!("crash-{}", self.tried.images));
            copy(&durable, &crash);
            let writes = recording.cut(&opened(&crash), from, cut, &mut self.random);
            self.tried.add(&writes);
            if number == kept {
                copy(&crash, &self.blocks.beside("next"));
            }
            let told = recording.promised(before, flush);
            if self.is_whole(&crash, &told) && number == kept {
                next = Some(told);
            }
            std::fs::remove_file(&crash).expect("removed");
        }
        recording.replay(replayed..recording.log.entries.len(), &durable);
        let all = run("cmp", &[text(&durable), text(&self.blocks.image())]);
        assert!(all, "the log is all that was done");
        next
    }

    /// Whether the image can be mounted; then everything promised must be there.
    fn is_whole(&mut self, image: &Path, told: &Told) -> bool {
        self.tried.images += 1;
        let Some(mounted) = self.blocks.mount_copy(image) else {
            self.tried.unmountable += 1;
            return false;
        };
        told.check(&mounted.path().join(STORE), self.tried.images);
        self.tried.commits += told.known().count() as u64;
        true
    }
}

fn reorder(kind: &str) {
    let Some(blocks) = Blocks::new(kind) else { return };
    let wanted = number("AFTERIMAGE_IMAGES", 16);
    let mut trial = Trial { blocks, random: Random(wanted), tried: Tried::default() };
    let mut before = Told::default();
    for generation in 1.. {
        if trial.tried.images >= wanted {
            break;
        }
        let lines = 10 + usize::try_from(trial.random.below(40)).expect("few");
        copy(&trial.blocks.image(), &trial.blocks.beside("durable"));
        let recording = record(&mut trial.blocks, &before, generation, lines);
        let next = trial.check(&recording, &before, (wanted / 2).clamp(8, 50));
        before = match next {
            Some(told) if generation % GENERATIONS != 0 => {
                copy(&trial.blocks.beside("next"), &trial.blocks.image());
                Told { lines: told.known().cloned().collect(), promised: told.promised }
            }
            _ => {
                assert!(trial.blocks.format(), "made anew");
                Told::default()
            }
        };
    }
    let tried = &trial.tried;
    println!("{kind}: {tried:?}");
    assert!(tried.unmountable * 50 <= tried.images, "nearly all can be mounted");
}

#[test]
fn writes_below_ext4_that_are_lost_torn_or_reordered_lose_nothing_acknowledged() {
    reorder("ext4");
}

#[test]
fn writes_below_xfs_that_are_lost_torn_or_reordered_lose_nothing_acknowledged() {
    reorder("xfs");
}
