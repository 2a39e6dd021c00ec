//! What must hold in any order of calls: a small model of what is durable.

use std::collections::BTreeMap;

use super::trace::{self, Call, What};

/// What is not durable yet, with the line of the trace on which it was done, and whether one of the
/// store's own threads did it.
type NotYet = BTreeMap<String, (usize, bool)>;

#[derive(Default)]
struct Model {
    /// Files that were written to and not synced since.
    written: NotYet,
    /// Names that were made, moved or removed in a directory that was not synced since.
    names: NotYet,
    /// Where the commits begin that are to be acknowledged together.
    begin: Option<usize>,
    /// Where the last of them was appended, if others may do the sync.
    appended: Option<usize>,
    /// Syncs of files by name, and when they began.
    syncs: Vec<(String, usize)>,
    told: usize,
    answers: usize,
}

/// What stands in LOCK is for people, and the lock itself is the kernel's: neither need be durable.
fn must_last(name: &str) -> bool {
    !name.ends_with("/LOCK")
}

fn directory(name: &str) -> &str {
    name.rsplit_once('/').map_or(".", |(directory, _)| directory)
}

fn is_inside(name: &str, directory: &str) -> bool {
    name.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

/// Checks every rule over a trace; returns what was broken, and how many acknowledgements and
/// other answers were looked at.
pub(crate) fn check(calls: &[Call]) -> (Vec<String>, usize, usize) {
    let mut model = Model::default();
    let mut broken = Vec::new();
    for call in calls {
        for what in model.take(call) {
            broken.push(format!("line {} of the trace: {what}", call.done + 1));
        }
    }
    (broken, model.told, model.answers)
}

impl Model {
    /// Takes in a call; returns the rules that it breaks.
    fn take(&mut self, call: &Call) -> Vec<String> {
        let by = (call.done, call.is_of_the_store());
        match &call.what {
            What::Create(name) | What::MakeDirectory(name) => self.name(name, by),
            What::Allocate(name) | What::Write(name) | What::Cut(name) => {
                if must_last(name) {
                    self.written.insert(name.clone(), by);
                }
            }
            What::Sync(name) => {
                self.written.retain(|other, (done, _)| other != name || *done > call.begun);
                // A new segment is synced by the thread that makes it, before there is a group.
                if call.thread != trace::MAKES_SEGMENTS {
                    self.syncs.push((name.clone(), call.begun));
                }
            }
            What::SyncNames(name) => {
                // Of a file it syncs what was written, as the other call does.
                self.written.retain(|other, (done, _)| other != name || *done > call.begun);
                self.names
                    .retain(|other, (done, _)| directory(other) != name || *done > call.begun);
            }
            What::Rename(from, to) => return self.rename(from, to, by),
            What::Exchange(one, other) => {
                return [self.rename(one, other, by), self.rename(other, one, by)].concat();
            }
            What::Link(from, to) => {
                self.name(to, by);
                if self.written.contains_key(from) {
                    return vec![format!("{from} gets a second name and was not synced")];
                }
            }
            What::Remove(name) => {
                self.written.remove(name);
                // Under such a name objects are written; one that is there again is not listed.
                if !name.contains('#') {
                    self.name(name, by);
                }
            }
            What::Mark(mark) => return self.mark(mark, call.done),
            What::Lock(_) | What::DropCache(_) => {}
        }
        Vec::new()
    }

    fn name(&mut self, name: &str, by: (usize, bool)) {
        if must_last(name) {
            self.names.insert(name.to_owned(), by);
        }
    }

    fn rename(&mut self, from: &str, to: &str, by: (usize, bool)) -> Vec<String> {
        let mut broken = Vec::new();
        if self.written.contains_key(from) {
            broken.push(format!("{from} is renamed and was not synced"));
        }
        let within = |table: &NotYet| -> Vec<String> {
            table.keys().filter(|name| is_inside(name, from)).cloned().collect()
        };
        for name in within(&self.written) {
            broken.push(format!("{from} is renamed while {name} in it was not synced"));
        }
        for name in within(&self.names) {
            broken.push(format!("{from} is renamed while the name {name} in it is not durable"));
        }
        self.written.remove(from);
        self.name(from, by);
        self.name(to, by);
        broken
    }

    fn mark(&mut self, mark: &str, now: usize) -> Vec<String> {
        let words: Vec<&str> = mark.split(' ').collect();
        match words[..] {
            ["begin"] => {
                self.begin = Some(now);
                self.appended = None;
            }
            ["appended"] => self.appended = Some(now),
            ["told", lsn, segment] => return self.told(lsn, segment),
            ["done", what] => {
                self.answers += 1;
                let left = self.written.keys().chain(self.names.keys());
                return left.map(|name| format!("{what}, but {name} is not durable")).collect();
            }
            _ => {}
        }
        Vec::new()
    }

    /// An acknowledgement under `Durability::Sync`.
    fn told(&mut self, lsn: &str, segment: &str) -> Vec<String> {
        self.told += 1;
        let mut broken = Vec::new();
        let begin = self.begin.expect("the worker says when it begins");
        let syncs = self.syncs.iter().filter(|(name, begun)| name == segment && *begun > begin);
        let count = syncs.clone().count();
        if count != 1 {
            broken.push(format!("{count} syncs of {segment} for the group of LSN {lsn}"));
        }
        let from = self.appended.unwrap_or(begin);
        if !syncs.clone().any(|(_, begun)| *begun > from) {
            broken.push(format!("LSN {lsn} is told before a sync of {segment} that covers it"));
        }
        // What others do behind the writer is their own affair, but for the segment itself.
        let matters = |name: &str, of_the_store: bool| !of_the_store || name == segment;
        for (name, (_, of_the_store)) in &self.written {
            if matters(name, *of_the_store) {
                broken.push(format!("LSN {lsn} is told while {name} was not synced"));
            }
        }
        for (name, (_, of_the_store)) in &self.names {
            if matters(name, *of_the_store) {
                broken.push(format!("LSN {lsn} is told while the name {name} is not durable"));
            }
        }
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(whats: &[What]) -> Vec<String> {
        let call = |(line, what): (usize, &What)| Call {
            thread: "worker".to_owned(),
            begun: line,
            done: line,
            what: what.clone(),
        };
        check(&whats.iter().enumerate().map(call).collect::<Vec<_>>()).0
    }

    fn text(words: &str) -> String {
        words.to_owned()
    }

    #[test]
    fn each_call_that_is_left_out_breaks_a_rule() {
        let (segment, staged) = ("s/journal/1.seg", "s/STORE.tmp");
        let whole = [
            What::MakeDirectory(text("s")),
            What::SyncNames(text(".")),
            What::Create(text(segment)),
            What::Write(text(segment)),
            What::Sync(text(segment)),
            What::SyncNames(text("s/journal")),
            What::Create(text(staged)),
            What::Write(text(staged)),
            What::Sync(text(staged)),
            What::Rename(text(staged), text("s/STORE")),
            What::SyncNames(text("s")),
            What::Mark(text("begin")),
            What::Sync(text(segment)),
            What::Mark(format!("told 1 {segment}")),
            What::Mark(text("done created")),
        ];
        assert_eq!(broken(&whole), Vec::<String>::new());
        for (index, left_out) in whole.iter().enumerate() {
            let is_sync = matches!(left_out, What::Sync(_) | What::SyncNames(_));
            // What the last sync of the segment covers, too.
            if is_sync && index != 4 {
                let rest: Vec<_> =
                    whole.iter().enumerate().filter(|(other, _)| *other != index).collect();
                let rest: Vec<_> = rest.into_iter().map(|(_, what)| what.clone()).collect();
                assert_ne!(broken(&rest), Vec::<String>::new(), "without {left_out:?}");
            }
        }
        let mut twice = whole.to_vec();
        twice.insert(12, What::Sync(text(segment)));
        assert_eq!(broken(&twice).len(), 1);
        let mut early = whole.to_vec();
        early.swap(12, 13);
        assert_ne!(broken(&early), Vec::<String>::new());
    }
}
