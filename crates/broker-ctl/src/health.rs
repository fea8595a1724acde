//! `health`: one line and an exit status as monitoring plug-ins have them.

use std::time::Duration;

use broker_ipc::methods::{ListProfiles, ListTunnelListeners, Status};
use broker_ipc::printed::{Health, HealthFinding, HealthState as State};
use broker_ipc::types::{
    DaemonStatus, ListenerState, Profile, RecentFailure, TunnelListener, TunnelOrigin,
};
use broker_ipc::{ClientError, Reason};

use crate::daemon::Daemon;
use crate::failure::Reported;
use crate::units;

/// How old a failure may be to count as recent: monitoring systems ask every one to five minutes.
const RECENT: Duration = Duration::from_secs(10 * 60);

/// What is wrong, and how bad that is.
type Finding = (State, String);

/// A finding for programs.
fn remark((state, text): Finding) -> HealthFinding {
    HealthFinding { state, text }
}

/// The word of a state in the line.
fn word(state: State) -> &'static str {
    match state {
        State::Ok => "OK",
        State::Warning => "WARNING",
        State::Critical => "CRITICAL",
        State::Unknown => "UNKNOWN",
    }
}

/// What the daemon says of itself.
struct Answers {
    status: DaemonStatus,
    profiles: Vec<Profile>,
    listeners: Vec<TunnelListener>,
}

/// Prints the line.
///
/// # Errors
/// The exit status of any other state than OK.
pub(crate) async fn check(daemon: &Daemon<'_>) -> anyhow::Result<()> {
    let (state, line, findings) = match ask(daemon).await {
        Ok(answers) => {
            let findings = findings(&answers);
            let (state, line) = summary(&answers, &findings);
            (state, line, findings)
        }
        Err(error) => {
            let (state, line) = unanswered(&error);
            (state, line, Vec::new())
        }
    };
    let health = Health {
        state,
        line,
        findings: findings.into_iter().map(remark).collect(),
    };
    daemon.output().done(&health, &health.line)?;
    match state as u8 {
        0 => Ok(()),
        status => Err(Reported::with_status(status).into()),
    }
}

async fn ask(daemon: &Daemon<'_>) -> Result<Answers, ClientError> {
    Ok(Answers {
        status: daemon.call(&Status {}).await?,
        profiles: daemon.call(&ListProfiles {}).await?,
        listeners: daemon.call(&ListTunnelListeners {}).await?,
    })
}

/// A daemon that does not answer is the worst, but an error of this command says nothing about it.
fn unanswered(error: &ClientError) -> (State, String) {
    let is_unknown = [Reason::Version, Reason::Denied].contains(&error.reason());
    let state = match is_unknown {
        true => State::Unknown,
        false => State::Critical,
    };
    (state, format!("{} - {error}", word(state)))
}

/// The worst come first, and of the failures of clients the newest.
fn findings(answers: &Answers) -> Vec<Finding> {
    let listeners = answers.listeners.iter().filter_map(of_listener);
    let profiles = answers.profiles.iter().filter_map(of_profile);
    // A tunnel that is gone cannot work again, and there is nothing to do about it. One that does not listen is found already.
    let listens = |it: &&RecentFailure| {
        let mut listeners = answers.listeners.iter();
        listeners.any(|open| open.id == it.tunnel && open.state == ListenerState::Listening)
    };
    let failures = answers.status.failures.iter().rev().filter(listens);
    let failures = failures.filter_map(of_failure);
    let prompts = match answers.status.prompts {
        0 => None,
        prompts => Some((
            State::Warning,
            format!("prompts wait for an answer: {prompts}; run broker-ctl auth-handler"),
        )),
    };
    let findings = listeners.chain(profiles).chain(failures).chain(prompts);
    let mut findings: Vec<Finding> = findings.collect();
    findings.sort_by_key(|(state, _)| std::cmp::Reverse(*state));
    findings
}

fn of_listener(listener: &TunnelListener) -> Option<Finding> {
    let state = match (listener.state, listener.origin) {
        (ListenerState::Listening, _) => return None,
        (ListenerState::Failed, TunnelOrigin::File | TunnelOrigin::Static) => State::Critical,
        (ListenerState::Failed, TunnelOrigin::Command) | (ListenerState::Waiting, _) => {
            State::Warning
        }
    };
    let why = listener.reason.as_deref().unwrap_or("no reason known");
    let (id, port) = (listener.id, listener.port);
    Some((
        state,
        format!("tunnel {id} (port {port}) does not listen: {why}"),
    ))
}

fn of_profile(profile: &Profile) -> Option<Finding> {
    let Some(error) = &profile.last_error else {
        return silent(profile);
    };
    let state = match profile.connections {
        0 => State::Critical,
        _ => State::Warning,
    };
    Some((state, format!("profile {}: {error}", profile.id)))
}

/// The server may be slow. If it stays silent, the connection ends with an error.
fn silent(profile: &Profile) -> Option<Finding> {
    let silence = units::duration(profile.no_answer?);
    let (id, host, port) = (&profile.id, &profile.host, profile.port);
    let text = format!("profile {id}: no answer from SSH server {host}:{port} for {silence}");
    Some((State::Warning, text))
}

