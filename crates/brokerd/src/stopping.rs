//! Stopping: running transfers may finish, the daemon closes what still runs after that, and the process ends.

use std::io;
use std::time::Duration;

use broker::{Grace, ProcessRequest, Shutdown};
use broker_ipc::ReplySender;
use broker_ipc::methods::{Heritage, Reload};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::handover::Estate;
use crate::level::Level;
use crate::notify;
use crate::reload::{AskedReload, Reloads};

/// How long tasks may take to reset their connections when the daemon ends.
const KILL_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a daemon that was started on demand stays when nothing uses it any more: scripts run one command after the
/// other.
const LINGER: Duration = Duration::from_secs(5);

/// SIGTERM and SIGINT end the daemon. SIGHUP makes it read its configuration again. A daemon that was started with nohup
/// outlives its terminal.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next signal: the name of one that ends the daemon, or `None` for SIGHUP.
    async fn next(&mut self) -> Option<&'static str> {
        tokio::select! {
            _ = self.terminate.recv() => Some("SIGTERM"),
            _ = self.interrupt.recv() => Some("SIGINT"),
            _ = self.hang_up.recv() => None,
        }
    }
}

/// Why the daemon is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Signal(&'static str),
    Request(Grace),
    /// Another process serves the sockets.
    Retire,
    /// Nothing has used the daemon for a while.
    Unused,
}

impl Order {
    fn by(self) -> &'static str {
        match self {
            Self::Signal(name) => name,
            Self::Request(_) => "request",
            Self::Retire => "successor",
            Self::Unused => "disuse",
        }
    }
}

/// When the daemon closes what still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Deadline {
    /// The grace period of the command line.
    usual: Duration,
    /// `None`: the transfers may take as long as they like.
    at: Option<Instant>,
    /// Whether a signal has come.
    signalled: bool,
}

impl Deadline {
    /// The deadline after the first order.
    fn first(order: Order, usual: Duration) -> Self {
        let in_time = Some(Instant::now() + usual);
        Self {
            usual,
            at: match order {
                Order::Signal(_) | Order::Unused | Order::Request(Grace::Usual) => in_time,
                Order::Request(Grace::Limited(grace)) => Some(Instant::now() + grace),
                Order::Request(Grace::Unlimited) | Order::Retire => None,
            },
            signalled: matches!(order, Order::Signal(_)),
        }
    }

    /// Changes it after a further order. A request changes only what it names, so no second client cuts what the first one
    /// lets finish. The first signal sets the usual limit, since a service manager will not wait longer. Another signal
    /// ends everything now.
    fn follow(&mut self, order: Order) {
        let now = Instant::now();
        match order {
            Order::Request(Grace::Usual) | Order::Retire | Order::Unused => {}
            Order::Request(Grace::Limited(grace)) => self.at = Some(now + grace),
            Order::Request(Grace::Unlimited) => self.at = None,
            Order::Signal(_) if self.signalled => self.at = Some(now),
            Order::Signal(_) => {
                let usual = now + self.usual;
                self.at = Some(self.at.map_or(usual, |at| at.min(usual)));
                self.signalled = true;
            }
        }
    }

