//! One SSH connection as the server sees it: who logs in, which channels and forwards it gets.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use russh::keys::PublicKey;
use russh::server::{
    Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Response, VerifiedPublicKey,
};
use russh::{Channel, ChannelOpenFailure, MethodKind, MethodSet};
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::forward::{Forward, join};
use super::{Active, Asked, Shared};

/// Connections that may wait on a forwarded port; the default of most servers.
const FORWARD_BACKLOG: i32 = 128;

/// The handler of one connection; its methods run inside the connection's loop and so never wait for the network.
pub(super) struct SshSession {
    shared: Arc<Shared>,
    ended: CancellationToken,
    /// Listening forwards by the address and port of the request, each ended by its token.
    forwards: HashMap<(String, u32), CancellationToken>,
    /// The round of questions whose answers are to come.
    round: usize,
}

impl SshSession {
    pub(super) fn new(shared: Arc<Shared>, ended: CancellationToken) -> Self {
        Self {
            shared,
            ended,
            forwards: HashMap::new(),
            round: 0,
        }
    }

    fn login(&self, user: &str, proven: bool) -> Auth {
        let known = self.shared.users.is_empty() || self.shared.users.contains(user);
        if known && proven {
            self.shared.count(|c| c.logins += 1);
            Auth::Accept
        } else {
            self.shared.count(|c| c.logins_refused += 1);
            refusal()
        }
    }

    fn knows(&self, key: &PublicKey) -> bool {
        let mut known = self.shared.authorized_keys.iter();
        known.any(|known| known.key_data() == key.key_data())
    }

    /// Judges the answers to a round of questions, and asks the next.
    fn interact(&mut self, user: &str, answers: Option<Vec<Bytes>>) -> Auth {
        let rounds = &self.shared.interactive;
        let Some(answers) = answers else {
            self.round = 0;
            return rounds.first().map_or_else(refusal, |round| ask(round));
        };
        let asked = rounds
            .get(self.round)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let right = asked.iter().map(|asked| asked.answer.as_bytes());
        if !right.eq(answers.iter().map(Bytes::as_ref)) {
            return self.login(user, false);
        }
        self.round += 1;
        match rounds.get(self.round) {
            Some(next) => ask(next),
            None => self.login(user, true),
        }
    }

    /// Listens for a forward, and starts to hand its connections to the client.
    fn listen(
        &mut self,
        address: &str,
        port: &mut u32,
        session: &russh::server::Session,
    ) -> std::io::Result<()> {
        let listener = bind_forward(address, *port)?;
        let chosen = listener.local_addr()?.port();
        *port = u32::from(chosen);
        let cancelled = self.ended.child_token();
        self.shared.count(|c| {
            c.forwards_granted += 1;
            c.last_forward_port = chosen;
        });
        let forward = Forward {
            listener,
            address: address.to_owned(),
            port: *port,
            client: session.handle(),
            shared: Arc::clone(&self.shared),
            ended: self.ended.clone(),
            _active: Active::start(&self.shared, |c| &mut c.forwards_active),
        };
        let serve = forward.serve(cancelled.clone());
        self.forwards.insert((address.to_owned(), *port), cancelled);
        self.shared.tasks.spawn(serve);
        Ok(())
    }
}

/// Refuses, and lets any method be tried again, as OpenSSH does.
fn refusal() -> Auth {
    let methods = [
        MethodKind::PublicKey,
        MethodKind::Password,
        MethodKind::KeyboardInteractive,
    ];
    Auth::Reject {
        proceed_with_methods: Some(MethodSet::from(&methods[..])),
        partial_success: false,
    }
}

/// A round of questions as they go over the wire.
fn ask(round: &[Asked]) -> Auth {
    let prompts: Vec<_> = round
        .iter()
        .map(|asked| (Cow::Borrowed(asked.text), asked.echo))
        .collect();
    Auth::Partial {
        name: "A second look".into(),
        instructions: "Answer as you were told.".into(),
        prompts: prompts.into(),
    }
}

