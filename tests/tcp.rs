//! Plain TCP tunnels: bytes both ways, half-close, and a cut that looks like one.

use std::io::ErrorKind;
use std::net::SocketAddr;

use anyhow::ensure;
use libtest_mimic::Trial;
use testkit::broker::Broker;
use testkit::files::pattern;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::support::rig::{Embedded, SOON};
use crate::support::trial;

/// More than the buffers on the way hold.
const PAYLOAD: usize = 4 << 20;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("tcp::what_is_sent_comes_back_after_a_half_close", &[], echo),
        trial("tcp::a_lost_ssh_connection_resets_the_client", &[], cut),
        trial(
            "tcp::an_unreachable_destination_resets_the_client",
            &[],
            refused,
        ),
    ]
}

async fn echo() -> anyhow::Result<()> {
    let target = TcpListener::bind("127.0.0.1:0").await?;
    let (_ssh, _broker, tunnel) = tunnel(target.local_addr()?).await?;
    let sent = pattern(1, PAYLOAD);
    let mut client = TcpStream::connect(tunnel).await?;
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
    let (ssh, _broker, tunnel) = tunnel(target.local_addr()?).await?;
    let mut client = TcpStream::connect(tunnel).await?;
    let (mut server, _) = timeout(SOON, target.accept()).await??;
    server.write_all(b"half").await?;
    let mut half = [0; 4];
    timeout(SOON, client.read_exact(&mut half)).await??;
    ssh.ssh.kill_all();
    expect_reset(&mut client).await
}

async fn refused() -> anyhow::Result<()> {
    let gone = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let (_ssh, broker, tunnel) = tunnel(gone).await?;
    let mut client = TcpStream::connect(tunnel).await?;
    expect_reset(&mut client).await?;
    let told = format!("did not open a channel to {gone}");
    broker.process().wait_log(&told, SOON).await?;
    Ok(())
}

async fn tunnel(to: SocketAddr) -> anyhow::Result<(Embedded, Broker, SocketAddr)> {
    let ssh = Embedded::start().await?;
    let (host, port) = (to.ip(), to.port());
    let tunnel = format!(
        r#"<local-tunnel type="tcp" listen-port="0" dst-host="{host}" dst-port="{port}"/>"#
    );
    let broker = Broker::start(&ssh.login.config("", &tunnel), &[]).await?;
    let listens = broker.listener(0).await?;
    Ok((ssh, broker, listens))
}

async fn expect_reset(client: &mut TcpStream) -> anyhow::Result<()> {
    let ended = timeout(SOON, client.read(&mut [0; 1])).await?;
    let reset = matches!(&ended, Err(error) if error.kind() == ErrorKind::ConnectionReset);
    ensure!(reset, "the client saw {ended:?} and no reset");
    Ok(())
}
