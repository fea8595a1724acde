//! Finds who caused a line of the log, and how long the line is, from its fields.

use std::fmt::{self, Debug, Write};
use std::net::{IpAddr, SocketAddr};

use tracing::field::{Field, Visit};

/// The length to which a name is cut, in bytes. Names of profiles and servers are shorter.
const MAX_NAME: usize = 80;

/// The length to which a message and a cause are cut. Most are shorter.
const MAX_MESSAGE: usize = 240;

/// Who caused a line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// One session of a client.
    Session(u64),
    /// A client with all its sessions.
    Client(IpAddr),
    /// Something else that a field names, such as `server files.example.com:22`.
    Named(String),
    /// Nobody in particular.
    Unnamed,
    /// All sources that share one budget.
    Rest,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(id) => write!(f, "session {id}"),
            Self::Client(address) => write!(f, "client {address}"),
            Self::Named(name) => f.write_str(name),
            Self::Unnamed => f.write_str("one place"),
            Self::Rest => f.write_str("many sources"),
        }
    }
}

/// The session of a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) session: Option<u64>,
    pub(super) tunnel: Option<u64>,
    pub(super) client: Option<IpAddr>,
}

impl Origin {
    /// What all sessions of the same tunnel have in common.
    pub(super) fn source(&self) -> Option<Source> {
        let named = |id| Source::Named(format!("tunnel {id}"));
        self.tunnel.map(named)
    }
}

impl Visit for Origin {
    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "id" => self.session = Some(value),
            "tunnel" => self.tunnel = Some(value),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "client" {
            let address = text(value, MAX_NAME).parse::<SocketAddr>();
            self.client = address.ok().map(|address| address.ip());
        }
    }
}

/// Fields that name who caused a line outside sessions. The first one present counts.
const NAMING: [&str; 4] = ["server", "profile", "tunnel", "uid"];

/// What the fields of a line contain.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Bytes of all its fields.
    pub(super) length: usize,
    pub(super) message: String,
    /// The position of the field in [`NAMING`], and the source's name.
    named: Option<(usize, String)>,
    /// What the line gives as the cause. Empty if only the message says it.
    cause: Option<String>,
    /// Whether it is the record of one transfer, which nothing replaces.
    is_record: bool,
}

impl Line {
    /// Who caused the line, if no session did.
    pub(super) fn source(&self) -> Source {
        let named = self.named.clone();
        named.map_or(Source::Unnamed, |(_, name)| Source::Named(name))
    }

    /// What has happened, and why, if the line says that something has failed. Without what to do about it.
    pub(super) fn cause(&self) -> Option<String> {
        let cause = self.cause.as_deref().filter(|_| !self.is_record)?;
        let whole = match cause {
            "" => self.message.clone(),
            cause => format!("{}: {cause}", self.message),
        };
        let fact = whole.split("; ").next().unwrap_or_default();
        Some(fact.to_owned())
    }

    fn record(&mut self, field: &Field, value: &dyn Debug) {
        self.length += length(value);
        let name = field.name();
        match name {
            "message" => self.message = text(value, MAX_MESSAGE),
            "reason" | "error" => self.cause = Some(text(value, MAX_MESSAGE)),
            // Whose fault the message is about.
            "by" => {
                self.cause.get_or_insert_default();
            }
            "result" => self.is_record = true,
            _ => {}
        }
        let Some(rank) = NAMING.iter().position(|naming| *naming == name) else {
            return;
        };
        if self.named.as_ref().is_none_or(|(known, _)| rank < *known) {
            self.named = Some((rank, format!("{name} {}", text(value, MAX_NAME))));
        }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, &format_args!("{value}"));
    }
}

/// The length of a value as text.
fn length(value: &dyn Debug) -> usize {
    struct Count(usize);
    impl Write for Count {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            self.0 += part.len();
            Ok(())
        }
    }
    let mut count = Count(0);
    // Counting never fails. A value whose formatting fails is not in the log either.
    let _ = write!(count, "{value:?}");
    count.0
}

/// The beginning of a value, at most `longest` bytes.
fn text(value: &dyn Debug, longest: usize) -> String {
    struct Beginning(String, usize);
    impl Write for Beginning {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            for c in part.chars() {
                if self.0.len() + c.len_utf8() > self.1 {
                    return Err(fmt::Error);
                }
                self.0.push(c);
            }
            Ok(())
        }
    }
    let mut beginning = Beginning(String::new(), longest);
    // It fails when the buffer is full.
    let _ = write!(beginning, "{value:?}");
    beginning.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_measured_whole_and_kept_in_part() {
        let long = "ä".repeat(1000);
        let value = format_args!("{long}").to_string();
        assert_eq!(length(&format_args!("{value}")), 2000);
        assert_eq!(text(&format_args!("{value}"), 81), "ä".repeat(40));
    }

    #[test]
    fn sources_are_named_for_a_person() {
        let client = Source::Client([192, 0, 2, 1].into());
        assert_eq!(client.to_string(), "client 192.0.2.1");
        assert_eq!(Source::Session(7).to_string(), "session 7");
        assert_eq!(
            Source::Named("server h:22".into()).to_string(),
            "server h:22"
        );
    }
}
