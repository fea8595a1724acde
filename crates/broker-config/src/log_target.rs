//! The places of the log.

use std::path::PathBuf;

/// A destination of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// To a file.
    File(PathBuf),
    /// To a file, only the transfers, in the xferlog format of FTP servers.
    Transfers(PathBuf),
    /// To the system's log.
    Syslog,
    /// Nowhere.
    Discard,
}
