//! What this process holds of the machine, and whether it is ever more.

use std::fs;

/// Memory may differ by this much from one time to another, and by a quarter: the allocator keeps
/// what threads that have ended gave back.
const SLACK_KIB: u64 = 6 << 10;
/// And handles and threads by so many.
const SLACK: u64 = 2;

/// Held at one mark.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// Memory that is no file's: mapped segments and checkpoints are the kernel's to take back.
    pub(crate) memory_kib: u64,
    pub(crate) handles: u64,
    pub(crate) threads: u64,
}

impl Held {
    /// `None` where the system does not tell.
    pub(crate) fn now() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let field = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        Some(Self {
            memory_kib: field("RssAnon:")?,
            handles: fs::read_dir("/proc/self/fd").ok()?.count() as u64,
            threads: field("Threads:")?,
        })
    }
}

/// What was held at one mark of each turn.
#[derive(Debug, Default)]
pub(crate) struct Marks(Vec<Held>);

impl Marks {
    pub(crate) fn add(&mut self, held: Held) {
        self.0.push(held);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// After a warm-up of a fifth, the median of the last third must be that of the first third.
    /// Returns what it was and is, and the peak.
    pub(crate) fn check(&self, what: &str) -> String {
        let warm = self.0.get(self.0.len() / 5..).expect("a fifth is less than all");
        let third = warm.len() / 3;
        assert!(third >= 3, "{what}: too few marks: {}", self.0.len());
        let numbers = |of: fn(&Held) -> u64| {
            let median = |marks: &[Held]| {
                let mut numbers: Vec<u64> = marks.iter().map(of).collect();
                numbers.sort_unstable();
                numbers[numbers.len() / 2]
            };
            let peak = self.0.iter().map(of).max().expect("there are marks");
            (median(&warm[..third]), median(&warm[warm.len() - third..]), peak)
        };
        let memory = numbers(|held| held.memory_kib);
        let handles = numbers(|held| held.handles);
        let threads = numbers(|held| held.threads);
        let told = format!(
            "{what}: memory {} -> {} KiB, peak {}; handles {} -> {}, peak {}; threads {} -> {}, \
             peak {}",
            memory.0,
            memory.1,
            memory.2,
            handles.0,
            handles.1,
            handles.2,
            threads.0,
            threads.1,
            threads.2
        );
        assert!(memory.1 <= memory.0 + memory.0 / 4 + SLACK_KIB, "memory grows: {told}");
        assert!(handles.1 <= handles.0 + SLACK, "handles are left open: {told}");
        assert!(threads.1 <= threads.0 + SLACK, "threads are left: {told}");
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grows(of: impl Fn(u64) -> Held) -> bool {
        let marks = Marks((0..60).map(of).collect());
        std::panic::catch_unwind(|| marks.check("a test")).is_err()
    }

    #[test]
    fn what_grows_is_noticed_and_what_settles_is_not() {
        let held = Held { memory_kib: 40_000, handles: 10, threads: 5 };
        assert!(!grows(|_| held));
        assert!(!grows(|mark| Held { memory_kib: 30_000 + 1000 * mark.min(12), ..held }));
        assert!(grows(|mark| Held { memory_kib: 40_000 + 1000 * mark, ..held }));
        assert!(grows(|mark| Held { handles: 10 + mark / 5, ..held }));
        assert!(grows(|mark| Held { threads: 5 + mark / 5, ..held }));
    }
}
