//! Which user has a TCP socket of this host, as the kernel reports it.

#[cfg(target_os = "linux")]
mod kernel;

#[cfg(target_os = "linux")]
pub use kernel::Kernel;

/// The kernel's answer about the socket at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The socket belongs to this user id.
    User(u32),
    /// No process of this host has it: it is closed, or on another host.
    Nobody,
    /// There was no answer.
    Unknown,
}
