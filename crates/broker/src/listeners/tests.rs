//! Listeners that cannot listen, with the clock of the test.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use broker_config::{Config, Environment, Exposed, check};
use broker_ipc::types::{ListenerState, TunnelOrigin};
use testkit::ports::unused_port;
use tokio::time::{Instant, advance};

use super::{Configured, Listeners, NOT_CONNECTED};
use crate::events::Events;
use crate::profiles::{Identity, Profiles};
use crate::prompts::PromptQueue;
use crate::registry::SessionRegistry;
use crate::shutdown::Shutdown;

/// Two tunnels, to be opened one after the other.
struct Tunnels {
    config: Arc<Config>,
    profiles: Profiles,
    listeners: Listeners,
}

impl Tunnels {
    /// They want the same port, at these addresses, while their profile has this attribute `listen`.
    fn at(port: u16, addresses: [&str; 2], listen: &str) -> Self {
        let tunnel = |address| {
            format!(
                r#"<local-tunnel type="FTP" listen-address="{address}" listen-port="{port}" allow-relay="yes"/>"#
            )
        };
        // Both in one file would be an error.
        let config = addresses.map(|address| {
            let tunnel = tunnel(address);
            parse(&format!(
                r#"<secsh-broker version="1.0"><profiles><profile id="id1" host="192.0.2.1" user="u">
                   <tunnels listen="{listen}">{tunnel}</tunnels></profile></profiles></secsh-broker>"#
            ))
        });
        let [mut config, other] = config;
        let others = other.profiles.into_iter().flat_map(|it| it.tunnels);
        config.profiles[0].tunnels.extend(others);
        let shutdown = Shutdown::default();
        let identity = Identity {
            home: "/nowhere".into(),
            user: "u".into(),
        };
        let prompts = PromptQueue::new(Events::default(), shutdown.kill.clone());
        Self {
            profiles: Profiles::new(
                config.clone(),
                identity,
                prompts,
                Events::default(),
                shutdown.clone(),
            ),
            config: Arc::new(config),
            listeners: Listeners::new(
                Arc::<SessionRegistry>::default(),
                Events::default(),
                shutdown,
            ),
        }
    }

    fn open(&mut self, index: usize) {
        let profile = &self.config.profiles[0];
        let connections = self.profiles.connections(profile);
        let tunnel = Configured::new(profile, &profile.tunnels[index], TunnelOrigin::File);
        self.listeners.open_configured(tunnel, profile, connections);
    }

    fn states(&self) -> Vec<ListenerState> {
        self.listeners
            .tunnels()
            .map(|it| it.status().state)
            .collect()
    }

    fn reason(&self, index: usize) -> String {
        let tunnel = self.listeners.tunnels().nth(index).unwrap();
        tunnel.status().reason.unwrap_or_default()
    }

    /// Lets time pass until a listener is tried again, and returns how many seconds that took.
    async fn next_try(&mut self) -> u64 {
        let at = self.listeners.next_try().unwrap();
        let pause = at - Instant::now();
        advance(pause - Duration::from_millis(1)).await;
        self.listeners.retry_failed();
        assert_eq!(self.listeners.next_try(), Some(at), "tried too early");
        advance(Duration::from_millis(1)).await;
        self.listeners.retry_failed();
        pause.as_secs()
    }
}

fn parse(text: &str) -> Config {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("broker.xml");
    std::fs::write(&file, text).unwrap();
    let report = check(&file, &Environment::default(), Exposed::Accepted);
    report.config.unwrap()
}

fn taken() -> (TcpListener, u16) {
    let port = unused_port().unwrap();
    (TcpListener::bind(("127.0.0.1", port)).unwrap(), port)
}

#[tokio::test(start_paused = true)]
async fn a_port_in_use_is_tried_again_after_growing_pauses_until_it_is_free() {
    let (taken, port) = taken();
    let mut tunnels = Tunnels::at(port, ["127.0.0.1", "127.0.0.1"], "startup");
    tunnels.open(0);
    assert_eq!(tunnels.states(), [ListenerState::Failed]);
    let mut pauses = Vec::new();
    for _ in 0..7 {
        pauses.push(tunnels.next_try().await);
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
    let status = tunnels.listeners.tunnels().next().unwrap().status();
    assert!(status.failed_since.is_some() && status.next_try == tunnels.listeners.next_try());
    drop(taken);
    tunnels.next_try().await;
    assert_eq!(tunnels.states(), [ListenerState::Listening]);
    assert_eq!(tunnels.listeners.next_try(), None);
    let status = tunnels.listeners.tunnels().next().unwrap().status();
    assert!(status.failed_since.is_none() && status.next_try.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_in_the_way_is_named_and_does_not_stand_for_ever() {
    let (free, port) = taken();
    drop(free);
    let mut tunnels = Tunnels::at(port, ["127.0.0.1", "*"], "startup");
    tunnels.open(0);
    tunnels.open(1);
    let first = tunnels.listeners.tunnels().next().unwrap().id();
    assert_eq!(
        tunnels.reason(1),
        format!(
            "*:{port} is in use by tunnel {first} of this daemon (profile id1); close that tunnel, or choose another listen-port"
        )
    );
    tunnels.listeners.close(first).await.unwrap();
    tunnels.next_try().await;
    assert_eq!(tunnels.states(), [ListenerState::Listening]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_tunnel_waits_once_its_profile_is_no_longer_connected() {
    let (_taken, port) = taken();
    let mut tunnels = Tunnels::at(port, ["127.0.0.1", "127.0.0.1"], "connected");
    tunnels.open(0);
    assert_eq!(tunnels.states(), [ListenerState::Waiting]);
    tunnels.listeners.follow_connection("id1", true);
    assert_eq!(tunnels.states(), [ListenerState::Failed]);
    tunnels.listeners.follow_connection("id1", false);
    assert_eq!(tunnels.states(), [ListenerState::Waiting]);
    assert_eq!(tunnels.reason(0), NOT_CONNECTED);
    assert_eq!(tunnels.listeners.next_try(), None);
}
