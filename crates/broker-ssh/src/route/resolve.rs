//! From a host's name to its addresses

use std::net::SocketAddr;

use broker_settings::AddressFamily;

use super::error::ResolveError;
use super::limit::TimeLimit;

/// The allowed addresses of a host, in the resolver's order; never empty.
///
/// # Errors
/// The resolver's error, its timeout, or that no address is of an allowed family.
pub(super) async fn addresses(
    host: &str,
    port: u16,
    family: AddressFamily,
    limit: TimeLimit,
) -> Result<Vec<SocketAddr>, ResolveError> {
    let found = in_time(tokio::net::lookup_host((host, port)), limit).await?;
    let usable: Vec<_> = found
        .filter(|address| is_allowed(family, address))
        .collect();
    if usable.is_empty() {
        Err(ResolveError::None(family))
    } else {
        Ok(usable)
    }
}

async fn in_time<T>(
    lookup: impl Future<Output = std::io::Result<T>>,
    limit: TimeLimit,
) -> Result<T, ResolveError> {
    let answer = limit.run(lookup).await;
    answer
        .ok_or(ResolveError::Late(limit.whole))?
        .map_err(|error| ResolveError::Failed(error.to_string()))
}

fn is_allowed(family: AddressFamily, address: &SocketAddr) -> bool {
    match family {
        AddressFamily::Any => true,
        AddressFamily::Inet => address.is_ipv4(),
        AddressFamily::Inet6 => address.is_ipv6(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn look_up(host: &str, family: AddressFamily) -> Result<Vec<SocketAddr>, String> {
        let found = addresses(host, 22, family, TimeLimit::starts_now(None)).await;
        found.map_err(|error| error.to_string())
    }

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_is_slow_is_not_waited_for() {
        let limit = TimeLimit::starts_now(Some(Duration::from_secs(5)));
        let late = in_time(std::future::pending::<std::io::Result<()>>(), limit).await;
        let late = late.unwrap_err().to_string();
        assert_eq!(late, "the resolver gave no answer within 5 s");
    }

    #[tokio::test]
    async fn addresses_stand_for_themselves_within_their_family() {
        let v6 = look_up("::1", AddressFamily::Any).await.unwrap();
        assert_eq!(v6, ["[::1]:22".parse().unwrap()]);
        let wrong = look_up("::1", AddressFamily::Inet).await.unwrap_err();
        assert!(wrong.contains("no IPv4 address"), "{wrong}");
        let wrong = look_up("127.0.0.1", AddressFamily::Inet6).await;
        assert!(wrong.unwrap_err().contains("no IPv6 address"));
    }
}
