//! Subscriptions of the local socket's clients: the stream of events in the types of that socket.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use broker_ipc::methods::{Subscribe, Subscribed};
use broker_ipc::types::{Event, EventKind, LogLevel, LogLine, TunnelListener};
use broker_ipc::{ErrorCode, RpcError};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use crate::events::{Events, Received, Subscriber};
use crate::log_lines::{LogLines, TimedLine};
use crate::registry::SessionRegistry;
use crate::snapshots;
use crate::supervisor::SupervisorRequest;
use crate::unix_time::unix;

/// Kinds that come often, so that only clients get them that name them.
const ON_REQUEST: [EventKind; 2] = [EventKind::Log, EventKind::TransferProgress];

/// How often the progress of transfers is sent: as often as their pace is measured.
const PROGRESS: Duration = Duration::from_secs(1);

/// Where events come from.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    pub(crate) events: Events,
    pub(crate) registry: Arc<SessionRegistry>,
    pub(crate) log: LogLines,
    pub(crate) supervisor: mpsc::Sender<SupervisorRequest>,
}

/// Which events a client wants.
#[derive(Debug)]
struct Filter {
    /// Empty: all.
    kinds: Vec<EventKind>,
    /// The profile's id.
    profile: Option<String>,
}

impl Filter {
    fn wants(&self, kind: EventKind) -> bool {
        match self.kinds.is_empty() {
            true => !ON_REQUEST.contains(&kind),
            false => self.kinds.contains(&kind),
        }
    }

    /// Whether the client gets this. It always learns of what it has missed, and of the end of the state.
    fn lets_pass(&self, event: &Event) -> bool {
        let its_profile = self.profile.is_none() || self.profile == event.profile;
        let always = [EventKind::Lost, EventKind::StateComplete].contains(&event.kind);
        always || (self.wants(event.kind) && its_profile)
    }
}

/// Subscribes to the events that a client asks for, of the profile with this id.
///
/// # Errors
/// The broker is stopping.
pub(crate) async fn subscribe(
    sources: Sources,
    asked: Subscribe,
    profile: Option<String>,
) -> Result<(Subscribed, impl Stream<Item = Event> + use<>), RpcError> {
    let filter = Filter {
        kinds: asked.kinds,
        profile,
    };
    let after = asked.after.filter(|_| !asked.state);
    // Before the state is collected, so that nothing is missed between the two.
    let subscriber = sources.events.subscribe_after(after);
    let last = subscriber.last();
    let (lines, log) = sources.log.subscribe_with_kept();
    let state = match asked.state {
        true => state(&sources, last, lines).await?,
        false => Vec::new(),
    };
    let mut all = numbered(subscriber, sources.supervisor.clone()).boxed();
    if filter.wants(EventKind::TransferProgress) {
        all = stream::select(all, progress(&sources)).boxed();
    }
    if filter.wants(EventKind::Log) {
        all = stream::select(all, log_lines(log, sources.events)).boxed();
    }
    let all = stream::iter(state).chain(all);
    let wanted = all.filter(move |event| std::future::ready(filter.lets_pass(event)));
    Ok((Subscribed { last }, wanted))
}

/// What is true now, and an event that says that this is all.
async fn state(
    sources: &Sources,
    last: u64,
    lines: Vec<TimedLine>,
) -> Result<Vec<Event>, RpcError> {
    let (answer, answered) = oneshot::channel();
    let asked = SupervisorRequest::State(last, answer);
    let stopping = || RpcError::new(ErrorCode::ShuttingDown, "the broker is stopping");
    let sent = sources.supervisor.send(asked).await;
    sent.map_err(|_| stopping())?;
    let mut state = answered.await.map_err(|_| stopping())?;
    state.extend(lines.into_iter().map(|line| of_line(last, line)));
    let complete = Event::new(last, unix(SystemTime::now()), EventKind::StateComplete);
    state.push(complete);
    Ok(state)
}

/// The events that have numbers. Ends with the daemon.
fn numbered(
    subscriber: Subscriber,
    supervisor: mpsc::Sender<SupervisorRequest>,
) -> impl Stream<Item = Event> {
    stream::unfold(
        (subscriber, supervisor),
        |(mut subscriber, supervisor)| async {
            let event = match subscriber.next().await? {
                Received::Event(event) => with_row(snapshots::view(event), &supervisor).await,
                Received::Lost { count, last } => Event {
                    lost: Some(count),
                    ..Event::new(last, unix(SystemTime::now()), EventKind::Lost)
                },
            };
            Some((event, (subscriber, supervisor)))
        },
    )
}

/// Adds the row of the tunnel that has changed. What the event says of the tunnel is also true of the row, even if the
/// tunnel has changed again.
async fn with_row(event: Event, supervisor: &mpsc::Sender<SupervisorRequest>) -> Event {
    let tunnel = match (event.kind, &event.tunnel) {
        (EventKind::TunnelChanged, Some(tunnel)) => tunnel,
        _ => return event,
    };
    let row = row(tunnel.id, supervisor).await;
    let listener = row.map(|row| TunnelListener {
        state: tunnel.state.unwrap_or(row.state),
        port: tunnel.port.unwrap_or(row.port),
        reason: event.reason.clone().or(row.reason),
        ..row
    });
    Event { listener, ..event }
}

async fn row(id: u64, supervisor: &mpsc::Sender<SupervisorRequest>) -> Option<TunnelListener> {
    let (answer, answered) = oneshot::channel();
    let asked = SupervisorRequest::Tunnel(id, answer);
    supervisor.send(asked).await.ok()?;
    answered.await.ok()?
}

