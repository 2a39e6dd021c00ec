//! The only code that changes the state: used by commits, by replay, and by whoever follows.

use super::{Head, Records, State};
use crate::format::image::Op;
use crate::lsn::{Lsn, Position};

/// One change, as far as the state cares.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Applied<'a> {
    pub(crate) collection: u32,
    pub(crate) key: &'a [u8],
    pub(crate) op: Op,
    pub(crate) position: Position,
}

/// Applies the changes of the transaction after the state's LSN.
pub(crate) fn apply<'a>(
    state: &mut State,
    lsn: Lsn,
    changes: impl IntoIterator<Item = Applied<'a>>,
) {
    assert_eq!(lsn, state.lsn.next(), "transactions are applied in order, each once");
    for change in changes {
        let records = state.collections.entry(change.collection).or_default();
        records.set(change.key, Head::new(change.position, lsn, change.op == Op::Delete));
    }
    state.lsn = lsn;
}

impl Records {
    fn set(&mut self, key: &[u8], head: Head) {
        let before = match self.heads.get_mut(key) {
            Some(known) => Some(std::mem::replace(known, head)),
            None => self.heads.insert(key.into(), head),
        };
        let was_live = before.is_some_and(|before| !before.is_deleted());
        match (was_live, head.is_deleted()) {
            (false, false) => self.live += 1,
            (true, true) => self.live -= 1,
            (true, false) | (false, true) => {}
        }
    }
}
