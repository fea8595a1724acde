//! Ports that nothing else takes before a test uses them.
//!
//! A port that was free a moment ago can be taken by any program that binds port 0 or connects. The system gives both a
//! port of one range, so the ports here are below it. No two calls of a process give the same one.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, ensure};

/// The range of ports that the system gives away, as two numbers.
const GIVEN_AWAY: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// Below are the ports of well-known services.
const FIRST: u16 = 10_000;

/// How far the calls of this process have come, as the distance from where it begins.
static TAKEN: AtomicU16 = AtomicU16::new(0);

/// A port that nobody listens on, and that only its caller will.
///
/// # Errors
/// If no port is free.
pub fn unused_port() -> anyhow::Result<u16> {
    Ok(*unused_ports(1)?.start())
}

/// So many ports in a row, as [`unused_port`] finds them.
///
/// # Errors
/// If no such row is free.
pub fn unused_ports(count: u16) -> anyhow::Result<RangeInclusive<u16>> {
    let size = first_given_away().saturating_sub(FIRST);
    ensure!(
        (1..=size).contains(&count),
        "there are no {count} ports from {FIRST} on that the system does not give away"
    );
    // Processes that run at the same time begin at different places.
    let begin = std::process::id().wrapping_mul(97);
    let rows = size / count;
    (0..rows)
        .map(|_| {
            let distance = u32::from(TAKEN.fetch_add(count, Ordering::Relaxed));
            let offset = begin.wrapping_add(distance) % u32::from(size - count + 1);
            let low = FIRST + u16::try_from(offset).unwrap_or_default();
            low..=low + (count - 1)
        })
        .find(|row| row.clone().all(is_free))
        .with_context(|| format!("no {count} ports in a row are free"))
}

fn first_given_away() -> u16 {
    /// What Linux begins with, unless somebody has changed it.
    const USUAL: u16 = 32_768;
    let range = fs::read_to_string(GIVEN_AWAY).unwrap_or_default();
    let low = range.split_whitespace().next();
    low.and_then(|low| low.parse().ok()).unwrap_or(USUAL)
}

/// Whether nobody has the port on any address of this host.
fn is_free(port: u16) -> bool {
    let any = [
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    let taken = |ip| match TcpListener::bind((ip, port)) {
        Ok(_) => false,
        // A host without IPv6 has nobody there.
        Err(error) => error.kind() != std::io::ErrorKind::AddrNotAvailable,
    };
    !any.into_iter().any(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_calls_give_the_same_port() {
        let one = unused_ports(3).unwrap();
        let other = unused_ports(3).unwrap();
        assert_eq!((one.clone().count(), other.clone().count()), (3, 3));
        assert!(
            one.clone().all(|port| !other.contains(&port)),
            "{one:?} {other:?}"
        );
    }

    #[test]
    fn the_system_gives_none_of_them_away() {
        let port = unused_port().unwrap();
        assert!((FIRST..first_given_away()).contains(&port), "{port}");
    }

    #[test]
    fn a_port_in_use_is_left_out() {
        let next = loop {
            let next = unused_port().unwrap() + 1;
            if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, next)) {
                break listener;
            }
        };
        let taken = next.local_addr().unwrap().port();
        assert!(!is_free(taken));
        assert_ne!(unused_port().unwrap(), taken);
    }
}
