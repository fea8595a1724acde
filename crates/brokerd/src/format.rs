//! How a line of the log is written: as text whose fields a program can take apart again, or as one flat JSON object.

use std::fmt::{self, Debug};

use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Fields as text: the message, and `name=value` for each field. A value that is more than one word is quoted.
#[derive(Clone, Copy)]
pub(crate) struct TextFields;

impl<'writer> FormatFields<'writer> for TextFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut text = Text {
            writer,
            is_first: true,
            outcome: Ok(()),
        };
        fields.record(&mut text);
        text.outcome
    }
}

struct Text<'writer> {
    writer: Writer<'writer>,
    is_first: bool,
    outcome: fmt::Result,
}

impl Text<'_> {
    fn write(&mut self, field: &Field, value: fmt::Arguments<'_>) -> fmt::Result {
        if !std::mem::take(&mut self.is_first) {
            self.writer.write_char(' ')?;
        }
        match field.name() {
            "message" => write!(self.writer, "{value}"),
            name => write!(self.writer, "{name}={value}"),
        }
    }

    fn record(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if self.outcome.is_ok() {
            self.outcome = self.write(field, value);
        }
    }
}

impl Visit for Text<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.record(field, format_args!("{value}"));
        } else {
            self.record(field, format_args!("{value:?}"));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        // What is quoted already comes from a string.
        let is_plain = field.name() == "message" || text.starts_with('"') || is_word(&text);
        if is_plain {
            self.record(field, format_args!("{text}"));
        } else {
            self.record(field, format_args!("{text:?}"));
        }
    }
}

fn is_word(text: &str) -> bool {
    let breaks = |c: char| c.is_whitespace() || c.is_control() || c == '"';
    !text.is_empty() && !text.contains(breaks)
}

/// One JSON object for each line. The fields of the spans and of the line are its members. The number of a span is a member
/// with the span's name.
pub(crate) struct FlatJson;

impl<S: Subscriber + for<'span> LookupSpan<'span>> FormatEvent<S, JsonFields> for FlatJson {
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Json::default();
        let now = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
        line.add("timestamp", now.into());
        line.add("level", event.metadata().level().as_str().into());
        event.record(&mut line);
        line.add("target", event.metadata().target().into());
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<JsonFields>>();
            let fields = fields.and_then(|it| serde_json::from_str(&it.fields).ok());
            line.add_span(span.name(), fields.unwrap_or_default());
        }
        writeln!(writer, "{}", Value::Object(line.0))
    }
}

#[derive(Default)]
struct Json(Map<String, Value>);

impl Json {
    /// The first value of a name counts: that of the line, or of the innermost span.
    fn add(&mut self, name: &str, value: Value) {
        self.0.entry(name).or_insert(value);
    }

    fn add_span(&mut self, span: &str, fields: Map<String, Value>) {
        for (name, value) in fields {
            match name.as_str() {
                "id" => self.add(span, value),
                name => self.add(name, value),
            }
        }
    }
}

impl Visit for Json {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field.name(), format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use tracing::{info_span, warn};
    use tracing_subscriber::fmt::layer;
    use tracing_subscriber::fmt::time::Uptime;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::{Layer, Registry};

    use super::*;
    use crate::throttle::tests::Log;

    fn logged(layer: impl Layer<Registry> + Send + Sync, log: impl FnOnce()) {
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, log);
    }

    fn a_line() {
        let reason = "no server; \u{1b}[31mtry again";
        info_span!("session", id = 7, client = %"c:1").in_scope(
            || warn!(%reason, kind = "data", what = %"word", bytes = 3, path = Some("/a b"), "transfer failed: 451 no"),
        );
    }

    #[test]
    fn values_of_several_words_are_quoted() {
        let log = Log::default();
        let writer = log.clone();
        let text = layer().with_ansi(false).with_target(false);
        let text = text.fmt_fields(TextFields).with_timer(Uptime::default());
        logged(text.with_writer(move || writer.clone()), a_line);
        let expected = "WARN session{id=7 client=c:1}: transfer failed: 451 no \
            reason=\"no server; \\u{1b}[31mtry again\" kind=\"data\" what=word bytes=3 path=\"/a b\"\n";
        assert!(log.text().ends_with(expected), "{}", log.text());
    }

    #[test]
    fn a_json_line_is_one_flat_object() {
        let log = Log::default();
        let writer = log.clone();
        let json = layer().fmt_fields(JsonFields::new()).event_format(FlatJson);
        logged(json.with_writer(move || writer.clone()), a_line);
        let mut line: Map<String, Value> = serde_json::from_str(&log.text()).unwrap();
        assert!(line.remove("timestamp").is_some());
        let expected = serde_json::json!({
            "level": "WARN", "message": "transfer failed: 451 no", "target": module_path!(),
            "reason": "no server; \u{1b}[31mtry again", "kind": "data", "what": "word", "bytes": 3, "path": "/a b",
            "session": 7, "client": "c:1",
        });
        assert_eq!(Value::Object(line), expected);
    }
}