/// How far the transfers are that run, again and again.
fn progress(sources: &Sources) -> BoxStream<'static, Event> {
    let mut ticks = interval(PROGRESS);
    // A client that reads slowly needs only the last state.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (registry, events) = (sources.registry.clone(), sources.events.clone());
    let rounds = stream::unfold(ticks, move |mut ticks| {
        let (registry, events) = (registry.clone(), events.clone());
        async move {
            ticks.tick().await;
            let (number, now) = (events.last(), unix(SystemTime::now()));
            let running = snapshots::running(&registry).into_iter();
            let progress = running.map(move |transfer| Event {
                profile: Some(transfer.profile.clone()),
                transfer: Some(transfer),
                ..Event::new(number, now, EventKind::TransferProgress)
            });
            Some((stream::iter(progress), ticks))
        }
    });
    rounds.flatten().boxed()
}

/// The lines of the log from now on.
fn log_lines(log: broadcast::Receiver<TimedLine>, events: Events) -> BoxStream<'static, Event> {
    let lines = stream::unfold((log, events), |(mut log, events)| async {
        let line = match log.recv().await {
            Ok(line) => line,
            Err(RecvError::Lagged(count)) => (SystemTime::now(), Arc::new(left_out(count))),
            Err(RecvError::Closed) => return None,
        };
        Some((of_line(events.last(), line), (log, events)))
    });
    lines.boxed()
}

fn left_out(count: u64) -> LogLine {
    LogLine {
        level: LogLevel::Warn,
        message: format!("{count} lines are left out here, since this client reads too slowly"),
        fields: Default::default(),
    }
}

fn of_line(number: u64, (at, line): TimedLine) -> Event {
    Event {
        log: Some((*line).clone()),
        ..Event::new(number, unix(at), EventKind::Log)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker_ipc::types;

    use crate::events::{ConnectionFacts, Event, TunnelFacts};

    /// Events without a supervisor that could say more of them.
    fn sources(events: &Events) -> Sources {
        Sources {
            events: events.clone(),
            registry: Arc::default(),
            log: LogLines::default(),
            supervisor: mpsc::channel(1).0,
        }
    }

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
        let profile = profile.map(str::to_owned);
        let subscribed = subscribe(sources(&events), asked, profile).await;
        let (Subscribed { last }, stream) = subscribed.unwrap();
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
        let subscribed = subscribe(sources(&events), asked, Some("b".to_owned())).await;
        let (_, stream) = subscribed.unwrap();
        drop(events);
        let received: Vec<_> = stream.collect().await;
        let [marker] = &received[..] else {
            panic!("{received:?}")
        };
        assert_eq!(marker.kind, EventKind::Lost);
        assert_eq!(marker.lost, Some(3000 - 1 - 1024));
    }

    fn line(message: &str) -> LogLine {
        LogLine {
            level: LogLevel::Info,
            message: message.to_owned(),
            fields: Default::default(),
        }
    }

    /// Answers the question about the state with one event.
    async fn answer(mut requests: mpsc::Receiver<SupervisorRequest>) {
        let Some(SupervisorRequest::State(number, answer)) = requests.recv().await else {
            panic!("nobody asked for the state")
        };
        let event = types::Event::new(number, 0, EventKind::ConfigurationChanged);
        answer.send(vec![event]).unwrap();
    }

    #[tokio::test]
    async fn the_state_comes_first_and_what_has_happened_before_does_not_come_again() {
        let events = Events::default();
        events.publish(closed(1, "a"));
        let (supervisor, requests) = mpsc::channel(1);
        let sources = Sources {
            supervisor,
            ..sources(&events)
        };
        let log = sources.log.clone();
        log.push(line("before"));
        let asked = Subscribe {
            after: Some(0),
            state: true,
            kinds: vec![
                EventKind::ConfigurationChanged,
                EventKind::Log,
                EventKind::TunnelClosed,
            ],
            ..Subscribe::default()
        };
        let (subscribed, ()) = tokio::join!(subscribe(sources, asked, None), answer(requests));
        let (Subscribed { last }, stream) = subscribed.unwrap();
        assert_eq!(last, 1);
        events.publish(closed(2, "a"));
        let received: Vec<_> = stream.take(4).collect().await;
        let kinds: Vec<_> = received.iter().map(|it| (it.number, it.kind)).collect();
        let expected = [
            (1, EventKind::ConfigurationChanged),
            (1, EventKind::Log),
            (1, EventKind::StateComplete),
            (2, EventKind::TunnelClosed),
        ];
        assert_eq!(kinds, expected);
    }

    #[tokio::test]
    async fn a_client_that_reads_too_slowly_learns_how_many_lines_it_misses() {
        let events = Events::default();
        let sources = sources(&events);
        let log = sources.log.clone();
        let asked = Subscribe {
            kinds: vec![EventKind::Log],
            ..Subscribe::default()
        };
        let (_, stream) = subscribe(sources, asked, None).await.unwrap();
        (0..1024 + 3).for_each(|number| log.push(line(&number.to_string())));
        let received: Vec<_> = stream.take(2).collect().await;
        let text = |at: usize| received[at].log.clone().unwrap().message;
        assert!(text(0).starts_with("3 lines are left out"), "{}", text(0));
        assert_eq!(text(1), "3");
    }

    #[tokio::test]
    async fn lines_of_the_log_come_only_to_who_asks_for_them() {
        let events = Events::default();
        let sources = sources(&events);
        sources.log.push(line("a"));
        let log = sources.log.clone();
        let (_, stream) = subscribe(sources, Subscribe::default(), None)
            .await
            .unwrap();
        log.push(line("b"));
        events.publish(closed(1, "a"));
        drop(events);
        let kinds: Vec<_> = stream.map(|event| event.kind).collect().await;
        assert_eq!(kinds, [EventKind::TunnelClosed]);
    }
}
