//! Listeners that the server did not end when it was told to
//!
//! dropbear refuses every `cancel-tcpip-forward` and goes on listening, and it has room for 20 listeners a connection. So such
//! a listener is kept for the next time that one is needed. Whoever connects meanwhile is refused, and then nobody
//! is told of that port any more.

use std::sync::Mutex;

use super::Wanted;
use crate::net::lock::lock;

/// As many as one connection keeps: a session has one in use and one ready, and few sessions share a connection.
const MAX_KEPT: usize = 4;

/// The listeners of one connection that nobody uses.
#[derive(Debug, Default)]
pub(crate) struct Leftovers(Mutex<Vec<(String, u16)>>);

impl Leftovers {
    /// Keeps one; false where there are enough, so that the connection is better given up.
    pub(super) fn keep(&self, bind: &str, port: u16) -> bool {
        let mut kept = lock(&self.0);
        let room = kept.len() < MAX_KEPT;
        if room {
            kept.push((bind.to_owned(), port));
        }
        room
    }

    /// Takes the oldest that serves for what is wanted.
    pub(super) fn take(&self, wanted: &Wanted) -> Option<u16> {
        let mut kept = lock(&self.0);
        let fits = |(bind, port): &(String, u16)| *bind == wanted.bind && wanted.allows(*port);
        let index = kept.iter().position(fits)?;
        Some(kept.remove(index).1)
    }

    /// Whether a connection has come to one of them.
    pub(crate) fn has(&self, port: u32) -> bool {
        lock(&self.0)
            .iter()
            .any(|(_, kept)| u32::from(*kept) == port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(bind: &str, ports: Option<std::ops::RangeInclusive<u16>>) -> Wanted {
        let bind = bind.to_owned();
        Wanted { bind, ports }
    }

    #[test]
    fn one_is_used_again_for_the_same_address_and_an_allowed_port() {
        let leftovers = Leftovers::default();
        assert!(leftovers.keep("127.0.0.1", 5000));
        assert!(leftovers.has(5000));
        assert_eq!(leftovers.take(&wanted("::1", None)), None);
        assert_eq!(leftovers.take(&wanted("127.0.0.1", Some(1..=2))), None);
        let known = wanted("127.0.0.1", Some(4999..=5000));
        assert_eq!(leftovers.take(&known), Some(5000));
        assert_eq!(leftovers.take(&known), None);
        assert!(!leftovers.has(5000));
    }

    #[test]
    fn few_are_kept() {
        let leftovers = Leftovers::default();
        let kept = (1..=99).filter(|port| leftovers.keep("::1", *port));
        assert_eq!(kept.count(), MAX_KEPT);
    }
}
