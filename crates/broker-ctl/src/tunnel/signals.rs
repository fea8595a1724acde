//! The signals that end `tunnel`.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// How the command is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// Close the tunnels, and wait for what runs.
    Finish,
    /// Leave at once: nobody looks any more. The daemon closes the tunnels, and what runs finishes there.
    Leave,
}

/// The signals from now on.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one. Cancel-safe.
    pub(super) async fn next(&mut self) -> Ending {
        tokio::select! {
            _ = self.interrupt.recv() => Ending::Finish,
            _ = self.terminate.recv() => Ending::Finish,
            _ = self.hangup.recv() => Ending::Leave,
        }
    }
}
