//! Where the log goes: standard error, the journal, or what the configuration's log targets say.

use std::fs::OpenOptions;
use std::sync::Arc;

use anyhow::Context;
use broker_config::{Config, LogTarget};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::args::{Args, LogFormat};

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Starts logging.
///
/// # Errors
/// A level that is none, a log file that can't be opened, a journal that isn't there.
pub(crate) fn start(args: &Args, config: &Config) -> anyhow::Result<()> {
    let mut layers = vec![with_level(standard_error(args.log_format)?, &args.log)?];
    for target in &config.logging {
        if let Some(layer) = configured(target)? {
            layers.push(with_level(layer, &args.log)?);
        }
    }
    tracing_subscriber::registry().with(layers).init();
    Ok(())
}

fn with_level(layer: BoxedLayer, level: &str) -> anyhow::Result<BoxedLayer> {
    // What matters of it the broker tells itself, for people; `--log info,russh=debug` brings it back.
    let filter = EnvFilter::try_new(format!("russh=off,{level}"))
        .with_context(|| format!("--log {level} is neither a level nor a filter"))?;
    Ok(layer.with_filter(filter).boxed())
}

fn standard_error(format: LogFormat) -> anyhow::Result<BoxedLayer> {
    let to_stderr = fmt::layer().with_writer(std::io::stderr);
    Ok(match format {
        LogFormat::Text => {
            let colour = std::io::IsTerminal::is_terminal(&std::io::stderr());
            to_stderr.with_target(false).with_ansi(colour).boxed()
        }
        LogFormat::Json => to_stderr.json().boxed(),
        LogFormat::Journald => journal()?,
    })
}

fn configured(target: &LogTarget) -> anyhow::Result<Option<BoxedLayer>> {
    Ok(match target {
        LogTarget::Discard => None,
        LogTarget::Syslog => Some(journal()?),
        LogTarget::File(path) => {
            let file = OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .with_context(|| format!("cannot write the log file {}", path.display()))?;
            let layer = fmt::layer().with_ansi(false).with_writer(Arc::new(file));
            Some(layer.with_target(false).boxed())
        }
    })
}

fn journal() -> anyhow::Result<BoxedLayer> {
    let layer = tracing_journald::layer().context("there is no systemd journal to log to")?;
    Ok(layer.boxed())
}
