//! Streams whose bytes pass unchanged: a TCP tunnel beside `ssh -L`, and a SOCKS tunnel beside `ssh -D`

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use testkit::profile::Tunnel;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Run;
use super::answers::{milliseconds, ssh_to_greeting};
use super::figure::{Aim, Figure, summary};
use super::peers::{Forwarder, free_addr};
use super::transfers::{GIB, MIB};
use super::usage::cpu_seconds;

/// Connections that one warm sample is the median of.
const WARM: usize = 20;
/// Short connections of one sample, so many of them at a time, and the bytes of each.
const SHORT: usize = 400;
const AT_ONCE: usize = 8;
const SHORT_BYTES: u64 = 10 << 10;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Tcp,
    Socks,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP tunnel",
            Self::Socks => "SOCKS tunnel",
        }
    }

    fn comparison(self) -> &'static str {
        match self {
            Self::Tcp => "`ssh -L`",
            Self::Socks => "`ssh -D`",
        }
    }

    fn tunnel(self, target: SocketAddr) -> Tunnel {
        match self {
            Self::Tcp => Tunnel::tcp(target),
            // No target has this port, so none is taken for an FTP server.
            Self::Socks => Tunnel::socks(SocketAddr::new(target.ip(), 1)),
        }
    }
}

/// One stream, and many short ones.
pub(super) async fn streams(run: &Run<'_>, kind: Kind) -> Result<Vec<Figure>> {
    let name = kind.name();
    let figure = |what: &str, unit, aim| {
        Figure::against(kind.comparison(), &format!("{what}, {name}"), unit, aim)
    };
    let mut rate = figure("one stream", "MiB/s", Some(Aim::RatioAtLeast(1.0)));
    let mut cpu = figure("processor time of one stream", "s/GiB", None);
    let mut warm = figure(
        "first byte of a connection, warm",
        "ms",
        Some(Aim::RatioAtMost(1.0)),
    );
    let what = format!(
        "{SHORT} connections of {} KiB, {AT_ONCE} at once",
        SHORT_BYTES >> 10
    );
    let mut short = figure(&what, "s", Some(Aim::RatioAtMost(1.0)));
    let source = Source::start().await?;
    let (broker, ssh) = sides(run, kind, source.addr).await?;
    for side in [&broker, &ssh] {
        side.fetch(run.size).await?;
        side.fetch_many().await?;
    }
    for _ in 0..run.pairs {
        let (a, b) = (
            broker.one_stream(run.size).await?,
            ssh.one_stream(run.size).await?,
        );
        rate.pair(a.rate, b.rate);
        cpu.pair(a.cpu, b.cpu);
        warm.pair(broker.warm().await?, ssh.warm().await?);
        short.pair(broker.fetch_many().await?, ssh.fetch_many().await?);
    }
    Ok(vec![rate, cpu, cold(run, kind).await?, warm, short])
}

/// The first byte through a daemon without an SSH connection.
async fn cold(run: &Run<'_>, kind: Kind) -> Result<Figure> {
    let mut cold = Figure::against(
        "`ssh -W`",
        &format!("first byte of a connection, cold, {}", kind.name()),
        "ms",
        Some(Aim::RatioAtMost(1.0)),
    );
    let target = run.peers.ftp();
    for _ in 0..run.pairs {
        let forwarder = run.peers.broker_with(kind.tunnel(target), 1).await?;
        let daemon = Side {
            forwarder,
            kind,
            target,
        };
        let began = Instant::now();
        daemon.connect().await?.read_u8().await?;
        cold.pair(milliseconds(began), ssh_to_greeting(run).await?);
    }
    Ok(cold)
}

/// A forwarder, and how its clients reach the target.
struct Side {
    forwarder: Forwarder,
    kind: Kind,
    target: SocketAddr,
}

