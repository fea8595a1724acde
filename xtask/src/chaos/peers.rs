//! The peers: sshd, both FTP servers, a relay, and the daemon with tunnels on a direct and on a relayed line

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use testkit::broker::Broker;
use testkit::fixture::{Fixture, Servers};
use testkit::peer::FtpFiles;
use testkit::profile::{Tunnel, config};
use testkit::quirky_ftp::{Quirks, QuirkyFtp};
use testkit::relay::{self, Flow, Passed, Relay, RelayOptions};
use testkit::sockets::Sockets;
use testkit::sshd::{Sshd, SshdOptions};
use testkit::vsftpd::{Vsftpd, VsftpdOptions};

use super::fault::{Cut, Server};
use super::plan::Plan;

/// Seconds between keepalives, so that a silent line is noticed in seconds.
const KEEPALIVE: u64 = 1;
/// Seconds until an unused SSH connection is closed. What stays on one must be seen before its end takes it away.
pub(super) const IDLE_TIMEOUT: u64 = 10;
/// The daemon has nothing to wait for when it is stopped without grace; one second longer with.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// A tunnel whose SSH connection was lost listens again by then: a silent line is noticed after four keepalives, and a pause
/// after failures is short.
const LISTEN_LIMIT: Duration = Duration::from_secs(30);
/// Seconds of grace where the daemon is to be stopped past it.
const GRACE: &str = "1";

/// Everything that runs. Dropping it ends it all.
pub(super) struct ChaosPeers {
    pub(super) broker: Broker,
    pub(super) servers: Servers<Sshd, Vsftpd>,
    pub(super) quirky: QuirkyFtp,
    relay: Relay,
    /// The connection of the relay that is silent alone.
    silent: Option<usize>,
    /// Whether the SSH server listens for the clients.
    pub(super) remote: bool,
    /// Where FTP clients connect: to either server on the direct line, then on the relayed one.
    tunnels: [SocketAddr; 4],
}

/// Whom a cut may strike, looked up before the moment comes.
#[derive(Debug, Default)]
pub(super) struct Targets {
    /// Processes of sshd's sessions that carry a control channel, a data channel, nothing.
    control: Vec<u32>,
    busy: Vec<u32>,
    idle: Vec<u32>,
    /// Processes of vsftpd's sessions.
    ftp: Vec<u32>,
    /// What had passed through each connection of the relay.
    passed: Vec<Passed>,
}

impl ChaosPeers {
    pub(super) async fn start(remote: bool) -> Result<Self> {
        // The rest of the log would be read by nobody.
        let mut extra_config = vec!["LogLevel VERBOSE".to_owned()];
        if remote {
            // Over a silent line only sshd itself can end the clients' connections.
            extra_config.push(format!("ClientAliveInterval {KEEPALIVE}"));
        }
        let sshd = SshdOptions {
            extra_config,
            ..SshdOptions::default()
        };
        let builder = Fixture::builder().ssh(sshd);
        let servers = builder.ftp(VsftpdOptions::default()).servers().await?;
        let quirky = QuirkyFtp::start(Quirks::default()).await?;
        let relay = Relay::start_with(RelayOptions {
            record: false,
            ..RelayOptions::to(servers.ssh.addr())
        });
        let relay = relay.await?;
        let settings = format!(
            r#"<idle-timeout time="{IDLE_TIMEOUT}"/><keepalive-interval time="{KEEPALIVE}"/>"#
        );
        let direct = servers.profile()?.with(&settings);
        let mut direct = direct.tunnel(Tunnel::ftp(quirky.addr())).called("direct");
        if remote {
            let tunnels = direct.tunnels.into_iter();
            direct.tunnels = tunnels.map(Tunnel::remote).collect();
        }
        let relayed = direct.clone().at(relay.addr()).called("relayed");
        let broker = Broker::start(&config("", [direct, relayed]), &[]).await?;
        Ok(Self {
            remote,
            tunnels: tunnels(&broker).await?,
            broker,
            servers,
            quirky,
            relay,
            silent: None,
        })
    }

    /// Waits until every tunnel listens. A remote one has another port after each loss of its SSH connection.
    ///
    /// # Errors
    /// When one does not listen.
    pub(super) async fn find_tunnels(&mut self) -> Result<()> {
        if self.remote {
            self.tunnels = tunnels(&self.broker).await?;
        }
        Ok(())
    }

