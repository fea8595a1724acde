//! Locks that are never held across an await.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks data that is valid at every step, so it stays usable if a task panicked while it held the lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
