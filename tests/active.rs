//! Active mode with real servers: the forward of the next transfer stands ready, and helps nobody else.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use testkit::broker::Broker;
use testkit::dropbear::Dropbear;
use testkit::netns::Netns;
use testkit::scripted::{Conversation, ScriptedListener};
use testkit::vsftpd::{Vsftpd, VsftpdOptions};
use tokio::task::JoinSet;

use crate::support::ftp::{Ftp, port_command};
use crate::support::rig::{CONTENT, Channels, SOON, Servers, config, ftp_tunnel};
use crate::support::sockets::{eventually, listening};
use crate::support::{Need, trial};

const REAL: &[Need] = &[Need::Program("sshd"), Need::Program("vsftpd")];

const WITH_DROPBEAR: &[Need] = &[
    Need::Program("dropbear"),
    Need::Program("dropbearconvert"),
    Need::Program("vsftpd"),
    Need::Namespaces,
    Need::Program("unshare"),
    Need::Program("openssl"),
];

/// The password that dropbear lets in.
const PASSWORD: &str = "correct-horse";

/// More than the listeners that dropbear has room for on one connection, which are 20.
const MANY: usize = 60;

/// Transfers of a session, more than any number of things that are kept.
const TRANSFERS: usize = 8;

/// Ports beyond the first that a configuration leaves to choose from; some may be in use.
const CHOICE: u16 = 20;

/// Sessions that take turns.
const SESSIONS: usize = 3;

/// Far more than a client can use.
const PORTS: usize = 40;

/// What a session may have of them at once.
const KEPT: usize = 4;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("active: every transfer has a port of its own", REAL, ports),
        trial(
            "active: ports of the configuration's choice",
            REAL,
            chosen_ports,
        ),
        trial(
            "active: a stranger at the port kept ready gets nothing",
            REAL,
            stranger,
        ),
        trial(
            "active: nothing is kept ready for a session that has ended",
            REAL,
            end_of_session,
        ),
        trial(
            "active: what was kept ready is lost with its connection",
            REAL,
            lost_connection,
        ),
        trial(
            "active: sessions that share the one data connection",
            REAL,
            one_connection,
        ),
        trial(
            "active: many transfers where the SSH server ends no listener",
            WITH_DROPBEAR,
            dropbear,
        ),
        trial(
            "active: a port on another address of the client's host",
            &[
                Need::Program("ip"),
                Need::Namespaces,
                Need::Program("sshd"),
                Need::Program("vsftpd"),
            ],
            other_address,
        ),
        trial(
            "active: a client that asks for ports and uses none",
            REAL,
            hoarder,
        ),
        trial("active: a port that is not used is given up", REAL, unused),
        trial(
            "active: a client that changes between the modes",
            REAL,
            both_modes,
        ),
    ]
}

/// sshd and vsftpd with a small file, and a broker before them.
struct Rig {
    servers: Servers,
    broker: Broker,
    tunnel: SocketAddr,
}

impl Rig {
    async fn start(settings: &str) -> anyhow::Result<Self> {
        Self::start_with(settings, "").await
    }

    async fn start_with(settings: &str, attributes: &str) -> anyhow::Result<Self> {
        let servers = Servers::start_default().await?;
        std::fs::write(servers.ftp.root().join("file"), CONTENT)?;
        let tunnel = ftp_tunnel(servers.ftp.addr().ip(), servers.ftp.addr(), attributes);
        let broker = Broker::start(&servers.login.config(settings, &tunnel), &[]).await?;
        let tunnel = broker.listener(0).await?;
        Ok(Self {
            servers,
            broker,
            tunnel,
        })
    }

    /// The ports on which sshd listens for forwards.
    fn forwards(&self) -> BTreeSet<u16> {
        let families = self.servers.sshd.process().families().concat();
        families.into_iter().flat_map(listening).collect()
    }

