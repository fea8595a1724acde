//! Which user and which program have a TCP socket of this host, and why a port cannot be listened on.

#[cfg(target_os = "linux")]
mod diag;
mod holder;
mod in_the_way;
#[cfg(target_os = "linux")]
mod kernel;
mod obstacle;
mod process;
mod users;

pub use holder::{Holder, Holders};
#[cfg(target_os = "linux")]
pub use kernel::Kernel;
pub use obstacle::{Obstacles, in_use_by};

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