/// The daemon and `ssh`, both straight to sshd.
async fn sides(run: &Run<'_>, kind: Kind, target: SocketAddr) -> Result<(Side, Side)> {
    let listen = free_addr()?;
    let forward = match kind {
        Kind::Tcp => ["-L".to_owned(), format!("{listen}:{target}")],
        Kind::Socks => ["-D".to_owned(), listen.to_string()],
    };
    let broker = run.peers.broker_with(kind.tunnel(target), 1).await?;
    let ssh = run.peers.ssh_with(&forward, listen).await?;
    let side = |forwarder| Side {
        forwarder,
        kind,
        target,
    };
    Ok((side(broker), side(ssh)))
}

struct Stream {
    rate: f64,
    cpu: f64,
}

impl Side {
    async fn connect(&self) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(self.forwarder.listen).await?;
        stream.set_nodelay(true)?;
        if self.kind == Kind::Socks {
            ask(&mut stream, self.target).await?;
        }
        Ok(stream)
    }

    /// Fetches so many bytes, and returns the milliseconds to the first one.
    async fn fetch(&self, bytes: u64) -> Result<f64> {
        let began = Instant::now();
        let mut stream = self.connect().await?;
        stream.write_u64(bytes).await?;
        stream.read_u8().await?;
        let first = milliseconds(began);
        let mut buffer = vec![0; 256 << 10];
        let mut fetched = 1;
        loop {
            match stream.read(&mut buffer).await? {
                0 => break,
                some => fetched += some as u64,
            }
        }
        ensure!(fetched == bytes, "{fetched} bytes of {bytes} came");
        Ok(first)
    }

    async fn one_stream(&self, bytes: u64) -> Result<Stream> {
        let size = bytes as f64;
        let before = cpu_seconds(self.forwarder.pid())?;
        let began = Instant::now();
        self.fetch(bytes).await?;
        let seconds = began.elapsed().as_secs_f64();
        let used = cpu_seconds(self.forwarder.pid())? - before;
        Ok(Stream {
            rate: size / MIB / seconds,
            cpu: used / size * GIB,
        })
    }

    async fn warm(&self) -> Result<f64> {
        let mut taken = Vec::new();
        for _ in 0..WARM {
            taken.push(self.fetch(1).await?);
        }
        Ok(summary(&taken).median)
    }

    /// Seconds that short connections take together.
    async fn fetch_many(&self) -> Result<f64> {
        let began = Instant::now();
        let some = async || {
            for _ in 0..SHORT / AT_ONCE {
                self.fetch(SHORT_BYTES).await?;
            }
            Ok::<_, anyhow::Error>(())
        };
        futures::future::try_join_all((0..AT_ONCE).map(|_| some())).await?;
        Ok(began.elapsed().as_secs_f64())
    }
}

/// Asks for a connection by SOCKS 5.
async fn ask(stream: &mut TcpStream, target: SocketAddr) -> Result<()> {
    let SocketAddr::V4(target) = target else {
        anyhow::bail!("the target has no IPv4 address");
    };
    stream.write_all(&[5, 1, 0]).await?;
    let mut method = [0; 2];
    stream.read_exact(&mut method).await?;
    let mut request = vec![5, 1, 0, 1];
    request.extend(target.ip().octets());
    request.extend(target.port().to_be_bytes());
    stream.write_all(&request).await?;
    let mut answer = [0; 10];
    stream.read_exact(&mut answer).await.context("no answer")?;
    ensure!(answer.starts_with(&[5, 0]), "refused: {answer:?}");
    Ok(())
}

/// A server that sends as many bytes as each client asks for, and closes.
struct Source {
    addr: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Source {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut clients = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                clients.spawn(serve(client));
                while clients.try_join_next().is_some() {}
            }
        });
        let _tasks = tasks;
        Ok(Self { addr, _tasks })
    }
}

async fn serve(mut client: TcpStream) {
    let data = vec![b'x'; 256 << 10];
    let Ok(mut left) = client.read_u64().await else {
        return;
    };
    while left > 0 {
        let next = usize::try_from(left).unwrap_or(usize::MAX).min(data.len());
        match client.write_all(data.get(..next).unwrap_or_default()).await {
            Ok(()) => left -= next as u64,
            Err(_) => return,
        }
    }
    // The client may already have closed its end.
    let _ = client.shutdown().await;
}
