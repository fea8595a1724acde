//! Reading the configuration again while the daemon runs: by request, and by SIGHUP.

use std::sync::Arc;
use std::time::Duration;

use broker::{Api, NewConfig, Shutdown};
use broker_ipc::methods::Reload;
use broker_ipc::types::ReloadReport;
use broker_ipc::{ErrorCode, ReplySender, RpcError};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::loading::{Loaded, Loader, Reading};
use crate::logging::LogFiles;
use crate::notify;

/// Reloads that may wait for the one that runs. Each takes milliseconds.
const WAITING: usize = 64;

/// A reload that somebody has asked for.
pub(crate) struct AskedReload {
    pub(crate) request: Reload,
    /// Where the answer goes, if it was a request.
    pub(crate) reply: Option<ReplySender<Reload>>,
}

/// Carries out reloads, one after the other.
pub(crate) struct Reloader {
    pub(crate) loader: Arc<Loader>,
    pub(crate) log: LogFiles,
    pub(crate) api: Api,
    pub(crate) shutdown: Shutdown,
    /// How long the sessions of profiles that are gone may run.
    pub(crate) grace: Duration,
}

/// Where reloads are asked for.
#[derive(Clone)]
pub(crate) struct Reloads(mpsc::Sender<AskedReload>);

impl Reloader {
    /// Starts to carry out reloads. A file system that does not answer delays them and nothing else.
    pub(crate) fn start(self) -> Reloads {
        let (sender, mut asked) = mpsc::channel::<AskedReload>(WAITING);
        self.shutdown.clone().spawn_until_killed(async move {
            while let Some(AskedReload { request, reply }) = asked.recv().await {
                let outcome = self.reload(request).await;
                if let Some(reply) = reply {
                    reply.send(outcome);
                }
            }
        });
        Reloads(sender)
    }

    async fn reload(&self, request: Reload) -> Result<ReloadReport, RpcError> {
        let applies = !request.dry_run && !self.shutdown.leave.is_cancelled();
        let _reloading = applies.then(notify::reloading);
        let outcome = self.read_and_apply(request).await;
        if let Err(error) = &outcome
            && !request.dry_run
        {
            // Each complaint has its own line in the log already.
            let reason = error.message.lines().next().unwrap_or_default();
            warn!("the configuration was not reloaded: {reason}");
            self.api.reload_failed().await;
        }
        outcome
    }

    async fn read_and_apply(&self, request: Reload) -> Result<ReloadReport, RpcError> {
        let loader = self.loader.clone();
        let reading = tokio::task::spawn_blocking(move || loader.read(false)).await;
        let Reading {
            shown,
            complaints,
            outcome,
        } = reading.map_err(RpcError::internal)?;
        if !request.dry_run {
            complaints.iter().for_each(|it| warn!("{it}"));
        }
        let loaded = outcome.map_err(|unusable| {
            let message = format!("{}\n\n{shown}", unusable.at_reload());
            RpcError::new(ErrorCode::BadConfig, message.trim_end())
        })?;
        let mut report = self.apply(request, loaded).await?;
        report.warnings.splice(0..0, complaints);
        Ok(report)
    }

    async fn apply(&self, request: Reload, loaded: Loaded) -> Result<ReloadReport, RpcError> {
        let files = match request.dry_run {
            true => None,
            false => Some(
                LogFiles::open(&loaded.config, self.log.format).map_err(|error| {
                    RpcError::new(
                        ErrorCode::BadConfig,
                        format!("nothing has changed: {error:#}"),
                    )
                })?,
            ),
        };
        let report = self.api.reload(NewConfig {
            config: loaded.config,
            files: loaded.files,
            dry_run: request.dry_run,
            grace: self.grace,
        });
        let report = report.await?;
        if let Some(files) = files {
            self.log.replace(files);
        }
        Ok(report)
    }
}

impl Reloads {
    /// Asks for a reload.
    pub(crate) fn ask(&self, asked: AskedReload) {
        if let Err(refused) = self.0.try_send(asked) {
            let busy = "too many reloads wait for their turn: try again later";
            match refused.into_inner().reply {
                Some(reply) => reply.send(Err(RpcError::new(ErrorCode::LimitReached, busy))),
                None => info!("ignored SIGHUP: {busy}"),
            }
        }
    }
}
