//! `status --wait`: waits until the daemon serves what its configuration asks for.

use std::collections::BTreeMap;
use std::time::Duration;

use broker_ipc::methods::{ListTunnelListeners, Subscribe};
use broker_ipc::types::{Event, EventKind, ListenerState, TunnelListener, TunnelOrigin};
use broker_ipc::{ClientError, ErrorCode, ErrorData, Method, Reason, RpcError};
use tokio::time::{Instant, timeout_at};

use crate::daemon::Daemon;

/// Returns as soon as the daemon answers and each tunnel of its configuration listens. What the result is asked has to be
/// answered before the time is over as well.
///
/// # Errors
/// When the time is over: no daemon has come or answers, or a tunnel does not listen yet. Earlier, if a tunnel never will.
pub(crate) async fn wait<'a>(daemon: &Daemon<'a>, limit: Duration) -> anyhow::Result<Daemon<'a>> {
    let until = Instant::now() + limit;
    let daemon = daemon.until(until);
    let attempt = async |daemon| follow(&daemon, until, limit).await;
    let failed = async |error| {
        let can_come = matches!(
            error,
            ClientError::NotRunning { .. } | ClientError::Vanished { .. }
        );
        match can_come && Instant::now() < until {
            true => Ok(()),
            false => Err(error),
        }
    };
    daemon.look(attempt, failed).await?;
    Ok(daemon)
}

/// Follows the tunnels of one daemon until they listen.
async fn follow(daemon: &Daemon<'_>, until: Instant, limit: Duration) -> Result<(), ClientError> {
    let asked = Subscribe {
        kinds: vec![EventKind::TunnelChanged, EventKind::TunnelClosed],
        state: true,
        ..Subscribe::default()
    };
    daemon.call(&asked).await?;
    let method = Subscribe::NAME;
    let mut tunnels = Tunnels::default();
    loop {
        let event = match timeout_at(until, daemon.next_event()).await {
            Ok(event) => event,
            Err(_) if tunnels.complete => {
                return Err(ClientError::Failed(tunnels.failure(true)));
            }
            Err(_) => {
                return Err(ClientError::TimedOut {
                    method,
                    limit,
                    process: None,
                });
            }
        };
        let vanished = ClientError::Vanished { method };
        match event? {
            Some(event) if event.kind != EventKind::Lost => tunnels.learn(event),
            // What is known may be wrong, so another connection asks for the state again.
            Some(_) | None => return Err(vanished),
        }
        if !tunnels.complete {
            continue;
        }
        if tunnels.missing().next().is_none() {
            return Ok(());
        }
        if tunnels.missing().any(never_listens) {
            // An event says how a tunnel was, and its row how it is when the event is sent: only a list is of one moment.
            let now = daemon.another().call(&ListTunnelListeners {}).await?;
            let now = Tunnels::of(now);
            if now.missing().any(never_listens) {
                return Err(ClientError::Failed(now.failure(false)));
            }
        }
    }
}

/// The tunnels as the events describe them.
#[derive(Debug, Default)]
struct Tunnels {
    known: BTreeMap<u64, TunnelListener>,
    /// Whether all are known.
    complete: bool,
}

impl Tunnels {
    fn of(all: Vec<TunnelListener>) -> Self {
        Self {
            known: all.into_iter().map(|it| (it.id, it)).collect(),
            complete: true,
        }
    }

    fn learn(&mut self, event: Event) {
        self.complete |= event.kind == EventKind::StateComplete;
        if let Some(row) = event.listener {
            self.known.insert(row.id, row);
        } else if let Some(tunnel) = event.tunnel {
            self.known.remove(&tunnel.id);
        }
    }

    /// The tunnels of the configuration that do not listen.
    fn missing(&self) -> impl Iterator<Item = &TunnelListener> {
        let is_missing = |it: &&TunnelListener| {
            it.origin != TunnelOrigin::Command && it.state != ListenerState::Listening
        };
        self.known.values().filter(is_missing)
    }

    fn failure(&self, retry: bool) -> RpcError {
        let texts: Vec<_> = self.missing().map(text).collect();
        RpcError {
            data: Some(ErrorData {
                retry,
                ..Reason::Listen.into()
            }),
            ..RpcError::new(ErrorCode::ListenFailed, texts.join("; "))
        }
    }
}

/// Whether the daemon does not try again.
fn never_listens(tunnel: &TunnelListener) -> bool {
    tunnel.state == ListenerState::Failed && tunnel.retry_in.is_none()
}

fn text(tunnel: &TunnelListener) -> String {
    let TunnelListener {
        id,
        address,
        port,
        state,
        ..
    } = tunnel;
    let reason = tunnel.reason.as_ref().map(|reason| format!(": {reason}"));
    let reason = reason.unwrap_or_default();
    format!("tunnel {id} does not listen on {address}:{port}, it is {state}{reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tunnel(state: &str, retry_in: Option<u64>, origin: &str) -> TunnelListener {
        let row = serde_json::json!({
            "id": 7, "kind": "ftp", "address": "127.0.0.1", "port": 2121, "dst_host": "h",
            "dst_port": 21, "profile": null, "target": "t", "relay": false, "tls": null,
            "state": state, "reason": "it is in use", "retry_in": retry_in,
            "sessions_active": 0, "sessions_total": 0,
            "transfers": { "active": 0, "ok": 0, "failed": 0 },
            "bytes_up": 0, "bytes_down": 0, "origin": origin,
        });
        serde_json::from_value(row).unwrap()
    }

    #[test]
    fn only_tunnels_of_the_configuration_have_to_listen() {
        let command = tunnel("failed", None, "command");
        let file = TunnelListener {
            id: 8,
            ..tunnel("listening", None, "file")
        };
        assert_eq!(Tunnels::of(vec![command, file]).missing().count(), 0);
    }

    #[test]
    fn a_tunnel_that_the_daemon_tries_again_is_worth_waiting_for() {
        let [again, never] = [Some(1), None].map(|retry| tunnel("failed", retry, "file"));
        assert!(!never_listens(&again) && never_listens(&never));
        assert!(!never_listens(&tunnel("waiting", None, "static")));
        let failure = Tunnels::of(vec![again]).failure(true);
        assert!(failure.data.unwrap().retry);
        let text = "tunnel 7 does not listen on 127.0.0.1:2121, it is failed: it is in use";
        assert_eq!(failure.message, text);
    }
}
