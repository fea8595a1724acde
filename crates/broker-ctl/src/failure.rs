//! How a failed command ends: its exit status, and the error for programs.

use std::fmt;

use broker_ipc::printed::{Failed, FailedWith};
use broker_ipc::{ClientError, ErrorData, LoginAttempt, Reason, RpcError};

/// Exit status if the request failed, and trying again does not help.
const FAILED: u8 = 1;
/// Exit status if the command line is invalid; clap uses it too.
pub(crate) const USAGE: u8 = 2;
/// Exit status if no daemon could be reached.
const UNREACHABLE: u8 = 3;
/// Exit status if trying again later can help.
const TRY_LATER: u8 = 4;
/// Exit status if a person must look at a host key or a login.
const LOOK_AT_LOGIN: u8 = 5;

/// Something failed, and the command has already printed the reason.
#[derive(Debug)]
pub(crate) struct Reported {
    status: u8,
}

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("something failed; see the messages above")
    }
}

impl std::error::Error for Reported {}

impl Reported {
    /// The failure for this reason was printed.
    pub(crate) fn because(reason: Reason) -> Self {
        let status = status(&reason.into());
        Self { status }
    }

    /// What was printed ends the program with this status.
    pub(crate) fn with_status(status: u8) -> Self {
        Self { status }
    }

    /// Some failure was printed.
    pub(crate) fn failed() -> Self {
        Self { status: FAILED }
    }
}

/// An error as programs get it, in the form of an answer of the daemon.
pub(crate) fn failed(failure: &anyhow::Error) -> Failed {
    Failed {
        error: FailedWith {
            code: refusal(failure).map(|refusal| refusal.code),
            message: format!("{failure:#}"),
            data: data(failure),
        },
    }
}

/// A refusal of the daemon, with an explanation.
pub(crate) fn refused(refusal: &RpcError, message: String) -> Failed {
    let data = refusal.data.clone();
    let data = data.unwrap_or_else(|| refusal.reason().into());
    Failed {
        error: FailedWith {
            code: Some(refusal.code),
            message,
            data,
        },
    }
}

/// The exit status after this failure.
pub(crate) fn exit_status(failure: &anyhow::Error) -> u8 {
    match failure.downcast_ref::<Reported>() {
        Some(Reported { status }) => *status,
        None => status(&data(failure)),
    }
}

fn status(data: &ErrorData) -> u8 {
    let needs_person = [
        Reason::Auth,
        Reason::Unanswered,
        Reason::HostKey,
        Reason::HostKeyChanged,
        Reason::HostKeyUnknown,
    ];
    if data.reason == Reason::NoDaemon {
        UNREACHABLE
    } else if needs_person.contains(&data.reason) {
        LOOK_AT_LOGIN
    } else if data.retry {
        TRY_LATER
    } else {
        FAILED
    }
}

/// What was tried in a login that failed.
pub(crate) fn tried(failure: &anyhow::Error) -> &[LoginAttempt] {
    refusal(failure).map_or(&[], RpcError::tried)
}

fn refusal(failure: &anyhow::Error) -> Option<&RpcError> {
    match failure.downcast_ref() {
        Some(ClientError::Failed(refusal)) => Some(refusal),
        Some(_) | None => None,
    }
}

fn data(failure: &anyhow::Error) -> ErrorData {
    let reason = failure
        .downcast_ref()
        .map_or(Reason::Other, ClientError::reason);
    match refusal(failure).and_then(|refusal| refusal.data.clone()) {
        Some(data) => data,
        None => reason.into(),
    }
}
