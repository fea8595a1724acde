//! The errors of requests, as they cross the socket.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::reason::Reason;

/// The error object of an answer: a code for programs and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[error("{message}")]
pub struct RpcError {
    /// The kind of the failure.
    pub code: ErrorCode,
    /// What failed, on what, and what to do.
    pub message: String,
    /// The cause for programs; absent from a daemon that does not name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<ErrorData>,
}

/// The cause of a failure, for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorData {
    /// Why it failed.
    pub reason: Reason,
    /// Whether the same request can succeed later although nobody changes anything.
    pub retry: bool,
    /// What was tried in a login that failed, in order; empty for any other failure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<LoginAttempt>,
}

/// One attempt of a login at the SSH server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LoginAttempt {
    /// The method, as SSH names it.
    pub method: String,
    /// What was shown, or would have been: a key and its file, an agent's key, a password. Never a secret.
    pub with: String,
    /// The SHA-256 fingerprint of a key, as OpenSSH prints it.
    pub fingerprint: Option<String>,
    /// What came of it, for programs.
    pub outcome: LoginOutcome,
    /// All of that in one line.
    pub text: String,
}

/// What came of one attempt of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LoginOutcome {
    /// The server refused it.
    Refused,
    /// The server accepted it, which was not enough.
    Partial,
    /// The server ended the connection in place of an answer.
    Ended,
    /// The daemon did not use it.
    Skipped,
    /// An outcome that this build does not know.
    #[serde(other)]
    Other,
}

impl From<Reason> for ErrorData {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            retry: reason.may_pass(),
            tried: Vec::new(),
        }
    }
}

impl RpcError {
    /// An error with this code and message, and the reason that the code gives.
    pub fn new(code: ErrorCode, message: impl fmt::Display) -> Self {
        Self {
            code,
            message: message.to_string(),
            data: Some(code.reason().into()),
        }
    }

    /// The same with a more exact reason.
    #[must_use]
    pub fn because(self, reason: Reason) -> Self {
        Self {
            data: Some(reason.into()),
            ..self
        }
    }

    /// The same failure of a login, with what was tried.
    #[must_use]
    pub fn after(mut self, tried: Vec<LoginAttempt>) -> Self {
        if let Some(data) = &mut self.data {
            data.tried = tried;
        }
        self
    }

    /// What was tried in a login that failed.
    pub fn tried(&self) -> &[LoginAttempt] {
        self.data.as_ref().map_or(&[], |data| &data.tried)
    }

    /// Why it failed.
    pub fn reason(&self) -> Reason {
        self.data
            .as_ref()
            .map_or_else(|| self.code.reason(), |data| data.reason)
    }

    /// A listener, connection, channel or profile that does not exist.
    pub fn not_found(message: impl fmt::Display) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    /// Something this daemon does not do yet.
    pub fn not_supported(message: impl fmt::Display) -> Self {
        Self::new(ErrorCode::NotSupported, message)
    }

    /// An invalid value of the right type in the parameters.
    pub fn invalid_params(message: impl fmt::Display) -> Self {
        Self::new(ErrorCode::InvalidParams, message)
    }

    /// A fault of the daemon.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(ErrorCode::Internal, message)
    }
}

/// The `code` of an error object. The negative ones are those of JSON-RPC 2.0, section 5.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "i64", into = "i64")]
pub enum ErrorCode {
    /// -32700: the line is not JSON.
    Parse,
    /// -32600: the line is JSON but not a request.
    InvalidRequest,
    /// -32601: no such method.
    MethodNotFound,
    /// -32602: the parameters do not fit the method.
    InvalidParams,
    /// -32603: a fault of the daemon.
    Internal,
    /// 1: the two ends speak different versions of this interface.
    ProtocolMismatch,
    /// 2: the first request was not `hello`.
    HelloRequired,
    /// 3: the peer may not use this daemon.
    Denied,
    /// 4: the daemon already serves as many clients as it admits.
    TooManyClients,
    /// 5: the named listener, connection, channel or profile does not exist.
    NotFound,
    /// 6: known, and not supported by this daemon.
    NotSupported,
    /// 7: the daemon cannot listen on the address or port.
    ListenFailed,
    /// 8: the daemon cannot reach the SSH server, or the server refused the session.
    ConnectFailed,
    /// 9: a limit was reached, for example on tunnels.
    LimitReached,
    /// 10: the daemon is stopping and accepts no new work.
    ShuttingDown,
    /// 11: the daemon cannot use the configuration.
    BadConfig,
    /// 12: a prompt got no answer.
    Unanswered,
    /// A code that this build does not know.
    Other(i64),
}

/// Every named code with its number, for both directions of the conversion.
pub(crate) const CODES: [(ErrorCode, i64); 17] = [
    (ErrorCode::Parse, -32700),
    (ErrorCode::InvalidRequest, -32600),
    (ErrorCode::MethodNotFound, -32601),
    (ErrorCode::InvalidParams, -32602),
    (ErrorCode::Internal, -32603),
    (ErrorCode::ProtocolMismatch, 1),
    (ErrorCode::HelloRequired, 2),
    (ErrorCode::Denied, 3),
    (ErrorCode::TooManyClients, 4),
    (ErrorCode::NotFound, 5),
    (ErrorCode::NotSupported, 6),
    (ErrorCode::ListenFailed, 7),
    (ErrorCode::ConnectFailed, 8),
    (ErrorCode::LimitReached, 9),
    (ErrorCode::ShuttingDown, 10),
    (ErrorCode::BadConfig, 11),
    (ErrorCode::Unanswered, 12),
];

impl ErrorCode {
    /// The reason that a code alone gives.
    fn reason(self) -> Reason {
        match self {
            Self::Parse
            | Self::InvalidRequest
            | Self::MethodNotFound
            | Self::InvalidParams
            | Self::HelloRequired => Reason::InvalidRequest,
            Self::Internal => Reason::Internal,
            Self::ProtocolMismatch => Reason::Version,
            Self::Denied => Reason::Denied,
            Self::TooManyClients | Self::LimitReached => Reason::Limit,
            Self::NotFound => Reason::NotFound,
            Self::NotSupported => Reason::NotSupported,
            Self::ListenFailed => Reason::Listen,
            Self::ConnectFailed => Reason::Unreachable,
            Self::ShuttingDown => Reason::Stopping,
            Self::BadConfig => Reason::Config,
            Self::Unanswered => Reason::Unanswered,
            Self::Other(_) => Reason::Other,
        }
    }
}

impl From<i64> for ErrorCode {
    fn from(number: i64) -> Self {
        let known = CODES.iter().find(|(_, n)| *n == number);
        known.map_or(Self::Other(number), |(code, _)| *code)
    }
}

impl From<ErrorCode> for i64 {
    fn from(code: ErrorCode) -> Self {
        if let ErrorCode::Other(number) = code {
            return number;
        }
        let known = CODES.iter().find(|(c, _)| *c == code);
        known.map_or(-32603, |(_, number)| *number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_wire() {
        for (code, number) in CODES {
            assert_eq!(i64::from(code), number);
            assert_eq!(ErrorCode::from(number), code);
        }
        assert_eq!(ErrorCode::from(99), ErrorCode::Other(99));
        assert_eq!(i64::from(ErrorCode::Other(99)), 99);
    }
}
