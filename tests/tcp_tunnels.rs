//! Plain TCP tunnels: bytes both ways, half-close, and a cut that looks like one.

use std::io::ErrorKind;
use std::net::SocketAddr;

use anyhow::ensure;
use libtest_mimic::Trial;
use testkit::files::pattern;
use testkit::fixture::Fixture;
use testkit::ftp_server::FtpServer;
use testkit::profile::{Profile, Tunnel};
use testkit::scripted::Conversation;
use testkit::sshd::{Sshd, SshdOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::fixture::{CONTENT, SOON, embedded};
use crate::support::sockets::closed_port;
use crate::support::{Need, trial};

const SSHD: &[Need] = &[Need::Program("sshd")];

/// Bulk copies, and as many data connections.
const COPIES: usize = 2;

/// FTP sessions beside them, one after the other.
const SESSIONS: usize = 3;

/// More than the buffers on the way hold.
const PAYLOAD: usize = 4 << 20;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "TCP tunnels: what is sent comes back after a half-close",
            &[],
            echo,
        ),
        trial(
            "TCP tunnels: a lost SSH connection resets the client",
            &[],
            cut,
        ),
        trial(
            "TCP tunnels: an unreachable destination resets the client",
            &[],
            refused,
        ),
        trial(
            "TCP tunnels: the destination ends its side first",
            SSHD,
            destination_ends_first,
        ),
        trial(
            "TCP tunnels: the last words of a destination that takes no more",
            SSHD,
            last_words,
        ),
        trial(
            "TCP tunnels: a client's reset ends the destination's connection",
            SSHD,
            client_resets,
        ),
        trial(
            "TCP tunnels: bulk copies do not hold up FTP sessions",
            SSHD,
            bulk_beside_sessions,
        ),
        trial(
            "TCP tunnels: a limit of sessions like that of FTP tunnels",
            &[],
            limited,
        ),
    ]
}

async fn echo() -> anyhow::Result<()> {
    let target = TcpListener::bind("127.0.0.1:0").await?;
    let fixture = tunnel(target.local_addr()?).await?;
    let sent = pattern(1, PAYLOAD);
    let mut client = TcpStream::connect(fixture.tunnel).await?;
    let (mut server, _) = timeout(SOON, target.accept()).await??;
    let (from_client, to_client) = server.split();
    // The server answers only once it has seen the client's end.
    let serve = async {
        let (mut read, mut write) = (from_client, to_client);
        let mut all = Vec::new();
        read.read_to_end(&mut all).await?;
        write.write_all(&all).await?;
        write.shutdown().await
    };
    let ask = async {
        client.write_all(&sent).await?;
        client.shutdown().await?;
        let mut all = Vec::new();
        client.read_to_end(&mut all).await?;
        Ok::<_, std::io::Error>(all)
    };
    let (back, served) = timeout(SOON, async { tokio::join!(ask, serve) }).await?;
    served?;
    ensure!(back? == sent, "what came back differs from what was sent");
    Ok(())
}

async fn cut() -> anyhow::Result<()> {
    let target = TcpListener::bind("127.0.0.1:0").await?;
    let fixture = tunnel(target.local_addr()?).await?;
    let mut client = TcpStream::connect(fixture.tunnel).await?;
    let (mut server, _) = timeout(SOON, target.accept()).await??;
    server.write_all(b"half").await?;
    let mut half = [0; 4];
    timeout(SOON, client.read_exact(&mut half)).await??;
    fixture.servers.ssh.kill_all();
    expect_reset(&mut client).await
}

async fn refused() -> anyhow::Result<()> {
    let gone = closed_port()?;
    let fixture = tunnel(gone).await?;
    let mut client = TcpStream::connect(fixture.tunnel).await?;
    expect_reset(&mut client).await?;
    let told = format!("did not open a channel to {gone}");
    fixture.broker.wait_log(&told, SOON).await
}

/// A client connected through sshd to a destination that the trial plays.
async fn through_sshd() -> anyhow::Result<(Fixture<Sshd, FtpServer>, TcpStream, TcpStream)> {
    let target = TcpListener::bind("127.0.0.1:0").await?;
    let builder = embedded().ssh(SshdOptions::default());
    let builder = builder.profile(only(Tunnel::tcp(target.local_addr()?)));
    let fixture = builder.start().await?;
    let client = TcpStream::connect(fixture.tunnel).await?;
    let (server, _) = timeout(SOON, target.accept()).await??;
    Ok((fixture, client, server))
}