    async fn passed(self) {
        match self.at {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    fn seconds(self) -> Option<u64> {
        let left = self
            .at
            .map(|at| at.saturating_duration_since(Instant::now()));
        left.map(|left| left.as_secs_f64().round() as u64)
    }
}

/// Where orders come from.
pub(crate) struct Orders {
    pub(crate) signals: Signals,
    pub(crate) requests: mpsc::Receiver<ProcessRequest>,
    /// Where reloads are asked for.
    pub(crate) reloads: Reloads,
    /// How much is logged.
    pub(crate) level: Level,
    /// What another process can ask for before it asks this one to end.
    pub(crate) estate: Estate,
}

impl Orders {
    async fn next(&mut self) -> Order {
        loop {
            let request = tokio::select! {
                signal = self.signals.next() => match signal {
                    Some(name) => return Order::Signal(name),
                    None => {
                        info!("SIGHUP: reading the configuration again");
                        self.reload(Reload::default(), None);
                        continue;
                    }
                },
                Some(request) = self.requests.recv() => request,
            };
            match request {
                ProcessRequest::Reload(request, reply) => self.reload(request, Some(reply)),
                ProcessRequest::SetLogLevel(asked, reply) => {
                    reply.send(self.level.set(asked.level.as_deref()));
                }
                ProcessRequest::Stop(grace) => return Order::Request(grace),
                ProcessRequest::Retire => return Order::Retire,
                ProcessRequest::HandOver { to, tunnels, reply } => {
                    let sent = self.estate.give(to).await;
                    reply.send(sent.map(|sockets| Heritage { sockets, tunnels }));
                }
            }
        }
    }
}

impl Orders {
    fn reload(&self, request: Reload, reply: Option<ReplySender<Reload>>) {
        self.reloads.ask(AskedReload { request, reply });
    }
}

/// Returns when all tasks have ended, or when the time to wait for them is over. `local` ends the local socket.
pub(crate) async fn until_stopped(
    mut orders: Orders,
    shutdown: Shutdown,
    local: CancellationToken,
    grace: Duration,
) {
    let order = tokio::select! {
        order = orders.next() => order,
        () = shutdown.unused(LINGER) => Order::Unused,
    };
    let mut deadline = Deadline::first(order, grace);
    if order == Order::Retire {
        orders.estate.given_away();
        shutdown.leave.cancel();
        local.cancel();
        info!("another process serves the sockets: sessions may end");
        tokio::select! {
            () = shutdown.idle() => {}
            () = sleep(grace) => {}
            order = orders.next() => deadline.follow(order),
        }
    }
    notify::stopping();
    shutdown.drain.cancel();
    // Said once it is so, for those who wait for this line.
    info!(by = %order.by(), grace = deadline.seconds(), "stopping: no new clients; running transfers may finish");
    loop {
        tokio::select! {
            biased;
            () = shutdown.idle() => {
                info!("all transfers have ended");
                break;
            }
            () = deadline.passed() => {
                warn!("the grace period is over: closing what still runs");
                break;
            }
            order = orders.next() => {
                deadline.follow(order);
                info!(by = %order.by(), grace = deadline.seconds(), "second request to stop");
            }
            never = notify::keep_extending_timeout() => match never {},
        }
    }
    // Whoever asks from now on learns that the daemon has gone.
    drop(orders);
    shutdown.kill.cancel();
    shutdown.tasks.close();
    if timeout(KILL_TIMEOUT, shutdown.tasks.wait()).await.is_err() {
        warn!(
            tasks = shutdown.tasks.len(),
            "tasks did not end in time: ending without them"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: u64 = 30;
    const TERM: Order = Order::Signal("SIGTERM");
    const STOP: Order = Order::Request(Grace::Usual);
    const WHEN_IDLE: Order = Order::Request(Grace::Unlimited);

    fn within(seconds: u64) -> Order {
        Order::Request(Grace::Limited(Duration::from_secs(seconds)))
    }

    /// Gives the orders ten seconds apart. `left` is the time that transfers have after the last one.
    #[track_caller]
    fn check(orders: &[Order], left: Option<u64>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let (first, others) = orders.split_first().unwrap();
        let deadline = runtime.block_on(async {
            let mut deadline = Deadline::first(*first, Duration::from_secs(USUAL));
            for order in others {
                tokio::time::advance(Duration::from_secs(10)).await;
                deadline.follow(*order);
            }
            deadline.seconds()
        });
        assert_eq!(deadline, left, "{orders:?}");
    }

    #[test]
    fn the_first_order_says_how_long_transfers_may_take() {
        check(&[TERM], Some(USUAL));
        check(&[STOP], Some(USUAL));
        check(&[within(5)], Some(5));
        check(&[WHEN_IDLE], None);
    }

    #[test]
    fn a_second_request_cuts_nothing_unless_it_says_so() {
        check(&[STOP, STOP], Some(USUAL - 10));
        check(&[WHEN_IDLE, STOP], None);
        check(&[within(60), STOP], Some(50));
        check(&[STOP, WHEN_IDLE], None);
        check(&[WHEN_IDLE, within(5)], Some(5));
        check(&[STOP, within(0)], Some(0));
    }

    #[test]
    fn a_first_signal_limits_the_time_and_a_second_one_ends_it() {
        check(&[WHEN_IDLE, TERM], Some(USUAL));
        check(&[within(15), TERM], Some(5));
        check(&[STOP, TERM, STOP], Some(USUAL - 20));
        check(&[TERM, TERM], Some(0));
        check(&[WHEN_IDLE, TERM, TERM], Some(0));
    }
}
