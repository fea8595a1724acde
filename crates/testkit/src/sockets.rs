//! What processes hold open, from `/proc`.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use anyhow::Context;

/// `st` of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// A TCP connection, by its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// This end's.
    pub local: u16,
    /// The other end's.
    pub remote: u16,
}

/// What some processes hold open.
#[derive(Clone, Debug, Default)]
pub struct Holdings {
    /// Ports listened on.
    pub listening: Vec<u16>,
    /// TCP connections that are not over.
    pub connections: Vec<Connection>,
    /// Everything else: files, pipes, local sockets, and TCP sockets whose connection is over.
    pub others: usize,
}

/// Every TCP socket of the system by its inode, as they are at one moment.
pub struct Sockets(HashMap<u64, Socket>);

impl Sockets {
    /// Takes the picture.
    ///
    /// # Errors
    /// When the system's table of sockets cannot be read.
    pub fn now() -> anyhow::Result<Self> {
        Self::of_namespace("self")
    }

    /// Takes the picture of the network namespace in which a process runs.
    fn of_namespace(process: &str) -> anyhow::Result<Self> {
        let mut sockets = HashMap::new();
        for name in ["tcp", "tcp6"].map(|table| format!("/proc/{process}/net/{table}")) {
            let text = fs::read_to_string(&name).with_context(|| format!("cannot read {name}"))?;
            sockets.extend(text.lines().skip(1).filter_map(parse));
        }
        Ok(Self(sockets))
    }

    /// What the processes hold open together. One that has ended holds nothing.
    pub fn held_by(&self, processes: &[u32]) -> Holdings {
        let mut held = Holdings::default();
        for process in processes {
            let Ok(entries) = fs::read_dir(format!("/proc/{process}/fd")) else {
                continue;
            };
            let links = entries.flatten().map(|entry| fs::read_link(entry.path()));
            for file in links.flatten() {
                match inode(&file).and_then(|inode| self.0.get(&inode)) {
                    Some(Socket {
                        ports,
                        listening: true,
                    }) => held.listening.push(ports.local),
                    Some(Socket { ports, .. }) => held.connections.push(*ports),
                    None => held.others += 1,
                }
            }
        }
        held.listening.sort_unstable();
        held
    }
}

/// The TCP ports that a process listens on; none where it has ended.
#[must_use]
pub fn listening(pid: u32) -> BTreeSet<u16> {
    let sockets = Sockets::of_namespace(&pid.to_string());
    let held = sockets.map(|sockets| sockets.held_by(&[pid]).listening);
    held.unwrap_or_default().into_iter().collect()
}

struct Socket {
    ports: Connection,
    listening: bool,
}

/// A line of the table: number, local and remote address, state, …, inode.
fn parse(line: &str) -> Option<(u64, Socket)> {
    let mut fields = line.split_whitespace().skip(1);
    let ports = Connection {
        local: port(fields.next()?)?,
        remote: port(fields.next()?)?,
    };
    let listening = fields.next()? == LISTENING;
    let inode = fields.nth(5)?.parse().ok()?;
    Some((inode, Socket { ports, listening }))
}

fn port(address: &str) -> Option<u16> {
    u16::from_str_radix(address.rsplit_once(':')?.1, 16).ok()
}

/// The inode in a link such as `socket:[4711]`.
fn inode(link: &Path) -> Option<u64> {
    let text = link.to_str()?;
    text.strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn own_sockets_are_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let near = TcpStream::connect(address).unwrap();
        let _far = listener.accept().unwrap();
        let held = Sockets::now().unwrap().held_by(&[std::process::id()]);
        assert!(held.listening.contains(&address.port()));
        let expected = Connection {
            local: near.local_addr().unwrap().port(),
            remote: address.port(),
        };
        assert!(held.connections.contains(&expected));
        assert!(held.others >= 1);
    }
}
