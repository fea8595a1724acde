//! The daemon's end: admits clients, reads their requests, and hands them to a [`Handler`].

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use interprocess::local_socket::tokio::Stream;
use interprocess::local_socket::traits::tokio::Listener as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::codec::{Framed, LinesCodec, LinesCodecError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use crate::endpoint::Endpoint;
use crate::error::{ErrorCode, RpcError};
use crate::methods::{
    Hello, HelloReply, Method, NextPrompt, Outcome, PromptRequest, Request, parse_params,
};
use crate::peer;
use crate::reserve::Reserve;
use crate::wire::{self, Answer, Call};
use crate::{BUILD, PROTOCOL};

/// Clients attached at once. People and their scripts need a few; the rest keeps a runaway script from using up the
/// daemon's file descriptors.
pub const MAX_CLIENTS: usize = 64;

/// How long a new client may take to say `hello`, so that a silent one does not keep a place.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take to read an answer before it is cut off.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a request in hand may still take once the daemon is told to end: `stop` itself wants its answer.
const DRAIN: Duration = Duration::from_secs(2);

/// Pause after a failed accept where the reserve of descriptors is used up: trying at once would only burn CPU.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often it is tried to fill the reserve of descriptors again.
const REFILL: Duration = Duration::from_secs(1);

/// What the daemon does with requests. One call at a time for each client; several clients at once.
pub trait Handler: Send + Sync + 'static {
    /// What the daemon keeps of a client, from its arrival until it leaves.
    type Client: Send + Sync;

    /// A client was admitted.
    fn arrived(&self) -> Self::Client;

    /// Takes on one request. The reply may be sent later.
    fn request(&self, request: Request) -> impl Future<Output = ()> + Send;

    /// Takes on one request about prompts. A client that leaves while it waits for the next prompt drops the call.
    fn prompt_request(
        &self,
        client: &Self::Client,
        request: PromptRequest,
    ) -> impl Future<Output = ()> + Send;
}

/// Serves clients until `stop` is cancelled, then removes the socket and returns. Each client is a task on
/// `tracker`, and ends soon after `stop`: a request in hand still gets its answer if that comes within 2 s.
pub async fn serve<H: Handler>(
    endpoint: Endpoint,
    handler: Arc<H>,
    tracker: TaskTracker,
    stop: CancellationToken,
) {
    let part = CancellationToken::new();
    stop.run_until_cancelled(accept_all(&endpoint, &handler, &tracker, &part))
        .await;
    // In this order: a client that sees the conversation end may start the next daemon at once.
    drop(endpoint);
    part.cancel();
}

async fn accept_all<H: Handler>(
    endpoint: &Endpoint,
    handler: &Arc<H>,
    tracker: &TaskTracker,
    part: &CancellationToken,
) {
    let places = Arc::new(Semaphore::new(MAX_CLIENTS));
    let reserve = Arc::new(Reserve::new());
    loop {
        match accept(endpoint, &reserve).await {
            Ok(stream) => {
                let place = Arc::clone(&places).try_acquire_owned().ok();
                let attended = attend(stream, Arc::clone(handler), place, part.clone());
                let reserve = Arc::clone(&reserve);
                tracker.spawn(async move {
                    attended.await;
                    reserve.refill();
                });
            }
            // Most likely for want of descriptors. One of the reserve will do.
            Err(_) if reserve.give_up() => {}
            Err(fault) => {
                tracing::warn!(%fault, "cannot accept a client on the local socket; if this goes on, raise the limit of open files");
                sleep(ACCEPT_PAUSE).await;
                reserve.refill();
            }
        }
    }
}

/// The next client. While the reserve is not whole, it is looked now and then whether it can be filled.
async fn accept(endpoint: &Endpoint, reserve: &Reserve) -> io::Result<Stream> {
    let accepted = endpoint.listener().accept();
    tokio::pin!(accepted);
    loop {
        tokio::select! {
            accepted = &mut accepted => return accepted,
            () = sleep(REFILL), if !reserve.is_full() => reserve.refill(),
        }
    }
}

/// One client, from its first line to its last.
async fn attend<H: Handler>(
    stream: Stream,
    handler: Arc<H>,
    place: Option<OwnedSemaphorePermit>,
    stop: CancellationToken,
) {
    let refusal = refusal(&stream, place.is_some());
    let mut client = Client {
        answers_prompts: peer::may_answer_prompts(peer::uid(&stream), peer::own_uid()),
        lines: Framed::new(stream, wire::codec(wire::MAX_REQUEST_LINE)),
        early: None,
        stop,
    };
    // Whichever side ends the conversation, there is nobody left to tell.
    let _ = match refusal {
        Some(error) => client.send(Answer::failed(None, error)).await,
        None => client.converse(&*handler).await,
    };
}

/// Why a client is not admitted: no place left, or the process of another user, who got past the file's mode only
/// by a descriptor handed over.
fn refusal(stream: &Stream, has_place: bool) -> Option<RpcError> {
    if !has_place {
        let message =
            format!("the daemon already serves {MAX_CLIENTS} clients: end one and try again");
        return Some(RpcError::new(ErrorCode::TooManyClients, message));
    }
    let uid = peer::uid(stream);
    if peer::is_admitted(uid, peer::own_uid()) {
        return None;
    }
    tracing::warn!(?uid, "refused a client of another user on the local socket");
    Some(RpcError::new(
        ErrorCode::Denied,
        "only the user who runs the daemon, and root, may use it",
    ))
}

/// The conversation is over: the client left, broke the rules of the line, or the daemon ends.
struct Over;

