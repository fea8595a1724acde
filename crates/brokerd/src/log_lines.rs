//! The lines of the log for clients of the local socket.

use broker::LogLines;
use broker_ipc::types::{LogLevel, LogLine};
use plain_text::printable_start;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::line::Line;

/// The longest text of a line, and of a value in it, in bytes. The broker keeps many lines.
const MAX_TEXT: usize = 4096;

/// Hands each line to the broker, and never waits.
pub(crate) struct ToClients(pub(crate) LogLines);

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for ToClients {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Line { text, fields } = Line::of(event, &context);
        let fields = fields.into_iter();
        self.0.push(LogLine {
            level: level(*event.metadata().level()),
            message: printable_start(&text, MAX_TEXT),
            fields: fields
                .map(|(name, value)| (name, printable_start(&value, MAX_TEXT)))
                .collect(),
        });
    }
}

fn level(of: Level) -> LogLevel {
    match of {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        Level::DEBUG => LogLevel::Debug,
        Level::TRACE => LogLevel::Trace,
    }
}

#[cfg(test)]
mod tests {
    use tracing::{info_span, warn};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::line::SpanFields;

    #[test]
    fn a_client_gets_the_text_of_the_line_and_its_fields() {
        let lines = LogLines::default();
        let mut received = lines.subscribe();
        let log = tracing_subscriber::registry()
            .with(SpanFields)
            .with(ToClients(lines));
        tracing::subscriber::with_default(log, || {
            info_span!("session", id = 7).in_scope(|| warn!(path = "a\u{1b}b", "lost\nit"));
        });
        let (_, line) = received.try_recv().unwrap();
        assert_eq!(line.level, LogLevel::Warn);
        assert_eq!(line.message, r#"session{id=7}: lost\nit path="a\u{1b}b""#);
        let fields: Vec<_> = line.fields.iter().collect();
        let expected = [("id", "7"), ("path", r"a\u{1b}b")];
        assert!(
            fields
                .into_iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .eq(expected)
        );
    }
}
