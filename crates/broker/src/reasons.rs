//! Why something failed, in the words of the local interface. This is the only place that derives them from errors.

use broker_ipc::{ErrorCode, LoginAttempt, LoginOutcome, Reason, RpcError};
use broker_ssh::{
    AttemptOutcome, ChannelError, ChannelRefusal, HandshakeError, HandshakeFault, HostKeyError,
    OpenError, RouteError,
};

/// The failure of a request that made the broker connect.
pub(crate) fn connect_failed(error: &OpenError) -> RpcError {
    let code = if error.wants_person() {
        ErrorCode::Unanswered
    } else {
        ErrorCode::ConnectFailed
    };
    let failed = RpcError::new(code, error).because(of_open(error));
    failed.after(tried(error))
}

/// What was tried in a login that failed.
pub(crate) fn tried(error: &OpenError) -> Vec<LoginAttempt> {
    let attempts = error.tried().iter();
    attempts
        .map(|attempt| LoginAttempt {
            method: attempt.method.to_owned(),
            with: attempt.with.clone(),
            fingerprint: attempt.fingerprint.clone(),
            outcome: match attempt.outcome {
                AttemptOutcome::Refused => LoginOutcome::Refused,
                AttemptOutcome::Partial => LoginOutcome::Partial,
                AttemptOutcome::Ended => LoginOutcome::Ended,
                AttemptOutcome::Skipped(_) => LoginOutcome::Skipped,
            },
            text: attempt.to_string(),
        })
        .collect()
}

/// Why an SSH connection, or a channel or forward on it, could not be opened.
pub(crate) fn of_open(error: &OpenError) -> Reason {
    match error {
        OpenError::Gateway { reason, .. } | OpenError::BackingOff { reason, .. } => of_open(reason),
        OpenError::Route(error) => of_route(error),
        OpenError::Handshake(error) => of_handshake(error),
        OpenError::HostKey(error) => of_host_key(error),
        OpenError::Auth(_) if error.wants_person() => Reason::Unanswered,
        OpenError::Auth(_) if error.may_pass() => Reason::Timeout,
        OpenError::Auth(_) => Reason::Auth,
        OpenError::Channel(error) => of_channel(error),
        OpenError::ShuttingDown { .. } => Reason::Stopping,
        OpenError::Internal => Reason::Internal,
    }
}

fn of_route(error: &RouteError) -> Reason {
    match error {
        RouteError::Resolve { .. } => Reason::Dns,
        RouteError::Connect { reason, .. } if reason.is_refusal() => Reason::Refused,
        RouteError::Connect { reason, .. } if reason.is_silence() => Reason::Timeout,
        RouteError::Connect { .. } => Reason::Unreachable,
        RouteError::Proxy { .. } => Reason::Proxy,
    }
}

fn of_handshake(error: &HandshakeError) -> Reason {
    match error {
        HandshakeError::Failed { reason, .. } => match reason {
            HandshakeFault::NotSsh { .. }
            | HandshakeFault::NoVersion
            | HandshakeFault::PacketSize(_) => Reason::NotSsh,
            HandshakeFault::Ended
            | HandshakeFault::BrokeOff(_)
            | HandshakeFault::KeyType(..)
            | HandshakeFault::Library(_) => Reason::Handshake,
        },
        HandshakeError::Unsupported { .. } | HandshakeError::NoCommonAlgorithm { .. } => {
            Reason::Algorithms
        }
        HandshakeError::Silent { .. } | HandshakeError::Late { .. } => Reason::Timeout,
    }
}

fn of_host_key(error: &HostKeyError) -> Reason {
    match error {
        HostKeyError::Unknown { .. } | HostKeyError::Rejected { .. } => Reason::HostKeyUnknown,
        // Nobody was there to confirm the key.
        HostKeyError::Prompt(_) => Reason::HostKeyUnknown,
        HostKeyError::Changed { .. } | HostKeyError::NotShown { .. } => Reason::HostKeyChanged,
        HostKeyError::NotStored { .. }
        | HostKeyError::Certificate { .. }
        | HostKeyError::Revoked { .. }
        | HostKeyError::File { .. } => Reason::HostKey,
        HostKeyError::Internal => Reason::Internal,
    }
}

fn of_channel(error: &ChannelError) -> Reason {
    match error {
        ChannelError::Refused { reason, .. } => match reason {
            ChannelRefusal::Prohibited | ChannelRefusal::Unsupported => Reason::ForwardingDenied,
            ChannelRefusal::ConnectFailed => Reason::FtpUnreachable,
            ChannelRefusal::Resources => Reason::SshBusy,
            ChannelRefusal::Unknown(_) => Reason::Other,
        },
        ChannelError::ForwardRefused { .. } => Reason::ForwardingDenied,
        ChannelError::Late { .. } => Reason::FtpTimeout,
        ChannelError::Lost { .. } => Reason::Lost,
        ChannelError::TooMany { .. } => Reason::Limit,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use broker_ssh::{FailedAttempt, Target, Unreachable};

    use super::*;

    fn connect(attempts: Vec<FailedAttempt>) -> OpenError {
        let (server, reason) = ("h:22".into(), Unreachable(attempts));
        RouteError::Connect { server, reason }.into()
    }

    #[test]
    fn an_error_has_the_reason_of_what_is_behind_it() {
        let address = "192.0.2.1:22".parse().unwrap();
        let refused = || FailedAttempt::Refused(address);
        let silent = || FailedAttempt::Silent(address, Duration::from_secs(5));
        let unreachable = ChannelError::Refused {
            server: "h:22".into(),
            target: Target::new("ftp", 21),
            reason: ChannelRefusal::ConnectFailed,
            said: None,
        };
        let behind_pause = OpenError::BackingOff {
            reason: Box::new(connect(vec![refused()])),
            retry_in: Duration::from_secs(1),
        };
        for (error, reason) in [
            (behind_pause, Reason::Refused),
            (connect(vec![silent()]), Reason::Timeout),
            (connect(vec![silent(), refused()]), Reason::Unreachable),
            (unreachable.into(), Reason::FtpUnreachable),
        ] {
            let failed = connect_failed(&error);
            assert_eq!(failed.reason(), reason, "{error}");
            assert_eq!(failed.code, ErrorCode::ConnectFailed);
        }
    }
}