/// A connected client.
struct Client {
    lines: Framed<Stream, LinesCodec>,
    /// A line that came before its turn, see [`left`].
    early: Option<Line>,
    /// Whether it may send requests about prompts.
    answers_prompts: bool,
    stop: CancellationToken,
}

type Line = Result<String, LinesCodecError>;

impl Client {
    async fn converse<H: Handler>(&mut self, handler: &H) -> Result<(), Over> {
        self.greet().await?;
        let kept = handler.arrived();
        loop {
            match self.next_call().await? {
                Ok(call) => self.serve_call(handler, &kept, call).await?,
                Err(error) => self.send(Answer::failed(None, error)).await?,
            }
        }
    }

    /// Expects `hello`; whoever says anything else, or speaks another version, is told so and has to leave.
    async fn greet(&mut self) -> Result<(), Over> {
        let first = timeout(HELLO_TIMEOUT, self.next_call())
            .await
            .map_err(|_| Over)??;
        let (id, outcome) = match first {
            Ok(call) => (call.id.clone(), hello(call)),
            Err(error) => (None, Err(error)),
        };
        let welcome = outcome.is_ok();
        self.send(Answer::new(id, outcome)).await?;
        if welcome { Ok(()) } else { Err(Over) }
    }

    async fn serve_call<H: Handler>(
        &mut self,
        handler: &H,
        kept: &H::Client,
        call: Call,
    ) -> Result<(), Over> {
        let id = call.id.clone();
        let is_a_wait = call.method == NextPrompt::NAME;
        let outcome = carry_out(handler, kept, self.answers_prompts, call);
        let outcome = before_end(&self.stop, outcome);
        let outcome = if is_a_wait {
            tokio::select! {
                biased;
                () = left(&mut self.lines, &mut self.early) => None,
                outcome = outcome => outcome,
            }
        } else {
            outcome.await
        };
        let outcome = outcome.ok_or(Over)?;
        match id {
            Some(_) => self.send(Answer::new(id, outcome)).await,
            // A notification: section 4.1 allows no answer, not even an error.
            None => Ok(()),
        }
    }

    /// The next request, or what is wrong with it. A line that cannot be told from the next one ends it all.
    async fn next_call(&mut self) -> Result<Result<Call, RpcError>, Over> {
        let line = match self.early.take() {
            Some(early) => Some(early),
            None => {
                let next = self.stop.run_until_cancelled(self.lines.next());
                next.await.flatten()
            }
        };
        let message = match line.ok_or(Over)? {
            // It may hold a secret.
            Ok(line) => return Ok(Call::parse(&Zeroizing::new(line))),
            Err(LinesCodecError::MaxLineLengthExceeded) => {
                format!("a line may have {} bytes", wire::MAX_REQUEST_LINE)
            }
            Err(LinesCodecError::Io(fault)) if fault.kind() == io::ErrorKind::InvalidData => {
                "a line must be UTF-8".to_owned()
            }
            Err(LinesCodecError::Io(_)) => return Err(Over),
        };
        self.send(Answer::failed(
            None,
            RpcError::new(ErrorCode::Parse, message),
        ))
        .await?;
        Err(Over)
    }

    async fn send(&mut self, answer: Answer) -> Result<(), Over> {
        let line = serde_json::to_string(&answer).map_err(|_| Over)?;
        let sent = timeout(WRITE_TIMEOUT, self.lines.send(line));
        let sent = before_end(&self.stop, sent).await.ok_or(Over)?;
        sent.map_err(|_| Over)?.map_err(|_| Over)
    }
}

async fn carry_out<H: Handler>(
    handler: &H,
    kept: &H::Client,
    answers_prompts: bool,
    call: Call,
) -> Outcome {
    let (reply, outcome) = oneshot::channel();
    let Call { method, params, .. } = call;
    if !PromptRequest::METHODS.contains(&method.as_str()) {
        handler
            .request(Request::parse(&method, params, reply)?)
            .await;
    } else if answers_prompts {
        let request = PromptRequest::parse(&method, params, reply)?;
        handler.prompt_request(kept, request).await;
    } else {
        let message =
            "only the user who runs the daemon may answer its prompts: do it as that user";
        return Err(RpcError::new(ErrorCode::Denied, message));
    }
    let ending = |_| RpcError::new(ErrorCode::ShuttingDown, "the broker is stopping");
    outcome.await.map_err(ending)?
}

/// Waits until the client has left. One line that it sends meanwhile is kept until its turn comes.
async fn left(lines: &mut Framed<Stream, LinesCodec>, early: &mut Option<Line>) {
    if early.is_none() {
        *early = lines.next().await;
        if early.is_none() {
            return;
        }
    }
    std::future::pending().await
}

/// Checks that the two ends speak the same version.
fn hello(call: Call) -> Result<HelloReply, RpcError> {
    if call.method != Hello::NAME {
        let message = format!("the first request must be \"{}\"", Hello::NAME);
        return Err(RpcError::new(ErrorCode::HelloRequired, message));
    }
    let hello: Hello = parse_params(Hello::NAME, call.params)?;
    if hello.protocol != PROTOCOL {
        let message = format!(
            "the client speaks version {} of the interface and this daemon ({BUILD}) version {PROTOCOL}: \
             use both from one release",
            hello.protocol
        );
        return Err(RpcError::new(ErrorCode::ProtocolMismatch, message));
    }
    Ok(HelloReply {
        protocol: PROTOCOL,
        build: BUILD.into(),
        pid: std::process::id(),
    })
}

/// What `work` gives, unless the daemon ends and it takes much longer than that.
async fn before_end<T>(stop: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    let end = async {
        stop.cancelled().await;
        sleep(DRAIN).await;
    };
    tokio::select! {
        biased;
        done = work => Some(done),
        () = end => None,
    }
}
