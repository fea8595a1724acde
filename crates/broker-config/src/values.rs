//! Reads values from attributes: expands variables, checks the syntax, reports every fault.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plain_text::closest;

use crate::choices::Choice;
use crate::environment::Environment;
use crate::expand::expand;
use crate::findings::{Finding, Findings, Located, Span};
use crate::suggest::{clip, list};
use crate::tree::{Attribute, Element};
use crate::tunnel::is_host;

/// The longest value in bytes. The longest real values, proxy rule sets, have some hundred bytes. The bound keeps the
/// work on one value small.
pub(crate) const MAX_VALUE: usize = 16 * 1024;

/// The longest time in seconds, a year. Longer times are mistakes, and could overflow timers.
const MAX_SECONDS: u64 = 366 * 24 * 60 * 60;

/// The context for reading the values of one file.
pub(crate) struct Values<'a> {
    /// The environment that variables refer to.
    pub(crate) env: &'a Environment,
    /// Whether variables stay as written, since the values do not come from a file.
    pub(crate) literal: bool,
    /// Whether other users can read the file.
    pub(crate) open_to_others: bool,
    /// The file's directory, to which its paths are relative.
    pub(crate) directory: &'a Path,
    pub(crate) findings: &'a mut Findings,
}

impl Values<'_> {
    /// A path in the file.
    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        match path.strip_prefix("~/") {
            Some(rest) => self.env.home.join(rest),
            None => self.directory.join(path),
        }
    }
}

/// One attribute as written, with the context for reading it.
///
/// A method returns `None`, with an error among the findings, if the value is invalid.
pub(crate) struct Field<'a, 'v> {
    element: &'a Element,
    attribute: &'a Attribute,
    pub(crate) values: &'a mut Values<'v>,
}

impl<'a, 'v> Field<'a, 'v> {
    pub(crate) fn new(
        element: &'a Element,
        attribute: &'a Attribute,
        values: &'a mut Values<'v>,
    ) -> Self {
        Self {
            element,
            attribute,
            values,
        }
    }

    /// The place of the value.
    pub(crate) fn span(&self) -> Span {
        self.attribute.value_span
    }

    /// The value that `read` returns, with its place.
    pub(crate) fn located<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<Located<T>> {
        let span = self.span();
        read(self).map(|value| Located { value, span })
    }