impl Handler for SshSession {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        let known = self.shared.password.as_deref() == Some(password);
        let used = known && self.shared.password_used.swap(true, Ordering::Relaxed);
        let proven = known && !(used && self.shared.one_time);
        Ok(self.login(user, proven))
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.interact(user, response.map(Iterator::collect)))
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(self.login(user, self.knows(key.public_key)))
    }

    /// A key that could not log in is refused before its owner signs with it, as OpenSSH does.
    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        if self.knows(offer.public_key) {
            return Ok(Auth::Accept);
        }
        Ok(self.login(user, false))
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut russh::server::Session,
    ) -> Result<(), Self::Error> {
        let shared = Arc::clone(&self.shared);
        let ended = self.ended.clone();
        let target = (host.to_owned(), port);
        let silent = self.shared.silent_opens.load(Ordering::Relaxed);
        self.shared.tasks.spawn(async move {
            if silent {
                // Dropping the reply would be an answer.
                ended.cancelled().await;
            }
            let open = open_direct(shared, channel, target, reply);
            ended.run_until_cancelled(open).await;
        });
        Ok(())
    }

    async fn tcpip_forward(
        &mut self,
        address: &str,
        port: &mut u32,
        session: &mut russh::server::Session,
    ) -> Result<bool, Self::Error> {
        let allowed = self.shared.allow_remote.load(Ordering::Relaxed);
        let room = self.shared.lasting_forwards;
        let room = room.is_none_or(|most| self.forwards.len() < most);
        let granted = allowed && room && self.listen(address, port, session).is_ok();
        if !granted {
            self.shared.count(|c| c.forwards_refused += 1);
        }
        Ok(granted)
    }

    async fn cancel_tcpip_forward(
        &mut self,
        address: &str,
        port: u32,
        _session: &mut russh::server::Session,
    ) -> Result<bool, Self::Error> {
        if self.shared.lasting_forwards.is_some() {
            return Ok(false);
        }
        let forward = self.forwards.remove(&(address.to_owned(), port));
        let known = forward.is_some();
        if let Some(cancelled) = forward {
            self.shared.count(|c| c.forwards_cancelled += 1);
            cancelled.cancel();
        }
        Ok(known)
    }
}

/// Connects to the target, answers the request with the outcome, and carries the bytes.
async fn open_direct(
    shared: Arc<Shared>,
    channel: Channel<Msg>,
    (host, port): (String, u32),
    reply: ChannelOpenHandle,
) {
    let prohibited = shared.only_localhost.is_some() && host != "localhost";
    let host = shared.only_localhost.map_or(host, |ip| ip.to_string());
    let refusal = if prohibited || !shared.allow_local.load(Ordering::Relaxed) {
        ChannelOpenFailure::AdministrativelyProhibited
    } else if let Some(stream) = connect(&host, port).await {
        reply.accept().await;
        shared.count(|c| c.direct_opened += 1);
        let _active = Active::start(&shared, |c| &mut c.direct_active);
        return join(stream, channel).await;
    } else {
        ChannelOpenFailure::ConnectFailed
    };
    shared.count(|c| c.direct_refused += 1);
    reply.reject(refusal).await;
}

async fn connect(host: &str, port: u32) -> Option<TcpStream> {
    let port = u16::try_from(port).ok()?;
    let stream = TcpStream::connect((host, port)).await.ok()?;
    stream.set_nodelay(true).ok()?;
    Some(stream)
}

/// Binds to loopback whatever address was asked for, as OpenSSH does without `GatewayPorts`.
fn bind_forward(address: &str, port: u32) -> std::io::Result<TcpListener> {
    let port = u16::try_from(port).map_err(std::io::Error::other)?;
    let (domain, ip) = match address.parse() {
        Ok(IpAddr::V6(_)) => (Domain::IPV6, IpAddr::from(Ipv6Addr::LOCALHOST)),
        Ok(IpAddr::V4(_)) | Err(_) => (Domain::IPV4, IpAddr::from(Ipv4Addr::LOCALHOST)),
    };
    let socket = Socket::new(domain, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(ip, port).into())?;
    socket.listen(FORWARD_BACKLOG)?;
    TcpListener::from_std(socket.into())
}
