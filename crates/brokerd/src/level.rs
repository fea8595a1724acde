//! How much is logged: what the command line says, until a client of the local socket asks for more or less.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use broker_ipc::types::LogSetting;
use broker_ipc::{ErrorCode, Reason, RpcError};
use tracing::info;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::reload;

/// The word for what the command line says.
const DEFAULT: &str = "default";

/// A valid choice of what to log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogFilter(String);

impl FromStr for LogFilter {
    type Err = String;

    /// Reads a level, or a filter of several directives.
    fn from_str(text: &str) -> Result<Self, String> {
        let filter = Self(text.to_owned());
        let unknown = text.split(',').find(|directive| !is_directive(directive));
        if let Some(unknown) = unknown {
            return Err(format!("`{unknown}` is not a level: {REMEDY}"));
        }
        match filter.parse() {
            Ok(_) => Ok(filter),
            Err(_) => Err(format!("`{text}` is not a filter: {REMEDY}")),
        }
    }
}

const REMEDY: &str =
    "use error, warn, info, debug, trace or off, or a filter such as info,broker=debug";

/// Whether a part of a filter says how much to log. The library takes a word that is no level for the name of a module, so
/// a misspelt level would log nothing.
fn is_directive(text: &str) -> bool {
    let (about, level) = match text.rsplit_once('=') {
        Some((about, level)) => (about, level),
        None => ("", text),
    };
    about.contains('[')
        || level
            .parse::<LevelFilter>()
            .is_ok_and(|_| !level.is_empty())
}

impl LogFilter {
    /// The filter. The broker logs what matters about SSH itself, in words for people; `info,russh=debug` shows the
    /// library's log.
    fn parse(&self) -> Result<EnvFilter, impl fmt::Display + use<>> {
        EnvFilter::try_new(format!("russh=off,{}", self.0))
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Changes the filter of the running log.
type Apply = Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>;

/// The level of the running daemon.
#[derive(Clone)]
pub(crate) struct Level {
    usual: LogFilter,
    now: Arc<Mutex<LogFilter>>,
    apply: Arc<Apply>,
}

impl Level {
    /// The layer that filters by this level, and what changes it.
    pub(crate) fn new<S: 'static>(usual: LogFilter) -> (reload::Layer<EnvFilter, S>, Self) {
        let filter = usual.parse().unwrap_or_default();
        let (layer, handle) = reload::Layer::new(filter);
        let level = Self {
            now: Arc::new(Mutex::new(usual.clone())),
            usual,
            apply: Arc::new(Box::new(move |filter| handle.reload(filter))),
        };
        (layer, level)
    }

    /// Sets the level, if one is asked for. Returns the one that holds now.
    ///
    /// # Errors
    /// The text is not a level.
    pub(crate) fn set(&self, asked: Option<&str>) -> Result<LogSetting, RpcError> {
        if let Some(asked) = asked {
            self.change(asked)?;
        }
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(LogSetting {
            level: now.to_string(),
            default: self.usual.to_string(),
        })
    }

    fn change(&self, asked: &str) -> Result<(), RpcError> {
        let level = match asked {
            DEFAULT => self.usual.clone(),
            asked => asked.parse().map_err(invalid)?,
        };
        let filter = level.parse().map_err(invalid)?;
        (self.apply)(filter).map_err(RpcError::internal)?;
        info!(%level, "log level changed");
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = level;
        Ok(())
    }
}

fn invalid(why: impl fmt::Display) -> RpcError {
    RpcError::new(ErrorCode::InvalidParams, why).because(Reason::InvalidRequest)
}

#[cfg(test)]
mod tests {
    use tracing::{Level as Severity, enabled};
    use tracing_subscriber::Registry;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn levels_and_filters_are_accepted() {
        for text in [
            "error",
            "WARN",
            "off",
            "info,broker=debug",
            "warn,broker_ssh::pool=trace",
            "info,[session{id=7}]=debug",
        ] {
            assert_eq!(text.parse::<LogFilter>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_misspelt_level_is_an_error_that_names_the_words() {
        for (text, wrong) in [
            ("inof", "inof"),
            ("", ""),
            ("info,broker", "broker"),
            ("broker=inof", "broker=inof"),
        ] {
            let expected = format!("`{wrong}` is not a level: {REMEDY}");
            assert_eq!(text.parse::<LogFilter>(), Err(expected));
        }
    }

    #[test]
    fn the_level_of_a_running_daemon_changes_and_comes_back() {
        let usual: LogFilter = "info".parse().unwrap();
        let (layer, level) = Level::new::<Registry>(usual);
        let log = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(log, || {
            let shows_debug = || enabled!(target: "broker", Severity::DEBUG);
            assert!(!shows_debug());
            let now = level.set(Some("debug")).unwrap();
            assert_eq!(
                (now.level.as_str(), now.default.as_str()),
                ("debug", "info")
            );
            assert!(shows_debug() && !enabled!(target: "russh", Severity::ERROR));
            assert!(level.set(Some("nothing")).is_err());
            assert_eq!(level.set(None).unwrap().level, "debug");
            assert_eq!(level.set(Some(DEFAULT)).unwrap().level, "info");
            assert!(!shows_debug());
        });
    }
}
