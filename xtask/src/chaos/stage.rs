//! The peers: sshd, both FTP servers, a relay, and the daemon with tunnels on a direct and on a relayed line

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use testkit::broker::Broker;
use testkit::quirky_ftp::{Quirks, QuirkyFtp};
use testkit::relay::{self, Flow, Passed, Relay, RelayOptions};
use testkit::sshd::{Sshd, SshdOptions};
use testkit::vsftpd::{Vsftpd, VsftpdOptions};

use super::fault::{Cut, Server};
use super::plan::Plan;
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
    pub(super) quirky: QuirkyFtp,
    relay: Relay,
    /// The connection of the relay that is silent alone.
    silent: Option<usize>,
    pub(super) broker: Broker,
    direct: Tunnels,
    relayed: Tunnels,
}

/// Where FTP clients connect, by the server that they want.
#[derive(Clone, Copy)]
struct Tunnels {
    vsftpd: SocketAddr,
    quirky: SocketAddr,
}

impl Tunnels {
    /// The two of a profile, of which there are so many before it.
    async fn of_profile(broker: &Broker, before: usize) -> Result<Self> {
        Ok(Self {
            vsftpd: broker.listener(2 * before).await?,
            quirky: broker.listener(2 * before + 1).await?,
        })
    }

    fn to(self, server: Server) -> SocketAddr {
        if server == Server::Vsftpd {
            self.vsftpd
        } else {
            self.quirky
        }
    }
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
        let quirky = QuirkyFtp::start(Quirks::default()).await?;
        let ftp_ports = [ftp.addr().port(), quirky.addr().port()];
        let relay = Relay::start_with(RelayOptions {
            record: false,
            ..RelayOptions::to(sshd.addr())
        })
        .await?;
        let profiles = [("direct", sshd.addr()), ("relayed", relay.addr())]
            .map(|(name, address)| profile(name, address, &sshd, ftp_ports))
            .into_iter()
            .collect::<Result<String>>()?;
        let config = format!(
            r#"<secsh-broker version="1.0"><profiles>{profiles}</profiles></secsh-broker>"#
        );
        let broker = Broker::start(&config, &[]).await?;
        let direct = Tunnels::of_profile(&broker, 0).await?;
        let relayed = Tunnels::of_profile(&broker, 1).await?;
        Ok(Self {
            sshd,
            ftp,
            quirky,
            relay,
            silent: None,
            broker,
            direct,
            relayed,
        })
    }

    /// Where an FTP client connects.
    pub(super) fn tunnel(&self, relayed: bool, server: Server) -> SocketAddr {
        let tunnels = if relayed { self.relayed } else { self.direct };
        tunnels.to(server)
    }

    /// The ports of all tunnels, in order.
    pub(super) fn tunnel_ports(&self) -> Vec<u16> {
        let all = [self.direct, self.relayed].map(|tunnels| [tunnels.vsftpd, tunnels.quirky]);
        let mut ports: Vec<u16> = all.concat().iter().map(SocketAddr::port).collect();
        ports.sort_unstable();
        ports
    }

    /// The ports at which the daemon reaches sshd.
    pub(super) fn ssh_ports(&self) -> [u16; 2] {
        [self.sshd.addr().port(), self.relay.addr().port()]
    }

    /// Gives the round's FTP server its habit.
    pub(super) fn prepare(&self, plan: &Plan) {
        self.quirky
            .set_quirks(plan.fault.server.quirks(plan.variant));
    }

    /// Puts a file where a download finds it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn put(&self, server: Server, name: &str, content: &[u8]) -> Result<()> {
        if server != Server::Vsftpd {
            self.quirky.put(name, content);
            return Ok(());
        }
        let path = self.path(name);
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
    }

    /// What the FTP server has of a file.
    pub(super) fn stored(&self, server: Server, name: &str) -> Vec<u8> {
        let stored = if server == Server::Vsftpd {
            fs::read(self.path(name)).ok()
        } else {
            self.quirky.file(name)
        };
        stored.unwrap_or_default()
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, server: Server, name: &str) {
        if server == Server::Vsftpd {
            // An upload that never began left none.
            let _ = fs::remove_file(self.path(name));
        } else {
            self.quirky.remove(name);
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.ftp.root().join(name)
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
            targets.ftp = self.ftp.process().families().concat();
        }
        let strikes_sshd = matches!(
            cut,
            Cut::SshdData | Cut::SshdControl | Cut::SshdBoth | Cut::AbortAndSshdData
        );
        if !strikes_sshd {
            return Ok(targets);
        }
        let ssh_port = self.sshd.addr().port();
        let ftp_ports = [self.ftp.addr().port(), self.quirky.addr().port()];
        let sockets = Sockets::now()?;
        for family in self.sshd.process().families() {
            let held = sockets.held_by(&family);
            let controls = held
                .connections
                .iter()
                .any(|c| ftp_ports.contains(&c.remote));
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
                self.direct = Tunnels::of_profile(&self.broker, 0).await?;
                self.relayed = Tunnels::of_profile(&self.broker, 1).await?;
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

fn profile(name: &str, server: SocketAddr, sshd: &Sshd, ftp_ports: [u16; 2]) -> Result<String> {
    let host_key = sshd.host_key_openssh()?;
    let key = host_key
        .split_whitespace()
        .nth(1)
        .context("a host key without a key")?;
    let tunnels = ftp_ports.map(|port| {
        format!(
            r#"<local-tunnel type="FTP" listen-port="0" dst-host="127.0.0.1" dst-port="{port}"/>"#
        )
    });
    Ok(format!(
        r#"<profile id="{name}" name="{name}" host="{host}" port="{port}" user="{user}">
             <hostkey>{key}</hostkey>
             <user-identities><identity identity-file="{identity}"/></user-identities>
             <idle-timeout time="{IDLE_TIMEOUT}"/>
             <keepalive-interval time="{KEEPALIVE}"/>
             <tunnels>
               {tunnels}
             </tunnels>
           </profile>"#,
        host = server.ip(),
        port = server.port(),
        user = sshd.user(),
        identity = sshd.identity_file().display(),
        tunnels = tunnels.concat(),
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
