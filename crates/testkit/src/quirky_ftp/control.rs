//! The server's end of a control connection: lines in, lines out, both in the transcript.

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Shared;

/// The longest command; none that a client sends is near it.
const MAX_LINE: usize = 64 * 1024;

pub(super) struct Control {
    stream: TcpStream,
    read: BytesMut,
    /// The client has ended its half.
    ended: bool,
    shared: Arc<Shared>,
}

impl Control {
    pub(super) fn new(stream: TcpStream, shared: Arc<Shared>) -> Self {
        Self {
            stream,
            read: BytesMut::new(),
            ended: false,
            shared,
        }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// The next command; `None` at the end. Cancelling it loses nothing.
    pub(super) async fn next(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line = self.read.split_to(end + 1);
                return Ok(Some(self.understood(&line)));
            }
            if self.read.len() > MAX_LINE {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                self.ended = true;
                return Ok(None);
            }
        }
    }

    /// A command as text. Telnet's bytes, which stand before some, are no part of it.
    fn understood(&self, line: &[u8]) -> String {
        let text = String::from_utf8_lossy(line);
        let command = text
            .trim_start_matches(|c: char| !c.is_ascii_alphabetic())
            .trim_end_matches(['\r', '\n']);
        self.shared.note(format!("> {command}"));
        command.to_owned()
    }

    /// Sends these lines in one write.
    pub(super) async fn say(&mut self, lines: &[&str]) -> io::Result<()> {
        let mut text = String::new();
        for line in lines {
            self.shared.note(format!("< {line}"));
            text.push_str(line);
            text.push_str("\r\n");
        }
        self.stream.write_all(text.as_bytes()).await
    }
}