fn of_failure(recent: &RecentFailure) -> Option<Finding> {
    let failure = &recent.failure;
    let age = units::seconds_since(failure.time);
    let counts = age <= RECENT.as_secs() && !failure.recovered;
    counts.then(|| {
        let text = format!("tunnel at {}: {}", recent.listener, failure.message);
        (State::Warning, text)
    })
}

/// The worst of the findings, which comes first.
fn summary(answers: &Answers, findings: &[Finding]) -> (State, String) {
    let state = findings.first().map_or(State::Ok, |(state, _)| *state);
    let word = word(state);
    let status = &answers.status;
    let listening = |it: &&TunnelListener| it.state == ListenerState::Listening;
    let listening = answers.listeners.iter().filter(listening).count();
    let text = match findings {
        [] => format!("{listening} of {} tunnels listen", status.tunnels),
        [(_, only)] => only.clone(),
        [(_, worst), others @ ..] => format!("{worst} (and {} more)", others.len()),
    };
    // A bar separates the text from the numbers.
    let text = plain_text::printable(&text).replace('|', "/");
    let line = format!(
        "{word} - {text} | tunnels={} listening={listening} sessions={} connections={} transfers={} \
         transfers_ok={}c transfers_failed={}c prompts={}",
        status.tunnels,
        status.sessions,
        status.connections,
        status.transfers.active,
        status.transfers.ok,
        status.transfers.failed,
        status.prompts,
    );
    (state, line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_comes_first_and_a_bar_only_before_the_numbers() {
        let answers = answers();
        let (state, line) = summary(&answers, &findings(&answers));
        assert_eq!(
            (state, &line[..30]),
            (State::Ok, "OK - 0 of 2 tunnels listen | t")
        );
        let warning = (State::Warning, "first".to_owned());
        let critical = (State::Critical, "a|b".to_owned());
        let (state, line) = summary(&answers, &[critical, warning]);
        assert_eq!(state, State::Critical);
        assert!(
            line.starts_with("CRITICAL - a/b (and 1 more) | tunnels=2 listening=0 "),
            "{line}"
        );
    }

    #[test]
    fn a_profile_without_a_connection_after_an_error_is_critical() {
        let mut profile = Profile {
            id: "work".into(),
            name: None,
            host: "h".into(),
            port: 22,
            user: None,
            connections: 0,
            tunnels: 1,
            last_error: None,
            tried: Vec::new(),
            retry_in: None,
            no_answer: None,
        };
        assert_eq!(of_profile(&profile), None);
        profile.no_answer = Some(31);
        let silent = "profile work: no answer from SSH server h:22 for 31 s".to_owned();
        assert_eq!(of_profile(&profile), Some((State::Warning, silent)));
        profile.last_error = Some("no".into());
        let text = "profile work: no".to_owned();
        assert_eq!(of_profile(&profile), Some((State::Critical, text.clone())));
        profile.connections = 1;
        assert_eq!(of_profile(&profile), Some((State::Warning, text)));
    }

    #[test]
    fn a_failure_counts_while_its_tunnel_is_there() {
        let mut answers = answers();
        let failure = serde_json::json!({
            "tunnel": 4, "listener": "127.0.0.1:2121", "time": u64::MAX, "message": "no", "reason": "auth", "by": "ssh",
            "count": 1, "recovered": false,
        });
        answers.status.failures = vec![serde_json::from_value(failure).unwrap()];
        assert_eq!(findings(&answers), []);
        answers.listeners = vec![listening(4)];
        let text = "tunnel at 127.0.0.1:2121: no".to_owned();
        assert_eq!(findings(&answers), [(State::Warning, text)]);
    }

    #[test]
    fn the_newest_failure_comes_first() {
        let mut answers = answers();
        let failure = |message: &str| {
            serde_json::from_value(serde_json::json!({
                "tunnel": 4, "listener": "l", "time": u64::MAX, "message": message, "reason": "auth", "by": "ssh",
                "count": 1, "recovered": false,
            }))
        };
        answers.status.failures = vec![failure("old").unwrap(), failure("new").unwrap()];
        answers.listeners = vec![listening(4)];
        let found = findings(&answers).into_iter().map(|(_, text)| text);
        assert!(found.eq(["tunnel at l: new", "tunnel at l: old"]));
    }

    fn listening(id: u64) -> TunnelListener {
        let listener = serde_json::json!({
            "id": id, "kind": "ftp", "address": "127.0.0.1", "port": 2121, "dst_host": "h", "dst_port": 21,
            "target": "a@h#22", "relay": false, "state": "listening", "sessions_active": 0, "sessions_total": 0,
            "transfers": {"active": 0, "ok": 0, "failed": 0}, "bytes_up": 0, "bytes_down": 0, "origin": "file",
        });
        serde_json::from_value(listener).unwrap()
    }

    fn answers() -> Answers {
        let status = serde_json::json!({
            "pid": 1, "version": "1", "started": 0, "config": [], "profiles": 0, "tunnels": 2, "sessions": 0,
            "connections": 0, "channels": 0, "transfers": {"active": 0, "ok": 0, "failed": 0}, "bytes_up": 0,
            "bytes_down": 0,
        });
        Answers {
            status: serde_json::from_value(status).unwrap(),
            profiles: Vec::new(),
            listeners: Vec::new(),
        }
    }
}
