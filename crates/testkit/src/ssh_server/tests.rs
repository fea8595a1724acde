//! The SSH server against a russh client and against OpenSSH's.

use russh::client::{self, Handle};
use russh::keys::PrivateKeyWithHashAlg;
use russh::{ChannelMsg, Disconnect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::*;
use crate::openssh_client::{forward, free_port};
use crate::programs::SSH;

const LIMIT: Duration = Duration::from_secs(10);

struct Client {
    forwarded: mpsc::Sender<russh::Channel<client::Msg>>,
}

impl client::Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        _key: &russh::keys::PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        Ok(true)
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: russh::Channel<client::Msg>,
        _address: &str,
        _port: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: client::ChannelOpenHandle,
        _session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        self.forwarded.send(channel).await.unwrap();
        Ok(())
    }
}

struct Fixture {
    server: SshServer,
    client: Handle<Client>,
    forwarded: mpsc::Receiver<russh::Channel<client::Msg>>,
}

/// A server, and a client that has logged in with its key.
async fn logged_in() -> Fixture {
    let key = KeyPair::generate().unwrap();
    let server = SshServer::start(SshServerOptions {
        users: vec!["alice".to_owned()],
        authorized_keys: vec![key.public_openssh().unwrap()],
        ..SshServerOptions::default()
    })
    .await
    .unwrap();
    let (sender, forwarded) = mpsc::channel(10);
    let mut client = connect(&server, sender).await;
    let key = PrivateKeyWithHashAlg::new(Arc::new(key.private_key().clone()), None);
    let login = client.authenticate_publickey("alice", key).await.unwrap();
    assert!(login.success());
    Fixture {
        server,
        client,
        forwarded,
    }
}

async fn connect(
    server: &SshServer,
    forwarded: mpsc::Sender<russh::Channel<client::Msg>>,
) -> Handle<Client> {
    let config = Arc::new(client::Config::default());
    client::connect(config, server.addr(), Client { forwarded })
        .await
        .unwrap()
}

async fn target() -> (TcpListener, u32) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, u32::from(port))
}

/// Reads a channel until it ends: the bytes, and whether `Eof` came before `Close`.
async fn read_all(channel: &mut russh::Channel<client::Msg>) -> (Vec<u8>, bool) {
    let (mut bytes, mut eof) = (Vec::new(), false);
    loop {
        match channel.wait().await {
            Some(ChannelMsg::Data { data }) => bytes.extend_from_slice(&data),
            Some(ChannelMsg::Eof) => eof = true,
            Some(ChannelMsg::Close) | None => return (bytes, eof),
            Some(_) => {}
        }
    }
}

#[tokio::test]
async fn a_direct_channel_carries_bytes_and_both_half_closes() {
    let Fixture { server, client, .. } = logged_in().await;
    let (listener, port) = target().await;
    let opening = client.channel_open_direct_tcpip("127.0.0.1", port, "127.0.0.1", 1);
    let (channel, accepted) = tokio::join!(opening, listener.accept());
    let (mut channel, (mut stream, _)) = (channel.unwrap(), accepted.unwrap());

    channel.data_bytes("question").await.unwrap();
    channel.eof().await.unwrap();
    let mut question = String::new();
    stream.read_to_string(&mut question).await.unwrap();
    assert_eq!(question, "question");

    stream.write_all(&vec![9; 500_000]).await.unwrap();
    drop(stream);
    let (answer, eof) = read_all(&mut channel).await;
    assert_eq!((answer.len(), eof), (500_000, true));

    let seen = server
        .wait_for(LIMIT, |c| c.direct_active == 0)
        .await
        .unwrap();
    assert_eq!((seen.logins, seen.direct_opened), (1, 1));
}

#[tokio::test]
async fn a_reset_target_closes_the_channel_without_eof() {
    let f = logged_in().await;
    let (listener, port) = target().await;
    let opening = f
        .client
        .channel_open_direct_tcpip("127.0.0.1", port, "127.0.0.1", 1);
    let (channel, accepted) = tokio::join!(opening, listener.accept());
    let stream = accepted.unwrap().0;
    socket2::SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(stream);
    let (_, eof) = read_all(&mut channel.unwrap()).await;
    assert!(!eof);
}

#[tokio::test]
async fn a_target_that_does_not_answer_is_refused_and_the_session_goes_on() {
    let Fixture { server, client, .. } = logged_in().await;
    // Bound and not listening, so that nobody else gets the port.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = u32::from(socket.local_addr().unwrap().port());
    for _ in 0..2 {
        let refused = client.channel_open_direct_tcpip("127.0.0.1", port, "127.0.0.1", 1);
        assert!(refused.await.is_err());
    }
    assert_eq!(server.counters().direct_refused, 2);
}

