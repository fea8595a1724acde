//! Where the far end of a data channel is: which host the SSH server is asked to connect to.

use std::net::IpAddr;

use broker_config::DataAddress;

/// The hosts to try, in order, for a passive data channel, all with the announced port.
///
/// `control` is the host string with which the control channel was opened: a server may accept data
/// connections only from the address its control connection came from, so the very same string is
/// what makes both come from one place. `announced` is the address in the server's reply, where the
/// reply has one (227 and 228 have, 229 has not).
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

/// Whether a destination name or address means the SSH server's own host.
pub(crate) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

/// The names to dial for a destination, in order: `localhost` means either loopback family, and the
/// broker has to know which one it got. As it is written it comes last, for servers that permit that
/// spelling alone.
pub(crate) fn dial_names(host: &str) -> Vec<String> {
    if host.eq_ignore_ascii_case("localhost") {
        let names = ["127.0.0.1", "::1", "localhost"];
        names.map(str::to_owned).to_vec()
    } else {
        vec![host.to_owned()]
    }
}

/// An announced address that can be meant for others than the server's own host.
fn is_reachable(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || address.is_loopback() || broadcast)
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn localhost_is_dialled_as_ipv4_first() {
        assert_eq!(dial_names("LocalHost"), ["127.0.0.1", "::1", "localhost"]);
        assert_eq!(dial_names("ftp.example"), ["ftp.example"]);
    }
}
