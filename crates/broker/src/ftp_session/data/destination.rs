//! Where the far end of a data channel is: the host to which the SSH server connects.

use std::net::IpAddr;
use std::sync::Mutex;

use broker_config::DataAddress;

use crate::sync::lock;

/// The hosts to try, in order, for a passive data channel, all with the announced port.
///
/// `control` is the host string of the control channel. A server may accept data connections only from the address of its
/// control connection, and the very same string makes both come from one address. `announced` is the address in the
/// server's reply, if it has one (227 and 228 have one, 229 has none).
pub(crate) fn candidates(
    rule: DataAddress,
    control: &str,
    announced: Option<IpAddr>,
) -> Vec<String> {
    let control = control.to_owned();
    match (rule, announced) {
        (DataAddress::Control, _) | (_, None) => vec![control],
        (DataAddress::Reply, Some(address)) => vec![address.to_string()],
        (DataAddress::Auto, Some(address)) => {
            if is_loopback(&control) || !is_reachable(address) || address.to_string() == control {
                vec![control]
            } else {
                vec![address.to_string(), control]
            }
        }
    }
}

/// Which of the two hosts the session's last data connection used.
#[derive(Debug)]
pub(crate) struct DataHost {
    control: String,
    /// Whether it was the control connection's host; `None` before the first data connection.
    at_control: Mutex<Option<bool>>,
}

impl DataHost {
    /// No data connection was opened yet.
    pub(crate) fn for_control(control: &str) -> Self {
        Self {
            control: control.to_owned(),
            at_control: Mutex::default(),
        }
    }

    /// The only candidate to try, if an earlier data connection settled the choice.
    pub(crate) fn known(&self, candidates: &[String]) -> Option<String> {
        let at_control = (*lock(&self.at_control))?;
        let mut candidates = candidates.iter();
        let fitting = candidates.find(|host| (**host == self.control) == at_control);
        fitting.cloned()
    }

    /// Records where a data connection was opened.
    pub(crate) fn worked(&self, host: &str) {
        *lock(&self.at_control) = Some(host == self.control);
    }
}

/// Whether a destination name or address means the SSH server's own host.
pub(crate) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Whether an announced address can be meant for others than the server's own host.
fn is_reachable(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || address.is_loopback() || broadcast)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_worked_before_is_dialled_alone() {
        let both = ["10.1.2.3".to_owned(), "ftp".to_owned()];
        let host = DataHost::for_control("ftp");
        assert_eq!(host.known(&both), None);
        host.worked("10.1.2.3");
        // Another address that the server announces is of the same kind.
        let next = ["10.1.2.4".to_owned(), "ftp".to_owned()];
        assert_eq!(host.known(&next).as_deref(), Some("10.1.2.4"));
        host.worked("ftp");
        assert_eq!(host.known(&next).as_deref(), Some("ftp"));
    }

    #[track_caller]
    fn check(rule: DataAddress, control: &str, announced: &str, expected: &[&str]) {
        let announced = (!announced.is_empty()).then(|| announced.parse().unwrap());
        assert_eq!(candidates(rule, control, announced), expected);
    }

    #[test]
    fn a_loopback_destination_keeps_its_own_address() {
        check(DataAddress::Auto, "127.0.0.1", "10.1.2.3", &["127.0.0.1"]);
        check(DataAddress::Auto, "::1", "10.1.2.3", &["::1"]);
        check(DataAddress::Auto, "localhost", "10.1.2.3", &["localhost"]);
        check(DataAddress::Auto, "127.0.0.2", "127.0.0.1", &["127.0.0.2"]);
    }

    #[test]
    fn elsewhere_the_announced_address_is_tried_first() {
        check(DataAddress::Auto, "ftp", "10.1.2.3", &["10.1.2.3", "ftp"]);
        check(DataAddress::Auto, "10.1.2.3", "10.1.2.3", &["10.1.2.3"]);
    }

    #[test]
    fn an_address_that_names_nobody_is_not_tried() {
        for odd in [
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "127.0.0.1",
            "::",
            "ff02::1",
        ] {
            check(DataAddress::Auto, "ftp", odd, &["ftp"]);
        }
    }

    #[test]
    fn a_reply_without_an_address_means_the_control_destination() {
        for rule in [DataAddress::Auto, DataAddress::Reply, DataAddress::Control] {
            check(rule, "ftp", "", &["ftp"]);
        }
    }

    #[test]
    fn the_rule_can_fix_either() {
        check(DataAddress::Control, "ftp", "10.1.2.3", &["ftp"]);
        check(DataAddress::Reply, "127.0.0.1", "10.1.2.3", &["10.1.2.3"]);
    }
}
