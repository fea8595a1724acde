//! What happens in the broker, as one numbered stream.
//!
//! Whoever learns of something first publishes it. A publisher never waits: a subscriber that does not read in time loses
//! the oldest events, and learns how many. The last events are kept for subscribers that come later.

mod subscriber;
mod transfer;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use broker_ipc::types::{EventConfiguration, ListenerState, Profile, Prompt, RecentFailure};
use broker_ssh::ConnectionKind;
use tokio::sync::broadcast;

pub(crate) use subscriber::{Received, Subscriber};
pub use transfer::{Fault, TransferKind, TransferRecord, TransferResult, TransferStart};

use crate::sync::lock;

/// Events that wait for the slowest subscriber. A busy daemon publishes a few hundred a second, and a subscriber that
/// works takes each within milliseconds. Each waiting event takes about 1 KiB.
const WAITING: usize = 1024;

/// Events that are kept for a subscriber that comes back: a program that starts again within a minute misses nothing,
/// unless the daemon is very busy. They take about 1 MiB.
const KEPT: usize = 1024;

/// Something that has happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// An SSH connection is up.
    Connected(ConnectionFacts),
    /// An SSH connection that was up has ended.
    Disconnected {
        /// The connection.
        connection: ConnectionFacts,
        /// Why.
        reason: String,
    },
    /// A client has connected to a tunnel and may use it.
    SessionOpened(SessionFacts),
    /// Its session is over.
    SessionClosed(SessionFacts),
    /// A server has begun a transfer.
    TransferStarted(Arc<TransferStart>),
    /// A transfer is over, or was refused.
    TransferEnded(Arc<TransferRecord>),
    /// The listener of a tunnel has changed.
    TunnelChanged {
        /// The tunnel.
        tunnel: TunnelFacts,
        /// What the listener does now.
        state: ListenerState,
        /// The port it listens on, or would.
        port: u16,
        /// Why it does not listen.
        reason: Option<String>,
    },
    /// A tunnel accepts no more clients.
    TunnelClosed(TunnelFacts),
    /// A profile, or a target that a command named, as it is now.
    ProfileChanged(Arc<Profile>),
    /// A client of this tunnel did not get something, or the tunnel works again.
    Failure(TunnelFacts, Arc<RecentFailure>),
    /// A prompt waits for its answer.
    PromptWaiting(PromptFacts),
    /// A prompt waits no longer.
    PromptAnswered {
        /// The prompt.
        prompt: PromptFacts,
        /// Why it has no answer.
        reason: Option<String>,
    },
    /// The daemon uses another configuration.
    ConfigurationChanged(Arc<EventConfiguration>),
}

/// An SSH connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionFacts {
    /// Its number.
    pub id: u64,
    /// The profile whose server it leads to, or the target that a command named.
    pub profile: String,
    /// What it carries.
    pub kind: ConnectionKind,
}

/// A client's session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFacts {
    /// Its number.
    pub id: u64,
    /// The tunnel that it came through.
    pub tunnel: TunnelFacts,
    /// Whether it is an FTP session.
    pub is_ftp: bool,
    /// The client's address.
    pub client: SocketAddr,
    /// Where it leads: `host:port`.
    pub destination: String,
}

/// A tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelFacts {
    /// Its number.
    pub id: u64,
    /// Its profile, or the target that a command named.
    pub profile: String,
}

/// A prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptFacts {
    /// The profile, or the target that a command named, whose connection needs the answer.
    pub profile: String,
    /// What is shown of it.
    pub prompt: Arc<Prompt>,
}

/// An event and its place in the stream.
#[derive(Debug, Clone)]
pub struct Numbered {
    /// Its number: 1 for the first event of the daemon, and one more for each further one.
    pub number: u64,
    /// When it was published.
    pub at: SystemTime,
    /// The event.
    pub event: Event,
}

/// The stream of events. Clones share it.
#[derive(Debug, Clone)]
pub struct Events(Arc<Stream>);

#[derive(Debug)]
struct Stream {
    sender: broadcast::Sender<Numbered>,
    past: Mutex<Past>,
    /// Events that subscribers have lost.
    lost: Arc<AtomicU64>,
}

/// What has been published.
#[derive(Debug, Default)]
struct Past {
    /// The number of the last event.
    last: u64,
    /// The last events, oldest first.
    kept: VecDeque<Numbered>,
}

