//! The log's lines in the systemd journal. The text of a line is that of the other destinations, since that is what
//! `journalctl` and `systemctl status` show. The line's fields are fields of the journal too, so that they can be searched.

use std::io;

use log::Record;
use systemd_journal_logger::JournalLog;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::line::Line;

/// Keeps the fields apart from those that the journal gives a meaning.
const PREFIX: &str = "F_";

/// Writes lines to the journal, or to another logger in tests.
pub(crate) struct Journal<L>(L);

/// Finds the journal of this system.
///
/// # Errors
/// If there is none.
pub(crate) fn connect() -> io::Result<Journal<JournalLog>> {
    Ok(Journal(JournalLog::new()?))
}

impl<S, L> Layer<S> for Journal<L>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    L: log::Log + 'static,
{
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        self.write(event.metadata(), Line::of(event, &context));
    }
}

impl<L: log::Log> Journal<L> {
    fn write(&self, about: &Metadata<'_>, line: Line) {
        let fields = line.fields.into_iter();
        let fields: Vec<_> = fields
            .map(|(name, value)| (format!("{PREFIX}{name}"), value))
            .collect();
        self.0.log(
            &Record::builder()
                .level(level(*about.level()))
                .target(about.target())
                .file(about.file())
                .line(about.line())
                .key_values(&fields)
                .args(format_args!("{}", line.text))
                .build(),
        );
    }
}

fn level(of: Level) -> log::Level {
    match of {
        Level::ERROR => log::Level::Error,
        Level::WARN => log::Level::Warn,
        Level::INFO => log::Level::Info,
        Level::DEBUG => log::Level::Debug,
        Level::TRACE => log::Level::Trace,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use log::kv::{Key, Value, VisitSource};
    use tracing::{info_span, warn};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::line::SpanFields;

    /// The level, text and fields of each line.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    impl log::Log for Lines {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &Record<'_>) {
            let mut line = Shown(format!("{} {}", record.level(), record.args()));
            record.key_values().visit(&mut line).unwrap();
            self.0.lock().unwrap().push(line.0);
        }

        fn flush(&self) {}
    }

    struct Shown(String);

    impl<'kvs> VisitSource<'kvs> for Shown {
        fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), log::kv::Error> {
            self.0 += &format!(" | {key}={value}");
            Ok(())
        }
    }

    #[track_caller]
    fn check(log: impl FnOnce(), line: &str) {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::registry()
            .with(SpanFields)
            .with(Journal(lines.clone()));
        tracing::subscriber::with_default(subscriber, log);
        assert_eq!(*lines.0.lock().unwrap(), [line]);
    }

    #[test]
    fn the_text_of_a_line_shows_its_fields() {
        check(
            || warn!(code = 226, command = "LIST", "transfer ended"),
            "WARN transfer ended code=226 command=\"LIST\" | F_code=226 | F_command=LIST",
        );
    }

    #[test]
    fn a_line_has_the_fields_of_its_session() {
        let log = || {
            let session = info_span!("session", id = 7, user = tracing::field::Empty);
            session.record("user", tracing::field::display("a"));
            session.in_scope(|| warn!(code = 226, "transfer ended"));
        };
        check(
            log,
            "WARN session{id=7 user=a}: transfer ended code=226 | F_id=7 | F_user=a | F_code=226",
        );
    }
}
