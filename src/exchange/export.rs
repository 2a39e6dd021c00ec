//! Writing a store out as lines of change events.

use std::collections::BTreeSet;
use std::io::Write;

use super::event::{EventSource, output_failed, write_event, write_state};
use crate::error::Result;
use crate::lsn::Lsn;
use crate::store::{KeyRange, Projection, Snapshot, TransactionView};

/// Writes the records of a snapshot as events of operation `r`, collection by collection, in key
/// order; all user collections if none are named. Returns how many.
///
/// # Errors
/// `NotFound` for a collection that never existed; `Corrupt`; `Io` from the output.
pub fn export_state(
    snapshot: &Snapshot,
    collections: &[String],
    source: EventSource,
    out: &mut dyn Write,
) -> Result<u64> {
    let names = if collections.is_empty() {
        let all = snapshot.collections()?;
        all.into_iter().filter(|info| !info.is_system()).map(|info| info.name).collect()
    } else {
        collections.to_vec()
    };
    let mut count = 0;
    let mut done = BTreeSet::new();
    for name in names {
        // Named twice, its records would come twice, and an import would refuse the second ones.
        if !done.insert(name.clone()) {
            continue;
        }
        for record in snapshot.scan(&name, KeyRange::all())? {
            write_state(out, &name, &record?, source).map_err(output_failed)?;
            count += 1;
        }
    }
    Ok(count)
}

/// A projection that writes every change of the user collections as a change event.
#[derive(Debug)]
pub struct HistoryExport<W> {
    out: W,
    source: EventSource,
    collections: Vec<String>,
    position: Lsn,
    written: u64,
}

impl<W: Write> HistoryExport<W> {
    /// Begins behind `after`; with all user collections if none are named.
    pub fn new(out: W, source: EventSource, collections: Vec<String>, after: Lsn) -> Self {
        Self { out, source, collections, position: after, written: 0 }
    }

    /// How many events were written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Gives the output back.
    pub fn into_output(self) -> W {
        self.out
    }
}

impl<W: Write> Projection for HistoryExport<W> {
    fn name(&self) -> &'static str {
        "history-export"
    }

    fn position(&self) -> Lsn {
        self.position
    }

    fn apply(&mut self, transaction: &TransactionView<'_>) -> Result<()> {
        for change in transaction.changes() {
            let change = change?;
            let chosen = self.collections.is_empty()
                || self.collections.iter().any(|name| name == change.collection());
            if !change.is_system() && chosen {
                write_event(&mut self.out, transaction, &change, self.source)?;
                self.written += 1;
            }
        }
        self.position = transaction.lsn();
        Ok(())
    }
}