impl Past {
    fn number(&mut self, event: Event) -> Numbered {
        self.last += 1;
        let numbered = Numbered {
            number: self.last,
            at: SystemTime::now(),
            event,
        };
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(numbered.clone());
        numbered
    }
}

impl Default for Events {
    fn default() -> Self {
        Self(Arc::new(Stream {
            sender: broadcast::Sender::new(WAITING),
            past: Mutex::default(),
            lost: Arc::default(),
        }))
    }
}

impl Events {
    /// Tells all subscribers.
    pub(crate) fn publish(&self, event: Event) {
        // Locked until the event is sent, so that numbers and order agree.
        let mut past = lock(&self.0.past);
        // Without a subscriber, nobody has to learn of it.
        let _ = self.0.sender.send(past.number(event));
    }

    /// All events from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Numbered> {
        self.0.sender.subscribe()
    }

    /// The number of the last event.
    pub(crate) fn last(&self) -> u64 {
        lock(&self.0.past).last
    }

    /// All events after the one with this number, as far as they are kept, and those from now on.
    pub(crate) fn subscribe_after(&self, after: Option<u64>) -> Subscriber {
        let past = lock(&self.0.past);
        let lost = self.0.lost.clone();
        Subscriber::new(past.last, after, &past.kept, self.subscribe(), lost)
    }

    /// How many events subscribers have lost.
    pub(crate) fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::broadcast::error::TryRecvError;

    use super::*;

    fn closed(id: u64) -> Event {
        Event::TunnelClosed(TunnelFacts {
            id,
            profile: "p".to_owned(),
        })
    }

    #[test]
    fn events_are_numbered_in_their_order() {
        let events = Events::default();
        events.publish(closed(1));
        let mut late = events.subscribe();
        events.publish(closed(2));
        events.publish(closed(3));
        let numbers = [(); 2].map(|()| late.try_recv().unwrap().number);
        assert_eq!(numbers, [2, 3]);
        assert_eq!(late.try_recv().unwrap_err(), TryRecvError::Empty);
    }

    #[tokio::test]
    async fn a_subscriber_that_comes_back_misses_nothing_that_is_kept() {
        let events = Events::default();
        (1..=3).for_each(|id| events.publish(closed(id)));
        let mut back = events.subscribe_after(Some(1));
        events.publish(closed(4));
        for number in 2..=4 {
            assert_eq!(back.next().await.unwrap().number(), number);
        }
        assert_eq!(events.subscribe_after(None).last(), 4);
    }

    #[tokio::test]
    async fn a_subscriber_that_comes_back_too_late_learns_how_much_it_has_lost() {
        let events = Events::default();
        (1..=KEPT as u64 + 7).for_each(|id| events.publish(closed(id)));
        let mut back = events.subscribe_after(Some(2));
        let first = back.next().await.unwrap();
        assert!(
            matches!(first, Received::Lost { count: 5, last: 7 }),
            "{first:?}"
        );
        assert_eq!(back.next().await.unwrap().number(), 8);
    }

    #[tokio::test]
    async fn a_number_of_an_earlier_daemon_stands_for_the_beginning() {
        let events = Events::default();
        events.publish(closed(1));
        let mut back = events.subscribe_after(Some(1000));
        assert_eq!(back.next().await.unwrap().number(), 1);
    }

    #[tokio::test]
    async fn a_subscriber_that_reads_too_slowly_goes_on_after_a_marker() {
        let events = Events::default();
        let mut slow = events.subscribe_after(None);
        (0..WAITING as u64 + 7).for_each(|id| events.publish(closed(id)));
        let first = slow.next().await.unwrap();
        assert!(
            matches!(first, Received::Lost { count: 7, last: 7 }),
            "{first:?}"
        );
        assert_eq!(events.lost(), 7);
        assert_eq!(slow.next().await.unwrap().number(), 8);
    }

    #[test]
    fn a_subscriber_that_does_not_read_learns_how_much_it_has_lost() {
        let events = Events::default();
        let mut slow = events.subscribe();
        (0..WAITING as u64 + 7).for_each(|id| events.publish(closed(id)));
        assert_eq!(slow.try_recv().unwrap_err(), TryRecvError::Lagged(7));
        assert_eq!(slow.try_recv().unwrap().number, 8);
    }
}
