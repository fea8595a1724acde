//! Applies a new configuration: first everything that can fail, then the rest at once. So a reload happens as a whole or not
//! at all, and going back to an earlier configuration is a reload like any other.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use broker_config::{Config, ListenSide, ListenWhen, LogTarget};
use broker_ipc::types::{
    Change, Changes, EventConfiguration, ListenerState, ReloadReport, TunnelOrigin,
};
use broker_ipc::{ErrorCode, RpcError};
use tokio::time::Instant;
use tracing::info;

use super::difference::{Difference, ProfileStep};
use super::{Supervisor, names, target, warn_of_unsupported};
use crate::events::Event;
use crate::listeners::{Configured, PreparedStep, TunnelStep};

/// A configuration that was read again.
#[derive(Debug)]
pub struct NewConfig {
    /// What the files mean.
    pub config: Config,
    /// The files.
    pub files: Vec<PathBuf>,
    /// Whether only to say what would change.
    pub dry_run: bool,
    /// How long the sessions of profiles that are gone may run.
    pub grace: Duration,
}

impl Supervisor {
    /// Applies a new configuration.
    ///
    /// # Errors
    /// Why nothing has changed.
    pub(super) async fn reload(&mut self, new: NewConfig) -> Result<ReloadReport, RpcError> {
        if self.shutdown.leave.is_cancelled() {
            let message = "the broker is stopping and reads no configuration any more";
            return Err(RpcError::new(ErrorCode::ShuttingDown, message));
        }
        let open = self.listeners.configured();
        let difference = Difference::between(self.profiles.config(), &new.config, &open);
        let prepared = self.listeners.prepare(&difference.tunnels, &new.config);
        let prepared = prepared.map_err(|error| RpcError {
            message: format!("nothing has changed: {}", error.message),
            ..error
        })?;
        let mut report = self.report(&difference, &prepared, &new);
        report.warnings = prepared.iter().filter_map(PreparedStep::warning).collect();
        if new.dry_run {
            return Ok(report);
        }
        let commanded = self.commanded();
        warn_of_unsupported(&new.config);
        self.hooks.replace(&new.config);
        self.profiles.adopt(new.config, &self.changes_sender);
        self.listeners.carry_out(prepared, &mut self.profiles).await;
        self.reconnect_commanded(commanded);
        self.follow_profiles();
        self.end_removed(&difference, new.grace);
        self.profiles.give_up_unused();
        self.reloads.applied();
        log(&report);
        self.publish(&report);
        Ok(report)
    }

    /// Tells of the configuration that this reload has applied.
    fn publish(&mut self, report: &ReloadReport) {
        self.configuration = Arc::new(EventConfiguration {
            generation: self.configuration.generation + 1,
            files: report.config.clone(),
            report: Some(report.clone()),
        });
        let changed = Event::ConfigurationChanged(self.configuration.clone());
        self.events.publish(changed);
        self.profile_states.all_changed(&self.profiles);
    }

    /// The tunnels that commands have opened, each with the id of its profile, and whether the configuration has that.
    fn commanded(&self) -> Vec<(u64, String, bool)> {
        let config = self.profiles.config();
        let tunnels = self.listeners.tunnels();
        let commanded = tunnels.filter(|open| open.origin == TunnelOrigin::Command);
        commanded
            .map(|open| {
                let profile = open.profile.clone();
                let is_configured = config.profile_by_id(&profile).is_some();
                (open.id(), profile, is_configured)
            })
            .collect()
    }

    /// Lets the tunnels that commands have opened use the connections that their profile has now. If it is gone, they keep
    /// those that they have.
    fn reconnect_commanded(&mut self, commanded: Vec<(u64, String, bool)>) {
        let config = self.profiles.config().clone();
        for (id, profile, was_configured) in commanded {
            let asked = self.requested.get(id);
            let profile = match (config.profile_by_id(&profile), asked) {
                (Some(profile), _) => Some(profile.clone()),
                (None, Some(asked)) if !was_configured => {
                    target::profile(&config, &asked.target).ok()
                }
                (None, _) => None,
            };
            if let Some(profile) = profile {
                let connections = self.profiles.connections(&profile);
                self.listeners.reconnect(id, &profile, connections);
            }
        }
    }

    /// Opens and closes the listeners that are open only while their profile is connected.
    fn follow_profiles(&mut self) {
        let config = self.profiles.config().clone();
        let follows = |it: &&broker_config::Profile| it.listen == ListenWhen::Connected;
        for profile in config.profiles.iter().filter(follows) {
            self.follow(&profile.id);
        }
    }

    /// Remembers when the sessions of removed profiles end.
    fn end_removed(&mut self, difference: &Difference, grace: Duration) {
        let at = Instant::now() + grace;
        for (id, step) in &difference.profiles {
            if *step == ProfileStep::Remove {
                self.ending.insert(id.clone(), at);
            }
        }
        let config = self.profiles.config();
        self.ending
            .retain(|id, _| config.profile_by_id(id).is_none());
    }

    /// Ends the sessions of profiles that are gone and whose time is over.
    pub(super) fn end_sessions_in_time(&mut self) {
        let now = Instant::now();
        let registry = &self.registry;
        self.ending.retain(|id, at| {
            let over = *at <= now;
            if over {
                let reason = format!("the configuration no longer has the profile \"{id}\"");
                registry.end_sessions_of(id, &reason);
            }
            !over
        });
    }

