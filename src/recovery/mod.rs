//! Going back: taking transactions back and restoring moments in place, each planned first, and a
//! copy of the store at a moment.
//!
//! Reading order: [`plan`] (what comes out of planning), [`scope`] (which records), [`undo`] and
//! [`restore`] (the two ways to plan), [`merge`] (values that both sides changed), [`execute`]
//! (carrying it out), [`undoable`] (whether a change can be taken back), [`copy`] (a restore into a
//! new directory), [`building`] (how a directory becomes a store).

pub(crate) mod building;
mod copy;
mod execute;
mod merge;
mod plan;
mod restore;
mod scope;
mod undo;
mod undoable;

pub use copy::{RestorePlan, RestoreReport};
pub use execute::Recovered;
pub use plan::{
    NotUndone, Plan, PlanCounts, PlanId, PlannedChange, Purpose, Reason, RecordConflict, Resolution,
};
pub use restore::{Restore, RestoreMode};
pub use scope::{Condition, Scope};
pub use undo::{OnConflict, Undo, UndoMode};
pub use undoable::Undoable;
