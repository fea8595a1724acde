//! What a command writes to standard error: lines for the log, in bounded memory

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use plain_text::printable_start;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::process::ChildStderr;

/// How much of a line is kept.
const MAX_LINE: usize = 512;

/// Bytes a read.
const READ: usize = 1024;

/// Reads a poll: a command that writes endlessly must not keep its stream from being read.
const MAX_READS: usize = 8;

/// Standard error while the command runs.
pub(super) struct ErrorLines {
    source: Option<ChildStderr>,
    command: String,
    line: Vec<u8>,
    last: String,
}

impl ErrorLines {
    pub(super) fn new(source: ChildStderr, command: String) -> Self {
        Self {
            source: Some(source),
            command,
            line: Vec::new(),
            last: String::new(),
        }
    }

    /// The last line with any text.
    pub(super) fn last(&self) -> &str {
        &self.last
    }

    /// Reads what is there, and asks to be woken for more.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        for _ in 0..MAX_READS {
            if self.read(cx).is_pending() || self.source.is_none() {
                return;
            }
        }
        cx.waker().wake_by_ref();
    }

    /// Reads to the end, which comes soon after that of the command, unless a process that it started goes on.
    pub(super) async fn finish(&mut self) {
        poll_fn(|cx| {
            while self.source.is_some() && self.read(cx).is_ready() {}
            Poll::Ready(())
        })
        .await;
        self.end_line();
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; READ];
        let mut buffer = ReadBuf::new(&mut bytes);
        let Some(source) = &mut self.source else {
            return Poll::Ready(());
        };
        let read = Pin::new(source).poll_read(cx, &mut buffer);
        if read.is_pending() {
            return Poll::Pending;
        }
        if buffer.filled().is_empty() {
            // Its end, or a failure, after which nothing comes either.
            self.source = None;
        }
        for byte in buffer.filled() {
            self.take(*byte);
        }
        Poll::Ready(())
    }

    fn take(&mut self, byte: u8) {
        if byte == b'\n' {
            self.end_line();
        } else if self.line.len() < MAX_LINE {
            self.line.push(byte);
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        let text = printable_start(text.trim(), MAX_LINE);
        if !text.is_empty() {
            tracing::info!(route = %self.command, "proxy command wrote: {text}");
            self.last = text;
        }
    }
}
