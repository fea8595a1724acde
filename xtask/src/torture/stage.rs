//! The peers: sshd, vsftpd, a relay, and the daemon with a tunnel on a direct and on a relayed line

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use testkit::broker::Broker;
use testkit::relay::{self, Flow, Passed, Relay, RelayOptions};
use testkit::sshd::{Sshd, SshdOptions};
use testkit::vsftpd::{Vsftpd, VsftpdOptions};

use super::plan::{Cut, Plan};
use super::sockets::Sockets;

/// Seconds between keepalives, so that a silent line is noticed in seconds.
const KEEPALIVE: u64 = 1;
/// Seconds until an unused SSH connection is closed. What stays on one must be seen before its end takes it away.
pub(super) const IDLE_TIMEOUT: u64 = 10;
/// The daemon has nothing to wait for when it is stopped without grace; one second longer with.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// Seconds of grace where the daemon is to be stopped past it.
const GRACE: &str = "1";

/// Everything that runs. Dropping it ends it all.
pub(super) struct Stage {
    pub(super) sshd: Sshd,
    pub(super) ftp: Vsftpd,
    relay: Relay,
    /// The connection of the relay that is silent alone.
    silent: Option<usize>,
    pub(super) broker: Broker,
    direct: SocketAddr,
    relayed: SocketAddr,
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

impl Stage {
    pub(super) async fn set() -> Result<Self> {
        let sshd = Sshd::start(SshdOptions::default()).await?;
        let ftp = Vsftpd::start(VsftpdOptions::default()).await?;
        let relay = Relay::start_with(RelayOptions {
            record: false,
            ..RelayOptions::to(sshd.addr())
        })
        .await?;
        let profiles = [("direct", sshd.addr()), ("relayed", relay.addr())]
            .map(|(name, address)| profile(name, address, &sshd, &ftp))
            .into_iter()
            .collect::<Result<String>>()?;
        let config = format!(
            r#"<secsh-broker version="1.0"><profiles>{profiles}</profiles></secsh-broker>"#
        );
        let broker = Broker::start(&config, &[]).await?;
        let (direct, relayed) = (broker.listener(0).await?, broker.listener(1).await?);
        Ok(Self {
            sshd,
            ftp,
            relay,
            silent: None,
            broker,
            direct,
            relayed,
        })
    }

    /// Where an FTP client connects.
    pub(super) fn tunnel(&self, relayed: bool) -> SocketAddr {
        if relayed { self.relayed } else { self.direct }
    }

    /// The ports of both tunnels, in order.
    pub(super) fn tunnel_ports(&self) -> Vec<u16> {
        let mut ports = vec![self.direct.port(), self.relayed.port()];
        ports.sort_unstable();
        ports
    }

    /// The ports at which the daemon reaches sshd.
    pub(super) fn ssh_ports(&self) -> [u16; 2] {
        [self.sshd.addr().port(), self.relay.addr().port()]
    }

    /// A file of the FTP server's.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.ftp.root().join(name)
    }

    /// Looks up whom the cut may strike.
    ///
    /// # Errors
    /// When the system does not tell.
    pub(super) fn look(&self, cut: Cut) -> Result<Targets> {
        let mut targets = Targets {
            passed: self.relay.passed(),
            ..Targets::default()
        };
        if cut == Cut::FtpSession {
            targets.ftp = self.ftp.process().families().concat();
        }
        if !matches!(cut, Cut::SshdData | Cut::SshdControl | Cut::SshdBoth) {
            return Ok(targets);
        }
        let (ssh_port, ftp_port) = (self.sshd.addr().port(), self.ftp.addr().port());
        let sockets = Sockets::now()?;
        for family in self.sshd.process().families() {
            let held = sockets.held_by(&family);
            let controls = held.connections.iter().any(|c| c.remote == ftp_port);
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
        match plan.cut {
            // What the client does is the client's.
            Cut::Nothing | Cut::ClientGone | Cut::ClientData => {}
            Cut::SshdControl => kill(&targets.control),
            Cut::SshdData => kill(&targets.data(plan.coin)),
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
            Cut::FtpServer => self.ftp.kill(),
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
            Cut::FtpServer => self.ftp.restart().await?,
            Cut::DaemonStopped | Cut::DaemonPastGrace | Cut::DaemonKilled => {
                self.broker.restart(&[]).await?;
                self.direct = self.broker.listener(0).await?;
                self.relayed = self.broker.listener(1).await?;
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
            | Cut::ClientData => {}
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
        let left = "tasks were given up";
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

fn profile(name: &str, server: SocketAddr, sshd: &Sshd, ftp: &Vsftpd) -> Result<String> {
    let host_key = sshd.host_key_openssh()?;
    let key = host_key
        .split_whitespace()
        .nth(1)
        .context("a host key without a key")?;
    Ok(format!(
        r#"<profile id="{name}" name="{name}" host="{host}" port="{port}" user="{user}">
             <hostkey>{key}</hostkey>
             <user-identities><identity identity-file="{identity}"/></user-identities>
             <idle-timeout time="{IDLE_TIMEOUT}"/>
             <keepalive-interval time="{KEEPALIVE}"/>
             <tunnels>
               <local-tunnel type="FTP" listen-port="0" dst-host="127.0.0.1" dst-port="{ftp_port}"/>
             </tunnels>
           </profile>"#,
        host = server.ip(),
        port = server.port(),
        user = sshd.user(),
        identity = sshd.identity_file().display(),
        ftp_port = ftp.addr().port(),
    ))
}

fn kill(processes: &[u32]) {
    for process in processes {
        if let Some(pid) = i32::try_from(*process).ok().and_then(Pid::from_raw) {
            // One that has ended meanwhile needs no signal.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}
