//! The tunnels that clients have opened, and how long each stays open.

use std::collections::BTreeMap;
use std::time::Duration;

use broker_ipc::methods::OpenTunnelListener;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long a tunnel from the process before this one waits for the client that it is bound to. A client that runs comes
/// back as soon as the other process ends its connection, at most seconds after the takeover.
const COMES_BACK: Duration = Duration::from_secs(30);

/// How long a tunnel stays open.
#[derive(Debug)]
pub(super) enum Lifetime {
    /// Until somebody closes it.
    Lasting,
    /// Until this client leaves at the latest.
    Bound(CancellationToken),
    /// Until the client that it is bound to has had time to come back.
    Unclaimed,
}

impl Lifetime {
    /// That of a tunnel that a client has just asked for.
    pub(super) fn of(asked: &OpenTunnelListener, client: CancellationToken) -> Self {
        match asked.while_connected {
            true => Self::Bound(client),
            false => Self::Lasting,
        }
    }

    /// That of a tunnel which a client had opened in the process before this one.
    pub(super) fn of_inherited(asked: &OpenTunnelListener) -> Self {
        match asked.while_connected {
            true => Self::Unclaimed,
            false => Self::Lasting,
        }
    }

    fn is_unclaimed(&self) -> bool {
        matches!(self, Self::Unclaimed)
    }

    /// Returns when it is over, which can be never.
    async fn over(self) {
        match self {
            Self::Lasting => std::future::pending().await,
            Self::Bound(client) => client.cancelled_owned().await,
            Self::Unclaimed => sleep(COMES_BACK).await,
        }
    }
}

/// A tunnel that a client has opened.
#[derive(Debug)]
struct Requested {
    asked: OpenTunnelListener,
    is_unclaimed: bool,
    /// Ends the wait for the end of its lifetime.
    _awaited: DropGuard,
}

/// The requests for the tunnels that clients have opened, by the tunnels' numbers.
#[derive(Default)]
pub(super) struct RequestedTunnels {
    tunnels: BTreeMap<u64, Requested>,
    /// One wait for each tunnel. Yields the number of a tunnel whose lifetime is over; nothing if the wait has ended.
    waits: FuturesUnordered<BoxFuture<'static, Option<u64>>>,
}

impl RequestedTunnels {
    /// The tunnels with their requests, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &OpenTunnelListener)> {
        self.tunnels.iter().map(|(id, it)| (*id, &it.asked))
    }

    /// The request for a tunnel; `None` if no client has opened it.
    pub(super) fn get(&self, id: u64) -> Option<&OpenTunnelListener> {
        self.tunnels.get(&id).map(|it| &it.asked)
    }

    /// Remembers a tunnel.
    pub(super) fn insert(&mut self, id: u64, asked: OpenTunnelListener, lifetime: Lifetime) {
        let ended = CancellationToken::new();
        let requested = Requested {
            asked,
            is_unclaimed: lifetime.is_unclaimed(),
            _awaited: ended.clone().drop_guard(),
        };
        self.tunnels.insert(id, requested);
        self.waits.push(Box::pin(async move {
            let over = ended.run_until_cancelled(lifetime.over()).await;
            over.map(|()| id)
        }));
    }

    /// Forgets all but these tunnels.
    pub(super) fn retain(&mut self, is_open: impl Fn(u64) -> bool) {
        self.tunnels.retain(|id, _| is_open(*id));
    }

    /// Gives a client the tunnel that waits for it. The client asks for it as it did in the process before this one, but
    /// with the port that it got there.
    pub(super) fn claim(
        &mut self,
        asked: &OpenTunnelListener,
        client: &CancellationToken,
    ) -> Option<u64> {
        let mut waiting = self.tunnels.iter();
        let (&id, _) = waiting.find(|(_, it)| it.is_unclaimed && it.asked == *asked)?;
        self.insert(id, asked.clone(), Lifetime::Bound(client.clone()));
        Some(id)
    }

    /// The next tunnel whose lifetime is over; `None` if there is none to wait for. Cancel-safe.
    pub(super) async fn next_over(&mut self) -> Option<u64> {
        while let Some(wait) = self.waits.next().await {
            if let Some(id) = wait {
                self.tunnels.remove(&id);
                return Some(id);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use broker_ipc::types::{TunnelKind, TunnelSide};
    use futures::FutureExt;
    use tokio::time::Instant;

    use super::*;

    fn asked(while_connected: bool) -> OpenTunnelListener {
        OpenTunnelListener {
            kind: TunnelKind::Ftp,
            side: TunnelSide::Local,
            listen_address: None,
            listen_port: 2121,
            dst_host: "localhost".to_owned(),
            dst_port: 21,
            relay: false,
            options: BTreeMap::new(),
            target: "work".to_owned(),
            while_connected,
        }
    }

    fn one(lifetime: Lifetime, while_connected: bool) -> RequestedTunnels {
        let mut requested = RequestedTunnels::default();
        requested.insert(7, asked(while_connected), lifetime);
        requested
    }

    #[tokio::test]
    async fn a_bound_tunnel_closes_when_its_client_leaves() {
        let client = CancellationToken::new();
        let mut requested = one(Lifetime::of(&asked(true), client.clone()), true);
        assert_eq!(requested.next_over().now_or_never(), None);
        client.cancel();
        assert_eq!(requested.next_over().await, Some(7));
        assert_eq!(requested.next_over().await, None);
        assert!(requested.get(7).is_none());
    }

    #[tokio::test]
    async fn a_lasting_tunnel_survives_its_client() {
        let client = CancellationToken::new();
        let mut requested = one(Lifetime::of(&asked(false), client.clone()), false);
        client.cancel();
        assert_eq!(requested.next_over().now_or_never(), None);
        requested.retain(|_| false);
        assert_eq!(requested.next_over().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bound_tunnel_of_the_process_before_waits_some_time_for_its_client() {
        let began = Instant::now();
        let mut requested = one(Lifetime::of_inherited(&asked(true)), true);
        assert_eq!(requested.next_over().await, Some(7));
        assert_eq!(began.elapsed().as_secs(), COMES_BACK.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_comes_back_keeps_its_tunnel() {
        let mut requested = one(Lifetime::of_inherited(&asked(true)), true);
        let other = OpenTunnelListener {
            listen_port: 2122,
            ..asked(true)
        };
        let client = CancellationToken::new();
        assert_eq!(requested.claim(&other, &client), None);
        assert_eq!(requested.claim(&asked(true), &client), Some(7));
        assert_eq!(requested.claim(&asked(true), &client), None);
        tokio::time::advance(COMES_BACK * 2).await;
        assert_eq!(requested.next_over().now_or_never(), None);
        client.cancel();
        assert_eq!(requested.next_over().await, Some(7));
    }
}
