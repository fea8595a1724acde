//! A line between two network namespaces that delays IP packets, limits their rate and loses some.
//!
//! A relay that delays bytes accepts connections at once and acknowledges what it has not delivered, which no line does.
//! Here each packet travels: handshakes, acknowledgements and congestion control are those of the kernel.

mod queue;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use tun_rs::{DeviceBuilder, SyncDevice};

use self::queue::Queue;
use crate::netns::{Netns, ip};

/// The largest packet that the kernel hands over: 64 KiB, and the header that says how to cut it.
const PACKET: usize = (64 << 10) + 64;

/// Packets read before those that are due go on, so that neither direction of work starves the other.
const READ_AT_ONCE: usize = 32;

/// The second and third byte of the addresses: a network that is kept for measurements (RFC 2544).
const MEASUREMENTS: [u8; 2] = [198, 18];

const NO_DEVICE: &str =
    "cannot make a TUN interface: it needs root and /dev/net/tun (modprobe tun)";

/// What a line is like, the same in both directions.
#[derive(Clone, Copy, Debug)]
pub struct LineOptions {
    /// How long a packet travels: half of the round trip.
    pub delay: Duration,
    /// Bits a second; none for as fast as this host can.
    pub rate: Option<u64>,
    /// The part of packets that is lost, from 0 to 1.
    pub loss: f64,
    /// Bytes that wait where the rate is exceeded. What comes then is lost, as in a router.
    pub queue: u64,
}

impl Default for LineOptions {
    /// As fast as this host, without loss. The queue holds 100 ms of 1 Gbit/s.
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            rate: None,
            loss: 0.0,
            queue: 12_500_000,
        }
    }
}

/// A line. Its end takes its interfaces away.
pub struct Line {
    near: Ipv4Addr,
    far: Ipv4Addr,
    /// Closed to end the threads.
    stop: Option<OwnedFd>,
    directions: Vec<JoinHandle<()>>,
}

impl Line {
    /// Joins two namespaces. Each reaches the other by the address of its end.
    ///
    /// # Errors
    /// When this user may not make interfaces, or `ip` is missing or fails; the message shows what it said.
    pub fn between(near: &Netns, far: &Netns, options: LineOptions) -> anyhow::Result<Self> {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let [first, second] = MEASUREMENTS;
        let address = |host| Ipv4Addr::new(first, second, number, host);
        let name = format!("line{number}");
        let (near_addr, far_addr) = (address(1), address(2));
        let near_end = end(near, &name, near_addr, far_addr, options)?;
        let far_end = end(far, &name, far_addr, near_addr, options)?;
        let (stopped, stop) = rustix::pipe::pipe().context("cannot make a pipe")?;
        let stopped = Arc::new(stopped);
        let carry = |from: &Arc<SyncDevice>, to: &Arc<SyncDevice>| {
            let direction = Direction {
                from: Arc::clone(from),
                to: Arc::clone(to),
                stopped: Arc::clone(&stopped),
                queue: Queue::new(options, Instant::now()),
            };
            thread::Builder::new()
                .name(name.clone())
                .spawn(move || direction.run())
        };
        let directions = vec![carry(&near_end, &far_end)?, carry(&far_end, &near_end)?];
        Ok(Self {
            near: near_addr,
            far: far_addr,
            stop: Some(stop),
            directions,
        })
    }

    /// The address of the first namespace.
    #[must_use]
    pub fn near(&self) -> IpAddr {
        self.near.into()
    }

    /// The address of the second namespace.
    #[must_use]
    pub fn far(&self) -> IpAddr {
        self.far.into()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.stop = None;
        for direction in self.directions.drain(..) {
            // A direction that has panicked carries nothing any more, which its users have seen.
            let _ = direction.join();
        }
    }
}

/// One end of a line in a namespace.
fn end(
    netns: &Netns,
    name: &str,
    own: Ipv4Addr,
    other: Ipv4Addr,
    options: LineOptions,
) -> anyhow::Result<Arc<SyncDevice>> {
    // Large packets are cut and joined by the kernel, as by a network card. Where each packet may be lost, each travels
    // alone.
    let large = options.loss == 0.0;
    let build = || DeviceBuilder::new().name(name).offload(large).build_sync();
    let device = netns.enter(build)?.context(NO_DEVICE)?;
    let inside = netns.name();
    ip(&format!(
        "-n {inside} addr add {own} peer {other} dev {name}"
    ))?;
    ip(&format!(
        "-n {inside} link set {name} up mtu 1500 txqueuelen 10000"
    ))?;
    let flags = rustix::fs::fcntl_getfl(&device)?;
    rustix::fs::fcntl_setfl(&device, flags | OFlags::NONBLOCK)?;
    Ok(Arc::new(device))
}

/// One direction of a line.
struct Direction {
    from: Arc<SyncDevice>,
    to: Arc<SyncDevice>,
    stopped: Arc<OwnedFd>,
    queue: Queue,
}

impl Direction {
    fn run(mut self) {
        let mut buffer = vec![0; PACKET];
        while self.wait() {
            self.take(&mut buffer);
            self.deliver();
        }
    }

    /// Waits for a packet, or until one is due. False at the end of the line.
    fn wait(&self) -> bool {
        let mut polled = [
            PollFd::new(&*self.from, PollFlags::IN),
            PollFd::new(&*self.stopped, PollFlags::IN),
        ];
        let until = self.queue.next_due();
        let pause = until.map(|due| due.saturating_duration_since(Instant::now()));
        let pause = pause.and_then(|pause| Timespec::try_from(pause).ok());
        match poll(&mut polled, pause.as_ref()) {
            Ok(_) | Err(Errno::INTR) => polled.iter().skip(1).all(|it| it.revents().is_empty()),
            Err(_) => false,
        }
    }

    fn take(&mut self, buffer: &mut [u8]) {
        for _ in 0..READ_AT_ONCE {
            let Ok(length) = rustix::io::read(&*self.from, &mut *buffer) else {
                return;
            };
            if let Some(packet) = buffer.get(..length) {
                self.queue.accept(packet, Instant::now());
            }
        }
    }

    fn deliver(&mut self) {
        while let Some(packet) = self.queue.due(Instant::now()) {
            let written = rustix::io::write(&*self.to, &packet);
            if written.map_err(io::Error::from).is_err() {
                // The interface is gone or full: the packet is lost, as on any line.
            }
        }
    }
}

#[cfg(test)]
mod tests;
