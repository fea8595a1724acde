//! JSON-RPC 2.0 envelopes and the lines they travel in.

use interprocess::local_socket::tokio::Stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::error::Category;
use tokio_util::codec::{Framed, LinesCodec};
use zeroize::Zeroizing;

use crate::error::{ErrorCode, RpcError};
use crate::methods::Method;
use crate::types::Event;

/// The longest line that the daemon reads. The largest request is an open-tunnel-listener of a few hundred bytes; the
/// rest is room for later versions. The daemon disconnects a client that exceeds it, so a client cannot fill its
/// memory.
pub(crate) const MAX_REQUEST_LINE: usize = 1024 * 1024;

/// The longest line that a client reads: the list of all channels of a busy daemon, at about 500 bytes each.
pub(crate) const MAX_ANSWER_LINE: usize = 64 * 1024 * 1024;

/// The one value of the `jsonrpc` member.
const VERSION: &str = "2.0";

/// A connection that carries lines.
pub(crate) type FramedStream = Framed<Stream, LinesCodec>;

/// Frames one end of a connection, which reads lines up to this length.
pub(crate) fn framed(stream: Stream, longest: usize) -> FramedStream {
    Framed::new(stream, LinesCodec::new_with_max_length(longest))
}

/// Connects an answer with its request (JSON-RPC 2.0, section 4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Id {
    Number(i64),
    Text(String),
}

/// A request's line without its end. It can contain a secret, so it is made without a copy, and wiped.
pub(crate) fn request<M: Method>(id: i64, params: &M) -> serde_json::Result<Zeroizing<String>> {
    #[derive(Serialize)]
    struct Outgoing<'a, M> {
        jsonrpc: &'static str,
        id: i64,
        method: &'static str,
        params: &'a M,
    }
    let outgoing = Outgoing {
        jsonrpc: VERSION,
        id,
        method: M::NAME,
        params,
    };
    serde_json::to_string(&outgoing).map(Zeroizing::new)
}

/// A request as received.
#[derive(Debug)]
pub(crate) struct Call {
    /// Absent in a notification, which gets no answer.
    pub(crate) id: Option<Id>,
    pub(crate) method: String,
    pub(crate) params: Option<Value>,
}

impl Call {
    /// Reads a line. Distinguishes invalid JSON from JSON that is not a request.
    pub(crate) fn parse(line: &str) -> Result<Self, RpcError> {
        let value: Value = serde_json::from_str(line)
            .map_err(|fault| RpcError::new(ErrorCode::Parse, not_json(&fault)))?;
        let Value::Object(mut members) = value else {
            return Err(invalid("it must be an object"));
        };
        if members.get("jsonrpc").and_then(Value::as_str) != Some(VERSION) {
            return Err(invalid("the member \"jsonrpc\" must be \"2.0\""));
        }
        let Some(Value::String(method)) = members.remove("method") else {
            return Err(invalid("the member \"method\" must be a string"));
        };
        Ok(Self {
            id: members.remove("id").map(Id::read).transpose()?,
            method,
            params: members.remove("params").filter(|it| !it.is_null()),
        })
    }
}

impl Id {
    /// A present id. `null` is not valid: the client could not distinguish the answer from that to an unreadable line.
    fn read(id: Value) -> Result<Self, RpcError> {
        let number = id.as_i64().map(Self::Number);
        let id = number.or_else(|| id.as_str().map(|text| Self::Text(text.to_owned())));
        id.ok_or_else(|| invalid("the id must be a whole number or a string"))
    }
}

/// What a parser says of its own work is of no use to whoever wrote the line.
fn not_json(fault: &serde_json::Error) -> String {
    match fault.classify() {
        Category::Eof => "the line is not JSON: it ends too early".to_owned(),
        Category::Syntax | Category::Data | Category::Io => {
            format!("the line is not JSON: byte {} is wrong", fault.column())
        }
    }
}

fn invalid(fault: impl std::fmt::Display) -> RpcError {
    RpcError::new(
        ErrorCode::InvalidRequest,
        format!("the line is not a JSON-RPC 2.0 request: {fault}"),
    )
}

/// A response in its wire form: exactly one of `result` and `error`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Response {
    jsonrpc: String,
    /// `null` if the request could not be read.
    pub(crate) id: Option<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<RpcError>,
}

impl Response {
    /// Whether the line is no response at all.
    pub(crate) fn is_none(&self) -> bool {
        self.id.is_none() && self.result.is_none() && self.error.is_none()
    }

    pub(crate) fn new<T: Serialize>(id: Option<Id>, outcome: Result<T, RpcError>) -> Self {
        let outcome =
            outcome.and_then(|reply| serde_json::to_value(reply).map_err(RpcError::internal));
        let (result, error) = match outcome {
            Ok(reply) => (Some(reply), None),
            Err(error) => (None, Some(error)),
        };
        Self {
            jsonrpc: VERSION.into(),
            id,
            result,
            error,
        }
    }
}

/// A notification of an event: a request of the daemon that gets no answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Notification {
    jsonrpc: String,
    method: EventMethod,
    pub(crate) params: Event,
}

/// The one method of notifications.
#[derive(Debug, Serialize, Deserialize)]
enum EventMethod {
    #[serde(rename = "event")]
    Event,
}

impl Notification {
    pub(crate) fn of(event: Event) -> Self {
        Self {
            jsonrpc: VERSION.into(),
            method: EventMethod::Event,
            params: event,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_not_json_is_refused_with_the_place() {
        for (line, said) in [
            (
                r#"{"jsonrpc":2.0,}"#,
                "the line is not JSON: byte 16 is wrong",
            ),
            ("Status", "the line is not JSON: byte 1 is wrong"),
            (r#"{"id":1} {}"#, "the line is not JSON: byte 10 is wrong"),
            (r#"{"id":"#, "the line is not JSON: it ends too early"),
            ("", "the line is not JSON: it ends too early"),
        ] {
            let refused = Call::parse(line).err();
            assert_eq!(
                refused.map(|it| it.message).as_deref(),
                Some(said),
                "{line}"
            );
        }
    }
}
