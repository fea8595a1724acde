//! Through a proxy: connect to it, and have it connect to the server

use broker_settings::{Proxy, ProxyKind};
use tokio::net::TcpStream;

use super::limit::TimeLimit;
use super::{http, race, resolve, socks};
use crate::error::OpenError;
use crate::spec::{ConnectSpec, Target};

/// Why a proxy does not connect us, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It does not let us in, now or ever.
    Login(String),
    /// Whatever else there is.
    Other(String),
}

impl Refusal {
    fn error(self, spec: &ConnectSpec, proxy: &Proxy) -> OpenError {
        let (server, proxy) = (spec.server(), name(proxy));
        match self {
            Self::Login(reason) => OpenError::ProxyLogin {
                server,
                proxy,
                reason,
            },
            Self::Other(reason) => OpenError::Proxy {
                server,
                proxy,
                reason,
            },
        }
    }
}

/// The proxy as a person would name it, without its login.
pub(super) fn name(proxy: &Proxy) -> String {
    let kind = match proxy.kind {
        ProxyKind::Socks4 => "SOCKS4",
        ProxyKind::Socks5 => "SOCKS5",
        ProxyKind::HttpConnect => "HTTP",
    };
    format!("{kind} proxy {}", Target::new(&proxy.host, proxy.port))
}

/// A connection to the server of `spec` through the proxy, which looks the server's name up itself.
///
/// # Errors
/// That the proxy cannot be reached, refuses, or does not answer.
pub(super) async fn connect(
    proxy: &Proxy,
    spec: &ConnectSpec,
    limit: TimeLimit,
) -> Result<TcpStream, OpenError> {
    let failed = |reason: String| Refusal::Other(reason).error(spec, proxy);
    let found =
        resolve::addresses(&proxy.host, proxy.port, spec.settings.address_family, limit).await;
    let addresses = found.map_err(|reason| failed(format!("no address for it: {reason}")))?;
    let (mut tcp, _) = race::connect(addresses, limit).await.map_err(failed)?;
    let target = Target::new(&spec.host, spec.port);
    let asked = limit.run(ask(&mut tcp, proxy, &target)).await;
    let silent = || Err(Refusal::Other(format!("it did not answer within {limit}")));
    let answer = asked.unwrap_or_else(silent);
    answer.map_err(|refusal| refusal.error(spec, proxy))?;
    Ok(tcp)
}

async fn ask(tcp: &mut TcpStream, proxy: &Proxy, target: &Target) -> Result<(), Refusal> {
    let login = proxy.login.as_ref();
    match proxy.kind {
        ProxyKind::Socks4 => socks::connect_v4(tcp, target, login).await,
        ProxyKind::Socks5 => socks::connect_v5(tcp, target, login).await,
        ProxyKind::HttpConnect => http::connect(tcp, target, login).await,
    }
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
