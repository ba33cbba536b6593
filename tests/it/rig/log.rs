//! An append-only log that tests wait on.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Shared by the thread that writes it and the test that waits.
pub struct Log<T>(Arc<(Mutex<Vec<T>>, Condvar)>);

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self(Arc::new((Mutex::new(Vec::new()), Condvar::new())))
    }
}

impl<T: Clone> Log<T> {
    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends and wakes all who wait. Returns the entry's position.
    pub fn push(&self, entry: T) -> usize {
        let mut entries = self.lock();
        entries.push(entry);
        self.0.1.notify_all();
        entries.len() - 1
    }

    /// Changes one entry and wakes all who wait.
    pub fn amend(&self, position: usize, change: impl FnOnce(&mut T)) {
        change(&mut self.lock()[position]);
        self.0.1.notify_all();
    }

    /// All entries up to now.
    pub fn all(&self) -> Vec<T> {
        self.lock().clone()
    }

    /// Looks at all entries up to now, without a copy of them. Whoever writes waits meanwhile.
    pub fn look<R>(&self, look: impl FnOnce(&[T]) -> R) -> R {
        look(&self.lock())
    }

    /// Number of entries up to now.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Looks at all entries whenever one is added, until `look` finds what it wants or time is up.
    pub fn try_wait<R>(&self, limit: Duration, mut look: impl FnMut(&[T]) -> Option<R>) -> Option<R> {
        let deadline = Instant::now() + limit;
        let mut entries = self.lock();
        loop {
            if let Some(found) = look(&entries) {
                return Some(found);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            entries = self.0.1.wait_timeout(entries, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
