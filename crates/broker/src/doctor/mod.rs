//! The examination of a way to an FTP server: the daemon's own steps, one after the other, each with its outcome.
//!
//! It connects as the daemon does, with the same specification, pool and sessions. It uses no running daemon.

mod files;
mod finding;
mod ftp;
mod ftp_login;
mod remote;
mod report;
mod small_packets;
mod ssh;
mod wording;

use std::sync::Arc;

use broker_config::{
    Config, FtpOptions, HostKeyPolicy, ListenSide, Profile, Tls, TunnelKind, TunnelSpec,
};
use broker_ipc::RpcError;
use broker_ipc::checks::{Outcome, Question, Step};
use broker_ssh::{Pool, Target};

use crate::events::Events;
use crate::listeners::Listeners;
use crate::profiles::{Connections, Identity, Profiles, unsupported};
use crate::prompts::PromptQueue;
use crate::registry::SessionRegistry;
use crate::shutdown::Shutdown;
use crate::supervisor::target;
use finding::Finding;
use report::Reporter;
pub use report::Sink;

/// How many profiles are examined: each is a login, and a hundred fill some minutes.
const MAX_PROFILES: usize = 256;

/// Examines what was asked for, and reports each step to `sink`.
pub async fn examine(config: Config, identity: Identity, asked: Question, sink: Sink) {
    let shutdown = Shutdown::default();
    let prompts = PromptQueue::new(Events::default(), shutdown.kill.clone());
    let config = Arc::new(config);
    let doctor = Doctor {
        profiles: Profiles::new(
            (*config).clone(),
            identity,
            prompts,
            Events::default(),
            shutdown.clone(),
        ),
        shutdown: shutdown.clone(),
        asked,
        sink,
    };
    match &doctor.asked.target {
        Some(target) => doctor.target(&config, target).await,
        None => doctor.every_profile(&config).await,
    }
    shutdown.kill.cancel();
}

struct Doctor {
    profiles: Profiles,
    shutdown: Shutdown,
    asked: Question,
    sink: Sink,
}

impl Doctor {
    async fn every_profile(&self, config: &Config) {
        if config.profiles.is_empty() {
            let reporter = Reporter::new(None, &self.sink);
            let text = "the configuration has no profiles";
            let remedy = "name a target, such as user@host, or add a profile";
            reporter.report(Finding::failed(Step::Target, text).remedy(remedy));
        }
        for profile in config.profiles.iter().take(MAX_PROFILES) {
            let name = profile.name.as_ref().unwrap_or(&profile.id);
            self.profile(config, profile, name).await;
        }
    }

    async fn target(&self, config: &Config, name: &str) {
        match target::profile(config, name) {
            Ok(profile) => self.profile(config, &profile, name).await,
            Err(RpcError { message, .. }) => {
                let reporter = Reporter::new(Some(name), &self.sink);
                reporter.report(Finding::failed(Step::Target, message));
            }
        }
    }

    /// The steps to a profile's server, and to each destination of its tunnels.
    async fn profile(&self, config: &Config, profile: &Profile, name: &str) {
        let reporter = Arc::new(Reporter::new(Some(name), &self.sink));
        if let Some(reason) = unsupported(profile) {
            reporter.report(Finding::failed(Step::Configuration, reason));
            return;
        }
        files::key_pairs(profile, &reporter).await;
        files::certificates(profile, &reporter);
        let mut spec = self.profiles.connect_spec(profile);
        let observer = Arc::clone(&reporter);
        spec.for_each_hop(&|hop| {
            hop.observer = Some(observer.clone());
            hop.responder = None;
            // Nobody is asked, so a key that only a person can accept is an unknown or a changed one.
            if hop.settings.host_key_policy == HostKeyPolicy::Ask {
                hop.settings.host_key_policy = HostKeyPolicy::Strict;
            }
        });
        let tasks = self.shutdown.tasks.clone();
        let pool = Pool::new(spec, tasks, self.shutdown.kill.child_token());
        if !ssh::connect(&pool, &reporter).await {
            return;
        }
        if let Some(round_trip) = ssh::round_trip(&pool, &reporter).await {
            small_packets::small_packets(&pool, round_trip, &reporter).await;
        }
        let is_asked = self.asked.ftp.is_some();
        let others = all_tunnels(config, profile).filter(|_| !is_asked);
        let others: Vec<_> = others.filter(|it| !has_far_destination(it)).collect();
        for tunnel in &others {
            match tunnel.listens {
                ListenSide::SshServer => remote::tunnel(&pool, tunnel, &reporter).await,
                ListenSide::OwnHost => ftp::opens_channels(&pool, &reporter).await,
            }
        }
        let destinations = self.destinations(config, profile);
        if destinations.is_empty() && others.is_empty() {
            let text = "the profile has no tunnel";
            let remedy = "name the FTP server with --ftp HOST:PORT";
            reporter.report(Finding::new(Step::Channel, Outcome::Skipped, text).remedy(remedy));
        }
        let connections = Arc::new(Connections::new(pool, false));
        for tunnel in destinations {
            self.destination(profile, &connections, &tunnel, &reporter)
                .await;
        }
    }

