//! Two relays behind HAProxy and its one address, with the configuration that is shipped.

use std::ffi::OsStr;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures::future::join_all;
use libtest_mimic::Trial;
use serde_json::Value;
use tempfile::TempDir;
use testkit::broker::Broker;
use testkit::files;
use testkit::ftp_client::FtpClient;
use testkit::haproxy::Haproxy;
use testkit::lan::Lan;
use testkit::netns::Netns;
use testkit::peer::FtpFiles;

use crate::support::clients::Client::{Curl, Ftplib, Tnftp};
use crate::support::clients::Mode::{Epsv, Pasv};
use crate::support::clients::{Client, Mode, Step, transcript};
use crate::support::fixture::{CONTENT, SOON};
use crate::support::site::{Backend, CLIENTS, connect_from, down_and_up, fetched, login_from};
use crate::support::{Need, trial};

const NEEDS: &[Need] = &[
    Need::Program("ip"),
    Need::Namespaces,
    Need::Program("sshd"),
    Need::Program("vsftpd"),
    Need::Program("haproxy"),
];

/// The file that is shipped.
const HAPROXY: &str = include_str!("../config/haproxy/haproxy.cfg");

/// The numbers of the hosts on the network.
const BALANCER: u8 = 1;
const CLIENT: u8 = 2;
const THIEF: u8 = 3;
const RELAYS: [u8; 2] = [4, 6];

/// The ports that the file forwards to each relay.
const PORTS: [RangeInclusive<u16>; 2] = [50000..=50255, 50256..=50511];

/// Clients that fetch a file when a relay is killed.
const LOAD: usize = 6;

/// More than the buffers on the way take, so that a relay still has some of it for a while at [`RATE`].
const SIZE: usize = 48 * 1024 * 1024;

/// curl's limit in bytes a second.
const RATE: &str = "8M";

/// A download at that rate on a busy machine.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("balanced relays: PROXY protocol 2", NEEDS, || {
            reach_their_relay(HAPROXY.to_owned())
        }),
        trial("balanced relays: PROXY protocol 1", NEEDS, || {
            reach_their_relay(HAPROXY.replace("send-proxy-v2", "send-proxy"))
        }),
        trial(
            "balanced relays: one is killed under load",
            &[NEEDS, &[Need::Program("curl")]].concat(),
            killed,
        ),
    ];
    for (client, v4, v6) in CLIENTS {
        trials.push(trial(
            format!("balanced relays: {client}"),
            &[NEEDS, &[Need::Program(client.requirement().program)]].concat(),
            move || every_mode(client, v4, v6),
        ));
        trials.push(trial(
            format!("balanced relays: {client} notices that its relay is killed"),
            &[NEEDS, &[Need::Program(client.requirement().program)]].concat(),
            move || cut(client),
        ));
    }
    trials
}

/// Two relays, a balancer, and clients on one network.
struct Site {
    relays: Vec<Broker>,
    client: Netns,
    thief: Netns,
    lan: Lan,
    backend: Backend,
    _balancer: (Haproxy, Netns),
}

