//! The only code that changes the state: used by commits, by replay, and by whoever follows.

use super::{Head, State};
use crate::format::image::Op;
use crate::lsn::{Lsn, Position};

/// One change, as far as the state cares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Applied<'a> {
    pub(crate) collection: u32,
    pub(crate) key: &'a [u8],
    pub(crate) op: Op,
    pub(crate) position: Position,
    /// Where the record's change before this one begins.
    pub(crate) previous: Position,
}

/// Takes in records that were live at `lsn`, of which the state knows none yet.
pub(crate) fn carry_over<'a>(
    state: &mut State,
    lsn: Lsn,
    records: impl IntoIterator<Item = Applied<'a>>,
) {
    for record in records {
        let head = Head::new(record.position, lsn, false);
        state.delta.set((record.collection, record.key), head, Default::default);
        let count = state.counts.entry(record.collection).or_default();
        count.records += 1;
        count.live += 1;
    }
}

/// Applies the changes of the transaction after the state's LSN. Never fails: what a change does to
/// the counts is told by the change itself.
pub(crate) fn apply<'a>(
    state: &mut State,
    lsn: Lsn,
    changes: impl IntoIterator<Item = Applied<'a>>,
) {
    assert_eq!(lsn, state.lsn.next(), "transactions are applied in order, each once");
    for change in changes {
        let head = Head::new(change.position, lsn, change.op == Op::Delete);
        let bases = &state.bases;
        state.delta.set((change.collection, change.key), head, || {
            // The oldest holds the most records.
            let known = bases.iter().rev().find_map(|base| base.common(change.collection));
            known.unwrap_or_default()
        });
        let count = state.counts.entry(change.collection).or_default();
        count.records += u64::from(change.previous.is_none());
        match change.op {
            Op::Create => count.live += 1,
            Op::Delete => count.live = count.live.saturating_sub(1),
            Op::Update | Op::Read => {}
        }
    }
    state.lsn = lsn;
}
