//! Keeps the log bounded whoever writes: of each kind of line, a source may log a burst, and then so many a second.
//!
//! Clients, servers and strangers who knock at a port decide how often the daemon has something to say. A kind is a place
//! in the source code. Inside a session, both the session and its client have a budget, so that a session in a loop does
//! not use up what its client's other sessions may log; elsewhere the server, profile or tunnel has one. What is left
//! out is counted, and told soon after.

mod budget;
mod origin;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tracing::callsite::Identifier;
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber, debug, error, info, trace, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use budget::{Allowance, Budgets, LeftOut};
use origin::{Line, Origin, Source};

/// What a session, server, profile or tunnel may log of one kind: a mirror of a thousand files at once, and a file every
/// fifth of a second for as long as it likes.
const USUAL: Allowance = Allowance {
    burst: 1000.0,
    rate: 5.0,
};

/// What one client may log of one kind in all its sessions, which are many where a host's users share loopback.
const OF_A_CLIENT: Allowance = Allowance {
    burst: 2000.0,
    rate: 20.0,
};

/// A line of so many bytes costs as much as one; longer ones cost as much as several.
const LINE: usize = 256;

/// How soon after the first line was left out it is told how many were.
const REPORT_AFTER: Duration = Duration::from_secs(10);

/// Sources that are named in one report; what others logged is summed up.
const MAX_REPORTED: usize = 20;

/// The target of what is told here, which is never left out: it is bounded already.
const TARGET: &str = "brokerd::throttle";

/// What a line is counted for. The kind is missing only where budgets are shared.
type Key = (Option<Identifier>, Level, Source);

/// The layer, and what reports the lines that it left out.
pub(crate) fn new() -> (Throttle, Reporter) {
    let shared = Arc::new(Shared {
        budgets: Mutex::new(Budgets::new((None, Level::WARN, Source::Rest))),
        left_out: Notify::new(),
    });
    let throttle = Throttle(Arc::clone(&shared));
    (throttle, Reporter(shared))
}

struct Shared {
    budgets: Mutex<Budgets<Key>>,
    /// Told when a line was left out.
    left_out: Notify,
}

impl Shared {
    fn with<T>(&self, work: impl FnOnce(&mut Budgets<Key>) -> T) -> T {
        work(&mut self.budgets.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Drops the lines that are too many, before any other layer writes them.
pub(crate) struct Throttle(Arc<Shared>);

impl Throttle {
    fn admit(&self, event: &Event<'_>, origin: Origin, now: Instant) -> bool {
        let mut line = Line::default();
        event.record(&mut line);
        #[expect(clippy::cast_precision_loss, reason = "no line is that long")]
        let cost = 1.0 + (line.length / LINE) as f64;
        let message = std::mem::take(&mut line.message);
        let sources = match origin.session {
            Some(session) => vec![
                (Source::Session(session), USUAL),
                (
                    origin.client.map_or(Source::Unnamed, Source::Client),
                    OF_A_CLIENT,
                ),
            ],
            None => vec![(line.source(), USUAL)],
        };
        let kind = event.metadata();
        let admitted = sources.into_iter().all(|(source, allowance)| {
            let key = (Some(kind.callsite()), *kind.level(), source);
            let example = || message.clone();
            self.0
                .with(|budgets| budgets.admit(key, allowance, cost, now, example))
        });
        if !admitted {
            self.0.left_out.notify_one();
        }
        admitted
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Throttle {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut origin = Origin::default();
        attributes.record(&mut origin);
        if let Some(span) = context.span(id)
            && origin != Origin::default()
        {
            span.extensions_mut().insert(origin);
        }
    }

    fn event_enabled(&self, event: &Event<'_>, context: Context<'_, S>) -> bool {
        if event.metadata().target() == TARGET {
            return true;
        }
        let spans = context.event_scope(event).into_iter().flatten();
        let mut origins = spans.filter_map(|span| span.extensions().get::<Origin>().copied());
        self.admit(event, origins.next().unwrap_or_default(), Instant::now())
    }
}

/// Tells what was left out.
pub(crate) struct Reporter(Arc<Shared>);

impl Reporter {
    /// Tells it a while after a line was left out, for as long as it is polled.
    pub(crate) async fn run(&self) -> ! {
        loop {
            self.0.left_out.notified().await;
            tokio::time::sleep(REPORT_AFTER).await;
            self.tell();
        }
    }

    /// Tells it now.
    pub(crate) fn tell(&self) {
        let left_out = self.0.with(|budgets| budgets.report(Instant::now()));
        for told in left_out.iter().take(MAX_REPORTED) {
            tell(told);
        }
        let others = left_out.get(MAX_REPORTED..).unwrap_or_default();
        if !others.is_empty() {
            let lines: u64 = others.iter().map(|it| it.lines).sum();
            let sources = others.len();
            warn!(target: TARGET, "{lines} more lines of {sources} other sources and kinds left out");
        }
    }
}

fn tell(told: &LeftOut<Key>) {
    let (_, level, source) = &told.key;
    let (lines, example) = (told.lines, &told.example);
    let seconds = told.within.as_secs().max(1);
    macro_rules! at {
        ($level:ident) => {
            $level!(target: TARGET, "{lines} more like \"{example}\" from {source} left out within {seconds} s")
        };
    }
    match *level {
        Level::ERROR => at!(error),
        Level::WARN => at!(warn),
        Level::INFO => at!(info),
        Level::DEBUG => at!(debug),
        Level::TRACE => at!(trace),
    }
}

#[cfg(test)]
mod tests;
