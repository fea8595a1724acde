//! The daemon's end: admits clients, reads their requests, and hands them to a [`Handler`].

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, FuturesUnordered};
use futures::{SinkExt, StreamExt, stream};
use interprocess::local_socket::tokio::Stream;
use interprocess::local_socket::traits::tokio::Listener as _;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::codec::LinesCodecError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use crate::clients::{Clients, Present};
use crate::endpoint::Endpoint;
use crate::error::{ErrorCode, RpcError};
use crate::methods::{
    ClientRequest, Hello, HelloReply, Method, PromptRequest, RawReply, Request, Subscribe,
    Subscribed, parse_params,
};
use crate::peer::{self, Peer};
use crate::reserve::Reserve;
use crate::types::Event;
use crate::wire::{self, Call, FramedStream, Id, Notification, Response};
use crate::{BUILD, PROTOCOL, instance};

/// The most clients at a time. People and their scripts need a few; the limit keeps a runaway script from using up the
/// daemon's file descriptors.
pub const MAX_CLIENTS: usize = 64;

/// The most requests of one client that run at the same time: more than a program waits for, and few enough that a
/// faulty program cannot fill the memory. The server refuses a further request instead of leaving it unread, since it
/// notices only by reading that a client leaves.
pub const MAX_CALLS: usize = 64;

/// How long a new client may take to send `hello`, so that a silent client does not occupy a place.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take to read an answer or an event before the server disconnects it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long running requests may still take when the daemon stops: `stop` itself needs its answer.
const DRAIN: Duration = Duration::from_secs(2);

/// The pause after a failed accept with an empty reserve of descriptors: trying again at once would only waste CPU
/// time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often the server tries to fill the reserve of descriptors.
const REFILL: Duration = Duration::from_secs(1);

/// The events that a client has subscribed to, and the answer that comes before them.
pub type Subscription = (Subscribed, BoxStream<'static, Event>);

/// The daemon's part: handles requests. The requests of one client run at the same time, and start in the order of
/// their arrival.
pub trait Handler: Send + Sync + 'static {
    /// The daemon's state for one client, from its arrival until it leaves.
    type Client: Send + Sync;

    /// A client was admitted.
    fn arrived(&self) -> Self::Client;

    /// A client has left, or sends no more requests. It can no longer answer prompts, so its requests about prompts
    /// end. Its other requests still get their replies.
    fn left(&self, client: &Self::Client);

    /// Handles one request. The reply can follow later.
    fn request(&self, client: &Self::Client, request: Request) -> impl Future<Output = ()> + Send;

    /// Handles one request about prompts.
    fn prompt_request(
        &self,
        client: &Self::Client,
        request: PromptRequest,
    ) -> impl Future<Output = ()> + Send;

    /// Begins a subscription. The server takes one event after the other from it, as fast as the client reads.
    fn subscribe(
        &self,
        request: Subscribe,
    ) -> impl Future<Output = Result<Subscription, RpcError>> + Send;
}

/// Serves clients until `stop` is cancelled, then removes the socket and returns. Each client is a task on `tracker`.
/// It ends soon after `stop`: a running request still gets its answer if that comes within 2 s.
pub async fn serve<H: Handler>(
    endpoint: Endpoint,
    handler: Arc<H>,
    tracker: TaskTracker,
    stop: CancellationToken,
) {
    let part = CancellationToken::new();
    stop.run_until_cancelled(accept_all(&endpoint, &handler, &tracker, &part))
        .await;
    // In this order, since a client that sees its connection end may start the next daemon at once.
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
    let clients = Arc::<Clients>::default();
    loop {
        match accept(endpoint, &reserve).await {
            Ok(stream) => {
                let place = Arc::clone(&places).try_acquire_owned().ok();
                let attended = attend(
                    stream,
                    Arc::clone(handler),
                    place,
                    part.clone(),
                    Arc::clone(&clients),
                );
                let reserve = Arc::clone(&reserve);
                tracker.spawn(async move {
                    attended.await;
                    reserve.refill();
                });
            }
            // Most likely there is no descriptor left, so release one of the reserve.
            Err(_) if reserve.give_up() => {}
            Err(fault) => {
                tracing::warn!(%fault, "cannot accept a client on the local socket; if this continues, raise the limit of open files");
                sleep(ACCEPT_PAUSE).await;
                reserve.refill();
            }
        }
    }
}

