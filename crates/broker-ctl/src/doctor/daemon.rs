//! What the running daemon says about itself.

use std::path::PathBuf;

use broker_ipc::checks::{Check, Outcome, Step};
use broker_ipc::methods::{ListProfiles, ListTunnelListeners, Status};
use broker_ipc::types::{DaemonStatus, ListenerState, Profile, TunnelListener};
use broker_ipc::{ClientError, Reason};
use nix::unistd::{Uid, User, geteuid};
use plain_text::host_port;

use super::AboutDaemon;
use crate::daemon::Daemon;

/// Asks the daemon, if one runs. The examination goes on without one.
pub(super) async fn examine(daemon: &Daemon<'_>, target: Option<&str>) -> AboutDaemon {
    match ask(daemon).await {
        Ok(told) => about(daemon, &told, target),
        Err(error) => AboutDaemon {
            checks: vec![absent(&error)],
            config: None,
        },
    }
}

/// The daemon's answers.
struct Told {
    status: DaemonStatus,
    profiles: Vec<Profile>,
    listeners: Vec<TunnelListener>,
}

async fn ask(daemon: &Daemon<'_>) -> Result<Told, ClientError> {
    Ok(Told {
        status: daemon.call(&Status {}).await?,
        profiles: daemon.call(&ListProfiles {}).await?,
        listeners: daemon.call(&ListTunnelListeners {}).await?,
    })
}

fn check(outcome: Outcome, text: String, remedy: Option<String>) -> Check {
    Check {
        target: None,
        step: Step::Daemon,
        outcome,
        text,
        tried: Vec::new(),
        remedy,
        microseconds: None,
    }
}

fn absent(error: &ClientError) -> Check {
    if error.reason() == Reason::NoDaemon {
        return check(Outcome::Skipped, error.to_string(), None);
    }
    let remedy = "look into its log, and restart it";
    check(Outcome::Failed, error.to_string(), Some(remedy.to_owned()))
}

fn about(daemon: &Daemon<'_>, told: &Told, target: Option<&str>) -> AboutDaemon {
    let mut checks = vec![running(&told.status, daemon.server_uid())];
    let of_target = told
        .listeners
        .iter()
        .filter(|it| concerns(it, told, target));
    let failed = of_target.filter(|it| it.state == ListenerState::Failed);
    checks.extend(failed.map(not_listening));
    let config = match told.status.config.as_slice() {
        [only] => Some(PathBuf::from(only)),
        [..] => None,
    };
    AboutDaemon { checks, config }
}

fn running(status: &DaemonStatus, owner: Option<u32>) -> Check {
    let files = if status.config.is_empty() {
        "without a configuration file".to_owned()
    } else {
        format!("with {}", status.config.join(", "))
    };
    let text = format!(
        "brokerd {} is {} as process {}, {files}",
        status.version,
        status.state(),
        status.pid
    );
    match owner.filter(|uid| *uid != geteuid().as_raw()) {
        None => check(Outcome::Ok, text, None),
        Some(uid) => {
            let name = name_of(uid);
            let text =
                format!("{text}, as user {name}, who has other keys and known hosts than you");
            let remedy =
                format!("to examine what that user has, run: sudo -u {name} broker-ctl doctor");
            check(Outcome::Warning, text, Some(remedy))
        }
    }
}

fn name_of(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

/// Whether a tunnel belongs to the profile or server that the target names.
fn concerns(listener: &TunnelListener, told: &Told, target: Option<&str>) -> bool {
    let Some(target) = target else {
        return true;
    };
    let named = |it: &&Profile| it.name.as_deref() == Some(target) || it.id == target;
    let profile = told.profiles.iter().find(named).map(|it| &it.id);
    match &listener.profile {
        Some(id) => profile == Some(id),
        None => listener.target == target,
    }
}

fn not_listening(listener: &TunnelListener) -> Check {
    let at = host_port(&listener.address, listener.port);
    let reason = listener.reason.as_deref().unwrap_or("no reason is known");
    let (reason, remedy) = match reason.split_once("; ") {
        Some((reason, remedy)) => (reason, Some(remedy.to_owned())),
        None => (reason, None),
    };
    let text = format!("tunnel {at} does not listen: {reason}");
    check(Outcome::Failed, text, remedy)
}
