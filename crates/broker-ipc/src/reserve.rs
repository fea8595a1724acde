//! Descriptors in reserve for the local socket: broker-ctl must still reach the daemon when the clients of tunnels have
//! taken all other descriptors.

use std::fs::File;
use std::sync::{Mutex, PoisonError};

/// The size of the reserve. One client needs one descriptor. The others replace descriptors that another task takes
/// between their release and the accept.
const RESERVE: usize = 4;

/// Unused descriptors. The server releases one whenever it cannot accept a client.
#[derive(Debug, Default)]
pub(crate) struct Reserve {
    held: Mutex<Vec<File>>,
}

impl Reserve {
    pub(crate) fn new() -> Self {
        let new = Self::default();
        new.refill();
        new
    }

    /// Fills the reserve again, as far as there are descriptors.
    pub(crate) fn refill(&self) {
        self.with(|held| {
            while held.len() < RESERVE {
                match File::open("/dev/null") {
                    Ok(file) => held.push(file),
                    Err(_) => return,
                }
            }
        });
    }

    /// Frees one descriptor; false if none is left.
    pub(crate) fn give_up(&self) -> bool {
        self.with(|held| held.pop().is_some())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.with(|held| held.len() == RESERVE)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Vec<File>) -> T) -> T {
        work(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_up_is_taken_back() {
        let reserve = Reserve::new();
        assert!(reserve.is_full());
        for _ in 0..RESERVE {
            assert!(reserve.give_up());
        }
        assert!(!reserve.give_up() && !reserve.is_full());
        reserve.refill();
        assert!(reserve.is_full());
    }
}
