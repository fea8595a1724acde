//! Where the broker asks a server to listen

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many ports of a range are tried before the request fails: each costs a round trip, and a server that allows none
/// of them must not get thousands of requests.
const MAX_TRIES: usize = 32;

/// An address, and the ports that are acceptable there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListenRequest {
    pub(super) bind: String,
    /// `None`: the server chooses a port.
    pub(super) ports: Option<RangeInclusive<u16>>,
}

impl ListenRequest {
    pub(super) fn allows(&self, port: u16) -> bool {
        self.ports
            .as_ref()
            .is_none_or(|ports| ports.contains(&port))
    }

    /// Whether more than one port will do.
    pub(super) fn has_choice(&self) -> bool {
        let ports = self.ports.as_ref();
        ports.is_none_or(|ports| ports.start() != ports.end())
    }

    /// The ports to request, in order; 0 lets the server choose. The order starts at a different port each time, since
    /// the last one may be in use.
    pub(super) fn tries(&self) -> Vec<u16> {
        static TURN: AtomicUsize = AtomicUsize::new(0);
        let Some(ports) = &self.ports else {
            return vec![0];
        };
        let ports: Vec<u16> = ports.clone().collect();
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        let first = turn.checked_rem(ports.len()).unwrap_or_default();
        let in_turn = ports.iter().cycle().skip(first).take(ports.len());
        in_turn.copied().take(MAX_TRIES).collect()
    }
}

impl fmt::Display for ListenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In SSH the empty address means all of them.
        let bind = match self.bind.as_str() {
            "" => "*",
            address => address,
        };
        match &self.ports {
            None => f.write_str(bind),
            Some(ports) if !self.has_choice() => write!(f, "{bind} port {}", ports.start()),
            Some(ports) => write!(f, "{bind} ports {}-{}", ports.start(), ports.end()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(ports: Option<RangeInclusive<u16>>) -> ListenRequest {
        let bind = "127.0.0.1".to_owned();
        ListenRequest { bind, ports }
    }

    #[test]
    fn every_port_of_a_small_range_is_tried_once_and_each_time_another_first() {
        let range = request(Some(7000..=7002));
        let (first, second) = (range.tries(), range.tries());
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [7000, 7001, 7002]);
        assert_ne!(first, second);
    }

    #[test]
    fn few_ports_of_a_large_range_are_tried() {
        assert_eq!(request(Some(1024..=65535)).tries().len(), MAX_TRIES);
        assert_eq!(request(None).tries(), [0]);
    }

    #[test]
    fn a_person_reads_the_ports_with_the_address() {
        assert_eq!(
            request(Some(7000..=7002)).to_string(),
            "127.0.0.1 ports 7000-7002"
        );
        assert_eq!(request(None).to_string(), "127.0.0.1");
    }

    #[test]
    fn a_person_reads_a_star_for_all_addresses() {
        let all = |ports| ListenRequest {
            bind: String::new(),
            ports,
        };
        assert_eq!(all(Some(7000..=7000)).to_string(), "* port 7000");
        assert_eq!(all(None).to_string(), "*");
    }
}
