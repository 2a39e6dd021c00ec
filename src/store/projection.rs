//! Anything folded from the journal. The current state of a store is the first of them.

use super::past::TransactionView;
use crate::error::Result;
use crate::lsn::Lsn;

/// A read model: something that is folded from the transactions of a journal, in their order.
///
/// Exactly-once effects need one thing of an implementation: that what it keeps and its
/// [`position`](Self::position) are saved together. `examples/status_totals.rs` shows a whole one.
///
/// ```
/// use afterimage::{Lsn, Projection, Result, TransactionView};
///
/// /// Counts changes.
/// #[derive(Default)]
/// struct Count { position: Lsn, changes: usize }
///
/// impl Projection for Count {
///     fn name(&self) -> &str { "count" }
///     fn position(&self) -> Lsn { self.position }
///     fn apply(&mut self, transaction: &TransactionView<'_>) -> Result<()> {
///         self.changes += transaction.len();
///         self.position = transaction.lsn();
///         Ok(())
///     }
/// }
/// ```
pub trait Projection {
    /// What it is called in reports and errors.
    fn name(&self) -> &str;

    /// The last transaction applied; zero if none was.
    fn position(&self) -> Lsn;

    /// Applies the transaction after [`position`](Self::position), and moves it.
    ///
    /// # Errors
    /// Whatever makes it impossible; the projection must then be as it was before.
    fn apply(&mut self, transaction: &TransactionView<'_>) -> Result<()>;
}
