//! Bounds the log: each source may log a burst of each kind of line, and then so many lines per second.
//!
//! Clients, servers and strangers who connect to a port decide how often the daemon logs. A kind is a place in the
//! source code. Inside a session, both the session and its client have a budget, so that a session in a loop does not
//! use up the budget of its client's other sessions. Elsewhere the server, profile or tunnel has one. The throttle
//! counts the lines that it leaves out, and reports their number soon after.
//!
//! Of the lines that name a cause, it lets only the first pass, and sums up the others: if a server is down, each client
//! is refused for the same reason.

mod budget;
mod origin;
mod repeats;

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
use repeats::Repeats;

/// The budget of a session, server, profile or tunnel for one kind: enough to mirror a thousand files at once, and then
/// five files per second without end.
const USUAL: Allowance = Allowance {
    burst: 1000.0,
    rate: 5.0,
};

/// The budget of one client for one kind in all its sessions, which are many if a host's users share loopback.
const OF_A_CLIENT: Allowance = Allowance {
    burst: 2000.0,
    rate: 20.0,
};

/// A line of up to this many bytes costs one line; a longer one costs several.
const LINE: usize = 256;

/// How soon after the first line left out the number of such lines is reported.
const REPORT_AFTER: Duration = Duration::from_secs(10);

/// The number of sources that one report names. It sums up the lines of the others.
const MAX_REPORTED: usize = 20;

/// The target of the reports. They are never left out, since they are bounded already.
const TARGET: &str = "brokerd::throttle";

/// Lines with this target say that something works again: what is known of its causes is over.
const WORKS: &str = "::works";

/// What makes lines repeat each other: the same place in the source code, for the same tunnel or server, with the same
/// cause.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Cause {
    kind: Identifier,
    level: Level,
    source: Source,
    text: String,
}

/// The bucket that a line counts against. Only the shared budget has no kind.
type Key = (Option<Identifier>, Level, Source);

/// The layer, and the reporter of the lines that it left out.
pub(crate) fn new() -> (Throttle, Reporter) {
    let shared = Arc::new(Shared {
        budgets: Mutex::new(Budgets::new((None, Level::WARN, Source::Rest))),
        left_out: Notify::new(),
        repeats: Mutex::default(),
        repeated: Notify::new(),
    });
    let throttle = Throttle(Arc::clone(&shared));
    (throttle, Reporter(shared))
}

struct Shared {
    budgets: Mutex<Budgets<Key>>,
    /// Notified when a line is left out.
    left_out: Notify,
    repeats: Mutex<Repeats<Cause>>,
    /// Notified when a line is summed up, or a cause is over.
    repeated: Notify,
}

impl Shared {
    fn with<T>(&self, work: impl FnOnce(&mut Budgets<Key>) -> T) -> T {
        work(&mut self.budgets.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_repeats<T>(&self, work: impl FnOnce(&mut Repeats<Cause>) -> T) -> T {
        work(&mut self.repeats.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Drops lines above the budget before any other layer writes them.
pub(crate) struct Throttle(Arc<Shared>);

impl Throttle {
    fn admit(&self, event: &Event<'_>, origin: Origin, now: Instant) -> bool {
        let mut line = Line::default();
        event.record(&mut line);
        if !self.is_news(event, &origin, &line, now) {
            return false;
        }
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

    /// Whether a line says something new. Otherwise it is counted.
    fn is_news(&self, event: &Event<'_>, origin: &Origin, line: &Line, now: Instant) -> bool {
        let metadata = event.metadata();
        let source = origin.source().unwrap_or_else(|| line.source());
        if metadata.target().ends_with(WORKS) {
            self.0
                .with_repeats(|it| it.end(now, |cause| cause.source == source));
            self.0.repeated.notify_one();
        }
        // Whoever asks for more than that wants to see everything.
        let summed_up = *metadata.level() <= Level::INFO;
        let Some(text) = line.cause().filter(|_| summed_up) else {
            return true;
        };
        let cause = Cause {
            kind: metadata.callsite(),
            level: *metadata.level(),
            source,
            text: text.clone(),
        };
        let is_news = self.0.with_repeats(|it| it.admit(cause, now, || text));
        if !is_news {
            self.0.repeated.notify_one();
        }
        is_news
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

/// Reports the lines left out.
pub(crate) struct Reporter(Arc<Shared>);

impl Reporter {
    /// Reports a while after a line was left out, for as long as it is polled.
    pub(crate) async fn run(&self) -> ! {
        tokio::select! {
            never = self.report_floods() => never,
            never = self.report_repeats() => never,
        }
    }

    async fn report_floods(&self) -> ! {
        loop {
            self.0.left_out.notified().await;
            tokio::time::sleep(REPORT_AFTER).await;
            self.tell_floods();
        }
    }

    async fn report_repeats(&self) -> ! {
        loop {
            let due = self.0.with_repeats(|it| it.next_report(Instant::now()));
            tokio::select! {
                // Another cause may have to be reported before.
                () = self.0.repeated.notified() => {}
                () = until(due) => {
                    let reports = self.0.with_repeats(|it| it.report(Instant::now()));
                    reports.iter().for_each(tell_repeat);
                }
            }
        }
    }

    /// Reports all that was left out until now.
    pub(crate) fn tell(&self) {
        let reports = self.0.with_repeats(|it| {
            it.end(Instant::now(), |_| true);
            it.report(Instant::now())
        });
        reports.iter().for_each(tell_repeat);
        self.tell_floods();
    }

    fn tell_floods(&self) {
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

/// Waits until then, or for ever.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

fn tell(told: &LeftOut<Key>) {
    let (_, level, source) = &told.key;
    let (lines, example) = (told.lines, &told.example);
    let seconds = told.within.as_secs().max(1);
    at(
        *level,
        &format!("{lines} more like \"{example}\" from {source} left out within {seconds} s"),
    );
}

fn tell_repeat(told: &LeftOut<Cause>) {
    let Cause { level, source, .. } = &told.key;
    let (lines, example) = (told.lines, &told.example);
    let seconds = told.within.as_secs().max(1);
    at(
        *level,
        &format!("{lines} more of {source} within {seconds} s: {example}"),
    );
}

fn at(level: Level, text: &str) {
    macro_rules! at {
        ($level:ident) => {
            $level!(target: TARGET, "{text}")
        };
    }
    match level {
        Level::ERROR => at!(error),
        Level::WARN => at!(warn),
        Level::INFO => at!(info),
        Level::DEBUG => at!(debug),
        Level::TRACE => at!(trace),
    }
}

#[cfg(test)]
pub(crate) mod tests;
