//! The hosts of a measurement: a network namespace for the broker and its clients, and one more for servers far away

use std::future::Future;

use anyhow::{Context, Result, ensure};
use testkit::line::{Line, LineOptions};
use testkit::netns::{self, Netns};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

/// What most users' kernels use. BBR paces loopback connections too, which halves what they carry.
pub(super) const CONGESTION_CONTROL: &str = "cubic";

/// The sizes of socket buffers that Linux chooses itself since 6.16: least, first and most bytes.
const RECEIVE_BUFFER: &str = "4096 131072 33554432";
const SEND_BUFFER: &str = "4096 16384 4194304";
/// A server that is set up for long lines may have this much under way on one connection.
const LONG_SEND_BUFFER: &str = "4096 16384 67108864";

/// The host of the broker, its clients and, in most rows, the servers.
pub(super) struct Host(Netns);

impl Host {
    /// Makes it.
    ///
    /// # Errors
    /// When this user may not, or the kernel has no CUBIC.
    pub(super) fn make() -> Result<Self> {
        netns::available().map_err(|reason| {
            anyhow::anyhow!("the benchmark measures in network namespaces: {reason}")
        })?;
        let host = Netns::create()?;
        set_up(&host)?;
        Ok(Self(host))
    }

    /// Runs `work` there: its sockets and processes are the host's. A signal that would end this program ends `work`, and
    /// with it all that it has started.
    ///
    /// # Errors
    /// When `work` fails or is interrupted.
    pub(super) fn run<T: Send>(&self, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        // Threads begin in the namespace of the thread that starts them.
        self.0.enter(|| {
            let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(async {
                tokio::select! {
                    done = work => done,
                    stopped = interrupted() => Err(stopped?),
                }
            })
        })?
    }

    /// Another host, at the far end of a line.
    ///
    /// # Errors
    /// When this user may not make the line; the message says what it takes.
    pub(super) fn far(&self, options: LineOptions) -> Result<(Netns, Line)> {
        let far = Netns::create()?;
        let line = Line::between(&self.0, &far, options)?;
        for end in [&self.0, &far] {
            set_up(end)?;
        }
        Ok((far, line))
    }
}

/// Lets a host have so much under way as one that is set up for long lines.
///
/// # Errors
/// When the kernel refuses it.
pub(super) fn prepare_for_long_lines(host: &Netns) -> Result<()> {
    host.set("ipv4/tcp_wmem", LONG_SEND_BUFFER)
}

/// Makes a namespace like a usual host.
fn set_up(host: &Netns) -> Result<()> {
    host.set("ipv4/tcp_rmem", RECEIVE_BUFFER)?;
    host.set("ipv4/tcp_wmem", SEND_BUFFER)?;
    host.choose_congestion_control(CONGESTION_CONTROL)
        .context("the benchmark needs CUBIC (modprobe tcp_cubic)")?;
    let chosen = host.congestion_control()?;
    ensure!(
        chosen == CONGESTION_CONTROL,
        "connections use {chosen} instead of {CONGESTION_CONTROL}: this kernel ignores the choice of a route"
    );
    Ok(())
}

/// Waits for a signal that asks this program to end.
async fn interrupted() -> Result<anyhow::Error> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        _ = hangup.recv() => (),
        _ = terminate.recv() => (),
    }
    Ok(anyhow::anyhow!("interrupted"))
}
