//! Plain TCP tunnels: bytes both ways, half-close, and a cut that looks like one.

use std::io::ErrorKind;
use std::net::SocketAddr;

use anyhow::ensure;
use libtest_mimic::Trial;
use testkit::files::pattern;
use testkit::fixture::Fixture;
use testkit::profile::{Profile, Tunnel};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::support::fixture::{SOON, embedded};
use crate::support::trial;

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
    let gone = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let fixture = tunnel(gone).await?;
    let mut client = TcpStream::connect(fixture.tunnel).await?;
    expect_reset(&mut client).await?;
    let told = format!("did not open a channel to {gone}");
    fixture.broker.wait_log(&told, SOON).await
}

async fn tunnel(to: SocketAddr) -> anyhow::Result<Fixture> {
    let leads_there = move |mut profile: Profile| {
        profile.tunnels = vec![Tunnel::tcp(to)];
        profile
    };
    embedded().profile(leads_there).start().await
}

async fn expect_reset(client: &mut TcpStream) -> anyhow::Result<()> {
    let ended = timeout(SOON, client.read(&mut [0; 1])).await?;
    let reset = matches!(&ended, Err(error) if error.kind() == ErrorKind::ConnectionReset);
    ensure!(reset, "the client saw {ended:?} and no reset");
    Ok(())
}
