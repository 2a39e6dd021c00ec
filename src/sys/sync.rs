//! The locks and atomics of what is proved under loom: group commit and the bell. Built with
//! `--cfg loom` they are loom's, which tries every order of their operations that memory allows.

#[cfg(not(loom))]
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64};

#[cfg(loom)]
pub(crate) use model::{AtomicBool, AtomicU64, Condvar, Mutex, MutexGuard};

/// loom's locks in the shape of `parking_lot`'s.
#[cfg(loom)]
mod model {
    use std::ops::{Deref, DerefMut};
    use std::time::Duration;

    use loom::sync::atomic::{Ordering, fence};

    /// loom takes `SeqCst` for `AcqRel`, and knows the one order of all such operations only of
    /// fences.
    fn in_order<T>(order: Ordering, operation: impl FnOnce() -> T) -> T {
        let is_total = order == Ordering::SeqCst;
        if is_total {
            fence(Ordering::SeqCst);
        }
        let value = operation();
        if is_total {
            fence(Ordering::SeqCst);
        }
        value
    }

    #[derive(Debug, Default)]
    pub(crate) struct AtomicBool(loom::sync::atomic::AtomicBool);

    impl AtomicBool {
        pub(crate) fn new(value: bool) -> Self {
            Self(loom::sync::atomic::AtomicBool::new(value))
        }

        pub(crate) fn load(&self, order: Ordering) -> bool {
            in_order(order, || self.0.load(order))
        }

        pub(crate) fn store(&self, value: bool, order: Ordering) {
            in_order(order, || self.0.store(value, order));
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct AtomicU64(loom::sync::atomic::AtomicU64);

    impl AtomicU64 {
        pub(crate) fn new(value: u64) -> Self {
            Self(loom::sync::atomic::AtomicU64::new(value))
        }

        pub(crate) fn load(&self, order: Ordering) -> u64 {
            in_order(order, || self.0.load(order))
        }

        pub(crate) fn store(&self, value: u64, order: Ordering) {
            in_order(order, || self.0.store(value, order));
        }

        pub(crate) fn fetch_max(&self, value: u64, order: Ordering) -> u64 {
            in_order(order, || self.0.fetch_max(value, order))
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    #[derive(Debug)]
    pub(crate) struct MutexGuard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

    #[derive(Debug, Default)]
    pub(crate) struct Condvar(loom::sync::Condvar);

    const HELD: &str = "a guard is only given up while it waits";

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard(Some(self.0.lock().expect("no thread of a model panics and goes on")))
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            self.0.as_ref().expect(HELD)
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().expect(HELD)
        }
    }

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self::default()
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }

        pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            let held = guard.0.take().expect(HELD);
            guard.0 = Some(self.0.wait(held).expect("no thread of a model panics and goes on"));
        }

        /// Time does not pass in a model: what depends on it to go on hangs, which loom reports.
        pub(crate) fn wait_while_for<T>(
            &self,
            guard: &mut MutexGuard<'_, T>,
            mut condition: impl FnMut(&mut T) -> bool,
            _time: Duration,
        ) {
            while condition(&mut **guard) {
                self.wait(guard);
            }
        }
    }
}