async fn destination_ends_first() -> anyhow::Result<()> {
    let (_fixture, mut client, mut server) = through_sshd().await?;
    let (down, up) = (pattern(1, PAYLOAD), pattern(2, PAYLOAD));
    let serve = async {
        server.write_all(&down).await?;
        server.shutdown().await?;
        let mut all = Vec::new();
        server.read_to_end(&mut all).await?;
        Ok::<_, std::io::Error>(all)
    };
    // The client answers only once it has seen the destination's end.
    let answer = async {
        let mut all = Vec::new();
        client.read_to_end(&mut all).await?;
        client.write_all(&up).await?;
        client.shutdown().await?;
        Ok::<_, std::io::Error>(all)
    };
    let (received, read) = timeout(SOON, async { tokio::join!(serve, answer) }).await?;
    ensure!(
        read? == down && received? == up,
        "what came differs from what was sent"
    );
    Ok(())
}

/// As a web server answers a body that is too large.
async fn last_words() -> anyhow::Result<()> {
    let (_fixture, client, mut server) = through_sshd().await?;
    let (mut read, mut write) = client.into_split();
    let endless = async {
        let chunk = pattern(1, 1 << 16);
        while write.write_all(&chunk).await.is_ok() {}
    };
    let refuse = async {
        server.read_exact(&mut [0; 1000]).await?;
        server.write_all(b"too large").await?;
        drop(server);
        let mut words = [0; 9];
        read.read_exact(&mut words).await?;
        Ok::<_, std::io::Error>(words)
    };
    let (words, ()) = timeout(SOON, async { tokio::join!(refuse, endless) }).await?;
    ensure!(&words? == b"too large");
    Ok(())
}

/// SSH has no message for a reset, so the destination sees an end.
async fn client_resets() -> anyhow::Result<()> {
    let target = TcpListener::bind("127.0.0.1:0").await?;
    let builder = embedded().ssh(SshdOptions::default());
    let builder = builder.profile(only(Tunnel::tcp(target.local_addr()?)));
    let fixture = builder.start().await?;
    let mut client = Conversation::connect(fixture.tunnel).await?;
    let (mut server, _) = timeout(SOON, target.accept()).await??;
    client.send("half").await?;
    timeout(SOON, server.read_exact(&mut [0; 4])).await??;
    client.reset();
    let ended = timeout(SOON, server.read(&mut [0; 1])).await?;
    ensure!(matches!(ended, Ok(0)), "the destination saw {ended:?}");
    Ok(())
}

/// All data connections carry a copy each when the sessions come.
async fn bulk_beside_sessions() -> anyhow::Result<()> {
    let target = TcpListener::bind("127.0.0.1:0").await?;
    let to = target.local_addr()?;
    let with_copies = move |profile: Profile| profile.tunnel(Tunnel::tcp(to));
    let builder = embedded().ssh(SshdOptions::default());
    let builder = builder.settings(format!(r#"<connection-pool max-connections="{COPIES}"/>"#));
    let fixture = builder.profile(with_copies).start().await?;
    let listener = fixture.broker.listener(1).await?;
    let mut copies = JoinSet::new();
    for _ in 0..COPIES {
        let mut client = TcpStream::connect(listener).await?;
        let (mut server, _) = timeout(SOON, target.accept()).await??;
        copies.spawn(async move {
            let chunk = pattern(1, 1 << 16);
            while server.write_all(&chunk).await.is_ok() {}
        });
        copies.spawn(async move {
            let mut sink = tokio::io::sink();
            let _ = tokio::io::copy(&mut client, &mut sink).await;
        });
    }
    for _ in 0..SESSIONS {
        let session = async {
            let mut ftp = fixture.login().await?;
            ensure!(ftp.fetch("file").await? == CONTENT, "the file differs");
            Ok(())
        };
        timeout(SOON, session).await??;
    }
    ensure!(copies.try_join_next().is_none(), "a copy has ended");
    Ok(())
}

async fn limited() -> anyhow::Result<()> {
    let target = TcpListener::bind("127.0.0.1:0").await?;
    let one_client = Tunnel::tcp(target.local_addr()?).with(r#"max-sessions="1""#);
    let fixture = embedded().profile(only(one_client)).start().await?;
    let first = TcpStream::connect(fixture.tunnel).await?;
    let _served = timeout(SOON, target.accept()).await??;
    // The reset can be faster than the call that connects.
    if let Ok(mut second) = TcpStream::connect(fixture.tunnel).await {
        expect_reset(&mut second).await?;
    }
    drop(first);
    fixture
        .broker
        .wait_log("its max-sessions; try again later", SOON)
        .await
}

async fn tunnel(to: SocketAddr) -> anyhow::Result<Fixture> {
    embedded().profile(only(Tunnel::tcp(to))).start().await
}

/// A profile's one tunnel.
fn only(tunnel: Tunnel) -> impl FnOnce(Profile) -> Profile {
    |profile| Profile {
        tunnels: vec![tunnel],
        ..profile
    }
}

async fn expect_reset(client: &mut TcpStream) -> anyhow::Result<()> {
    let ended = timeout(SOON, client.read(&mut [0; 1])).await?;
    let reset = matches!(&ended, Err(error) if error.kind() == ErrorKind::ConnectionReset);
    ensure!(reset, "the client saw {ended:?} and no reset");
    Ok(())
}