/// The next client. While the reserve is not full, tries now and then to fill it.
async fn accept(endpoint: &Endpoint, reserve: &Reserve) -> io::Result<Stream> {
    let accepted = endpoint.listener().accept();
    tokio::pin!(accepted);
    loop {
        tokio::select! {
            accepted = &mut accepted => return accepted.map(Stream::from),
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
    clients: Arc<Clients>,
) {
    let refusal = refusal(&stream, place.is_some());
    let mut conversation = Conversation {
        peer: Peer::of(&stream),
        clients,
        answers_prompts: peer::may_answer_prompts(peer::uid(&stream), peer::own_uid()),
        lines: wire::framed(stream, wire::MAX_REQUEST_LINE),
        stop: stop.clone(),
    };
    let ended = async {
        match refusal {
            Some(error) => conversation.refuse(error).await,
            None => conversation.serve(&*handler).await,
        }
    };
    let end = async {
        stop.cancelled().await;
        sleep(DRAIN).await;
    };
    tokio::select! {
        biased;
        // Whichever side ended the connection, there is nobody left to report it to.
        _ = ended => {}
        () = end => {}
    }
}

/// Why the daemon does not admit a client: too many clients, or a process of another user, which can only have passed
/// the file's mode with a descriptor from another process.
fn refusal(stream: &Stream, has_place: bool) -> Option<RpcError> {
    if !has_place {
        let message = format!(
            "the daemon already serves {MAX_CLIENTS} clients: disconnect one and try again"
        );
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

/// The connection is over: the client left or sent an unreadable line, or the daemon is stopping.
struct Over;

/// Input from a client.
enum Incoming {
    /// A request, or a line that is not a request.
    Line(Result<Call, RpcError>),
    /// A line whose end cannot be found.
    Broken(RpcError),
    /// No more lines: the client sends no more, or the daemon is stopping.
    End,
}

/// A connected client.
struct Conversation {
    peer: Peer,
    clients: Arc<Clients>,
    lines: FramedStream,
    /// Whether it may send requests about prompts.
    answers_prompts: bool,
    stop: CancellationToken,
}

impl Conversation {
    async fn serve<H: Handler>(&mut self, handler: &H) -> Result<(), Over> {
        let build = self.greet().await?;
        let present = self.clients.arrived(self.peer.clone(), &build);
        let kept = handler.arrived();
        let mut calls = FuturesUnordered::new();
        let mut sends_more = true;
        let mut events: BoxStream<'static, Event> = stream::pending().boxed();
        let mut subscribed = None;
        while sends_more || !calls.is_empty() {
            tokio::select! {
                biased;
                Some((id, Done { outcome, subscription })) = calls.next() => {
                    self.answer(id, outcome).await?;
                    if let Some(subscription) = subscription {
                        events = subscription;
                        subscribed.get_or_insert_with(|| present.waits_for(Subscribe::NAME));
                    }
                }
                () = present.disconnected() => return Err(Over),
                incoming = self.incoming(), if sends_more => match incoming {
                    Incoming::Line(Ok(call)) => {
                        let permitted = self.permitted(&call, calls.len());
                        calls.push(carry_out(handler, &kept, &present, call, permitted));
                    }
                    Incoming::Line(Err(error)) => self.refuse(error).await?,
                    Incoming::Broken(error) => return self.refuse(error).await,
                    Incoming::End => {
                        handler.left(&kept);
                        sends_more = false;
                    }
                },
                // Last, so that a subscriber's requests do not wait for its events.
                Some(event) = events.next(), if sends_more => self.notify(event).await?,
            }
        }
        Ok(())
    }

    fn permitted(&self, call: &Call, in_hand: usize) -> Result<(), RpcError> {
        if in_hand >= MAX_CALLS {
            let message = format!(
                "{MAX_CALLS} requests of this connection have no answer yet: wait for one before the next request"
            );
            return Err(RpcError::new(ErrorCode::LimitReached, message));
        }
        if PromptRequest::METHODS.contains(&call.method.as_str()) && !self.answers_prompts {
            let message = "only the user who runs the daemon may answer its prompts: run the command as that user";
            return Err(RpcError::new(ErrorCode::Denied, message));
        }
        Ok(())
    }

    /// Expects `hello`, and returns the version of the client's build. A client that sends something else, or has another version, gets an error and is disconnected.
    async fn greet(&mut self) -> Result<String, Over> {
        let first = timeout(HELLO_TIMEOUT, self.incoming()).await;
        let (id, outcome) = match first.map_err(|_| Over)? {
            Incoming::Line(Ok(call)) => (call.id.clone(), hello(call)),
            Incoming::Line(Err(error)) | Incoming::Broken(error) => {
                return self.refuse(error).await.and(Err(Over));
            }
            Incoming::End => return Err(Over),
        };
        let (outcome, build) = match outcome {
            Ok((reply, build)) => (Ok(reply), Ok(build)),
            Err(error) => (Err(error), Err(Over)),
        };
        self.answer(id, outcome).await?;
        build
    }

    /// Cancel-safe: dropping it while it waits loses nothing.
    async fn incoming(&mut self) -> Incoming {
        let next = self.stop.run_until_cancelled(self.lines.next()).await;
        let message = match next.flatten() {
            // The line can contain a secret.
            Some(Ok(line)) => return Incoming::Line(Call::parse(&Zeroizing::new(line))),
            Some(Err(LinesCodecError::MaxLineLengthExceeded)) => {
                format!(
                    "the line is too long: send at most {} bytes",
                    wire::MAX_REQUEST_LINE
                )
            }
            Some(Err(LinesCodecError::Io(fault))) if fault.kind() == io::ErrorKind::InvalidData => {
                "the line is not UTF-8".to_owned()
            }
            Some(Err(LinesCodecError::Io(_))) | None => return Incoming::End,
        };
        Incoming::Broken(RpcError::new(ErrorCode::Parse, message))
    }

    /// Answers a request. A notification gets no answer, not even an error (JSON-RPC 2.0, section 4.1).
    async fn answer<T: Serialize>(
        &mut self,
        id: Option<Id>,
        outcome: Result<T, RpcError>,
    ) -> Result<(), Over> {
        match id {
            Some(_) => self.send(&Response::new(id, outcome)).await,
            None => Ok(()),
        }
    }

    /// Answers a line whose id is unknown.
    async fn refuse(&mut self, error: RpcError) -> Result<(), Over> {
        self.send(&Response::new(None, Err::<(), _>(error))).await
    }

    /// Sends an event. A subscriber that does not read loses its connection, and with it its events.
    async fn notify(&mut self, event: Event) -> Result<(), Over> {
        let number = event.number;
        let sent = self.send(&Notification::of(event)).await;
        if sent.is_err() {
            tracing::info!(
                event = number,
                "disconnected a subscriber of events that does not read them"
            );
        }
        sent
    }

    async fn send(&mut self, message: &impl Serialize) -> Result<(), Over> {
        let line = serde_json::to_string(message).map_err(|_| Over)?;
        let sent = timeout(WRITE_TIMEOUT, self.lines.send(line)).await;
        sent.map_err(|_| Over)?.map_err(|_| Over)
    }
}

/// What a call has led to.
struct Done {
    outcome: RawReply,
    /// What follows the answer.
    subscription: Option<BoxStream<'static, Event>>,
}

/// The outcome of a call, and the id of its answer.
async fn carry_out<H: Handler>(
    handler: &H,
    kept: &H::Client,
    present: &Present,
    call: Call,
    permitted: Result<(), RpcError>,
) -> (Option<Id>, Done) {
    let Call {
        id, method, params, ..
    } = call;
    let mut subscription = None;
    let outcome = async {
        permitted?;
        let _waiting = known(&method).map(|method| present.waits_for(method));
        if method == Subscribe::NAME {
            let (answer, events) = handler.subscribe(parse_params(params)?).await?;
            subscription = Some(events);
            return serde_json::to_value(answer).map_err(RpcError::internal);
        }
        let (reply, outcome) = oneshot::channel();
        if PromptRequest::METHODS.contains(&method.as_str()) {
            let request = PromptRequest::parse(&method, params, reply)?;
            handler.prompt_request(kept, request).await;
        } else if ClientRequest::METHODS.contains(&method.as_str()) {
            let request = ClientRequest::parse(&method, params, reply)?;
            present.clients().answer(request);
        } else {
            let request = Request::parse(&method, params, reply)?;
            handler.request(kept, request).await;
        }
        let ending = |_| RpcError::new(ErrorCode::ShuttingDown, "the broker is stopping");
        outcome.await.map_err(ending)?
    };
    let outcome = outcome.await;
    let done = Done {
        outcome,
        subscription,
    };
    (id, done)
}

/// The name of a method that exists.
fn known(method: &str) -> Option<&'static str> {
    let all = [Request::METHODS, PromptRequest::METHODS];
    all.into_iter().flatten().copied().find(|it| *it == method)
}

/// Checks that the two ends speak the same version. The result has the version of the client's build.
fn hello(call: Call) -> Result<(HelloReply, String), RpcError> {
    if call.method != Hello::NAME {
        let message = format!("the first request must be \"{}\"", Hello::NAME);
        return Err(RpcError::new(ErrorCode::HelloRequired, message));
    }
    let hello: Hello = parse_params(call.params)?;
    if hello.protocol != PROTOCOL {
        let message = format!(
            "the client uses version {} of the interface, and this daemon ({BUILD}) version {PROTOCOL}: \
 use both programs from the same release",
            hello.protocol
        );
        return Err(RpcError::new(ErrorCode::ProtocolMismatch, message));
    }
    let reply = HelloReply {
        protocol: PROTOCOL,
        build: BUILD.into(),
        pid: std::process::id(),
        instance: instance().to_owned(),
    };
    Ok((reply, hello.build))
}
