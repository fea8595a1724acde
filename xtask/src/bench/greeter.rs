//! An FTP server that lets everybody in and does nothing else: thousands of a real one's processes would be in the way

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use testkit::process::Process;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The chore of this program that is the server.
const CHORE: &str = "greeter";
/// Starting takes a fraction of a second.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// The server, a process of its own: with both ends of many sessions, one process would exceed its limit of open files.
/// Dropping it ends it.
pub(super) struct Greeter {
    pub(super) addr: SocketAddr,
    _process: Process,
}

impl Greeter {
    /// Starts it.
    ///
    /// # Errors
    /// When it does not say where it listens.
    pub(super) async fn start() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(CHORE);
        let process = Process::spawn(command, None)?;
        process.wait_stdout("\n", 1, READY_LIMIT).await?;
        let said = String::from_utf8_lossy(&process.stdout()).into_owned();
        let addr = said.trim().parse();
        Ok(Self {
            addr: addr.with_context(|| format!("the greeter says {said:?}"))?,
            _process: process,
        })
    }
}

/// Says where it listens, and serves.
///
/// # Errors
/// When it cannot listen or accept.
pub(crate) async fn serve() -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    let mut clients = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await?;
        clients.spawn(greet(client));
        while clients.try_join_next().is_some() {}
    }
}

async fn greet(mut client: TcpStream) {
    let mut words = [0; 256];
    let mut answer: &[u8] = b"220 ready\r\n";
    while client.write_all(answer).await.is_ok() {
        match client.read(&mut words).await {
            Ok(0) | Err(_) => return,
            Ok(_) => answer = b"230 welcome\r\n",
        }
    }
}
