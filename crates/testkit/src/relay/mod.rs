//! A TCP relay that records both directions and, when told, delays, slows, stalls, swallows or cuts.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::peer_runtime::PeerRuntime;

mod carry;

/// What is recorded of each direction of one connection; the largest file that tests move is half of it.
const RECORDING_LIMIT: usize = 512 * 1024 * 1024;

/// How a relay is set up. [`RelayOptions::to`] is a plain one.
#[derive(Clone, Debug)]
pub struct RelayOptions {
    /// Where to listen; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Where each accepted connection leads.
    pub target: SocketAddr,
    /// Whether the bytes are kept; counting them goes on without.
    pub record: bool,
    /// How long each byte takes, in each direction. It does not limit the rate.
    pub delay: Duration,
}

impl RelayOptions {
    /// A relay on a free port of 127.0.0.1 that records and passes everything at once.
    #[must_use]
    pub fn to(target: SocketAddr) -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            target,
            record: true,
            delay: Duration::ZERO,
        }
    }
}

/// How a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Both sides get a reset; what was under way is lost.
    Reset,
    /// Both sides get an orderly end of file.
    Close,
    /// The target gets a reset and the client an orderly end of file: a box on the way that gives up a connection.
    ResetTarget,
}

/// What the relay does with bytes that arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// They are passed on.
    #[default]
    Pass,
    /// They are not read, so that the sender is held up sooner or later.
    Stall,
    /// They are read and thrown away: a line that has gone dead.
    Swallow,
}

/// What has passed through one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Bytes from the client to the target.
    pub to_target: u64,
    /// Bytes from the target to the client.
    pub to_client: u64,
    /// Whether the connection is still there.
    pub open: bool,
}

/// The bytes of one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// From the client to the target.
    pub to_target: Vec<u8>,
    /// From the target to the client.
    pub to_client: Vec<u8>,
}

/// A running relay; dropping it ends it with all its connections.
///
/// Connections are numbered from 0 in the order they are accepted. An orderly end and a reset each pass through as
/// what they are; when the target cannot be reached, the client is reset.
pub struct Relay {
    addr: SocketAddr,
    shared: Arc<Shared>,
    _runtime: PeerRuntime,
}

impl Relay {
    /// A plain relay to `target` on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(target: SocketAddr) -> anyhow::Result<Self> {
        Self::start_with(RelayOptions::to(target)).await
    }

    /// A relay set up as `options` say.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start_with(options: RelayOptions) -> anyhow::Result<Self> {
        let runtime = PeerRuntime::new("relay")?;
        let bind = options.bind;
        let listener = runtime
            .run(TcpListener::bind(bind))
            .await
            .with_context(|| format!("the relay cannot listen on {bind}"))?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::new(options));
        runtime.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            addr,
            shared,
            _runtime: runtime,
        })
    }

    /// Where the relay listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What has passed through each connection so far.
    #[must_use]
    pub fn passed(&self) -> Vec<Passed> {
        self.shared.passed.borrow().clone()
    }

    /// Waits until what has passed is as `done` wants it, and returns it.
    ///
    /// # Errors
    /// When that has not happened within `limit`; the message shows what has passed.
    pub async fn wait_for(
        &self,
        limit: Duration,
        mut done: impl FnMut(&[Passed]) -> bool,
    ) -> anyhow::Result<Vec<Passed>> {
        let mut passed = self.shared.passed.subscribe();
        match tokio::time::timeout(limit, passed.wait_for(|all| done(all))).await {
            Ok(seen) => Ok(seen.context("the relay has ended")?.clone()),
            Err(_) => anyhow::bail!(
                "not within {limit:?}: through the relay passed {:?}",
                self.passed()
            ),
        }
    }

    /// What connection `number` has carried; `None` when there was no such connection.
    #[must_use]
    pub fn recording(&self, number: usize) -> Option<Recording> {
        lock(&self.shared.recordings).get(number).cloned()
    }

    /// What every connection has carried, in order of arrival.
    #[must_use]
    pub fn recordings(&self) -> Vec<Recording> {
        lock(&self.shared.recordings).clone()
    }

    /// Passes, stalls or swallows, from now on and on every connection.
    pub fn set_flow(&self, flow: Flow) {
        let mut flows = lock(&self.shared.flows);
        flows.of_new = flow;
        for each in &flows.of_each {
            each.send_replace(flow);
        }
    }

    /// Passes, stalls or swallows, from now on and on connection `number` alone; without effect when it has ended.
    pub fn set_flow_of(&self, number: usize, flow: Flow) {
        if let Some(each) = lock(&self.shared.flows).of_each.get(number) {
            each.send_replace(flow);
        }
    }

    /// Cuts connection `number` now; without effect when it has ended.
    pub fn cut(&self, number: usize, how: Cut) {
        if let Some(order) = lock(&self.shared.orders).get(number) {
            order.send_replace(Some(how));
        }
    }

    /// Cuts every connection now; new ones are still accepted.
    pub fn cut_all(&self, how: Cut) {
        for order in lock(&self.shared.orders).iter() {
            order.send_replace(Some(how));
        }
    }

    /// Cuts each connection as soon as it has carried `bytes`, both directions together; `None` ends that.
    pub fn cut_after(&self, limit: Option<(u64, Cut)>) {
        *lock(&self.shared.cut_after) = limit;
    }
}

