//! Servers that are reached through proxies, and what is told when a proxy does not do its part.

use std::net::Ipv6Addr;

use anyhow::ensure;
use libtest_mimic::Trial;
use testkit::proxy::{Login, Proxy};
use testkit::scripted::ScriptedListener;
use testkit::sshd::SshdOptions;

use crate::support::bad_tunnel::BadTunnel;
use crate::support::fixture::real;
use crate::support::routes::{IN_RULE, LOGIN, SECRET, by_name, proxy, works};
use crate::support::sockets::{closed_port, logged};
use crate::support::{Need, trial};

const MICROSOCKS: &[Need] = &[
    Need::Program("sshd"),
    Need::Program("vsftpd"),
    Need::Program("microsocks"),
];
const SOCAT: &[Need] = &[
    Need::Program("sshd"),
    Need::Program("vsftpd"),
    Need::Program("socat"),
];
const TINYPROXY: &[Need] = &[
    Need::Program("sshd"),
    Need::Program("vsftpd"),
    Need::Program("tinyproxy"),
];
const OPENSSH: &[Need] = &[
    Need::Program("sshd"),
    Need::Program("vsftpd"),
    Need::Program("ssh"),
];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("proxies: microsocks", MICROSOCKS, || {
            through_microsocks(None)
        }),
        trial("proxies: microsocks that wants a login", MICROSOCKS, || {
            through_microsocks(Some(LOGIN))
        }),
        trial(
            "proxies: microsocks to an IPv6 address",
            MICROSOCKS,
            through_microsocks_to_ipv6,
        ),
        trial("proxies: tinyproxy", TINYPROXY, || through_tinyproxy(None)),
        trial("proxies: tinyproxy that wants a login", TINYPROXY, || {
            through_tinyproxy(Some(LOGIN))
        }),
        trial("proxies: OpenSSH as a SOCKS 4 proxy", OPENSSH, || {
            through_openssh("socks4")
        }),
        trial("proxies: OpenSSH as a SOCKS 5 proxy", OPENSSH, || {
            through_openssh("socks5")
        }),
        trial(
            "proxies: the first proxy rule that fits counts",
            MICROSOCKS,
            the_first_rule,
        ),
        trial(
            "proxies: a login that microsocks refuses",
            MICROSOCKS,
            refused_by_microsocks,
        ),
        trial(
            "proxies: a login that tinyproxy refuses",
            TINYPROXY,
            refused_by_tinyproxy,
        ),
        trial(
            "proxies: a port that tinyproxy refuses",
            TINYPROXY,
            port_refused_by_tinyproxy,
        ),
        trial("proxies: a command", SOCAT, through_command),
        trial("proxies: a command that fails", &[], failing_command),
        trial("proxies: a proxy that is not there", &[], absent_proxy),
        trial("proxies: a proxy that is silent", &[], silent_proxy),
    ]
}

async fn through_microsocks(login: Option<Login<'_>>) -> anyhow::Result<()> {
    let servers = real().servers().await?;
    let socks = Proxy::microsocks(login).await?;
    let in_rule = if login.is_some() { IN_RULE } else { "" };
    let rule = proxy("socks5", in_rule, socks.addr());
    // By name, which the proxy is to look up.
    let profile = by_name(servers.profile()?.with(&rule));
    works(
        &servers,
        &[profile],
        &format!("SOCKS5 proxy {}", socks.addr()),
    )
    .await?;
    let named = format!("connected to localhost:{}", servers.ssh.addr().port());
    logged(|| socks.log(), &named, 1).await
}

async fn through_microsocks_to_ipv6() -> anyhow::Result<()> {
    let sshd = SshdOptions {
        bind: Ipv6Addr::LOCALHOST.into(),
        ..SshdOptions::default()
    };
    let servers = real().ssh(sshd).servers().await?;
    let socks = Proxy::microsocks(None).await?;
    let rule = proxy("socks5", "", socks.addr());
    let profile = servers.profile()?.with(&rule);
    works(
        &servers,
        &[profile],
        &format!("SOCKS5 proxy {}", socks.addr()),
    )
    .await
}

async fn through_tinyproxy(login: Option<Login<'_>>) -> anyhow::Result<()> {
    let servers = real().servers().await?;
    let http = Proxy::tinyproxy(login, &[]).await?;
    let in_rule = if login.is_some() { IN_RULE } else { "" };
    let rule = proxy("http-connect", in_rule, http.addr());
    let profile = by_name(servers.profile()?.with(&rule));
    works(&servers, &[profile], &format!("HTTP proxy {}", http.addr())).await?;
    let named = format!("CONNECT localhost:{}", servers.ssh.addr().port());
    logged(|| http.log(), &named, 1).await
}

async fn through_openssh(scheme: &str) -> anyhow::Result<()> {
    let servers = real().servers().await?;
    let socks = Proxy::openssh(&servers.ssh).await?;
    let route = format!("{} proxy {}", scheme.to_uppercase(), socks.addr());
    let rule = proxy(scheme, "", socks.addr());
    let profile = servers.profile()?.with(&rule);
    works(&servers, std::slice::from_ref(&profile), &route).await?;
    works(&servers, &[by_name(profile)], &route).await
}