#[tokio::test]
async fn a_forward_listens_until_it_is_cancelled() {
    let mut f = logged_in().await;
    let port = f.client.tcpip_forward("127.0.0.1", 0).await.unwrap();
    assert_eq!(f.server.counters().forwards_active, 1);
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port).unwrap()));
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    stream.shutdown().await.unwrap();

    let mut channel = f.forwarded.recv().await.unwrap();
    channel.data_bytes("bye").await.unwrap();
    channel.eof().await.unwrap();
    assert_eq!(read_all(&mut channel).await, (b"hello".to_vec(), true));
    let mut bye = String::new();
    stream.read_to_string(&mut bye).await.unwrap();
    assert_eq!(bye, "bye");

    f.client
        .cancel_tcpip_forward("127.0.0.1", port)
        .await
        .unwrap();
    let seen = f
        .server
        .wait_for(LIMIT, |c| c.forwards_active == 0)
        .await
        .unwrap();
    assert_eq!((seen.forwards_granted, seen.forwards_cancelled), (1, 1));
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn policy_refuses_channels_and_forwards() {
    let Fixture { server, client, .. } = logged_in().await;
    server.set_allow_local_forward(false);
    server.set_allow_remote_forward(false);
    let (_listener, port) = target().await;
    let channel = client.channel_open_direct_tcpip("127.0.0.1", port, "127.0.0.1", 1);
    assert!(channel.await.is_err());
    assert!(client.tcpip_forward("127.0.0.1", 0).await.is_err());
    let seen = server.counters();
    assert_eq!((seen.direct_refused, seen.forwards_refused), (1, 1));
}

#[tokio::test]
async fn a_wrong_user_key_or_password_is_refused() {
    let server = SshServer::start(SshServerOptions {
        users: vec!["alice".to_owned()],
        password: Some("right".to_owned()),
        ..SshServerOptions::default()
    })
    .await
    .unwrap();
    let mut client = connect(&server, mpsc::channel(1).0).await;
    let wrong = client
        .authenticate_password("alice", "wrong")
        .await
        .unwrap();
    assert!(!wrong.success());
    let stranger = KeyPair::generate().unwrap();
    let key = PrivateKeyWithHashAlg::new(Arc::new(stranger.private_key().clone()), None);
    assert!(
        !client
            .authenticate_publickey("alice", key)
            .await
            .unwrap()
            .success()
    );
    let right = client
        .authenticate_password("alice", "right")
        .await
        .unwrap();
    assert!(right.success());
    let seen = server.counters();
    assert_eq!((seen.logins_refused, seen.logins), (2, 1));
    client
        .disconnect(Disconnect::ByApplication, "", "")
        .await
        .unwrap();
    server
        .wait_for(LIMIT, |c| c.connections_open == 0)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_killed_connection_ends_its_channels_and_forwards() {
    let Fixture { server, client, .. } = logged_in().await;
    let (listener, port) = target().await;
    let opening = client.channel_open_direct_tcpip("127.0.0.1", port, "127.0.0.1", 1);
    let (channel, accepted) = tokio::join!(opening, listener.accept());
    client.tcpip_forward("127.0.0.1", 0).await.unwrap();

    assert_eq!(server.connections(), [0]);
    assert!(server.kill_connection(0));
    assert!(!server.kill_connection(0));
    let (_, eof) = read_all(&mut channel.unwrap()).await;
    assert!(!eof);
    // As OpenSSH does, the target sees an orderly end.
    let mut rest = Vec::new();
    accepted.unwrap().0.read_to_end(&mut rest).await.unwrap();
    let gone = |c: &SshCounters| c.direct_active + c.forwards_active + c.connections_open == 0;
    server.wait_for(LIMIT, gone).await.unwrap();
}

#[tokio::test]
async fn a_server_that_stops_accepting_keeps_its_connections() {
    let Fixture { server, client, .. } = logged_in().await;
    server.stop_accepting().await;
    assert!(TcpStream::connect(server.addr()).await.is_err());
    assert!(client.tcpip_forward("127.0.0.1", 0).await.is_ok());
}

#[tokio::test]
async fn openssh_forwards_both_ways() {
    if SSH.find().is_err() {
        return;
    }
    let key = KeyPair::generate().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let identity = key.write(directory.path(), "key").unwrap();
    let server = SshServer::start(SshServerOptions {
        authorized_keys: vec![key.public_openssh().unwrap()],
        ..SshServerOptions::default()
    })
    .await
    .unwrap();
    let (listener, port) = target().await;
    let (local, remote) = (free_port(), free_port());
    let forwards = [
        "-L".to_owned(),
        format!("127.0.0.1:{local}:127.0.0.1:{port}"),
        "-R".to_owned(),
        format!("127.0.0.1:{remote}:127.0.0.1:{port}"),
    ];
    let forwards = forwards.each_ref().map(String::as_str);
    let host_key = server.host_key_openssh().unwrap();
    let ssh = forward(server.addr(), &host_key, "me", &identity, &forwards).await;
    server
        .wait_for(LIMIT, |c| c.forwards_active == 1)
        .await
        .unwrap();

    for port in [local, remote] {
        let mut near = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        near.write_all(b"question").await.unwrap();
        near.shutdown().await.unwrap();
        let mut text = String::new();
        far.read_to_string(&mut text).await.unwrap();
        far.write_all(b" and answer").await.unwrap();
        drop(far);
        near.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "question and answer");
    }
    let seen = server.counters();
    assert_eq!((seen.direct_opened, seen.forwarded_opened), (1, 1));
    drop(ssh);
    let gone = |c: &SshCounters| c.forwards_active + c.connections_open == 0;
    server.wait_for(LIMIT, gone).await.unwrap();
}
