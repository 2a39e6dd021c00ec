//! The journal as people read it: newest transaction first, chosen by what they look for.

use crate::error::{Error, Result, code};
use crate::format::image::Op;
use crate::format::metadata::Metadata;
use crate::lsn::Lsn;
use crate::store::{ChangeView, History, Store, TransactionView, Transactions};

/// What to show. The default shows every transaction of the user collections.
#[derive(Clone, Debug, Default)]
pub struct LogQuery {
    /// Only changes of this collection.
    pub collection: Option<String>,
    /// Only changes of this record of the collection.
    pub key: Option<Vec<u8>>,
    /// Only changes of records whose keys begin with this.
    pub prefix: Option<Vec<u8>>,
    /// Only transactions after this one.
    pub since: Option<Lsn>,
    /// Only transactions up to this one.
    pub until: Option<Lsn>,
    /// Only changes with one of these operations; empty: any.
    pub ops: Vec<Op>,
    /// Only transactions of this actor.
    pub actor: Option<String>,
    /// Only transactions whose message matches this regular expression.
    pub grep: Option<String>,
    /// Only transactions that belong to this.
    pub correlation: Option<String>,
    /// Only transactions that have all these attributes, by name and value: a string is given as
    /// it is, any other value as JSON.
    pub attributes: Vec<(String, String)>,
    /// The store's own collections too.
    pub system: bool,
}

/// A transaction with those of its changes that were asked for.
#[derive(Clone, Debug)]
pub struct LogEntry<'a> {
    /// The transaction.
    pub transaction: TransactionView<'a>,
    /// The changes, in their order.
    pub changes: Vec<ChangeView<'a>>,
}

/// Transactions, newest first.
#[derive(Debug)]
pub struct Log<'a> {
    store: &'a Store,
    source: Source<'a>,
    query: LogQuery,
    grep: Option<regex_lite::Regex>,
    since: Lsn,
    until: Lsn,
}

/// A record's own versions lead to its transactions without a look at the others.
#[derive(Debug)]
enum Source<'a> {
    Journal(Transactions<'a>),
    Record(History<'a>),
}

impl Store {
    /// The transactions that the query asks for, newest first, read as they are taken.
    ///
    /// # Errors
    /// `NotFound` for a collection that never existed; `Invalid` for a bad regular expression;
    /// `OutsideWindow`; each item may be `Corrupt`.
    pub fn log(&self, query: &LogQuery) -> Result<Log<'_>> {
        let grep = query.grep.as_deref().map(regex_lite::Regex::new).transpose().map_err(|e| {
            Error::new(&code::INVALID_OPTION, "the regular expression is not understood")
                .with_source(e)
        })?;
        let since = query.since.unwrap_or_else(|| self.first().previous());
        let until = query.until.unwrap_or_else(|| self.head());
        let source = match (&query.collection, &query.key) {
            (Some(collection), Some(key)) => Source::Record(self.record_history(collection, key)?),
            (Some(collection), None) => {
                self.snapshot().scan(collection, crate::store::KeyRange::all())?;
                Source::Journal(self.transactions(since.next()..=until)?)
            }
            (None, _) => Source::Journal(self.transactions(since.next()..=until)?),
        };
        Ok(Log { store: self, source, query: query.clone(), grep, since, until })
    }
}

impl<'a> Log<'a> {
    fn candidate(&mut self) -> Option<Result<TransactionView<'a>>> {
        match &mut self.source {
            Source::Journal(transactions) => transactions.next_back(),
            Source::Record(versions) => loop {
                match versions.next()? {
                    Ok(version) if version.lsn() > self.until => {}
                    Ok(version) if version.lsn() <= self.since => return None,
                    Ok(version) => return Some(self.store.transaction(version.lsn())),
                    Err(error) => return Some(Err(error)),
                }
            },
        }
    }

    fn matches(&self, transaction: &TransactionView<'_>) -> bool {
        let metadata = transaction.metadata();
        let actor = self.query.actor.is_none() || metadata.actor == self.query.actor;
        let message = metadata.message.as_deref().unwrap_or_default();
        let correlation =
            self.query.correlation.is_none() || metadata.correlation == self.query.correlation;
        let mut attributes = self.query.attributes.iter();
        actor
            && correlation
            && attributes.all(|(name, value)| has_attribute(metadata, name, value))
            && self.grep.as_ref().is_none_or(|grep| grep.is_match(message))
    }

    fn choose(&self, transaction: &TransactionView<'a>) -> Result<Vec<ChangeView<'a>>> {
        let query = &self.query;
        let mut chosen = Vec::new();
        for change in transaction.changes() {
            let change = change?;
            let collection = query.collection.as_deref();
            let wanted = match collection {
                Some(collection) => change.collection() == collection,
                None => query.system || !change.is_system(),
            } && query.key.as_deref().is_none_or(|key| key == change.key())
                && query.prefix.as_deref().is_none_or(|prefix| change.key().starts_with(prefix))
                && (query.ops.is_empty() || query.ops.contains(&change.op()));
            if wanted {
                chosen.push(change);
            }
        }
        Ok(chosen)
    }
}

fn has_attribute(metadata: &Metadata, name: &str, value: &str) -> bool {
    metadata.attributes.get(name).is_some_and(|known| {
        known.as_str() == Some(value)
            || serde_json::from_str::<serde_json::Value>(value).is_ok_and(|value| value == *known)
    })
}

impl<'a> Iterator for Log<'a> {
    type Item = Result<LogEntry<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let transaction = match self.candidate()? {
                Ok(transaction) => transaction,
                Err(error) => return Some(Err(error)),
            };
            if !self.matches(&transaction) {
                continue;
            }
            match self.choose(&transaction) {
                Ok(changes) if changes.is_empty() => {}
                Ok(changes) => return Some(Ok(LogEntry { transaction, changes })),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