    /// Where an FTP client connects.
    pub(super) fn tunnel(&self, relayed: bool, server: Server) -> SocketAddr {
        let [vsftpd, quirky, relayed_vsftpd, relayed_quirky] = self.tunnels;
        match (relayed, server == Server::Vsftpd) {
            (false, true) => vsftpd,
            (false, false) => quirky,
            (true, true) => relayed_vsftpd,
            (true, false) => relayed_quirky,
        }
    }

    /// The ports of all tunnels, in order.
    pub(super) fn tunnel_ports(&self) -> Vec<u16> {
        let mut ports = self.tunnels.map(|tunnel| tunnel.port());
        ports.sort_unstable();
        ports.to_vec()
    }

    /// The ports at which the daemon reaches sshd.
    pub(super) fn ssh_ports(&self) -> [u16; 2] {
        [self.servers.ssh.addr().port(), self.relay.addr().port()]
    }

    /// Gives the round's FTP server its habit.
    pub(super) fn prepare(&self, plan: &Plan) {
        self.quirky
            .set_quirks(plan.fault.server.quirks(plan.variant));
    }

    /// The FTP server of a round.
    pub(super) fn server(&self, server: Server) -> &dyn FtpFiles {
        if server == Server::Vsftpd {
            &self.servers.ftp
        } else {
            &self.quirky
        }
    }

    /// Looks up whom the cut may strike.
    ///
    /// # Errors
    /// When the system does not tell.
    pub(super) fn look(&self, plan: &Plan) -> Result<Targets> {
        let cut = plan.fault.cut;
        let mut targets = Targets {
            passed: self.relay.passed(),
            ..Targets::default()
        };
        if cut == Cut::FtpSession {
            targets.ftp = self.servers.ftp.process().families().concat();
        }
        let strikes_sshd = matches!(
            cut,
            Cut::SshdData | Cut::SshdControl | Cut::SshdBoth | Cut::AbortAndSshdData
        );
        if !strikes_sshd {
            return Ok(targets);
        }
        let ssh_port = self.servers.ssh.addr().port();
        let ftp_ports = [self.servers.ftp.addr().port(), self.quirky.addr().port()];
        let tunnel_ports = self.tunnel_ports();
        let sockets = Sockets::now()?;
        for family in self.servers.ssh.process().families() {
            let held = sockets.held_by(&family);
            let controls = match self.remote {
                false => held
                    .connections
                    .iter()
                    .any(|c| ftp_ports.contains(&c.remote)),
                true => held.listening.iter().any(|p| tunnel_ports.contains(p)),
            };
            let works = held.connections.iter().any(|c| c.local != ssh_port);
            let list = match (controls, works || !held.listening.is_empty()) {
                (true, _) => &mut targets.control,
                (false, true) => &mut targets.busy,
                (false, false) => &mut targets.idle,
            };
            list.extend(family);
        }
        Ok(targets)
    }

    /// Makes the cut.
    ///
    /// # Errors
    /// When the daemon cannot be stopped or does not end as it should.
    pub(super) async fn strike(&mut self, plan: &Plan, targets: &Targets) -> Result<()> {
        match plan.fault.cut {
            // What the client does is the client's, and the box is on its way.
            Cut::Nothing
            | Cut::ClientGone
            | Cut::ClientData
            | Cut::ClientHalfData
            | Cut::ClientHalfControl
            | Cut::ClientRefuses
            | Cut::BoxResets
            | Cut::Abort => {}
            Cut::SshdControl => kill(&targets.control),
            Cut::SshdData | Cut::AbortAndSshdData => kill(&targets.data(plan.coin)),
            Cut::SshdBoth if plan.coin => {
                kill(&[targets.control.as_slice(), &targets.data(true)].concat());
            }
            Cut::SshdBoth => kill(&[targets.data(false).as_slice(), &targets.control].concat()),
            Cut::LineSilent => self.relay.set_flow(silence(plan.coin)),
            Cut::DataSilent => {
                self.silent = self.busiest(targets);
                match self.silent {
                    Some(number) => self.relay.set_flow_of(number, silence(plan.coin)),
                    None => self.relay.set_flow(silence(plan.coin)),
                }
            }
            Cut::LineReset => self.cut_line(plan.coin, relay::Cut::Reset, targets),
            Cut::LineClosed => self.cut_line(plan.coin, relay::Cut::Close, targets),
            Cut::FtpSession => kill(&targets.ftp),
            Cut::FtpServer => self.servers.ftp.kill(),
            Cut::DaemonStopped => self.stop_daemon("0").await?,
            Cut::DaemonPastGrace => self.stop_daemon(GRACE).await?,
            Cut::DaemonKilled => self.broker.kill(),
        }
        Ok(())
    }

