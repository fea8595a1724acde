//! Every method of the interface, once: its name, its parameters, its result.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::error::{ErrorCode, RpcError};
use crate::secret::Secret;
use crate::types::{
    ChannelInfo, Connection, ConnectionDetail, CurrentPrompt, DaemonStatus, HostKey, Profile,
    TunnelKind, TunnelListener,
};

/// A method: the type is its parameters.
pub trait Method: Serialize + DeserializeOwned + Send {
    /// The name on the wire.
    const NAME: &'static str;
    /// What a successful answer holds.
    type Reply: Serialize + DeserializeOwned + Send;
}

/// What a request comes to, as it stands on the wire.
pub(crate) type RawReply = Result<Value, RpcError>;

/// Where the reply to a request goes. Dropped without one, it tells the client that the daemon is ending.
#[derive(Debug)]
pub struct ReplySender<M> {
    outcome: oneshot::Sender<RawReply>,
    method: PhantomData<fn(M)>,
}

impl<M: Method> ReplySender<M> {
    fn new(outcome: oneshot::Sender<RawReply>) -> Self {
        Self {
            outcome,
            method: PhantomData,
        }
    }

    /// Sends the reply. Whoever asked may have left.
    pub fn send(self, reply: Result<M::Reply, RpcError>) {
        let reply = reply.and_then(|it| serde_json::to_value(it).map_err(RpcError::internal));
        let _ = self.outcome.send(reply);
    }
}

/// Ties names, parameters and replies together, and derives from that one list the method names and the requests that
/// the daemon's handler gets.
macro_rules! requests {
    ($(#[$doc:meta])* $request:ident { $( $(#[$about:meta])* $name:literal => $method:ident -> $reply:ty; )* }) => {
        $( impl Method for $method {
            const NAME: &'static str = $name;
            type Reply = $reply;
        } )*

        $(#[$doc])*
        #[derive(Debug)]
        pub enum $request { $( $(#[$about])* $method($method, ReplySender<$method>), )* }

        impl $request {
            /// The names of these methods.
            pub const METHODS: &[&str] = &[$( $name ),*];

            /// Reads the parameters of the method named.
            pub(crate) fn parse(
                method: &str,
                params: Option<Value>,
                outcome: oneshot::Sender<RawReply>,
            ) -> Result<Self, RpcError> {
                match method {
                    $( $name => {
                        let params = parse_params(method, params)?;
                        Ok(Self::$method(params, ReplySender::new(outcome)))
                    } )*
                    _ => Err(unknown_method(method)),
                }
            }
        }
    };
}

requests! {
    /// A request, its parameters checked, and where its reply goes. `hello` is answered before it gets here.
    Request {
        /// The daemon as a whole.
        "status" => Status -> DaemonStatus;
        /// End the daemon.
        "stop" => Stop -> Done;
        /// Read the configuration again.
        "reload" => Reload -> Done;
        /// The configured profiles.
        "list-profiles" => ListProfiles -> Vec<Profile>;
        /// The SSH connections.
        "list-connections" => ListConnections -> Vec<Connection>;
        /// One SSH connection and its channels.
        "connection-status" => ConnectionStatus -> ConnectionDetail;
        /// Close one SSH connection, its channels with it.
        "close-connection" => CloseConnection -> Done;
        /// The SSH channels.
        "list-channels" => ListChannels -> Vec<ChannelInfo>;
        /// Cut one SSH channel.
        "close-channel" => CloseChannel -> Done;
        /// The tunnel listeners.
        "list-tunnel-listeners" => ListTunnelListeners -> Vec<TunnelListener>;
        /// Open a tunnel listener.
        "open-tunnel-listener" => OpenTunnelListener -> TunnelListener;
        /// Close a tunnel listener; clients it serves go on.
        "close-tunnel-listener" => CloseTunnelListener -> Done;
        /// Have an SSH server show its host keys.
        "probe-key" => ProbeKey -> Vec<HostKey>;
        /// Store one of an SSH server's host keys as known.
        "trust-host" => TrustHost -> HostKey;
    }
}

requests! {
    /// A request about prompts. Secrets pass, so only the daemon's own user may send it.
    PromptRequest {
        /// Take on prompts, for as long as this client is connected.
        "attend-prompts" => AttendPrompts -> Done;
        /// Wait for the prompt to be shown next.
        "next-prompt" => NextPrompt -> CurrentPrompt;
        /// Answer a prompt, or decline it.
        "answer-prompt" => AnswerPrompt -> Done;
    }
}

/// Says who is there. The first request on every connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The interface version spoken, see [`crate::PROTOCOL`].
    pub protocol: u32,
    /// The version of the client's build; for the daemon's log only.
    #[serde(default)]
    pub build: String,
}

impl Method for Hello {
    const NAME: &'static str = "hello";
    type Reply = HelloReply;
}

/// What the daemon answers to `hello`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloReply {
    /// The interface version spoken.
    pub protocol: u32,
    /// The version of the daemon's build.
    pub build: String,
    /// Process id of the daemon.
    pub pid: u32,
}

/// The answer of a method that has nothing to tell but that it succeeded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

/// Parameters of `status`: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {}

/// Parameters of `stop`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Seconds that running transfers may still take; absent: the daemon's own grace period.
    pub grace: Option<u64>,
}

/// Parameters of `reload`: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {}

/// Parameters of `list-profiles`: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListProfiles {}

/// Parameters of `list-connections`: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListConnections {}

/// Parameters of `connection-status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionStatus {
    /// The connection's id.
    pub id: u64,
}

/// Parameters of `close-connection`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseConnection {
    /// The connection's id.
    pub id: u64,
}

