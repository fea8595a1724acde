//! A line of the log as one text, with its fields beside it: for destinations that want both.

use std::fmt::Debug;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::format::TextFields;

/// A line, or what a span adds to the lines in it.
#[derive(Default)]
pub(crate) struct Line {
    /// All of it, as the text log writes it.
    pub(crate) text: String,
    /// The values in it, by their names. Those of the outermost span come first.
    pub(crate) fields: Vec<(String, String)>,
}

impl Line {
    /// The line of an event. Needs the layer [`SpanFields`].
    pub(crate) fn of<S>(event: &Event<'_>, context: &Context<'_, S>) -> Self
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let mut line = Self::default();
        let scope = context.event_scope(event).into_iter();
        for span in scope.flat_map(|it| it.from_root()) {
            if let Some(of_span) = span.extensions().get::<Self>() {
                line.text += &format!("{}{{{}}}: ", span.name(), of_span.text);
                line.fields.extend_from_slice(&of_span.fields);
            }
        }
        let own = Self::with(event);
        line.text += &own.text;
        line.fields.extend(own.fields);
        line
    }

    fn with(fields: impl RecordFields) -> Self {
        let mut all = Self::default();
        all.add(fields);
        all
    }

    fn add(&mut self, fields: impl RecordFields) {
        fields.record(self);
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        // A value whose formatting fails is missing in every destination.
        let _ = TextFields.format_fields(Writer::new(&mut self.text), fields);
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() != "message" {
            self.fields
                .push((field.name().to_owned(), value.to_owned()));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// The layer that remembers the fields of each span for [`Line::of`].
pub(crate) struct SpanFields;

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for SpanFields {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            span.extensions_mut().replace(Line::with(attributes));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id);
        if let Some(line) = span.as_ref().map(|span| span.extensions_mut()).as_mut()
            && let Some(line) = line.get_mut::<Line>()
        {
            line.add(values);
        }
    }
}
