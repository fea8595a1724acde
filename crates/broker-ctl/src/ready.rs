//! `status --wait`: waits until the daemon serves what its configuration asks for.

use std::time::Duration;

use broker_ipc::methods::ListTunnelListeners;
use broker_ipc::types::{ListenerState, TunnelListener, TunnelOrigin};
use broker_ipc::{ClientError, ErrorCode, ErrorData, Reason, RpcError};
use tokio::time::{Instant, sleep};

use crate::daemon::Daemon;

/// How often to look: quick enough for a script, and little work for the daemon.
const PAUSE: Duration = Duration::from_millis(100);

/// Returns as soon as the daemon answers and each tunnel of its configuration listens.
///
/// # Errors
/// When the time is over: no daemon has come, or a tunnel does not listen yet. Earlier, if a tunnel never will.
pub(crate) async fn wait(daemon: &Daemon<'_>, limit: Duration) -> anyhow::Result<()> {
    let until = Instant::now() + limit;
    loop {
        let missing = match daemon.call(&ListTunnelListeners {}).await {
            Ok(tunnels) => missing(tunnels),
            Err(ClientError::NotRunning { .. } | ClientError::Vanished { .. })
                if Instant::now() < until =>
            {
                sleep(PAUSE).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if missing.is_empty() {
            return Ok(());
        }
        let never = missing.iter().any(never_listens);
        if never || Instant::now() >= until {
            return Err(ClientError::Failed(failure(&missing, !never)).into());
        }
        sleep(PAUSE).await;
    }
}

/// The tunnels of the configuration that do not listen.
fn missing(tunnels: Vec<TunnelListener>) -> Vec<TunnelListener> {
    let is_missing = |it: &TunnelListener| {
        it.origin != TunnelOrigin::Command && it.state != ListenerState::Listening
    };
    tunnels.into_iter().filter(is_missing).collect()
}

/// Whether the daemon does not try again.
fn never_listens(tunnel: &TunnelListener) -> bool {
    tunnel.state == ListenerState::Failed && tunnel.retry_in.is_none()
}

fn failure(missing: &[TunnelListener], retry: bool) -> RpcError {
    let texts: Vec<_> = missing.iter().map(text).collect();
    RpcError {
        data: Some(ErrorData {
            retry,
            ..Reason::Listen.into()
        }),
        ..RpcError::new(ErrorCode::ListenFailed, texts.join("; "))
    }
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
        let tunnels = vec![
            tunnel("listening", None, "file"),
            tunnel("failed", None, "command"),
        ];
        assert_eq!(missing(tunnels), []);
    }

    #[test]
    fn a_tunnel_that_the_daemon_tries_again_is_worth_waiting_for() {
        let [again, never] = [Some(1), None].map(|retry| tunnel("failed", retry, "file"));
        assert!(!never_listens(&again) && never_listens(&never));
        assert!(!never_listens(&tunnel("waiting", None, "static")));
        let failure = failure(&[again], true);
        assert!(failure.data.unwrap().retry);
        let text = "tunnel 7 does not listen on 127.0.0.1:2121, it is failed: it is in use";
        assert_eq!(failure.message, text);
    }
}
