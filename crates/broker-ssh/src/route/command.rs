//! Through a command: its standard input and output lead to the server

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout};

use super::error::{ProxyFault, RouteError};
use super::limit::TimeLimit;
use super::stderr::ErrorLines;
use crate::shell::{command_name, end_group, shell};
use crate::spec::ConnectSpec;

/// How much of the server's first bytes is read before the handshake, which reads the rest.
const FIRST: usize = 1024;

/// Starts the command, and waits until the server's first bytes come through it. A server of SSH speaks first.
///
/// # Errors
/// The command does not start, ends, or is silent.
pub(super) async fn connect(
    command: &str,
    spec: &ConnectSpec,
    limit: TimeLimit,
) -> Result<CommandStream, RouteError> {
    let connected = async {
        let mut stream = CommandStream::start(command, spec)?;
        let begun = limit.run(stream.begin()).await;
        begun.ok_or(ProxyFault::Silent(limit.whole))??;
        Ok(stream)
    };
    connected.await.map_err(|reason| RouteError::Proxy {
        server: spec.server(),
        proxy: command_name(command),
        reason,
    })
}

/// The command with its expansions: `%h` and `%n` the host, `%p` the port, `%r` the user, `%%` a percent sign.
///
/// # Errors
/// `NotForShell` if a name could mean something else to the shell.
fn expand(command: &str, spec: &ConnectSpec) -> Result<String, ProxyFault> {
    let mut text = String::new();
    let mut rest = command;
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        let mut signs = after.chars();
        match signs.next() {
            Some('h' | 'n') => text.push_str(harmless(&spec.host, "the name of the server")?),
            Some('r') => text.push_str(harmless(&spec.user, "the name of the user")?),
            Some('p') => text.push_str(&spec.port.to_string()),
            // The configuration has checked that nothing else comes.
            Some(_) | None => text.push('%'),
        }
        rest = signs.as_str();
    }
    text.push_str(rest);
    Ok(text)
}

/// A name that is one word to every shell and no option.
fn harmless<'a>(name: &'a str, what: &'static str) -> Result<&'a str, ProxyFault> {
    let plain = |c: char| c.is_alphanumeric() || ".-_:@+=,".contains(c);
    if name.chars().all(plain) && !name.starts_with('-') {
        Ok(name)
    } else {
        Err(ProxyFault::NotForShell(what))
    }
}

/// The standard input and output of a command, which ends with the stream.
pub(crate) struct CommandStream {
    name: String,
    child: Child,
    /// `None` once it is closed.
    input: Option<ChildStdin>,
    output: ChildStdout,
    errors: ErrorLines,
    /// Bytes that were read before the handshake.
    first: Vec<u8>,
    has_ended: bool,
}

impl CommandStream {
    fn start(command: &str, spec: &ConnectSpec) -> Result<Self, ProxyFault> {
        // With `exec`, as OpenSSH runs `ProxyCommand`, so that lines from its files work here.
        let started = shell(&format!("exec {}", expand(command, spec)?))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = started.map_err(|error| ProxyFault::NotStarted(error.to_string()))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(errors)) = pipes else {
            return Err(ProxyFault::NotStarted("it has no pipes".into()));
        };
        let name = command_name(command);
        Ok(Self {
            errors: ErrorLines::new(errors, name.clone()),
            name,
            child,
            input: Some(input),
            output,
            first: Vec::new(),
            has_ended: false,
        })
    }

    /// Waits for the first bytes.
    async fn begin(&mut self) -> Result<(), ProxyFault> {
        let mut bytes = [0; FIRST];
        let mut buffer = ReadBuf::new(&mut bytes);
        poll_fn(|cx| self.poll_output(cx, &mut buffer)).await?;
        let first = buffer.filled().to_vec();
        if first.is_empty() {
            return Err(self.ended().await);
        }
        self.first = first;
        Ok(())
    }

    /// Why the command ended, once it has.
    async fn ended(&mut self) -> ProxyFault {
        let status = self.child.wait().await.ok();
        self.errors.finish().await;
        ProxyFault::CommandEnded {
            status: status.map(|status| status.to_string()),
            wrote: self.errors.last().to_owned(),
        }
    }

    /// Reads what the command writes, first to standard error and then to its output.
    fn poll_output(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.errors.poll(cx);
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.output).poll_read(cx, buffer))?;
        if buffer.filled().len() == before && !self.has_ended {
            self.has_ended = true;
            self.log_end();
        }
        Poll::Ready(Ok(()))
    }

    fn log_end(&mut self) {
        let status = self.child.try_wait().ok().flatten();
        let status = status.map_or("still running".into(), |status| status.to_string());
        tracing::info!(route = %self.name, %status, "proxy command has closed its output");
    }
}

impl Drop for CommandStream {
    fn drop(&mut self) {
        end_group(&self.child);
    }
}

impl AsyncRead for CommandStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return self.poll_output(cx, buffer);
        }
        let count = self.first.len().min(buffer.remaining());
        let rest = self.first.split_off(count);
        buffer.put_slice(&self.first);
        self.first = rest;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for CommandStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.input {
            Some(input) => Pin::new(input).poll_write(cx, data),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.input {
            Some(input) => Pin::new(input).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Closes the command's input: a pipe has no other end of writing.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.input = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