    /// The steps to one destination behind the SSH server.
    async fn destination(
        &self,
        profile: &Profile,
        connections: &Arc<Connections>,
        tunnel: &TunnelSpec,
        reporter: &Reporter,
    ) {
        let pool = connections.shared();
        let target = Target::new(&tunnel.dst_host, tunnel.dst_port);
        let Some(mut server) = ftp::open(pool, &target, reporter).await else {
            return;
        };
        let TunnelKind::Ftp(options) = &tunnel.kind else {
            return;
        };
        if !ftp::greeting(&mut server.channel, &target, reporter).await {
            return;
        }
        // The session ends here: a server may admit only one.
        match options.tls {
            Tls::Pass => ftp::offers_tls(server.channel, &target, reporter).await,
            Tls::Refuse | Tls::Terminate(_) => drop(server.channel),
        }
        let Some(login) = &self.asked.login else {
            ftp::without_login(pool, options, &server.host, reporter).await;
            return;
        };
        let mut listeners = Listeners::new(
            Arc::<SessionRegistry>::default(),
            Events::default(),
            self.shutdown.clone(),
        );
        let listens = listeners.open_requested(profile, connections.clone(), on_free_port(tunnel));
        match listens.and_then(|id| Ok(listeners.tunnel(id)?.status().port)) {
            Ok(port) => {
                let get = self.asked.get.as_deref();
                ftp_login::transfers(port, login, get, options, reporter).await;
            }
            Err(error) => reporter.report(Finding::failed(Step::FtpLogin, error.message)),
        }
    }

    /// The destinations of the profile's tunnels on this host, each once, or the one that was asked for.
    fn destinations(&self, config: &Config, profile: &Profile) -> Vec<TunnelSpec> {
        let mut tunnels: Vec<TunnelSpec> = Vec::new();
        for tunnel in all_tunnels(config, profile).filter(|it| has_far_destination(it)) {
            let is_same = |it: &&TunnelSpec| {
                (&it.dst_host, it.dst_port) == (&tunnel.dst_host, tunnel.dst_port)
            };
            if !tunnels.iter().any(|it| is_same(&it)) {
                tunnels.push(tunnel.clone());
            }
        }
        let is_adhoc = config.profile_by_id(&profile.id).is_none();
        let usual = is_adhoc.then(|| Target::new("localhost", FTP_PORT));
        let asked = self.asked.ftp.as_ref();
        match asked.map(|it| Target::new(&it.host, it.port)).or(usual) {
            Some(asked) => vec![asked_tunnel(&asked, &tunnels)],
            None => tunnels,
        }
    }
}

/// The tunnels of a profile, wherever the configuration has them.
fn all_tunnels<'a>(
    config: &'a Config,
    profile: &'a Profile,
) -> impl Iterator<Item = &'a TunnelSpec> {
    let of_file = config.static_tunnels.iter();
    let of_file = of_file.filter(|it| it.profile == profile.id);
    profile.tunnels.iter().chain(of_file.map(|it| &it.tunnel))
}

/// Whether the SSH server connects to a destination that the tunnel names.
fn has_far_destination(tunnel: &TunnelSpec) -> bool {
    tunnel.listens == ListenSide::OwnHost && !matches!(tunnel.kind, TunnelKind::Socks(_))
}

/// The port of FTP servers.
const FTP_PORT: u16 = 21;

/// The tunnel that has this destination, or one with the usual options.
fn asked_tunnel(asked: &Target, tunnels: &[TunnelSpec]) -> TunnelSpec {
    let same = |it: &&TunnelSpec| it.dst_host == asked.host && it.dst_port == asked.port;
    tunnels.iter().find(same).cloned().unwrap_or(TunnelSpec {
        listens: ListenSide::OwnHost,
        kind: TunnelKind::Ftp(FtpOptions::default()),
        listen_address: broker_config::ListenAddress::LOOPBACK,
        listen_port: 0,
        dst_host: asked.host.clone(),
        dst_port: asked.port,
        allow_relay: false,
        allow_from: Vec::new(),
        accept_proxy: false,
        allow_clients: Vec::new(),
        max_sessions: TunnelSpec::MAX_SESSIONS,
        position: broker_config::Position::default(),
    })
}

/// The same tunnel for a client on this host alone, beside one that may be open.
fn on_free_port(tunnel: &TunnelSpec) -> TunnelSpec {
    let mut tunnel = tunnel.clone();
    tunnel.listen_address = broker_config::ListenAddress::LOOPBACK;
    tunnel.listen_port = 0;
    tunnel.allow_relay = false;
    tunnel.accept_proxy = false;
    if let TunnelKind::Ftp(options) = &mut tunnel.kind {
        // What is announced to other hosts leads nowhere on this one.
        options.advertise_address = None;
        options.advertise_port_offset = 0;
        options.passive_ports = None;
        options.tls = broker_config::Tls::Refuse;
    }
    tunnel
}
