//! Locks that no await crosses.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks what is valid at every step, and so stays usable when a task that held the lock died.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