    fn report(
        &self,
        difference: &Difference,
        prepared: &[PreparedStep],
        new: &NewConfig,
    ) -> ReloadReport {
        let old = self.profiles.config();
        let mut settings = Vec::new();
        if log_files(old) != log_files(&new.config) {
            settings.push("the log files".to_owned());
        }
        let of_targets = |it: &Config| {
            let password = it.default_password.clone();
            (it.defaults.clone(), it.default_user.clone(), password)
        };
        if of_targets(old) != of_targets(&new.config) {
            settings.push("the settings of targets without a profile".to_owned());
        }
        if old.hooks != new.config.hooks {
            settings.push("the hooks for all profiles".to_owned());
        }
        let mut restart = Vec::new();
        let to_journal = |it: &Config| it.logging.contains(&LogTarget::Syslog);
        if to_journal(old) != to_journal(&new.config) {
            restart.push("whether the log goes to the system's log (log-target)".to_owned());
        }
        if !self.profiles.keeps_secrets_as(&new.config) {
            restart.push("the time for which passphrases are kept (key-stores)".to_owned());
        }
        ReloadReport {
            dry_run: new.dry_run,
            config: names(&new.files),
            profiles: profile_changes(difference, new.grace),
            tunnels: self.tunnel_changes(prepared, new.dry_run),
            settings,
            restart,
            warnings: Vec::new(),
        }
    }

    fn tunnel_changes(&self, prepared: &[PreparedStep], dry_run: bool) -> Changes {
        let mut changes = Changes::default();
        for prepared in prepared {
            match prepared.step() {
                TunnelStep::Keep(id) => changes.kept.extend(self.name_of(*id)),
                TunnelStep::Open(tunnel) => {
                    // A listener that is only tried does not keep the port that the system chooses.
                    let bound = prepared.port().filter(|_| !dry_run);
                    let port = bound.unwrap_or(tunnel.spec.listen_port);
                    changes.added.push(name(tunnel, port));
                }
                TunnelStep::Close(id) => changes.removed.extend(self.name_of(*id).map(|name| {
                    let effect = self.effect_of_closing(*id).to_owned();
                    Change { name, effect }
                })),
                TunnelStep::Change(id, to) => {
                    changes.changed.extend(self.name_of(*id).map(|name| {
                        let effect = self.effect_on(*id, to).to_owned();
                        Change { name, effect }
                    }));
                }
            }
        }
        changes
    }

    fn name_of(&self, id: u64) -> Option<String> {
        let open = self.listeners.tunnel(id).ok()?;
        Some(name(&open.configured()?, open.status().port))
    }

    fn effect_of_closing(&self, id: u64) -> &'static str {
        let open = self.listeners.tunnel(id).ok();
        match open.map(|it| it.status().state) {
            Some(ListenerState::Listening) => "it accepts no more clients; its sessions continue",
            Some(ListenerState::Failed | ListenerState::Waiting) | None => {
                "it did not listen, and is not tried again"
            }
        }
    }

    fn effect_on(&self, id: u64, to: &Configured) -> &'static str {
        let open = self.listeners.tunnel(id).ok();
        let before = open.and_then(|it| it.configured());
        if before.as_ref() == Some(to) {
            "new sessions use the new connections of its profile"
        } else if before.is_some_and(|it| it.profile != to.profile) {
            "new sessions use another profile"
        } else {
            "new sessions have its new settings"
        }
    }
}

fn log_files(config: &Config) -> Vec<&LogTarget> {
    let targets = config.logging.iter();
    targets.filter(|it| it.file().is_some()).collect()
}

fn profile_changes(difference: &Difference, grace: Duration) -> Changes {
    let mut changes = Changes::default();
    for (id, step) in &difference.profiles {
        let change = |effect: &str| Change {
            name: id.clone(),
            effect: effect.to_owned(),
        };
        match step {
            ProfileStep::Add => changes.added.push(id.clone()),
            ProfileStep::Keep => changes.kept.push(id.clone()),
            ProfileStep::Change => changes.changed.push(change("its connections stay")),
            ProfileStep::Reconnect => changes.changed.push(change(
                "new sessions use new connections; sessions that run keep theirs",
            )),
            ProfileStep::Rename => changes.removed.push(change(
                "another profile leads to the same server; sessions that run continue",
            )),
            ProfileStep::Remove => changes.removed.push(change(&format!(
                "sessions that run end after {} s",
                grace.as_secs()
            ))),
        }
    }
    changes
}

/// Where a tunnel listens, for a person.
fn name(tunnel: &Configured, port: u16) -> String {
    let address = tunnel.spec.listen_address;
    let place = match port {
        0 => format!("{address} (a free port)"),
        port => format!("{address}:{port}"),
    };
    match tunnel.spec.listens {
        ListenSide::OwnHost => place,
        ListenSide::SshServer => format!("{place} on the server of {}", tunnel.profile),
    }
}

fn log(report: &ReloadReport) {
    if report.is_unchanged() {
        return info!("the configuration has not changed");
    }
    let listed = |changes: &[Change]| {
        let names = changes.iter().map(|it| it.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    for (what, changes) in [("profiles", &report.profiles), ("tunnels", &report.tunnels)] {
        info!(
            added = %changes.added.join(", "),
            removed = %listed(&changes.removed),
            changed = %listed(&changes.changed),
            kept = changes.kept.len(),
            "the new configuration holds: {what}"
        );
    }
    for (settings, when) in [
        (&report.settings, "now"),
        (&report.restart, "after a restart"),
    ] {
        if !settings.is_empty() {
            info!(settings = %settings.join(", "), "other settings of the new configuration hold {when}");
        }
    }
}
