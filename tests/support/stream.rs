//! Clients of a tunnel that come one after the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, ensure};
use testkit::ftp_client::FtpClient;

use super::fixture::CONTENT;
use super::sockets::eventually;

/// Clients before, while and after something happens.
const CLIENTS: usize = 10;

/// A client that logs in, fetches the small file and leaves.
pub(crate) async fn fetches(tunnel: SocketAddr) -> anyhow::Result<()> {
    let mut ftp = FtpClient::login(tunnel).await?;
    ensure!(ftp.fetch("file").await? == CONTENT, "something else came");
    ftp.ask("QUIT", "221").await?;
    Ok(())
}

/// Clients that come one after the other until told to stop.
pub(crate) struct Stream {
    served: Arc<AtomicUsize>,
    enough: Arc<AtomicBool>,
    running: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Stream {
    /// Begins with the first client.
    pub(crate) fn start(tunnel: SocketAddr) -> Self {
        let (served, enough) = <(Arc<AtomicUsize>, Arc<AtomicBool>)>::default();
        let (counts, ends) = (served.clone(), enough.clone());
        let running = tokio_util::task::TaskTracker::new().spawn(async move {
            while !ends.load(Ordering::SeqCst) {
                fetches(tunnel).await.context("a client was not served")?;
                counts.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        });
        Self {
            served,
            enough,
            running,
        }
    }

    /// Waits until more clients have been served.
    pub(crate) async fn goes_on(&self) -> anyhow::Result<()> {
        let wanted = self.served.load(Ordering::SeqCst) + CLIENTS;
        let more = || self.running.is_finished() || self.served.load(Ordering::SeqCst) >= wanted;
        eventually("more clients are served", more).await
    }

    /// Lets the last client finish. Fails if one of them was not served.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        self.enough.store(true, Ordering::SeqCst);
        self.running.await?
    }
}
