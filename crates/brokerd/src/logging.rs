//! The log's destinations: standard error, the journal, or the log targets of the configuration.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use broker::LogLines;
use broker_config::{Config, LogTarget};
use rustix::io::Errno;
use tracing::{error, warn};
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::fmt::time::ChronoLocal;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::args::{Args, LogFormat};
use crate::format::{FlatJson, TextFields};
use crate::journal;
use crate::level::{Level, LogFilter};
use crate::line::SpanFields;
use crate::log_lines::ToClients;
use crate::throttle::{self, Reporter};
use crate::xferlog::{OpenXferlogs, Xferlogs};

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// The files of the configuration that are logged to. Each reload opens them again.
pub(crate) struct LogFiles {
    layers: reload::Handle<Vec<BoxedLayer>, Registry>,
    xferlogs: Xferlogs,
    /// The format of the files that have no other.
    pub(crate) format: LogFormat,
}

/// Open files to log to.
#[derive(Default)]
pub(crate) struct OpenFiles {
    layers: Vec<BoxedLayer>,
    xferlogs: OpenXferlogs,
}

impl LogFiles {
    /// Opens the log files that the configuration names.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub(crate) fn open(config: &Config, format: LogFormat) -> anyhow::Result<OpenFiles> {
        let mut files = OpenFiles::default();
        for target in &config.logging {
            match target {
                LogTarget::File(path) => files.layers.push(layer(open(path)?, format)),
                LogTarget::Transfers(path) => files.xferlogs.add(path, open(path)?),
                LogTarget::Discard | LogTarget::Syslog => {}
            }
        }
        Ok(files)
    }

    /// Writes to these files from now on, and closes those before.
    pub(crate) fn replace(&self, files: OpenFiles) {
        self.xferlogs.replace(files.xferlogs);
        if let Err(error) = self.layers.reload(files.layers) {
            error!(%error, "cannot write to the log files");
        }
    }

    /// Where transfers are logged.
    pub(crate) fn xferlogs(&self) -> &Xferlogs {
        &self.xferlogs
    }
}

/// The running log.
pub(crate) struct Log {
    pub(crate) files: LogFiles,
    /// Its lines for clients of the local socket.
    pub(crate) lines: LogLines,
    pub(crate) level: Level,
    /// Reports the lines that the throttle dropped, while it runs.
    pub(crate) reporter: Reporter,
}

/// Starts logging what the filter lets pass.
///
/// # Errors
/// A log file that cannot be opened.
pub(crate) fn start(args: &Args, filter: LogFilter, config: &Config) -> anyhow::Result<Log> {
    let lines = LogLines::default();
    let files = LogFiles::open(config, args.log_format)?;
    let xferlogs = Xferlogs::default();
    xferlogs.replace(files.xferlogs);
    let (files, handle) = reload::Layer::new(files.layers);
    let mut missing = None;
    let standard_error = standard_error(args.log_format).unwrap_or_else(|error| {
        missing = Some(error);
        text(to_terminal()).with_writer(std::io::stderr).boxed()
    });
    let mut layers = vec![standard_error, files.boxed()];
    layers.push(SpanFields.boxed());
    layers.push(ToClients(lines.clone()).boxed());
    // A second layer for the journal would write each line twice.
    if config.logging.contains(&LogTarget::Syslog) && args.log_format != LogFormat::Journald {
        match journal() {
            Ok(layer) => layers.push(layer),
            Err(error) => missing = Some(error),
        }
    }
    let (filter, level) = Level::new(filter);
    let (throttle, reporter) = throttle::new();
    // The last layer acts first: the level filters, the throttle counts what is left, and the others write.
    tracing_subscriber::registry()
        .with(layers)
        .with(throttle)
        .with(filter)
        .init();
    if let Some(error) = missing {
        // Nothing is lost, and files also come from hosts with another system log.
        warn!("{error:#}: the log goes to standard error and to the other log targets only");
    }
    let files = LogFiles {
        layers: handle,
        xferlogs,
        format: args.log_format,
    };
    Ok(Log {
        files,
        lines,
        level,
        reporter,
    })
}

/// The destination that the command line chooses.
///
/// # Errors
/// There is no journal.
fn standard_error(format: LogFormat) -> anyhow::Result<BoxedLayer> {
    Ok(match format {
        LogFormat::Text => text(to_terminal()).with_writer(std::io::stderr).boxed(),
        LogFormat::Json => json().with_writer(std::io::stderr).boxed(),
        LogFormat::Journald => journal()?,
    })
}

/// Whether a person reads standard error, and wants colour.
fn to_terminal() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

type FieldsLayer<F, E> = fmt::Layer<Registry, F, E>;

/// Lines as text. A terminal shows the local time of day in colour, a file the date and the zone too.
fn text(
    is_terminal: bool,
) -> FieldsLayer<TextFields, fmt::format::Format<fmt::format::Full, ChronoLocal>> {
    let time = match is_terminal {
        true => ChronoLocal::new("%H:%M:%S%.3f".to_owned()),
        false => ChronoLocal::new("%Y-%m-%dT%H:%M:%S%.6f%:z".to_owned()),
    };
    let layer = fmt::layer().with_ansi(is_terminal).with_timer(time);
    layer.with_target(false).fmt_fields(TextFields)
}

fn json() -> FieldsLayer<JsonFields, FlatJson> {
    fmt::layer()
        .fmt_fields(JsonFields::new())
        .event_format(FlatJson)
}

fn layer(file: File, format: LogFormat) -> BoxedLayer {
    let file = Arc::new(file);
    match format {
        LogFormat::Json => json().with_writer(file).boxed(),
        LogFormat::Text | LogFormat::Journald => text(false).with_writer(file).boxed(),
    }
}

/// Opens the file for its owner alone, since the log names users and files. Follows no link: otherwise anybody who can
/// write to the directory could make the daemon append the log to any of its user's files.
fn open(path: &Path) -> anyhow::Result<File> {
    let opened = open_private(path);
    opened.with_context(|| format!("cannot write the log file {}", path.display()))
}

fn open_private(path: &Path) -> io::Result<File> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    let opened = options.custom_flags(no_follow).open(path);
    opened.map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::LOOP) => io::Error::other("it is a symbolic link: name the file itself"),
        Some(_) | None => error,
    })
}

fn journal() -> anyhow::Result<BoxedLayer> {
    let layer = journal::connect().context("cannot log to the systemd journal")?;
    Ok(layer.boxed())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_log_file_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mode = open(&path)
            .unwrap()
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_link_in_the_logs_place_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (target, link) = (
            directory.path().join("target"),
            directory.path().join("log"),
        );
        std::fs::write(&target, "kept").unwrap();
        symlink(&target, &link).unwrap();
        let refused = format!("{:#}", open(&link).unwrap_err());
        assert!(refused.contains("name the file itself"), "{refused}");
    }
}
