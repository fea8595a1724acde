//! The commands that close something.

use broker_ipc::methods::{CloseTunnelListener, ListTunnelListeners};
use broker_ipc::printed::Closed;
use broker_ipc::{Method, RpcError};

use crate::daemon::{Called, Daemon};
use crate::failure::Reported;
use crate::tunnel_spec::ListenerName;

/// Closes what has these ids. Fails if one could not be closed.
pub(crate) async fn close_each<M: Method>(
    daemon: &Daemon<'_>,
    ids: Vec<u64>,
    request: impl Fn(u64) -> M,
) -> anyhow::Result<()> {
    let called = daemon.call_each(ids.into_iter(), request).await?;
    report(daemon, called)
}

/// Closes the listeners with these names.
pub(crate) async fn close_listeners(
    daemon: &Daemon<'_>,
    names: &[ListenerName],
) -> anyhow::Result<()> {
    let listeners = daemon.call(&ListTunnelListeners {}).await?;
    let mut ids = Vec::new();
    let mut unknown = None;
    for name in names {
        match name.find(&listeners) {
            Ok(id) => ids.push(id),
            Err(message) => {
                let refusal = RpcError::not_found(message);
                daemon.output().refusal(&refusal, refusal.to_string());
                unknown = Some(refusal.reason());
            }
        }
    }
    let close = |id| CloseTunnelListener { id };
    let mut called = daemon.call_each(ids.into_iter(), close).await?;
    called.failed = called.failed.or(unknown);
    report(daemon, called)
}

/// A person sees nothing of what has worked.
fn report(daemon: &Daemon<'_>, called: Called) -> anyhow::Result<()> {
    let Called { done, failed } = called;
    let output = daemon.output();
    if output.is_json() {
        output.json(&Closed { closed: done })?;
    }
    match failed {
        Some(reason) => Err(Reported::because(reason).into()),
        None => Ok(()),
    }
}
