//! Global requests of one connection (RFC 4254 section 4): sent in order, answered in order
//!
//! An answer names no request: it belongs to the oldest unanswered one. Some servers ignore a request that they do not
//! know, and then every later answer would be matched to the request before. So one task sends all requests, and knows
//! which ones will never have an answer.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes};
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::handler::SshHandle;
use crate::state::ConnectionState;

/// Requests that wait to be sent. Each takes microseconds, so a full queue only delays.
const QUEUE: usize = 16;

/// Requests without an answer; the next one waits until there are fewer. A connection has a few listeners, each of which
/// is requested and cancelled, and some liveness checks.
const MAX_UNANSWERED: usize = 64;

/// The server's answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RequestReply {
    /// The server agrees; the data depends on the request.
    Granted(Bytes),
    /// The server refuses.
    Refused,
}

/// Sends requests to one connection's server. Clones share the connection.
#[derive(Debug, Clone)]
pub(crate) struct Requests(mpsc::Sender<Request>);

/// A request whose answer is pending. As a future it returns the answer; `None`: the connection has ended.
#[derive(Debug)]
pub(crate) struct PendingReply {
    answer: oneshot::Receiver<RequestReply>,
    passed_over: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Request {
    name: &'static str,
    data: Vec<u8>,
    waiting: Waiting,
}

#[derive(Debug)]
struct Waiting {
    reply: oneshot::Sender<RequestReply>,
    passed_over: Arc<AtomicBool>,
}

impl Requests {
    /// Starts to send requests over `session`, until it ends or all clones are dropped.
    pub(crate) fn start(
        handle: Arc<SshHandle>,
        state: &ConnectionState,
        tracker: &TaskTracker,
    ) -> Self {
        let (requests, queue) = mpsc::channel(QUEUE);
        let closed = state.closed.clone();
        let asking = async move {
            closed
                .run_until_cancelled(ask_in_order(handle, queue))
                .await
        };
        tracker.spawn_on(asking, &state.runtime);
        Self(requests)
    }

    /// Sends a request that the server should answer.
    pub(crate) async fn ask(&self, name: &'static str, data: Vec<u8>) -> PendingReply {
        let (reply, answer) = oneshot::channel();
        let passed_over = Arc::<AtomicBool>::default();
        let waiting = Waiting {
            reply,
            passed_over: Arc::clone(&passed_over),
        };
        // If the connection has ended, the answer says so.
        let _ = self
            .0
            .send(Request {
                name,
                data,
                waiting,
            })
            .await;
        PendingReply {
            answer,
            passed_over,
        }
    }

    /// Asks the server to listen on an address and a port; 0 lets the server choose.
    pub(crate) async fn listen(&self, bind: &str, port: u16) -> PendingReply {
        self.ask("tcpip-forward", address(bind, port)).await
    }

    /// Asks the server to stop listening there.
    pub(crate) async fn cancel(&self, bind: &str, port: u16) -> PendingReply {
        let data = address(bind, port);
        self.ask("cancel-tcpip-forward", data).await
    }
}

impl PendingReply {
    /// The server has answered a later request, so this one gets no answer.
    pub(crate) fn pass_over(self) {
        self.passed_over.store(true, Ordering::Release);
    }
}

impl Future for PendingReply {
    type Output = Option<RequestReply>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(cx).map(Result::ok)
    }
}

async fn ask_in_order(handle: Arc<SshHandle>, mut queue: mpsc::Receiver<Request>) {
    let mut answers = FuturesOrdered::new();
    let mut waiting = VecDeque::new();
    loop {
        tokio::select! {
            biased;
            Some(answer) = answers.next(), if !answers.is_empty() => match answer {
                Some(answer) => deliver(answer, &mut waiting),
                None => return,
            },
            request = queue.recv(), if waiting.len() < MAX_UNANSWERED => match request {
                Some(request) => {
                    waiting.push_back(request.waiting);
                    answers.push_back(send(Arc::clone(&handle), request.name, request.data));
                }
                None => return,
            },
        }
    }
}

/// Gives an answer to the oldest request that can have one.
fn deliver(answer: RequestReply, waiting: &mut VecDeque<Waiting>) {
    while let Some(oldest) = waiting.pop_front() {
        if !oldest.passed_over.load(Ordering::Acquire) {
            // The requester may have gone.
            let _ = oldest.reply.send(answer);
            return;
        }
    }
}

/// The server's answer; `None`: the session has ended.
async fn send(handle: Arc<SshHandle>, name: &'static str, data: Vec<u8>) -> Option<RequestReply> {
    match handle.send_global_request(name, &data, true).await {
        Ok(data) => {
            let data = data.map(|data| Bytes::copy_from_slice(&data));
            Some(RequestReply::Granted(data.unwrap_or_default()))
        }
        Err(russh::Error::RequestDenied) => Some(RequestReply::Refused),
        Err(_) => None,
    }
}

/// An address and a port in their wire format (RFC 4254 section 7.1).
fn address(bind: &str, port: u16) -> Vec<u8> {
    let mut data = Vec::new();
    data.put_u32(u32::try_from(bind.len()).unwrap_or(u32::MAX));
    data.put_slice(bind.as_bytes());
    data.put_u32(u32::from(port));
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_skips_requests_that_will_have_none() {
        let mut waiting = VecDeque::new();
        let mut ask = || {
            let (reply, answer) = oneshot::channel();
            let passed_over = Arc::<AtomicBool>::default();
            waiting.push_back(Waiting {
                reply,
                passed_over: Arc::clone(&passed_over),
            });
            PendingReply {
                answer,
                passed_over,
            }
        };
        let (unknown, mut known) = (ask(), ask());
        unknown.pass_over();
        deliver(RequestReply::Refused, &mut waiting);
        assert_eq!(known.answer.try_recv(), Ok(RequestReply::Refused));
        assert!(waiting.is_empty());
    }

    #[test]
    fn an_address_goes_over_the_wire_as_text_and_number() {
        assert_eq!(address("::1", 258), b"\0\0\0\x03::1\0\0\x01\x02");
    }
}