async fn through_command() -> anyhow::Result<()> {
    let servers = real().servers().await?;
    let rules = "socks5://192.0.2.1:1/192.0.2.0/24; command: socat - TCP:%h:%p";
    let rule = format!(r#"<proxy ruleset="{rules}"/>"#);
    let profile = by_name(servers.profile()?.with(&rule));
    works(&servers, &[profile], "command socat").await
}

async fn failing_command() -> anyhow::Result<()> {
    let rule = r#"<proxy ruleset="command:sh -c 'echo no tunnel for %h &gt;&amp;2; exit 7'"/>"#;
    let bad = BadTunnel::start(|profile| profile.with(rule)).await?;
    let parts = [
        "through command sh: it ended (exit status: 7)",
        "it wrote",
        "no tunnel for 127.0.0.1",
    ];
    bad.tells(&parts).await
}

async fn the_first_rule() -> anyhow::Result<()> {
    let servers = real().servers().await?;
    let socks = Proxy::microsocks(None).await?;
    let nobody = closed_port()?;
    let ssh_port = servers.ssh.addr().port();
    let rules = format!(
        "socks5://{nobody}/192.0.2.0/24,*.example.com,127.0.0.1:1-1023;socks5://{}/127.0.0.0/8:{ssh_port};direct:///",
        socks.addr()
    );
    let rules = format!(r#"<proxy ruleset="{rules}"/>"#);
    let profile = by_name(servers.profile()?.with(&rules));
    works(
        &servers,
        &[profile],
        &format!("SOCKS5 proxy {}", socks.addr()),
    )
    .await
}

/// A broker with a profile that goes through a proxy in vain, and tells why without telling the password.
async fn refused_by(settings: &str, parts: &[&str]) -> anyhow::Result<()> {
    let bad = BadTunnel::start(|profile| profile.with(settings)).await?;
    bad.tells(parts).await?;
    let shown = bad.broker.told(&["list-profiles", "--json"]).await?;
    ensure!(!shown.contains(SECRET), "the password is shown: {shown}");
    ensure!(
        !bad.broker.log().contains(SECRET),
        "the password is in the log"
    );
    Ok(())
}

async fn refused_by_microsocks() -> anyhow::Result<()> {
    let socks = Proxy::microsocks(Some(("other", "login"))).await?;
    let name = format!("SOCKS5 proxy {}", socks.addr());
    let wrong = proxy("socks5", IN_RULE, socks.addr());
    refused_by(
        &wrong,
        &[&name, "did not accept the rule's user and password"],
    )
    .await?;
    let none = proxy("socks5", "", socks.addr());
    refused_by(&none, &[&name, "requires a login", "user:password@"]).await
}

async fn refused_by_tinyproxy() -> anyhow::Result<()> {
    let http = Proxy::tinyproxy(Some(("other", "login")), &[]).await?;
    let name = format!("HTTP proxy {}", http.addr());
    let wrong = proxy("http-connect", IN_RULE, http.addr());
    let parts = [name.as_str(), "did not accept the rule's user and password"];
    let none = proxy("http-connect", "", http.addr());
    let wanting = [name.as_str(), "requires a login", "407"];
    // Older versions answer 401 where 407 is meant.
    match refused_by(&wrong, &parts).await {
        Ok(()) => refused_by(&none, &wanting).await,
        Err(_) => refused_by(&wrong, &[&name, "401"]).await,
    }
}

async fn port_refused_by_tinyproxy() -> anyhow::Result<()> {
    let http = Proxy::tinyproxy(None, &[443]).await?;
    let name = format!("HTTP proxy {}", http.addr());
    let rule = proxy("http-connect", "", http.addr());
    refused_by(&rule, &[&name, "403", "may allow only other ports"]).await
}

async fn absent_proxy() -> anyhow::Result<()> {
    let nobody = closed_port()?;
    for (scheme, kind) in [
        ("socks4", "SOCKS4"),
        ("socks5", "SOCKS5"),
        ("http-connect", "HTTP"),
    ] {
        let login = if kind == "SOCKS4" { "" } else { IN_RULE };
        let name = format!("through {kind} proxy {nobody}");
        refused_by(
            &proxy(scheme, login, nobody),
            &[&name, "connection refused"],
        )
        .await?;
    }
    Ok(())
}

async fn silent_proxy() -> anyhow::Result<()> {
    let silent = ScriptedListener::bind().await?;
    let limit = r#"<tcp-connect-timeout time="1"/>"#;
    for (scheme, kind) in [("socks5", "SOCKS5"), ("http-connect", "HTTP")] {
        let settings = proxy(scheme, IN_RULE, silent.addr()) + limit;
        let name = format!("through {kind} proxy {}", silent.addr());
        refused_by(&settings, &[&name, "did not answer within 1 s"]).await?;
    }
    Ok(())
}