    /// Waits until sshd listens for exactly one forward, and returns its port.
    async fn kept_ready(&self) -> anyhow::Result<u16> {
        let mut only = None;
        eventually("one forward is kept ready", || {
            let forwards = self.forwards();
            only = forwards.first().copied().filter(|_| forwards.len() == 1);
            only.is_some()
        })
        .await?;
        only.context("no forward")
    }

    async fn no_forward_left(&self) -> anyhow::Result<()> {
        eventually("sshd listens for no forward", || self.forwards().is_empty()).await
    }

    async fn expect_active(&self, transfers: usize) -> anyhow::Result<()> {
        let start = Channels::default();
        self.servers.expect_data_channels(start, 0, transfers).await
    }
}

/// Fetches the file in active mode.
async fn fetch(ftp: &mut Ftp) -> anyhow::Result<()> {
    let listener = ftp.active("EPRT").await?;
    ftp.ask("RETR file", "150").await?;
    let content = listener.accept().await?.rest().await?;
    ensure!(content == CONTENT, "other bytes came");
    ftp.reply("226").await?;
    Ok(())
}

/// For keys that may listen on some ports only: one in use, and the next one kept ready.
async fn chosen_ports() -> anyhow::Result<()> {
    let free = ScriptedListener::bind().await?.addr().port();
    let low = free.min(u16::MAX - CHOICE);
    let chosen = low..=low + CHOICE;
    let attributes = format!(r#"active-ports="{low}-{}""#, low + CHOICE);
    let rig = Rig::start_with("", &attributes).await?;
    let done = async {
        let mut ftp = Ftp::login(rig.tunnel).await?;
        for _ in 0..TRANSFERS {
            fetch(&mut ftp).await?;
            let port = rig.kept_ready().await?;
            ensure!(chosen.contains(&port), "{port} is none of {chosen:?}");
        }
        rig.expect_active(TRANSFERS).await
    };
    done.await.with_context(|| rig.broker.log())
}

async fn ports() -> anyhow::Result<()> {
    let rig = Rig::start("").await?;
    let done = async {
        let mut ftp = Ftp::login(rig.tunnel).await?;
        let mut kept = Vec::new();
        for _ in 0..TRANSFERS {
            fetch(&mut ftp).await?;
            kept.push(rig.kept_ready().await?);
        }
        ensure!(kept.windows(2).all(|pair| pair[0] != pair[1]), "{kept:?}");
        // Each that was kept ready was the next one's: sshd was not asked for more.
        eventually("one forward a transfer, and one more", || {
            let log = rig.servers.sshd.log();
            let asked = log
                .lines()
                .filter(|line| line.contains("tcpip-forward listen"));
            asked.count() == TRANSFERS + 1
        })
        .await?;
        rig.expect_active(TRANSFERS).await
    };
    done.await.with_context(|| rig.broker.log())
}

async fn stranger() -> anyhow::Result<()> {
    let rig = Rig::start("").await?;
    let done = async {
        let mut ftp = Ftp::login(rig.tunnel).await?;
        fetch(&mut ftp).await?;
        let kept = rig.kept_ready().await?;
        let ready = "the next forward is ready";
        rig.broker.process().wait_log(ready, SOON).await?;
        let mut stranger = Conversation::connect((Ipv4Addr::LOCALHOST, kept).into()).await?;
        // What it says would else be the next file. It may have been thrown out already.
        let _ = stranger.send("lies").await;
        // Either end is one without a byte.
        let got = stranger.rest().await.unwrap_or_default();
        ensure!(got.is_empty(), "the stranger got {got:?}");
        rig.broker
            .process()
            .wait_log("nobody had been told of its port", SOON)
            .await?;
        rig.no_forward_left().await?;

        fetch(&mut ftp).await?;
        ensure!(rig.kept_ready().await? != kept, "the same port again");
        ftp.ask("QUIT", "221").await?;
        rig.no_forward_left().await
    };
    done.await.with_context(|| rig.broker.log())
}

async fn end_of_session() -> anyhow::Result<()> {
    let rig = Rig::start("").await?;
    let done = async {
        let mut stays = Ftp::login(rig.tunnel).await?;
        let mut quits = Ftp::login(rig.tunnel).await?;
        fetch(&mut quits).await?;
        rig.kept_ready().await?;
        quits.ask("QUIT", "221").await?;
        drop(quits);
        rig.no_forward_left().await?;

        let mut leaves = Ftp::login(rig.tunnel).await?;
        fetch(&mut leaves).await?;
        rig.kept_ready().await?;
        drop(leaves);
        rig.no_forward_left().await?;
        // Not because the connections were closed.
        stays.ask("NOOP", "200").await?;
        fetch(&mut stays).await
    };
    done.await.with_context(|| rig.broker.log())
}

async fn lost_connection() -> anyhow::Result<()> {
    let rig = Rig::start("").await?;
    let done = async {
        let mut ftp = Ftp::login(rig.tunnel).await?;
        fetch(&mut ftp).await?;
        let kept = rig.kept_ready().await?;
        let ready = "the next forward is ready";
        rig.broker.process().wait_log(ready, SOON).await?;
        let families = rig.servers.sshd.process().families();
        let mut carriers = families
            .iter()
            .filter(|family| family.iter().any(|pid| listening(*pid).contains(&kept)));
        let carrier = carriers.next().and_then(|family| family.first());
        let carrier = carrier.context("no session of sshd listens")?;
        ensure!(rig.servers.sshd.kill_session(*carrier), "it has ended");
        let noticed = "the forward kept ready is lost";
        rig.broker.process().wait_log(noticed, SOON).await?;
        for _ in 0..2 {
            fetch(&mut ftp).await?;
        }
        rig.expect_active(3).await
    };
    done.await.with_context(|| rig.broker.log())
}

async fn one_connection() -> anyhow::Result<()> {
    let rig = Rig::start(r#"<connection-pool max-connections="1"/>"#).await?;
    let done = async {
        let mut sessions = Vec::new();
        for _ in 0..SESSIONS {
            sessions.push(Ftp::login(rig.tunnel).await?);
        }
        for _ in 0..TRANSFERS {
            for ftp in &mut sessions {
                fetch(ftp).await?;
            }
        }
        // All at once: what one keeps ready must not be another's way.
        let mut at_once = JoinSet::new();
        sessions.into_iter().for_each(|ftp| {
            at_once.spawn(fetch_and_leave(ftp));
        });
        while let Some(done) = at_once.join_next().await {
            done??;
        }
        rig.no_forward_left().await?;
        rig.expect_active(2 * TRANSFERS * SESSIONS).await
    };
    done.await.with_context(|| rig.broker.log())
}

async fn fetch_and_leave(mut ftp: Ftp) -> anyhow::Result<()> {
    for _ in 0..TRANSFERS {
        fetch(&mut ftp).await?;
    }
    ftp.ask("QUIT", "221").await?;
    Ok(())
}

/// Some clients name the address of the first interface, whichever way they came.
async fn other_address() -> anyhow::Result<()> {
    let rig = Rig::start("").await?;
    let done = async {
        let netns = Netns::create()?;
        let mut ftp = Ftp::login(rig.tunnel).await?;
        let listener = ScriptedListener::bind_on((netns.host_addr(), 0).into()).await?;
        let own = port_command("PORT", listener.addr());
        ftp.ask(&own, "200").await?;
        ftp.ask("RETR file", "150").await?;
        let content = listener.accept().await?.rest().await?;
        ensure!(content == CONTENT, "other bytes came");
        ftp.reply("226").await?;
        // The other end of that line is another host.
        let foreign = SocketAddr::new(netns.inside_addr(), listener.addr().port());
        ftp.ask(&port_command("PORT", foreign), "504").await?;
        Ok(())
    };
    done.await.with_context(|| rig.broker.log())
}

/// While its upload stands still vsftpd answers nothing, so that each PORT needs a port of its own.
async fn hoarder() -> anyhow::Result<()> {
    let rig = Rig::start("").await?;
    let done = async {
        let mut ftp = Ftp::login(rig.tunnel).await?;
        let data = ftp.passive("EPSV").await?;
        ftp.ask("STOR stored", "150").await?;
        let listener = ScriptedListener::bind().await?;
        let port = format!("{}\r\n", port_command("PORT", listener.addr()));
        ftp.control().send(port.repeat(PORTS)).await?;
        rig.broker.process().wait_log("PORT refused", SOON).await?;
        let forwards = rig.forwards().len();
        ensure!(forwards <= KEPT, "sshd listens on {forwards} ports");
        fetch(&mut Ftp::login(rig.tunnel).await?).await?;
        drop(data);
        let mut replies = Vec::new();
        for _ in 0..=PORTS {
            replies.push(ftp.control().reply().await?);
        }
        let count = |code| replies.iter().filter(|r| r.starts_with(code)).count();
        // Those that came in time for an answer of vsftpd's are as good as any.
        let (taken, refused) = (count("200"), count("425"));
        ensure!(taken >= KEPT && refused > 0, "{replies:?}");
        ensure!(taken + refused == PORTS, "{replies:?}");
        // The last one that was accepted is good for a transfer.
        ftp.ask("RETR file", "150").await?;
        let content = listener.accept().await?.rest().await?;
        ensure!(content == CONTENT, "other bytes came");
        ftp.reply("226").await?;
        Ok(())
    };
    done.await.with_context(|| rig.broker.log())
}

async fn unused() -> anyhow::Result<()> {
    let rig = Rig::start_with("", r#"data-timeout="1""#).await?;
    let done = async {
        let mut ftp = Ftp::login(rig.tunnel).await?;
        let _listener = ftp.active("PORT").await?;
        rig.no_forward_left().await?;
        let places = rig.broker.json(&["list-channels"]).await?;
        let data = places.as_array().into_iter().flatten();
        ensure!(
            data.filter(|c| c["kind"] == "data").count() == 0,
            "{places}"
        );
        fetch(&mut ftp).await
    };
    done.await.with_context(|| rig.broker.log())
}

async fn both_modes() -> anyhow::Result<()> {
    let rig = Rig::start("").await?;
    let done = async {
        let mut ftp = Ftp::login(rig.tunnel).await?;
        for _ in 0..TRANSFERS {
            fetch(&mut ftp).await?;
            ensure!(ftp.fetch("file").await? == CONTENT);
            // Told twice, and not used in between.
            ftp.active("PORT").await?;
            fetch(&mut ftp).await?;
            ftp.ask("RETR missing", "425").await?;
        }
        ftp.ask("QUIT", "221").await?;
        rig.no_forward_left().await?;
        let start = Channels::default();
        let (passive, active) = (TRANSFERS, 2 * TRANSFERS);
        rig.servers
            .expect_data_channels(start, passive, active)
            .await
    };
    done.await.with_context(|| rig.broker.log())
}

async fn dropbear() -> anyhow::Result<()> {
    let (ssh, ftp) = (
        Dropbear::start(PASSWORD).await?,
        Vsftpd::start(VsftpdOptions::default()).await?,
    );
    std::fs::write(ftp.root().join("file"), CONTENT)?;
    let (host, port, user) = (ssh.addr().ip(), ssh.addr().port(), ssh.user());
    let key = ssh.host_key_openssh()?;
    let key = key.split_whitespace().nth(1).context("no host key")?;
    let tunnel = ftp_tunnel(ftp.addr().ip(), ftp.addr(), "");
    let profile = format!(
        r#"<profile id="id1" name="work" host="{host}" port="{port}" user="{user}">
             <hostkey>{key}</hostkey><password string="{PASSWORD}"/><tunnels>{tunnel}</tunnels>
           </profile>"#
    );
    let broker = Broker::start(&config(&profile), &[]).await?;
    let done = async {
        let mut client = Ftp::login(broker.listener(0).await?).await?;
        for _ in 0..MANY {
            fetch(&mut client).await?;
        }
        ensure!(client.fetch("file").await? == CONTENT);
        client.ask("QUIT", "221").await?;
        Ok(())
    };
    done.await.with_context(|| broker.log())
}