/// Parameters of `list-channels`: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListChannels {}

/// Parameters of `close-channel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseChannel {
    /// The channel's id.
    pub id: u64,
}

/// Parameters of `list-tunnel-listeners`: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListTunnelListeners {}

/// Parameters of `open-tunnel-listener`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTunnelListener {
    /// What to forward.
    pub kind: TunnelKind,
    /// The address to listen on; absent: loopback, or every address where `relay` is set.
    pub listen_address: Option<String>,
    /// The port to listen on; 0 takes a free one.
    pub listen_port: u16,
    /// The destination, as seen from the SSH server.
    pub dst_host: String,
    /// The destination's port.
    pub dst_port: u16,
    /// Whether other hosts may connect.
    #[serde(default)]
    pub relay: bool,
    /// Further attributes of a tunnel in the configuration file, by name, such as `tls`.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// A profile's name or id, or `[user@]host[#port]`.
    pub target: String,
}

/// Parameters of `close-tunnel-listener`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseTunnelListener {
    /// The listener's id.
    pub id: u64,
}

/// Parameters of `attend-prompts`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttendPrompts {
    /// Take on the prompts of this target only, before anybody who takes on all: a profile's name or id, or
    /// `[user@]host[#port]`. Absent: those of every target.
    pub target: Option<String>,
}

/// Parameters of `next-prompt`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextPrompt {
    /// The id of the prompt being shown; the answer comes once another is to be shown, or none. Absent: none is shown.
    pub shown: Option<u64>,
}

/// Parameters of `answer-prompt`. With neither `confirm` nor `texts`, the prompt is declined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerPrompt {
    /// The prompt's id.
    pub id: u64,
    /// Whether the host key is the right one.
    pub confirm: Option<bool>,
    /// A text for each field.
    pub texts: Option<Vec<Secret>>,
}

/// Parameters of `probe-key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeKey {
    /// A profile's name or id, or `host[#port]`.
    pub target: String,
}

/// Parameters of `trust-host`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustHost {
    /// A profile's name or id, or `host[#port]`.
    pub target: String,
    /// The SHA-256 fingerprint of the key to store, as OpenSSH prints it.
    pub fingerprint: String,
}

/// Reads a method's parameters; absent ones are an empty object.
pub(crate) fn parse_params<T: DeserializeOwned>(
    method: &str,
    params: Option<Value>,
) -> Result<T, RpcError> {
    let params = params.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    serde_json::from_value(params).map_err(|fault| {
        // A fault quotes what it found, which here may be a secret.
        let fault = if method == AnswerPrompt::NAME {
            "see its description".to_owned()
        } else {
            fault.to_string()
        };
        RpcError::invalid_params(format!("the parameters of {method} are wrong: {fault}"))
    })
}

fn unknown_method(method: &str) -> RpcError {
    RpcError::new(
        ErrorCode::MethodNotFound,
        format!("there is no method \"{}\"", method.escape_debug()),
    )
}