impl Site {
    async fn start(config: &str) -> anyhow::Result<Self> {
        let (lan, backend) = (Lan::create(1)?, Backend::start().await?);
        let proxies = format!(r#"accept-proxy="yes" allow-from="{}""#, lan.v4(BALANCER));
        let mut relays = Vec::new();
        for (host, ports) in RELAYS.into_iter().zip(PORTS) {
            let netns = lan.host(host)?;
            backend.attach(&netns, host)?;
            let (low, high) = (ports.start(), ports.end());
            let attributes = format!(r#"{proxies} passive-ports="{low}-{high}""#);
            relays.push(backend.relay(&netns, &attributes, None).await?);
        }
        let balancer = lan.host(BALANCER)?;
        let [one, two] = RELAYS.map(|host| lan.v4(host).to_string());
        let variables = [
            ("FTP_ADDRESS", "::".to_owned()),
            ("RELAY_ONE", one),
            ("RELAY_TWO", two),
        ];
        let listens = SocketAddr::new(lan.v4(BALANCER).into(), 21);
        let haproxy = Haproxy::start(config, &variables, &balancer, listens).await?;
        Ok(Self {
            relays,
            client: lan.host(CLIENT)?,
            thief: lan.host(THIEF)?,
            lan,
            backend,
            _balancer: (haproxy, balancer),
        })
    }

    /// The one address, over each family.
    fn outside(&self) -> [SocketAddr; 2] {
        let ips: [IpAddr; 2] = [self.lan.v4(BALANCER).into(), self.lan.v6(BALANCER).into()];
        ips.map(|ip| SocketAddr::new(ip, 21))
    }

    /// The channels of one relay that carry data.
    async fn transfers(&self, relay: usize) -> anyhow::Result<Vec<Value>> {
        let channels = self.relays[relay].list(&["list-channels"]).await?;
        let carries = |channel: &Value| {
            channel["bytes_down"]
                .as_u64()
                .is_some_and(|it| it > 100_000)
        };
        Ok(channels.into_iter().filter(carries).collect())
    }
}

async fn every_mode(client: Client, v4: &[Mode], v6: &[Mode]) -> anyhow::Result<()> {
    let site = Site::start(HAPROXY).await?;
    let [over_v4, over_v6] = site.outside();
    down_and_up(&site.client, over_v4, client, v4, &site.backend).await?;
    down_and_up(&site.client, over_v6, client, v6, &site.backend).await
}

async fn reach_their_relay(config: String) -> anyhow::Result<()> {
    let site = Site::start(&config).await?;
    for outside in site.outside() {
        let command = if outside.is_ipv4() { "PASV" } else { "EPSV" };
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(login_from(&site.client, outside).await?);
        }
        let mut of_relay = [0; 2];
        for client in &mut clients {
            let data = client.announced(command).await?;
            ensure!(
                data.ip() == outside.ip(),
                "{data} was announced at {outside}"
            );
            let relay = PORTS.iter().position(|ports| ports.contains(&data.port()));
            of_relay[relay.context("a port of no relay")?] += 1;
            nothing_for_a_thief(&site.thief, data).await?;
            fetched(client, &site.client, data).await?;
        }
        ensure!(
            of_relay == [2, 2],
            "the sessions are distributed {of_relay:?}"
        );
        each_client_is_known(&site, &mut clients).await?;
    }
    for relay in &site.relays {
        let refused = "data connection refused: it does not belong to the client of this session";
        relay.wait_log(refused, SOON).await?;
    }
    Ok(())
}

/// Whoever connects first from elsewhere gets no byte.
async fn nothing_for_a_thief(thief: &Netns, data: SocketAddr) -> anyhow::Result<()> {
    let mut thief = connect_from(thief, data)?;
    thief.end().await?;
    ensure!(thief.seen().is_empty(), "a thief was served");
    Ok(())
}

/// The lists show the clients' own addresses.
async fn each_client_is_known(site: &Site, clients: &mut [FtpClient]) -> anyhow::Result<()> {
    let mut shown = Vec::new();
    for relay in &site.relays {
        let channels = relay.list(&["list-channels"]).await?;
        shown.extend(channels.iter().map(|it| it["client"].to_string()));
    }
    for client in clients {
        let own = format!("\"{}\"", client.control().local_addr()?);
        ensure!(shown.contains(&own), "{own} is not among {shown:?}");
    }
    Ok(())
}

/// What came of a download: whether the client called it complete, and whether it is.
struct Download {
    told_complete: bool,
    complete: bool,
}

/// Fetches the big file, with more arguments of the client.
async fn download(
    client: Client,
    arguments: &[&str],
    netns: &Netns,
    server: SocketAddr,
    expected: &[u8],
) -> anyhow::Result<Download> {
    let home = TempDir::new()?;
    let local = home.path().join("big");
    let step = Step::Get(OsStr::new("big"), &local);
    let mode = if client == Ftplib { Pasv } else { Epsv };
    let mut command = client.command(server, mode, step, home.path())?;
    command.args(arguments);
    let output = testkit::client::run_in(Some(netns), command, DOWNLOAD_LIMIT).await?;
    // tnftp exits with success whatever happened.
    let told =
        output.status.success() && (client != Tnftp || transcript(&output).contains("\n226"));
    Ok(Download {
        told_complete: told,
        complete: std::fs::read(&local).is_ok_and(|bytes| bytes == expected),
    })
}

/// Any client learns of the cut, also one that reads as fast as it can.
async fn cut(client: Client) -> anyhow::Result<()> {
    let mut site = Site::start(HAPROXY).await?;
    let [outside, _] = site.outside();
    let content = files::pattern(7, SIZE);
    site.backend.servers.ftp.put("big", &content)?;
    let netns = site.client.clone();
    let all = (0..LOAD).map(|_| download(client, &[], &netns, outside, &content));
    let victim = async {
        while site.transfers(0).await?.is_empty() {}
        site.relays[0].kill();
        anyhow::Ok(())
    };
    let (ended, killed) = tokio::join!(join_all(all), victim);
    killed?;
    for download in ended {
        let download = download?;
        ensure!(
            download.complete || !download.told_complete,
            "a short file was told complete"
        );
    }
    Ok(())
}

async fn killed() -> anyhow::Result<()> {
    let mut site = Site::start(HAPROXY).await?;
    let [outside, _] = site.outside();
    let content = files::pattern(7, SIZE);
    site.backend.servers.ftp.put("big", &content)?;
    let downloads = async |netns: &Netns| {
        let limited = ["--limit-rate", RATE];
        let all = (0..LOAD).map(|_| download(Curl, &limited, netns, outside, &content));
        join_all(all)
            .await
            .into_iter()
            .collect::<anyhow::Result<Vec<_>>>()
    };
    let client = site.client.clone();
    let victim = async {
        // Both relays carry files.
        while site.transfers(0).await?.len() < 2 || site.transfers(1).await?.len() < 2 {}
        let lost = site.transfers(0).await?.len();
        site.relays[0].kill();
        anyhow::Ok(lost)
    };
    let (ended, lost) = tokio::join!(downloads(&client), victim);
    let (ended, lost) = (ended?, lost?);
    let short = ended.iter().filter(|it| it.told_complete && !it.complete);
    ensure!(short.count() == 0, "a short file was told complete");
    let failed = ended.iter().filter(|it| !it.told_complete).count();
    ensure!(
        failed >= lost,
        "{failed} failed, and {lost} were on the relay that was killed"
    );
    ensure!(failed < LOAD, "the other relay lost its sessions too");

    for after in downloads(&client).await? {
        ensure!(
            after.told_complete && after.complete,
            "a new session did not reach the other relay"
        );
    }
    let mut ftp = login_from(&client, outside).await?;
    let data = ftp.announced("PASV").await?;
    ensure!(
        PORTS[1].contains(&data.port()),
        "{data} is not the other relay's"
    );
    site.backend.servers.ftp.put("file", CONTENT)?;
    fetched(&mut ftp, &client, data).await
}
