//! A file of the simulated disk: what the running system sees, what is durable, and what lies
//! between.

use std::collections::BTreeMap;

use super::choice::Choose;

#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// What no sync covers yet, in its order.
    unsynced: Vec<Unsynced>,
}

#[derive(Clone, Debug)]
enum Unsynced {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Contents {
    /// A file for which space was allocated.
    pub(super) fn allocated(length: usize) -> Self {
        let mut contents = Self::default();
        contents.truncate(length);
        contents
    }

    /// A file that is durable as it is.
    pub(super) fn durable(bytes: Vec<u8>) -> Self {
        Self { now: bytes.clone(), durable: bytes, unsynced: Vec::new() }
    }

    pub(super) fn now(&self) -> &[u8] {
        &self.now
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.now.len() < end {
            self.truncate(end);
        }
        self.now.splice(offset..end, bytes.iter().copied());
        self.unsynced.push(Unsynced::Write(offset, bytes.to_vec()));
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.now.resize(length, 0);
        self.unsynced.push(Unsynced::Length(length));
    }

    /// Makes durable what was written since the last sync, whether that failed or not: what a
    /// failed one has lost, none after it writes.
    pub(super) fn sync(&mut self) {
        for unsynced in self.unsynced.drain(..) {
            match unsynced {
                Unsynced::Length(length) => self.durable.resize(length, 0),
                Unsynced::Write(offset, bytes) => {
                    let end = (offset + bytes.len()).min(self.durable.len());
                    let kept = end.saturating_sub(offset);
                    self.durable.splice(offset.min(end)..end, bytes.into_iter().take(kept));
                }
            }
        }
    }

    /// What a failed sync does on Linux: the pages count as clean, and the disk does not have them.
    pub(super) fn fail_sync(&mut self) {
        self.unsynced.clear();
    }

    /// Drops clean pages from the cache.
    pub(super) fn drop_cache(&mut self) {
        if self.unsynced.is_empty() {
            self.now.clone_from(&self.durable);
        }
    }

    fn lengths(&self) -> Vec<usize> {
        let later = self.unsynced.iter().filter_map(|unsynced| match unsynced {
            Unsynced::Length(length) => Some(*length),
            Unsynced::Write(..) => None,
        });
        let mut lengths: Vec<usize> = std::iter::once(self.durable.len()).chain(later).collect();
        lengths.dedup();
        lengths
    }

    /// The unsynced writes by the units of the disk that they touch.
    fn units(&self, unit: usize) -> BTreeMap<usize, Vec<(usize, &[u8])>> {
        let mut units: BTreeMap<usize, Vec<_>> = BTreeMap::new();
        for unsynced in &self.unsynced {
            if let Unsynced::Write(offset, bytes) = unsynced {
                for number in offset / unit..(offset + bytes.len()).div_ceil(unit) {
                    units.entry(number).or_default().push((*offset, bytes.as_slice()));
                }
            }
        }
        units
    }

    /// In how many ways a crash can leave it, if the disk writes in units of so many bytes.
    pub(super) fn ways(&self, unit: usize) -> u64 {
        let units = self.units(unit).into_values().map(|writes| writes.len() as u64 + 1);
        units.fold(self.lengths().len() as u64, u64::saturating_mul)
    }

    /// The file behind a crash: each unit as it was after any of the writes since the last sync.
    pub(super) fn crash(&self, unit: usize, choices: &mut dyn Choose) -> Self {
        let lengths = self.lengths();
        let length = lengths.get(choices.choose(lengths.len())).copied().unwrap_or_default();
        let mut left = self.durable.clone();
        left.resize(length, 0);
        for (number, writes) in self.units(unit) {
            let kept = choices.choose(writes.len() + 1);
            for (offset, bytes) in writes.into_iter().take(kept) {
                let from = offset.max(number * unit);
                let to = (offset + bytes.len()).min((number + 1) * unit).min(length);
                if from < to
                    && let Some(part) = bytes.get(from - offset..to - offset)
                {
                    left.splice(from..to, part.iter().copied());
                }
            }
        }
        Self::durable(left)
    }
}

#[cfg(test)]
mod tests {
    use super::super::choice::EveryWay;
    use super::*;

    #[test]
    fn a_crash_leaves_each_unit_as_it_was_after_any_write() {
        let mut contents = Contents::durable(vec![0; 8]);
        contents.write(1, b"ab");
        contents.write(2, b"cdef");
        let mut every = EveryWay::default();
        let mut left = Vec::new();
        loop {
            left.push(contents.crash(4, &mut every).now);
            if !every.advance() {
                break;
            }
        }
        assert_eq!(left.len() as u64, contents.ways(4));
        let expected: [&[u8; 8]; 6] = [
            b"\0\0\0\0\0\0\0\0",
            b"\0\0\0\0ef\0\0",
            b"\0ab\0\0\0\0\0",
            b"\0ab\0ef\0\0",
            b"\0acd\0\0\0\0",
            b"\0acdef\0\0",
        ];
        assert_eq!(left, expected.map(|bytes| bytes.to_vec()));
        contents.fail_sync();
        contents.sync();
        assert_eq!((contents.now(), contents.ways(4)), (&b"\0acdef\0\0"[..], 1));
        contents.drop_cache();
        assert_eq!(contents.now(), [0; 8]);
    }

    #[test]
    fn a_length_is_kept_or_lost() {
        let mut contents = Contents::allocated(4);
        contents.write(0, b"abcd");
        contents.sync();
        contents.truncate(2);
        contents.write(4, b"x");
        assert_eq!(contents.lengths(), [4, 2, 5]);
        assert_eq!(contents.ways(512), 6);
    }
}
