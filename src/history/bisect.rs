//! Which transaction broke it: the first bad moment between a good one and a bad one.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::{Error, Result, code};
use crate::lsn::Lsn;
use crate::store::{Snapshot, Store};

/// How a moment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// It can't be told of this moment.
    Skip,
}

impl Verdict {
    /// `good`, `bad` or `skip`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Skip => "skip",
        }
    }
}

/// A moment that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// The moment after this transaction.
    pub lsn: Lsn,
    /// How it was.
    pub verdict: Verdict,
}

/// What a bisection found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bisection {
    /// The transaction that made good bad, if it is one alone.
    pub first_bad: Option<Lsn>,
    /// The transactions of which one made good bad: that one, or what skipped moments left over.
    pub candidates: Vec<Lsn>,
    /// The moments that were looked at, in their order.
    pub probes: Vec<Probe>,
}

impl Store {
    /// Finds the transaction after which the store is bad, while it is good before: halves the
    /// transactions after `good` up to `bad` until one is left. Where moments differ back and forth
    /// it finds one such transaction, though maybe not the first.
    ///
    /// `bad` is looked at first, and `good` last if nothing else was found good, so that a mix-up
    /// does not pass for an answer. Of 2^n transactions, at most n + 1 moments are looked at if
    /// none is skipped, and one more if the very first is the bad one. A skipped moment has others
    /// tried, near the middle and far from it, until only skipped ones are left.
    ///
    /// # Errors
    /// `Invalid` if `good` does not lie before `bad`, or one of them is not what it is said to be;
    /// `OutsideWindow`; whatever `probe` returns.
    ///
    /// ```
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("hotel.store");
    /// use afterimage::{CodecId, Image, Lsn, Store, Verdict};
    ///
    /// let store = Store::open(&path)?;
    /// for text in ["3", "2", "1", "-1", "-2"] {
    ///     let image = Image::new(text.as_bytes(), CodecId::Json);
    ///     store.write(|tx| tx.put_image("stock", b"beds", image))?;
    /// }
    /// let found = store.bisect(Lsn::new(1), Lsn::new(5), &mut |snapshot| {
    ///     let record = snapshot.record("stock", b"beds")?;
    ///     let is_bad = record.is_some_and(|record| record.image().bytes().starts_with(b"-"));
    ///     Ok(if is_bad { Verdict::Bad } else { Verdict::Good })
    /// })?;
    /// assert_eq!(found.first_bad, Some(Lsn::new(4)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn bisect(
        &self,
        good: Lsn,
        bad: Lsn,
        probe: &mut dyn FnMut(&Snapshot) -> Result<Verdict>,
    ) -> Result<Bisection> {
        self.snapshot_at(good)?;
        self.snapshot_at(bad)?;
        if good >= bad {
            let message = format!("good is LSN {good}, which does not lie before bad, LSN {bad}");
            return Err(Error::new(&code::INVALID_OPTION, message));
        }
        let mut probes = Vec::new();
        let mut look = |lsn: Lsn| {
            let verdict = probe(&self.snapshot_at(lsn)?)?;
            probes.push(Probe { lsn, verdict });
            Ok(verdict)
        };
        if look(bad)? == Verdict::Good {
            return Err(mixed_up("bad", bad, Verdict::Good));
        }
        let range = narrow(Range::new(good, bad), &mut look)?;
        if range.good == good.get() && look(good)? == Verdict::Bad {
            return Err(mixed_up("good", good, Verdict::Bad));
        }
        let candidates: Vec<_> = (range.good + 1..=range.bad).map(Lsn::new).collect();
        let first_bad = match candidates[..] {
            [only] => Some(only),
            _ => None,
        };
        Ok(Bisection { first_bad, candidates, probes })
    }
}

fn mixed_up(name: &str, lsn: Lsn, verdict: Verdict) -> Error {
    let message = format!("LSN {lsn} is given as {name}, and is {}", verdict.as_str());
    Error::new(&code::INVALID_OPTION, message).at_lsn(lsn)
}

fn narrow(mut range: Range, look: &mut dyn FnMut(Lsn) -> Result<Verdict>) -> Result<Range> {
    while let Some(lsn) = range.next() {
        match look(Lsn::new(lsn))? {
            Verdict::Good => range = Range { good: lsn, turn: 1, ..range },
            Verdict::Bad => range = Range { bad: lsn, turn: 1, ..range },
            Verdict::Skip => range.skip(lsn),
        }
    }
    Ok(range)
}

/// What is not known yet: the moments between the newest good and the oldest bad one.
struct Range {
    good: u64,
    bad: u64,
    /// Stretches of skipped moments by their first, each with its last. Stretches never touch.
    skipped: BTreeMap<u64, u64>,
    /// How many moments were tried since one was good or bad, plus one.
    turn: u64,
}

impl Range {
    const fn new(good: Lsn, bad: Lsn) -> Self {
        Self { good: good.get(), bad: bad.get(), skipped: BTreeMap::new(), turn: 1 }
    }

    /// The moment to look at: the middle; after a skip a quarter, three quarters, an eighth, …; or
    /// what is nearest to it and not skipped.
    fn next(&self) -> Option<u64> {
        // The fraction is the number of the turn with its bits turned round, behind the point.
        let fraction = u128::from(self.turn.reverse_bits());
        let distance = u128::from(self.bad - self.good);
        let offset = u64::try_from((distance * fraction) >> u64::BITS).unwrap_or(0);
        let wanted = (self.good + offset).clamp(self.good + 1, self.bad);
        let stretch = self.skipped.range(..=wanted).next_back();
        let free = match stretch {
            Some((first, last)) if *last >= wanted => {
                let (below, above) = (first - 1, last + 1);
                let below_is_near = wanted - below <= above - wanted || above >= self.bad;
                if below > self.good && below_is_near { below } else { above }
            }
            _ => wanted,
        };
        let is_open = |lsn: &u64| (self.good + 1..self.bad).contains(lsn);
        Some(free).filter(is_open)
    }

    fn skip(&mut self, lsn: u64) {
        self.turn += 1;
        let (mut first, mut last) = (lsn, lsn);
        if let Some((below, end)) = self.skipped.range(..lsn).next_back()
            && *end + 1 == lsn
        {
            first = *below;
        }
        if let Some(end) = self.skipped.remove(&(lsn + 1)) {
            last = end;
        }
        self.skipped.insert(first, last);
    }
}
