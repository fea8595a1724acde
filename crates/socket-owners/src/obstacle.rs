//! Why a port cannot be listened on, and what to do.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use super::holder::Holders;

/// Where Linux says which ports need a right.
const FIRST_FREE_PORT: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
/// The usual first port that needs none.
const USUAL_FIRST_FREE_PORT: u16 = 1024;

/// Explains why ports cannot be listened on.
#[derive(Debug, Default)]
pub struct Obstacles {
    holders: Holders,
}

impl Obstacles {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Why `address`, which a person writes as `wanted`, cannot be listened on after this error, and what to do.
    pub fn explain(&mut self, wanted: &str, address: SocketAddr, error: &io::Error) -> String {
        let kind = error.kind();
        if kind == ErrorKind::AddrInUse {
            self.in_use(wanted, address)
        } else if kind == ErrorKind::PermissionDenied {
            not_permitted(wanted, address.port())
        } else if kind == ErrorKind::AddrNotAvailable {
            format!(
                "cannot listen on {wanted}: this host does not have the address at the moment; connect the network or VPN that it belongs to, or choose another listen-address"
            )
        } else {
            format!("cannot listen on {wanted}: {error}")
        }
    }

    fn in_use(&mut self, wanted: &str, address: SocketAddr) -> String {
        let Some(holder) = self.holders.of(address) else {
            return in_use_by(wanted, "another program", "end it");
        };
        if holder.is_this_process() {
            let who = "this daemon itself, for the data of a session";
            return in_use_by(wanted, who, "wait until that has ended");
        }
        let elsewhere = holder.address != address;
        let place = elsewhere.then(|| format!(" at {}", holder.address));
        let who = format!("{holder}{}", place.unwrap_or_default());
        let end = match holder.is_daemon() {
            true => "stop that daemon",
            false => "end it",
        };
        in_use_by(wanted, &who, end)
    }
}

/// That somebody has the port which a person writes as `wanted`, and how to get it: `end` what has it.
pub fn in_use_by(wanted: &str, who: &str, end: &str) -> String {
    format!("{wanted} is in use by {who}; {end}, or choose another listen-port")
}

fn not_permitted(wanted: &str, port: u16) -> String {
    let first_free = fs::read_to_string(FIRST_FREE_PORT).ok();
    let first_free = first_free.and_then(|text| text.trim().parse().ok());
    let first_free = first_free.unwrap_or(USUAL_FIRST_FREE_PORT);
    if port >= first_free {
        return format!(
            "not permitted to listen on {wanted}: the security policy of the system forbids it; allow the port there, or choose another listen-port"
        );
    }
    let how = match cfg!(target_os = "linux") {
        true => format!(
            "give the daemon the right (AmbientCapabilities=CAP_NET_BIND_SERVICE in its systemd unit), open the ports from {port} on to every user (sysctl net.ipv4.ip_unprivileged_port_start={port}), or choose"
        ),
        false => "choose".to_owned(),
    };
    format!(
        "not permitted to listen on {wanted}: ports below {first_free} need a right that the daemon does not have; {how} a listen-port of {first_free} or above"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: ErrorKind, port: u16, expected: &str) {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let error = io::Error::from(kind);
        let said = Obstacles::new().explain(&address.to_string(), address, &error);
        assert!(said.starts_with(expected), "{said}");
    }

    #[test]
    fn each_obstacle_has_a_remedy() {
        check(
            ErrorKind::PermissionDenied,
            0,
            "not permitted to listen on 127.0.0.1:0: ports below 1024 need a right that the daemon does not have; ",
        );
        check(
            ErrorKind::PermissionDenied,
            50_000,
            "not permitted to listen on 127.0.0.1:50000: the security policy of the system forbids it; ",
        );
        check(
            ErrorKind::AddrNotAvailable,
            2121,
            "cannot listen on 127.0.0.1:2121: this host does not have the address at the moment; ",
        );
        check(
            ErrorKind::OutOfMemory,
            2121,
            "cannot listen on 127.0.0.1:2121: out of memory",
        );
    }
}
