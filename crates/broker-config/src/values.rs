//! Takes values from elements: variables expanded, syntax checked, every fault reported.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::choices::Choice;
use crate::environment::Environment;
use crate::expand::expand;
use crate::findings::{Findings, Located, Span};
use crate::suggest::{clip, closest, list};
use crate::tree::Element;

/// The longest value in bytes. The longest real ones, proxy rule sets, have some hundred; the bound
/// keeps the work on one value small.
pub(crate) const MAX_VALUE: usize = 16 * 1024;

/// The longest time in seconds, a year: longer ones are mistakes, and would overflow timers.
const MAX_SECONDS: u64 = 366 * 24 * 60 * 60;

/// Takes values from the elements of one file.
///
/// A method returns `None` where the attribute is absent, and also, with an error among the
/// findings, where its value is wrong.
pub(crate) struct Values<'a> {
    /// The surroundings that variables refer to.
    pub(crate) env: &'a Environment,
    /// Whether values are taken as they are, since no file has them.
    pub(crate) literal: bool,
    /// The file's directory, to which paths in it are relative.
    pub(crate) directory: &'a Path,
    pub(crate) findings: &'a mut Findings,
}

impl Values<'_> {
    /// The text as it is, which may be empty.
    pub(crate) fn text(&mut self, element: &Element, name: &str) -> Option<Located<String>> {
        let attribute = element.attribute(name)?;
        let span = attribute.value_span;
        if attribute.value.len() > MAX_VALUE {
            let message = format!("the value of `{name}` is longer than {MAX_VALUE} bytes");
            self.findings.error(span, message).help("shorten it");
            return None;
        }
        if self.literal {
            let value = attribute.value.clone();
            return Some(Located { value, span });
        }
        let expanded = expand(&attribute.value, self.env);
        if !expanded.unset.is_empty() {
            self.report_unset(element, &expanded.unset, span);
        }
        Some(Located {
            value: expanded.text,
            span,
        })
    }

    /// Text that is not empty and has no white space around it.
    pub(crate) fn word(&mut self, element: &Element, name: &str) -> Option<Located<String>> {
        let text = self.text(element, name)?;
        let value = text.value.trim();
        if value.is_empty() {
            self.report_empty(element, name, text.span);
            return None;
        }
        Some(Located {
            value: value.to_owned(),
            span: text.span,
        })
    }

    /// A path, made relative to the file's directory; `~/` stands for the home directory.
    pub(crate) fn path(&mut self, element: &Element, name: &str) -> Option<PathBuf> {
        let text = self.word(element, name)?.value;
        Some(match text.strip_prefix("~/") {
            Some(rest) => self.env.home.join(rest),
            None => self.directory.join(text),
        })
    }

    /// One of a set of words, in any letter case.
    pub(crate) fn choice<T: Choice>(
        &mut self,
        element: &Element,
        name: &str,
    ) -> Option<Located<T>> {
        let text = self.word(element, name)?;
        let known = T::WORDS
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(&text.value));
        if let Some((_, value)) = known {
            return Some(Located {
                value: *value,
                span: text.span,
            });
        }
        let words = T::WORDS.iter().map(|(word, _)| *word);
        let help = match closest(&text.value, words.clone()) {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("it can be {}", list(words)),
        };
        let message = format!("`{name}` cannot be `{}`", clip(&text.value));
        self.findings.error(text.span, message).help(help);
        None
    }

    /// `yes` or `no`.
    pub(crate) fn flag(&mut self, element: &Element, name: &str) -> Option<bool> {
        self.choice(element, name).map(|flag| flag.value)
    }

    /// A whole number within bounds.
    pub(crate) fn number(
        &mut self,
        element: &Element,
        name: &str,
        bounds: RangeInclusive<u64>,
    ) -> Option<Located<u64>> {
        let text = self.word(element, name)?;
        let number = text
            .value
            .parse()
            .ok()
            .filter(|number| bounds.contains(number));
        if number.is_none() {
            let message = format!("`{name}` cannot be `{}`", clip(&text.value));
            let help = match bounds.end() {
                &u64::MAX => format!("write a number of {} or more", bounds.start()),
                end => format!("write a number from {} to {end}", bounds.start()),
            };
            self.findings.error(text.span, message).help(help);
        }
        number.map(|value| Located {
            value,
            span: text.span,
        })
    }

    /// A number of things that fits the machine's word.
    pub(crate) fn count(
        &mut self,
        element: &Element,
        name: &str,
        bounds: RangeInclusive<u64>,
    ) -> Option<usize> {
        self.number(element, name, bounds)
            .and_then(|count| usize::try_from(count.value).ok())
    }

    /// A TCP port of at least `lowest`.
    pub(crate) fn port(
        &mut self,
        element: &Element,
        name: &str,
        lowest: u16,
    ) -> Option<Located<u16>> {
        let number = self.number(element, name, u64::from(lowest)..=u64::from(u16::MAX))?;
        let value = u16::try_from(number.value).ok()?;
        Some(Located {
            value,
            span: number.span,
        })
    }

    /// A time in whole seconds of at least `lowest`.
    pub(crate) fn seconds(
        &mut self,
        element: &Element,
        name: &str,
        lowest: u64,
    ) -> Option<Duration> {
        self.number(element, name, lowest..=MAX_SECONDS)
            .map(|seconds| Duration::from_secs(seconds.value))
    }

    /// A time in whole seconds, where 0 means that there is no limit.
    pub(crate) fn limit(&mut self, element: &Element, name: &str) -> Option<Option<Duration>> {
        self.seconds(element, name, 0)
            .map(|time| (!time.is_zero()).then_some(time))
    }

    /// An IP address.
    pub(crate) fn address(&mut self, element: &Element, name: &str) -> Option<IpAddr> {
        let text = self.word(element, name)?;
        let address = text.value.parse().ok();
        if address.is_none() {
            let message = format!("`{name}` cannot be `{}`", clip(&text.value));
            self.findings
                .error(text.span, message)
                .help("write an IP address, such as 192.0.2.1 or 2001:db8::1");
        }
        address
    }

    /// Complains of a value that must not be empty.
    pub(crate) fn report_empty(&mut self, element: &Element, name: &str, span: Span) {
        let written = element
            .attribute(name)
            .is_some_and(|it| it.value.trim().is_empty());
        let finding = self
            .findings
            .error(span, format!("`{name}` of `<{}>` is empty", element.name));
        if written {
            finding.help("give it a value, or remove the attribute if it may be absent");
        } else {
            finding.help("the variables in it have no value: set them, or write the value itself");
        }
    }

    /// Warns that variables became nothing. In a password their names are part of the secret, also in a proxy's.
    fn report_unset(&mut self, element: &Element, unset: &[String], span: Span) {
        let message = if matches!(element.name.as_str(), "password" | "proxy") {
            "a `$` in this value begins the name of a variable that is not set".to_owned()
        } else {
            let names = list(unset.iter().map(String::as_str));
            format!("the environment variable {names} is not set, so that nothing stands here")
        };
        self.findings
            .warning(span, message)
            .help("set it, or write `${NAME:-default}`");
    }
}
