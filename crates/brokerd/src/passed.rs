//! The sockets that a service manager passes to the daemon, as `sd_listen_fds(3)` describes.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use anyhow::Context;
use listenfd::ListenFd;

/// What the daemon can use of what it was passed, and what it cannot.
#[derive(Default)]
pub(crate) struct Passed {
    /// The local socket, if a socket unit has opened it.
    pub(crate) local_socket: Option<UnixListener>,
    /// The listeners of tunnels, which the service manager has kept from the daemon before this one.
    pub(crate) tunnels: Vec<TcpListener>,
    /// The names of the sockets that the daemon has no use for.
    pub(crate) unused: Vec<String>,
}

/// Takes what was passed. To be called before any thread starts, since it changes the environment: what was passed to the
/// daemon is not meant for the commands that it runs.
///
/// # Errors
/// If the environment and the open descriptors contradict each other.
pub(crate) fn take() -> anyhow::Result<Passed> {
    let named = sd_notify::listen_fds_with_names()
        .context("cannot use the sockets that the service manager passed")?;
    let names: Vec<String> = named.map(|(_, name)| name).collect();
    let mut passed = Passed::default();
    if names.is_empty() {
        return Ok(passed);
    }
    let mut descriptors = ListenFd::from_env();
    for (index, name) in names.into_iter().enumerate() {
        // An error says that it is a socket of another kind.
        if let Ok(Some(socket)) = descriptors.take_tcp_listener(index) {
            passed.tunnels.push(socket);
        } else if let Ok(Some(socket)) = descriptors.take_unix_listener(index)
            && passed.local_socket.is_none()
        {
            passed.local_socket = Some(socket);
        } else {
            passed.unused.push(name);
        }
    }
    Ok(passed)
}
