//! Through a proxy: connect to it, and make it connect to the server

use broker_settings::{Proxy, ProxyKind};
use tokio::net::TcpStream;

use super::error::{ProxyFault, RouteError};
use super::limit::TimeLimit;
use super::race::Connected;
use super::{http, race, resolve, socks};
use crate::spec::{ConnectSpec, Target};

/// The proxy's name for people, without its login.
pub(super) fn name(proxy: &Proxy) -> String {
    let kind = match proxy.kind {
        ProxyKind::Socks4 => "SOCKS4",
        ProxyKind::Socks5 => "SOCKS5",
        ProxyKind::HttpConnect => "HTTP",
    };
    format!("{kind} proxy {}", Target::new(&proxy.host, proxy.port))
}

/// A connection to the server of `spec` through the proxy, which resolves the server's name itself.
///
/// # Errors
/// The proxy cannot be reached, refuses, or does not answer.
pub(super) async fn connect(
    proxy: &Proxy,
    spec: &ConnectSpec,
    limit: TimeLimit,
) -> Result<TcpStream, RouteError> {
    let connected = connect_through(proxy, spec, limit).await;
    connected.map_err(|reason| RouteError::Proxy {
        server: spec.server(),
        proxy: name(proxy),
        reason,
    })
}

async fn connect_through(
    proxy: &Proxy,
    spec: &ConnectSpec,
    limit: TimeLimit,
) -> Result<TcpStream, ProxyFault> {
    let family = spec.settings.address_family;
    let addresses = resolve::addresses(&proxy.host, proxy.port, family, limit).await?;
    let Connected { mut tcp, .. } = race::connect(addresses, limit).await?;
    let target = Target::new(&spec.host, spec.port);
    let asked = limit.run(ask(&mut tcp, proxy, &target)).await;
    asked.ok_or(ProxyFault::Silent(limit.whole))??;
    Ok(tcp)
}

async fn ask(tcp: &mut TcpStream, proxy: &Proxy, target: &Target) -> Result<(), ProxyFault> {
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
