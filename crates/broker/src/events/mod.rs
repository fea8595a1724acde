//! What happens in the broker, as one numbered stream.
//!
//! Whoever learns of something first publishes it. A publisher never waits: a subscriber that does not read in time loses
//! the oldest events, and learns how many.

mod transfer;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use broker_ipc::types::ListenerState;
use broker_ssh::{ConnectionKind, CutReason, Observer};
use tokio::sync::broadcast;

pub use transfer::{Fault, TransferKind, TransferRecord, TransferResult};

use crate::sync::lock;

/// Events that wait for the slowest subscriber. A busy daemon publishes a few hundred a second, and a subscriber that
/// works takes each within milliseconds. Each waiting event takes about 1 KiB.
const WAITING: usize = 1024;

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

/// Publishes the connections of one profile.
#[derive(Debug)]
pub(crate) struct ConnectionEvents {
    pub(crate) events: Events,
    /// The profile's id, or the target that a command named.
    pub(crate) profile: String,
}

impl ConnectionEvents {
    fn facts(&self, id: u64, kind: ConnectionKind) -> ConnectionFacts {
        ConnectionFacts {
            id,
            profile: self.profile.clone(),
            kind,
        }
    }
}

impl Observer for ConnectionEvents {
    fn connected(&self, id: u64, kind: ConnectionKind) {
        self.events.publish(Event::Connected(self.facts(id, kind)));
    }

    fn disconnected(&self, id: u64, kind: ConnectionKind, reason: &CutReason) {
        self.events.publish(Event::Disconnected {
            connection: self.facts(id, kind),
            reason: reason.to_string(),
        });
    }
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
    last: Mutex<u64>,
}

impl Default for Events {
    fn default() -> Self {
        Self(Arc::new(Stream {
            sender: broadcast::Sender::new(WAITING),
            last: Mutex::new(0),
        }))
    }
}

impl Events {
    /// Tells all subscribers.
    pub(crate) fn publish(&self, event: Event) {
        // Locked until the event is sent, so that numbers and order agree.
        let mut last = lock(&self.0.last);
        *last += 1;
        // Without a subscriber, nobody has to learn of it.
        let _ = self.0.sender.send(Numbered {
            number: *last,
            at: SystemTime::now(),
            event,
        });
    }

    /// All events from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Numbered> {
        self.0.sender.subscribe()
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

    #[test]
    fn a_subscriber_that_does_not_read_learns_how_much_it_has_lost() {
        let events = Events::default();
        let mut slow = events.subscribe();
        (0..WAITING as u64 + 7).for_each(|id| events.publish(closed(id)));
        assert_eq!(slow.try_recv().unwrap_err(), TryRecvError::Lagged(7));
        assert_eq!(slow.try_recv().unwrap().number, 8);
    }
}