/// What the handle and the connections both know.
struct Shared {
    options: RelayOptions,
    flows: Mutex<Flows>,
    passed: watch::Sender<Vec<Passed>>,
    recordings: Mutex<Vec<Recording>>,
    orders: Mutex<Vec<watch::Sender<Option<Cut>>>>,
    cut_after: Mutex<Option<(u64, Cut)>>,
}

/// The flow of each connection, and of those to come.
#[derive(Default)]
struct Flows {
    of_new: Flow,
    of_each: Vec<watch::Sender<Flow>>,
}

impl Flows {
    fn enter(&mut self) -> watch::Receiver<Flow> {
        let (flow, flowing) = watch::channel(self.of_new);
        self.of_each.push(flow);
        flowing
    }
}

/// What a connection is told.
struct Orders {
    cut: watch::Receiver<Option<Cut>>,
    flow: watch::Receiver<Flow>,
}

impl Shared {
    fn new(options: RelayOptions) -> Self {
        Self {
            options,
            flows: Mutex::default(),
            passed: watch::Sender::new(Vec::new()),
            recordings: Mutex::default(),
            orders: Mutex::default(),
            cut_after: Mutex::default(),
        }
    }

    /// Enters a new connection: its number, and where it hears its orders.
    fn enter(&self) -> (usize, Orders) {
        let (order, cut) = watch::channel(None);
        lock(&self.orders).push(order);
        let flow = lock(&self.flows).enter();
        lock(&self.recordings).push(Recording::default());
        let mut number = 0;
        self.passed.send_modify(|all| {
            number = all.len();
            all.push(Passed {
                to_target: 0,
                to_client: 0,
                open: true,
            });
        });
        (number, Orders { cut, flow })
    }

    fn leave(&self, number: usize) {
        self.passed.send_modify(|all| {
            if let Some(passed) = all.get_mut(number) {
                passed.open = false;
            }
        });
    }

    /// Keeps and counts bytes that are about to be passed on, and cuts the connection when it is due.
    fn note(&self, number: usize, direction: RelayDirection, bytes: &[u8]) {
        if self.options.record
            && let Some(recording) = lock(&self.recordings).get_mut(number)
        {
            let kept = direction.of(&mut recording.to_target, &mut recording.to_client);
            let room = RECORDING_LIMIT.saturating_sub(kept.len());
            kept.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        }
        let mut total = 0;
        self.passed.send_modify(|all| {
            if let Some(passed) = all.get_mut(number) {
                *direction.of(&mut passed.to_target, &mut passed.to_client) += bytes.len() as u64;
                total = passed.to_target + passed.to_client;
            }
        });
        let due = lock(&self.cut_after).filter(|(limit, _)| total >= *limit);
        if let (Some((_, how)), Some(order)) = (due, lock(&self.orders).get(number)) {
            order.send_replace(Some(how));
        }
    }
}

/// One of the two directions.
#[derive(Clone, Copy)]
enum RelayDirection {
    ToTarget,
    ToClient,
}

impl RelayDirection {
    fn of<T>(self, to_target: T, to_client: T) -> T {
        match self {
            Self::ToTarget => to_target,
            Self::ToClient => to_client,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let tasks = TaskTracker::new();
    loop {
        if let Ok((client, _peer)) = listener.accept().await {
            // Here and not in the task, so that the numbers follow the order of arrival.
            let (number, orders) = shared.enter();
            tasks.spawn(serve(client, number, orders, Arc::clone(&shared)));
        }
    }
}

/// One connection from its first byte to its last.
async fn serve(client: TcpStream, number: usize, orders: Orders, shared: Arc<Shared>) {
    match TcpStream::connect(shared.options.target).await {
        Ok(target) => carry::carry(client, target, orders, number, &shared).await,
        Err(error) => {
            tracing::debug!(number, %error, "the relay's target cannot be reached");
            carry::reset(&client);
        }
    }
    shared.leave(number);
}

#[cfg(test)]
mod tests;