    /// Brings back what the cut took away.
    ///
    /// # Errors
    /// When a daemon does not start again.
    pub(super) async fn heal(&mut self, cut: Cut) -> Result<()> {
        match cut {
            Cut::LineSilent => self.end_silence(),
            Cut::FtpServer => self.servers.ftp.restart().await?,
            Cut::DaemonStopped | Cut::DaemonPastGrace | Cut::DaemonKilled => {
                self.broker.restart(&[]).await?;
                self.tunnels = tunnels(&self.broker).await?;
            }
            Cut::Nothing
            | Cut::SshdData
            | Cut::SshdControl
            | Cut::SshdBoth
            // Its silence ended during the transfer.
            | Cut::DataSilent
            | Cut::LineReset
            | Cut::LineClosed
            | Cut::FtpSession
            | Cut::ClientGone
            | Cut::ClientData
            | Cut::ClientHalfData
            | Cut::ClientHalfControl
            | Cut::ClientRefuses
            | Cut::BoxResets
            | Cut::Abort
            | Cut::AbortAndSshdData => {}
        }
        Ok(())
    }

    /// The line comes back, without the connections that were silent: where the broker has gone meanwhile, sshd would
    /// wait for ever.
    pub(super) fn end_silence(&mut self) {
        self.relay.set_flow(Flow::Pass);
        match self.silent.take() {
            Some(number) => self.relay.cut(number, relay::Cut::Reset),
            None => self.relay.cut_all(relay::Cut::Reset),
        }
    }

    /// Cuts every connection of the relay, or the busiest one.
    fn cut_line(&self, every: bool, how: relay::Cut, targets: &Targets) {
        match self.busiest(targets) {
            Some(number) if !every => self.relay.cut(number, how),
            _ => self.relay.cut_all(how),
        }
    }

    /// The connection of the relay that has carried most since the targets were looked up.
    fn busiest(&self, targets: &Targets) -> Option<usize> {
        let passed = self.relay.passed();
        let before = targets.passed.iter().map(total).chain(std::iter::repeat(0));
        let busiest = passed
            .iter()
            .zip(before)
            .enumerate()
            .filter(|(_, (now, _))| now.open)
            .max_by_key(|(_, (now, before))| total(now) - before);
        busiest.map(|(number, _)| number)
    }

    async fn stop_daemon(&mut self, grace: &str) -> Result<()> {
        self.broker
            .told(&["stop", "--grace", grace, "--no-wait"])
            .await?;
        let status = self.broker.wait(STOP_LIMIT).await?;
        ensure!(status.success(), "the daemon ended with {status}");
        let left = "tasks did not end in time";
        ensure!(!self.broker.log().contains(left), "{left}");
        Ok(())
    }
}

impl Targets {
    /// Sessions for data: those at work, or the idle ones too.
    fn data(&self, idle_too: bool) -> Vec<u32> {
        if idle_too || self.busy.is_empty() {
            [self.busy.as_slice(), &self.idle].concat()
        } else {
            self.busy.clone()
        }
    }
}

/// The two ways of a dead line: bytes are lost, or they are not even taken.
fn silence(lossy: bool) -> Flow {
    if lossy { Flow::Swallow } else { Flow::Stall }
}

fn total(passed: &Passed) -> u64 {
    passed.to_client + passed.to_target
}

async fn tunnels(broker: &Broker) -> Result<[SocketAddr; 4]> {
    let listens = |listed: &Value| {
        let mut tunnels = listed.as_array().into_iter().flatten();
        tunnels.all(|tunnel| tunnel.get("state") == Some(&"listening".into()))
    };
    broker
        .wait_json(&["list-tunnel-listeners"], LISTEN_LIMIT, listens)
        .await?;
    Ok([
        broker.listener(0).await?,
        broker.listener(1).await?,
        broker.listener(2).await?,
        broker.listener(3).await?,
    ])
}

fn kill(processes: &[u32]) {
    for process in processes {
        if let Some(pid) = i32::try_from(*process).ok().and_then(Pid::from_raw) {
            // One that has ended meanwhile needs no signal.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
