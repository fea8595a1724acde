//! One value of a table, in the forms for a person and for a script.

use std::fmt::Display;

use clap::builder::styling::Style;
use plain_text::printable;

use super::{ALERT, OVER, View};
use crate::units;

/// One value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    /// Before the moment and the text.
    prefix: String,
    /// A Unix time, and what follows it if a person reads how long ago that was.
    moment: Option<(u64, &'static str)>,
    text: String,
    /// What a person reads instead, without `--wide`.
    brief: Option<String>,
    plain: String,
    pub(super) right: bool,
    /// Whether there is no value.
    absent: bool,
    pub(super) style: Option<Style>,
}

impl Cell {
    pub(crate) fn text(value: impl Display) -> Self {
        let text = printable(&value.to_string()).to_string();
        Self {
            plain: text.clone(),
            text,
            ..Self::default()
        }
    }

    /// An optional value. If it is absent, a person sees a dash and a script an empty field.
    pub(crate) fn maybe(value: Option<impl Display>) -> Self {
        match value {
            Some(value) => Self::text(value),
            None => Self {
                text: "-".into(),
                absent: true,
                ..Self::default()
            },
        }
    }

    pub(crate) fn number(value: u64) -> Self {
        Self {
            right: true,
            ..Self::text(value)
        }
    }

    pub(crate) fn size(bytes: u64) -> Self {
        Self {
            text: units::size(bytes),
            ..Self::number(bytes)
        }
    }

    /// An optional size.
    pub(crate) fn maybe_size(bytes: Option<u64>) -> Self {
        bytes.map_or_else(|| Self::maybe_number(None), Self::size)
    }

    /// A number of seconds.
    pub(crate) fn time(seconds: u64) -> Self {
        Self {
            text: units::duration(seconds),
            ..Self::number(seconds)
        }
    }

    /// An optional number of seconds.
    pub(crate) fn maybe_time(seconds: Option<u64>) -> Self {
        seconds.map_or_else(|| Self::maybe_number(None), Self::time)
    }

    pub(crate) fn rate(bytes: u64) -> Self {
        Self {
            text: units::rate(bytes),
            ..Self::number(bytes)
        }
    }

    /// An optional number.
    pub(crate) fn maybe_number(value: Option<u64>) -> Self {
        Self {
            right: true,
            ..Self::maybe(value)
        }
    }

    /// An optional number of seconds from now.
    pub(crate) fn seconds(value: Option<u64>) -> Self {
        Self {
            text: value.map_or_else(|| "-".into(), |seconds| format!("in {seconds} s")),
            ..Self::maybe_number(value)
        }
    }

    /// How long something has lasted, if it has.
    pub(crate) fn lasting(seconds: Option<u64>) -> Self {
        Self {
            text: seconds.map_or_else(|| "-".into(), units::duration),
            ..Self::maybe_number(seconds)
        }
    }

    /// A Unix time. A person sees the time that has passed since, or the time in the format of their choice.
    pub(crate) fn since(time: u64) -> Self {
        Self::moment(time, "")
    }

    /// The same, with the word "ago".
    pub(crate) fn ago(time: u64) -> Self {
        Self::moment(time, " ago")
    }

    fn moment(time: u64, suffix: &'static str) -> Self {
        Self {
            moment: Some((time, suffix)),
            text: String::new(),
            ..Self::number(time)
        }
    }

    /// Marks the value if it needs attention.
    pub(crate) fn alert_if(self, alert: bool) -> Self {
        let style = alert.then_some(ALERT).or(self.style);
        Self { style, ..self }
    }

    /// Dims a value that is over.
    pub(crate) fn over_if(self, over: bool) -> Self {
        let style = over.then_some(OVER).or(self.style);
        Self { style, ..self }
    }

    /// Shows a person less unless they ask for all; nothing if the text is empty.
    pub(crate) fn briefly(self, text: impl Display) -> Self {
        let brief = Some(printable(&text.to_string()).to_string());
        Self { brief, ..self }
    }

    /// Adds what a script finds in other places.
    pub(crate) fn with_remark(mut self, remark: &str) -> Self {
        self.text.push_str(remark);
        self
    }

    /// Adds text after the value.
    pub(crate) fn with_text(mut self, text: &str) -> Self {
        let text = printable(text);
        self.text = format!("{}  {text}", self.text);
        self.plain = format!("{} {text}", self.plain);
        self.right = false;
        self
    }

    /// Adds text before the value.
    pub(crate) fn with_prefix(mut self, text: &str) -> Self {
        let text = printable(text);
        self.prefix.insert_str(0, &text);
        self.plain.insert_str(0, &text);
        self
    }

    /// For a script.
    pub(super) fn plain(&self) -> &str {
        &self.plain
    }

    /// For a person.
    pub(super) fn shown(&self, view: &View) -> String {
        let brief = self.brief.as_ref().filter(|_| !view.wide);
        if let Some(brief) = brief {
            return brief.clone();
        }
        let moment = self
            .moment
            .map(|(time, suffix)| view.times.since(time, suffix));
        format!("{}{}{}", self.prefix, moment.unwrap_or_default(), self.text)
    }

    /// Whether a person would miss nothing without it.
    pub(super) fn is_absent(&self, view: &View) -> bool {
        let is_hidden = self.brief.as_ref().is_some_and(String::is_empty);
        self.absent || (is_hidden && !view.wide)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_cannot_steer_the_terminal() {
        let cell = Cell::text("RETR \u{1b}[2J\nx\ty \u{9b}é");
        assert_eq!(cell.plain, "RETR \\u{1b}[2J\\nx\\ty \\u{9b}é");
    }
}
