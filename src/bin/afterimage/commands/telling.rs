//! One change, as `log` and `show` tell it.

use afterimage::{ChangeView, EventSource, Result, Store, TransactionView, Undoable, write_event};

use crate::output::Output;
use crate::render;

/// How much is told.
pub(super) struct Telling<'s> {
    pub(super) store: &'s Store,
    /// The fields that changed.
    pub(super) patch: bool,
    /// Whether the change could be taken back.
    pub(super) undoable: bool,
}

impl Telling<'_> {
    pub(super) fn tell(
        &self,
        out: &mut Output,
        transaction: &TransactionView<'_>,
        change: &ChangeView<'_>,
    ) -> Result<()> {
        let undoable =
            self.undoable.then(|| self.store.undoable(transaction, change)).transpose()?;
        if out.json {
            return self.event(out, transaction, change, undoable.as_ref());
        }
        render::change(out, change, self.patch)?;
        match undoable {
            Some(undoable) => {
                let line = out.paint("2", &format!("    undo {}: {undoable}", transaction.lsn()));
                out.line(&line)
            }
            None => Ok(()),
        }
    }

    fn event(
        &self,
        out: &mut Output,
        transaction: &TransactionView<'_>,
        change: &ChangeView<'_>,
        undoable: Option<&Undoable>,
    ) -> Result<()> {
        let source = EventSource { store: self.store.id() };
        let Some(undoable) = undoable else {
            return write_event(out.stream(), transaction, change, source);
        };
        let mut event = Vec::new();
        write_event(&mut event, transaction, change, source)?;
        // The event is one object on a line: one more field goes in front of its end.
        let event = event.trim_ascii_end();
        out.bytes(event.strip_suffix(b"}").unwrap_or(event))?;
        out.line(&format!(",\"undo\":{}}}", document(undoable)))
    }
}

fn document(undoable: &Undoable) -> serde_json::Value {
    match undoable {
        Undoable::Cleanly => serde_json::json!({"can": "cleanly"}),
        Undoable::Already => serde_json::json!({"can": "already"}),
        Undoable::Conflict { later, actor } => {
            serde_json::json!({"can": "conflict", "later": later, "later_actor": actor})
        }
        Undoable::Not(reason) => serde_json::json!({"can": "not", "reason": reason}),
    }
}
