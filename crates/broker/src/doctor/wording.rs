//! Steps and errors in words, and what to do about an error that does not say it itself.

use broker_ipc::checks::Step;
use broker_ssh::{AuthError, HandshakeError, OpenError, Passed, RouteError};

use super::finding::Finding;
use crate::reasons;

/// A step of a connection attempt that has succeeded.
pub(super) fn passed(server: &str, step: Passed) -> Finding {
    match step {
        Passed::Greeting { version, after } => {
            Finding::ok(Step::SshGreeting, format!("{server} is {version}")).took(after)
        }
        Passed::KeyExchange {
            negotiated,
            known_at,
        } => {
            let known = known_at.map_or_else(
                || "not known before, now accepted".to_owned(),
                |place| format!("known from {place}"),
            );
            let (key, fingerprint) = (&negotiated.host_key, &negotiated.fingerprint);
            let text = format!(
                "{key} {fingerprint} of {server}, {known}; {} with {}",
                negotiated.kex, negotiated.cipher
            );
            Finding::ok(Step::HostKey, text)
        }
        Passed::Login { user, with } => {
            let with = with.map_or_else(
                || "the server wanted no proof".to_owned(),
                |with| format!("with {with}"),
            );
            Finding::ok(
                Step::Login,
                format!("user {user} is logged in at {server}, {with}"),
            )
        }
    }
}

/// The failure of a connection attempt, at the step where it failed. `passed` is the last one that succeeded.
pub(super) fn failed(error: &OpenError, passed: Option<Step>) -> Finding {
    let step = failed_step(error, passed);
    match error.login() {
        // What was tried is a list, which may contain the pause.
        Some(login) => Finding::new(step, broker_ipc::checks::Outcome::Failed, error.to_string())
            .tried(reasons::tried(error))
            .remedy(about_login(login)),
        None => Finding::failed(step, error.to_string()).remedy(about(error, step)),
    }
}

fn failed_step(error: &OpenError, passed: Option<Step>) -> Step {
    match error {
        OpenError::Gateway { reason, .. } | OpenError::BackingOff { reason, .. } => {
            failed_step(reason, passed)
        }
        OpenError::Route(_) | OpenError::Channel(_) => Step::Connect,
        OpenError::Handshake(HandshakeError::Unsupported { .. }) => Step::Configuration,
        OpenError::Handshake(_) if passed == Some(Step::SshGreeting) => Step::HostKey,
        OpenError::Handshake(_) => Step::SshGreeting,
        OpenError::HostKey(_) => Step::HostKey,
        OpenError::Auth(_) => Step::Login,
        OpenError::ShuttingDown { .. } | OpenError::Internal => Step::Connect,
    }
}

fn about(error: &OpenError, step: Step) -> &'static str {
    if matches!(
        error.innermost(),
        OpenError::Route(RouteError::Proxy { .. })
    ) {
        "check the proxy or the command that the rules name, and that it can reach the SSH server"
    } else {
        about_step(step)
    }
}

fn about_login(error: &AuthError) -> &'static str {
    match error {
        AuthError::Refused { .. } => {
            "add the public key to ~/.ssh/authorized_keys of this user on the server, and check that the user name is \
             right, and that sshd accepts the modes of that file and its directories; the doctor types no password or \
             passphrase: for a login that needs one, run broker-ctl open-tunnel-listener in a terminal"
        }
        AuthError::Prompt(_) => {
            "the login needs a person: run broker-ctl open-tunnel-listener in a terminal, or let broker-ctl auth-handler run \
             beside the daemon"
        }
        AuthError::Ended { .. } => {
            "name the right key in user-identities, and look into the log of the SSH server"
        }
        AuthError::Late { .. } => {
            "look into the log of the SSH server: it may wait for a directory service or a name lookup"
        }
        AuthError::KeyMissing { .. } | AuthError::KeyFile { .. } | AuthError::Password { .. } => {
            "correct that, and run the doctor as the user who runs the daemon"
        }
    }
}

fn about_step(step: Step) -> &'static str {
    match step {
        Step::Name => "check the name, and the DNS servers of this host",
        Step::Connect => "check that the SSH server runs, and that no firewall is in the way",
        Step::SshGreeting => {
            "the connection is there, but no SSH server answers: check the port, and whether the server is overloaded"
        }
        Step::HostKey => "look into the log of the SSH server: the two sides do not agree",
        Step::Configuration => "correct the profile, and check it with: broker-ctl check-config",
        Step::Daemon
        | Step::KeyPair
        | Step::Certificate
        | Step::Listener
        | Step::Destination
        | Step::Tls
        | Step::Target
        | Step::Login
        | Step::RoundTrip
        | Step::SmallPackets
        | Step::Channel
        | Step::FtpGreeting
        | Step::FtpLogin
        | Step::Passive
        | Step::Active
        | Step::Throughput => "look into the log of the SSH server",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker_ssh::ProxyFault;

    #[test]
    fn a_proxy_that_fails_is_what_to_look_at() {
        let error = OpenError::Route(RouteError::Proxy {
            server: "h:22".into(),
            proxy: "SOCKS5 proxy p:1080".into(),
            reason: ProxyFault::Ended,
        });
        let error = OpenError::Gateway {
            server: "h:22".into(),
            reason: Box::new(error),
        };
        let finding = failed(&error, None).remedy;
        assert!(finding.unwrap().starts_with("check the proxy"));
    }
}
