//! What the canned daemon tells of changes: events, and what a reload would do.

use broker_ipc::types::{Change, Changes, Event, EventKind, EventSession, ReloadReport};

use crate::fake::transfers;

pub(crate) fn events() -> Vec<Event> {
    let lost = Event {
        lost: Some(3),
        ..Event::new(7, 1_700_000_000, EventKind::Lost)
    };
    let ended = transfers().into_iter().next();
    vec![
        lost.clone(),
        Event {
            number: 8,
            kind: EventKind::SessionOpened,
            profile: Some("one".into()),
            session: Some(EventSession {
                id: 11,
                tunnel: 7,
                ftp: true,
                client: "127.0.0.1:50000".into(),
                destination: "localhost:21".into(),
            }),
            lost: None,
            ..lost.clone()
        },
        Event {
            number: 9,
            kind: EventKind::TransferEnded,
            profile: Some("one".into()),
            transfer: ended,
            lost: None,
            ..lost
        },
    ]
}

/// The answer to a reload that only asks.
pub(crate) fn would_reload() -> ReloadReport {
    let change = |name: &str, effect: &str| Change {
        name: name.to_owned(),
        effect: effect.to_owned(),
    };
    ReloadReport {
        dry_run: true,
        config: vec!["/etc/ssh2/ssh-broker-config.xml".to_owned()],
        profiles: Changes {
            kept: vec!["one".to_owned(), "two".to_owned()],
            ..Changes::default()
        },
        tunnels: Changes {
            added: vec!["127.0.0.1:2121".to_owned()],
            removed: vec![change("127.0.0.1:2122", "it accepts no more clients")],
            changed: Vec::new(),
            kept: vec!["127.0.0.1:2123".to_owned()],
        },
        settings: vec!["the log files".to_owned()],
        restart: vec!["another setting".to_owned()],
        warnings: vec!["file:3:4: something odd".to_owned()],
    }
}
