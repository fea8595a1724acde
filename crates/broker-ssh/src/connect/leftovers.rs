//! Listeners that the server did not end when asked to
//!
//! dropbear refuses every `cancel-tcpip-forward` and keeps listening, and it has room for 20 listeners per connection. So
//! the broker keeps such a listener and reuses it when the next one is needed. It refuses connections that arrive before
//! that, and then never announces that port again.

use std::sync::Mutex;

use crate::net::lock::lock;

/// How many one connection keeps: a session has one in use and one ready, and few sessions share a connection.
const MAX_KEPT: usize = 4;

/// The unused listeners of one connection.
#[derive(Debug, Default)]
pub(crate) struct Leftovers(Mutex<Vec<(String, u16)>>);

impl Leftovers {
    /// Keeps one; false if there are enough, so the connection should be given up.
    pub(crate) fn keep(&self, bind: &str, port: u16) -> bool {
        let mut kept = lock(&self.0);
        let room = kept.len() < MAX_KEPT;
        if room {
            kept.push((bind.to_owned(), port));
        }
        room
    }

    /// Takes the oldest one that listens on this address and on an accepted port.
    pub(crate) fn take(&self, address: &str, will_do: impl Fn(u16) -> bool) -> Option<u16> {
        let mut kept = lock(&self.0);
        let fits = |(bind, port): &(String, u16)| bind == address && will_do(*port);
        let index = kept.iter().position(fits)?;
        Some(kept.remove(index).1)
    }

    /// Whether one of them has this port.
    pub(super) fn has(&self, port: u32) -> bool {
        lock(&self.0)
            .iter()
            .any(|(_, kept)| u32::from(*kept) == port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_used_again_for_the_same_address_and_an_allowed_port() {
        let leftovers = Leftovers::default();
        assert!(leftovers.keep("127.0.0.1", 5000));
        assert!(leftovers.has(5000));
        assert_eq!(leftovers.take("::1", |_| true), None);
        assert_eq!(leftovers.take("127.0.0.1", |port| port < 5000), None);
        assert_eq!(leftovers.take("127.0.0.1", |port| port == 5000), Some(5000));
        assert_eq!(leftovers.take("127.0.0.1", |_| true), None);
        assert!(!leftovers.has(5000));
    }

    #[test]
    fn few_are_kept() {
        let leftovers = Leftovers::default();
        let kept = (1..=99).filter(|port| leftovers.keep("::1", *port));
        assert_eq!(kept.count(), MAX_KEPT);
    }
}