    /// Whether the attribute is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.attribute.value.is_empty()
    }

    /// The value as written, with its variables.
    pub(crate) fn written(&self) -> &str {
        self.attribute.value.trim()
    }

    /// Reports an error about the value.
    pub(crate) fn error(&mut self, message: impl Into<String>) -> &mut Finding {
        self.values
            .findings
            .error(self.attribute.value_span, message)
    }

    /// Reports a warning about the value.
    pub(crate) fn warning(&mut self, message: impl Into<String>) -> &mut Finding {
        let span = self.span();
        self.values.findings.warning(span, message)
    }

    /// Reports that the value, or a part of it, has no effect.
    pub(crate) fn note(&mut self, message: impl Into<String>) -> &mut Finding {
        let span = self.span();
        self.values.findings.note(span, message)
    }

    /// Reports that the broker does not support the value yet.
    pub(crate) fn unsupported(&mut self, message: impl Into<String>) -> &mut Finding {
        let span = self.span();
        self.values.findings.unsupported(span, message)
    }

    /// Reports that the attribute cannot have this value.
    fn cannot_be(&mut self, value: &str) -> &mut Finding {
        let message = format!("`{}` cannot be `{}`", self.attribute.name, clip(value));
        self.error(message)
    }

    /// The text as written, which can be empty.
    pub(crate) fn text(&mut self) -> Option<String> {
        if self.attribute.value.len() > MAX_VALUE {
            let name = &self.attribute.name;
            let message = format!("the value of `{name}` is longer than {MAX_VALUE} bytes");
            self.error(message).help("shorten it");
            return None;
        }
        if self.values.literal {
            return Some(self.attribute.value.clone());
        }
        let expanded = expand(&self.attribute.value, self.values.env);
        if !expanded.unset.is_empty() {
            self.report_unset(&expanded.unset);
        }
        if !expanded.unknown.is_empty() {
            self.report_unknown(&expanded.unknown);
        }
        Some(expanded.text)
    }

    /// Text that is not empty and has no white space around it.
    pub(crate) fn word(&mut self) -> Option<String> {
        let text = self.text()?;
        let word = text.trim();
        if word.is_empty() {
            self.report_empty();
            return None;
        }
        Some(word.to_owned())
    }

    /// A path, relative to the file's directory. `~/` means the home directory.
    pub(crate) fn path(&mut self) -> Option<PathBuf> {
        let text = self.word()?;
        Some(self.values.resolve(&text))
    }

    /// One of a set of words, in any letter case.
    pub(crate) fn choice<T: Choice>(&mut self) -> Option<T> {
        self.one_of(T::WORDS)
    }

    /// One or more of a set of words, separated by white space or commas.
    pub(crate) fn choices<T: Choice>(&mut self) -> Vec<T> {
        let text = self.word().unwrap_or_default();
        let words = text.split(|c: char| c == ',' || c.is_whitespace());
        let words = words.filter(|word| !word.is_empty());
        words
            .filter_map(|word| self.word_of(word, T::WORDS))
            .collect()
    }

    /// The value exactly as written, without the white space around it. It is for a shell, which has variables of its own.
    pub(crate) fn verbatim(&mut self) -> Option<String> {
        let literal = std::mem::replace(&mut self.values.literal, true);
        let text = self.word();
        self.values.literal = literal;
        text
    }

    /// An attribute that can only have this value.
    pub(crate) fn only(&mut self, word: &'static str) {
        self.one_of(&[(word, ())]);
    }

    fn one_of<T: Copy>(&mut self, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.word()?;
        self.word_of(&text, words)
    }

    fn word_of<T: Copy>(&mut self, text: &str, words: &[(&'static str, T)]) -> Option<T> {
        let known = words
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(text));
        if let Some((_, value)) = known {
            return Some(*value);
        }
        let words = words.iter().map(|(word, _)| *word);
        let help = match closest(text, words.clone()) {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("it can be {}", list(words)),
        };
        self.cannot_be(text).help(help);
        None
    }

    /// A whole number within bounds.
    pub(crate) fn number(&mut self, bounds: RangeInclusive<u64>) -> Option<u64> {
        let text = self.word()?;
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        if number.is_none() {
            let help = match bounds.end() {
                &u64::MAX => format!("write a number of {} or more", bounds.start()),
                end => format!("write a number from {} to {end}", bounds.start()),
            };
            self.cannot_be(&text).help(help);
        }
        number
    }

    /// A number that fits into a `usize`.
    pub(crate) fn count(&mut self, bounds: RangeInclusive<u64>) -> Option<usize> {
        self.number(bounds)
            .and_then(|count| usize::try_from(count).ok())
    }

    /// A TCP port of at least `lowest`.
    pub(crate) fn port(&mut self, lowest: u16) -> Option<u16> {
        let number = self.number(u64::from(lowest)..=u64::from(u16::MAX))?;
        u16::try_from(number).ok()
    }

    /// A time in whole seconds of at least `lowest`.
    pub(crate) fn seconds(&mut self, lowest: u64) -> Option<Duration> {
        self.number(lowest..=MAX_SECONDS).map(Duration::from_secs)
    }

    /// A time in whole seconds; 0 means no limit.
    pub(crate) fn limit(&mut self) -> Option<Option<Duration>> {
        self.seconds(0)
            .map(|time| (!time.is_zero()).then_some(time))
    }

    /// What to add to a port.
    pub(crate) fn offset(&mut self) -> Option<i32> {
        let most = i32::from(u16::MAX) - 1;
        let text = self.word()?;
        let offset = text.parse().ok();
        let offset = offset.filter(|offset: &i32| (-most..=most).contains(offset));
        if offset.is_none() {
            self.cannot_be(&text)
                .help(format!("write a number from -{most} to {most}"));
        }
        offset
    }

    /// A host name or an IP address. `help` says what to write if it is neither.
    pub(crate) fn host(&mut self, help: &str) -> Option<String> {
        let host = self.word()?;
        if is_host(&host) {
            return Some(host);
        }
        let message = format!("`{}` is not a host name or address", self.attribute.name);
        self.error(message).help(help);
        None
    }

    /// An IP address.
    pub(crate) fn address(&mut self) -> Option<IpAddr> {
        let text = self.word()?;
        let address = text.parse().ok();
        if address.is_none() {
            self.cannot_be(&text)
                .help("write an IP address, such as 192.0.2.1 or 2001:db8::1");
        }
        address
    }

    /// Reports an empty value that must not be empty.
    pub(crate) fn report_empty(&mut self) {
        let written = self.attribute.value.trim().is_empty();
        let (name, element) = (&self.attribute.name, &self.element.name);
        let finding = self.error(format!("`{name}` of `<{element}>` is empty"));
        if written {
            finding.help("give it a value, or remove the attribute if it may be absent");
        } else {
            finding.help("the variables in it have no value: set them, or write the value itself");
        }
    }

    /// Warns that unset variables were replaced by nothing. In a password, also a proxy's, their names are a part of
    /// the secret.
    fn report_unset(&mut self, unset: &[String]) {
        let message = if self.may_be_secret() {
            "a `$` in this value begins the name of a variable that is not set".to_owned()
        } else {
            let names = list(unset.iter().map(String::as_str));
            format!("the environment variable {names} is not set, so it is replaced by nothing")
        };
        self.values
            .findings
            .warning(self.attribute.value_span, message)
            .help("set it, or write `${NAME:-default}`");
    }

    /// Warns that text between percent signs stays, since no variable has this name.
    fn report_unknown(&mut self, unknown: &[String]) {
        let message = if self.may_be_secret() {
            "the text between two `%` in this value names no environment variable, so it stays as written".to_owned()
        } else {
            let names = list(unknown.iter().map(String::as_str));
            format!("{names} names no environment variable, so it stays as written")
        };
        self.warning(message)
            .help("set the environment variable, or write the value itself");
    }

    /// Whether the value can be a password, or contain one.
    fn may_be_secret(&self) -> bool {
        matches!(self.element.name.as_str(), "password" | "proxy")
    }
}

/// Stores the value, if there is one.
pub(crate) fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}
