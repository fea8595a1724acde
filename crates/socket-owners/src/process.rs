//! Which process has a socket, as far as this user may know.

use std::fs::{self, ReadDir};
use std::path::PathBuf;

/// The most processes that are looked at, and the most descriptors of each. More than a machine of everyday has; a look
/// at all of them takes tens of milliseconds.
const MAX_PROCESSES: usize = 8192;
const MAX_DESCRIPTORS: usize = 4096;

/// Finds the processes of sockets.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    /// The last one found. The sockets that are in the way of several tunnels mostly belong to one process.
    last: Option<u32>,
}

impl Processes {
    /// The id of a process that has the socket with this inode. `None` if there is none whose descriptors this user may
    /// see.
    pub(crate) fn with_socket(&mut self, inode: u32) -> Option<u32> {
        let likely = [Some(std::process::id()), self.last];
        let mut likely = likely.into_iter().flatten();
        let found = likely
            .find(|id| has_socket(*id, inode))
            .or_else(|| all().find(|id| has_socket(*id, inode)));
        self.last = found.or(self.last);
        found
    }
}

/// The name of a process's program.
pub(crate) fn name(id: u32) -> Option<String> {
    let name = fs::read_to_string(of(id).join("comm")).ok()?;
    Some(plain_text::printable(name.trim_end_matches('\n')))
}

fn all() -> impl Iterator<Item = u32> {
    let processes = entries(PathBuf::from("/proc"));
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.take(MAX_PROCESSES)
}

fn has_socket(id: u32, inode: u32) -> bool {
    let link = format!("socket:[{inode}]");
    let mut descriptors = entries(of(id).join("fd")).take(MAX_DESCRIPTORS);
    descriptors.any(|entry| fs::read_link(entry.path()).is_ok_and(|to| to.as_os_str() == &*link))
}

fn entries(directory: PathBuf) -> impl Iterator<Item = fs::DirEntry> {
    fs::read_dir(directory)
        .into_iter()
        .flat_map(ReadDir::flatten)
}

fn of(id: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{id}"))
}
