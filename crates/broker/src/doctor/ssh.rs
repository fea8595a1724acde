//! The steps to an SSH server, up to the login.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use broker_ipc::checks::{Outcome, Step};
use broker_ssh::{ConnectSpec, FailedAttempt, FirstHop, Pool, first_hop, try_each};

use super::finding::Finding;
use super::report::Reporter;
use super::wording;

/// How often the round trip is measured; the shortest counts.
const PINGS: usize = 3;

/// Connects and logs in. Returns false if that fails.
pub(super) async fn connect(pool: &Pool, reporter: &Reporter) -> bool {
    if !reach(first(pool.spec()), reporter).await {
        return false;
    }
    let connected = pool.connect().await;
    let passed = reporter.attempt_over();
    match connected {
        Ok(()) => true,
        Err(error) => {
            reporter.report(wording::failed(&error, passed));
            false
        }
    }
}

/// The server to which a connection attempt connects first: a gateway if there is one.
fn first(spec: &ConnectSpec) -> &ConnectSpec {
    spec.gateway.as_deref().map_or(spec, first)
}

/// Looks up the name, and tries each address.
async fn reach(spec: &ConnectSpec, reporter: &Reporter) -> bool {
    match first_hop(spec).await {
        Err(error) => {
            reporter.report(Finding::failed(Step::Name, error.to_string()));
            false
        }
        Ok(FirstHop::Through(route)) => {
            let text = format!("{} is reached through {route}", spec.server());
            reporter.report(Finding::new(Step::Connect, Outcome::Skipped, text));
            true
        }
        Ok(FirstHop::Direct(addresses)) => {
            if spec.host.parse::<IpAddr>().is_err() {
                reporter.report(Finding::ok(Step::Name, has(&spec.host, &addresses)));
            }
            try_addresses(spec, addresses, reporter).await
        }
    }
}

fn has(host: &str, addresses: &[SocketAddr]) -> String {
    let listed: Vec<_> = addresses.iter().map(|it| it.ip().to_string()).collect();
    format!("{host} is {}", listed.join(", "))
}

/// One address that answers is enough, but one that does not answer slows down every connection.
async fn try_addresses(
    spec: &ConnectSpec,
    addresses: Vec<SocketAddr>,
    reporter: &Reporter,
) -> bool {
    let tried = try_each(spec, addresses).await;
    let reached = tried.iter().any(|(_, outcome)| outcome.is_ok());
    for (address, outcome) in tried {
        reporter.report(match outcome {
            Ok(took) => {
                Finding::ok(Step::Connect, format!("{address} accepts connections")).took(took)
            }
            Err(failed) => unreachable_address(&failed, reached),
        });
    }
    reached
}

fn unreachable_address(failed: &FailedAttempt, reached: bool) -> Finding {
    let text = failed.to_string();
    if reached {
        let remedy = "another address answers; remove this one from the name, or set the profile's address-family";
        return Finding::new(Step::Connect, Outcome::Warning, text).remedy(remedy);
    }
    let (remedy, took) = match failed {
        FailedAttempt::Silent(_, limit) => (
            "nothing answers: check the address, and the firewalls on the way, which may drop the packets",
            Some(*limit),
        ),
        FailedAttempt::Refused(_) => (
            "the host is there, but nothing listens on this port: check that the SSH server runs, and its port",
            None,
        ),
        FailedAttempt::Failed(..) => (
            "check the network of this host, and its route to that address",
            None,
        ),
    };
    let finding = Finding::new(Step::Connect, Outcome::Failed, text).remedy(remedy);
    match took {
        Some(took) => finding.took(took),
        None => finding,
    }
}

/// How long the server takes for an answer; `None` if it gives none.
pub(super) async fn round_trip(pool: &Pool, reporter: &Reporter) -> Option<Duration> {
    let mut shortest: Option<Duration> = None;
    for _ in 0..PINGS {
        match pool.round_trip().await {
            Ok(Some(took)) => shortest = Some(shortest.map_or(took, |it| it.min(took))),
            Ok(None) => break,
            Err(error) => {
                reporter.report(Finding::failed(Step::RoundTrip, error.to_string()));
                return None;
            }
        }
    }
    let server = pool.spec().server();
    reporter.report(match shortest {
        Some(took) => Finding::ok(
            Step::RoundTrip,
            format!("{server} answers in {:.1} ms", took.as_secs_f64() * 1e3),
        )
        .took(took),
        None => {
            let text = format!("{server} gives no answer on the open connection");
            let remedy =
                "the network or the server is overloaded, or a firewall has cut the connection";
            Finding::new(Step::RoundTrip, Outcome::Failed, text).remedy(remedy)
        }
    });
    shortest
}
