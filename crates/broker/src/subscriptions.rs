//! Subscriptions of the local socket's clients: the stream of events in the types of that socket.

use broker_ipc::methods::{Subscribe, Subscribed};
use broker_ipc::types::{self, EventConnection, EventKind, EventSession, EventTunnel};
use futures::{Stream, StreamExt, stream};

use crate::events::{
    ConnectionFacts, Event, Events, Numbered, Received, SessionFacts, Subscriber, TunnelFacts,
};
use crate::snapshots;
use crate::unix_time::unix;

/// Kinds that come often, so that only clients get them that name them.
const ON_REQUEST: [EventKind; 2] = [EventKind::Log, EventKind::TransferProgress];

/// Which events a client wants.
#[derive(Debug)]
struct Filter {
    /// Empty: all.
    kinds: Vec<EventKind>,
    /// The profile's id.
    profile: Option<String>,
}

impl Filter {
    /// Whether the client gets this. It always learns of what it has missed.
    fn lets_pass(&self, event: &types::Event) -> bool {
        let wanted = match self.kinds.is_empty() {
            true => !ON_REQUEST.contains(&event.kind),
            false => self.kinds.contains(&event.kind),
        };
        let its_profile = self.profile.is_none() || self.profile == event.profile;
        event.kind == EventKind::Lost || (wanted && its_profile)
    }
}

/// Subscribes to the events that a client asks for, of the profile with this id.
pub(crate) fn subscribe(
    events: &Events,
    asked: Subscribe,
    profile: Option<String>,
) -> (Subscribed, impl Stream<Item = types::Event> + use<>) {
    let subscriber = events.subscribe_after(asked.after);
    let last = subscriber.last();
    let filter = Filter {
        kinds: asked.kinds,
        profile,
    };
    let all = stream::unfold(subscriber, next);
    let wanted = all.filter(move |event| std::future::ready(filter.lets_pass(event)));
    (Subscribed { last }, wanted)
}

async fn next(mut subscriber: Subscriber) -> Option<(types::Event, Subscriber)> {
    let event = match subscriber.next().await? {
        Received::Event(event) => view(event),
        Received::Lost { count, last } => types::Event {
            lost: Some(count),
            ..bare(last, std::time::SystemTime::now(), EventKind::Lost)
        },
    };
    Some((event, subscriber))
}

/// An event with nothing but its kind.
fn bare(number: u64, at: std::time::SystemTime, kind: EventKind) -> types::Event {
    types::Event::new(number, unix(at), kind)
}

fn view(Numbered { number, at, event }: Numbered) -> types::Event {
    let bare = |kind| bare(number, at, kind);
    match event {
        Event::Connected(it) => of_connection(bare(EventKind::Connected), it),
        Event::Disconnected { connection, reason } => types::Event {
            reason: Some(reason),
            ..of_connection(bare(EventKind::Disconnected), connection)
        },
        Event::SessionOpened(it) => of_session(bare(EventKind::SessionOpened), it),
        Event::SessionClosed(it) => of_session(bare(EventKind::SessionClosed), it),
        Event::TransferStarted(it) => types::Event {
            profile: Some(it.profile.clone()),
            transfer: Some(snapshots::started(&it, at)),
            ..bare(EventKind::TransferStarted)
        },
        Event::TransferEnded(it) => types::Event {
            profile: Some(it.profile.clone()),
            transfer: Some(snapshots::over(&it)),
            ..bare(EventKind::TransferEnded)
        },
        Event::TunnelChanged {
            tunnel,
            state,
            port,
            reason,
        } => types::Event {
            reason,
            ..of_tunnel(
                bare(EventKind::TunnelChanged),
                tunnel,
                Some(state),
                Some(port),
            )
        },
        Event::TunnelClosed(it) => of_tunnel(bare(EventKind::TunnelClosed), it, None, None),
    }
}

fn of_connection(event: types::Event, it: ConnectionFacts) -> types::Event {
    types::Event {
        connection: Some(EventConnection {
            id: it.id,
            kind: snapshots::connection_kind(it.kind),
        }),
        profile: Some(it.profile),
        ..event
    }
}

fn of_session(event: types::Event, it: SessionFacts) -> types::Event {
    types::Event {
        session: Some(EventSession {
            id: it.id,
            tunnel: it.tunnel.id,
            ftp: it.is_ftp,
            client: it.client.to_string(),
            destination: it.destination,
        }),
        profile: Some(it.tunnel.profile),
        ..event
    }
}

fn of_tunnel(
    event: types::Event,
    it: TunnelFacts,
    state: Option<types::ListenerState>,
    port: Option<u16>,
) -> types::Event {
    types::Event {
        tunnel: Some(EventTunnel {
            id: it.id,
            state,
            port,
        }),
        profile: Some(it.profile),
        ..event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(id: u64, profile: &str) -> Event {
        Event::TunnelClosed(TunnelFacts {
            id,
            profile: profile.to_owned(),
        })
    }

    /// The numbers of these events that a subscriber receives.
    async fn numbers(asked: Subscribe, profile: Option<&str>) -> Vec<u64> {
        let events = Events::default();
        let asked = Subscribe {
            after: Some(0),
            ..asked
        };
        events.publish(closed(1, "a"));
        events.publish(closed(2, "b"));
        events.publish(Event::Connected(ConnectionFacts {
            id: 3,
            profile: "b".to_owned(),
            kind: broker_ssh::ConnectionKind::Data,
        }));
        let (Subscribed { last }, stream) = subscribe(&events, asked, profile.map(str::to_owned));
        assert_eq!(last, 3);
        drop(events);
        stream.map(|event| event.number).collect().await
    }

    #[tokio::test]
    async fn a_subscriber_receives_what_it_has_asked_for() {
        let kinds = |kinds: &[EventKind]| Subscribe {
            kinds: kinds.to_vec(),
            ..Subscribe::default()
        };
        assert_eq!(numbers(kinds(&[]), None).await, [1, 2, 3]);
        assert_eq!(numbers(kinds(&[]), Some("b")).await, [2, 3]);
        let connected = [EventKind::Connected];
        assert_eq!(numbers(kinds(&connected), None).await, [3]);
        assert!(numbers(kinds(&connected), Some("a")).await.is_empty());
    }

    #[tokio::test]
    async fn no_filter_hides_that_events_are_lost() {
        let events = Events::default();
        (0..3000).for_each(|id| events.publish(closed(id, "a")));
        let asked = Subscribe {
            kinds: vec![EventKind::Connected],
            after: Some(1),
            ..Subscribe::default()
        };
        let (_, stream) = subscribe(&events, asked, Some("b".to_owned()));
        drop(events);
        let received: Vec<_> = stream.collect().await;
        let [marker] = &received[..] else {
            panic!("{received:?}")
        };
        assert_eq!(marker.kind, EventKind::Lost);
        assert_eq!(marker.lost, Some(3000 - 1 - 1024));
    }
}
