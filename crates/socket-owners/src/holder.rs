//! Who has a port of this host.

use std::fmt;
use std::net::SocketAddr;

use rustix::process::geteuid;

use super::in_the_way::in_the_way;
use super::process::{self, Processes};
use super::users;

/// The name of the daemon's program.
const DAEMON: &str = "brokerd";

/// Who has a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The address at which the port is in use.
    pub address: SocketAddr,
    /// Whether it is for a listener. Otherwise it is the near end of a connection, which can have any port.
    pub listens: bool,
    /// The id of the user to whom the socket belongs.
    pub uid: u32,
    /// The id of the process, if this user may know it.
    pub process: Option<u32>,
    /// The name of its program.
    pub program: Option<String>,
}

/// Finds out who has a port.
#[derive(Debug, Default)]
pub struct Holders {
    processes: Processes,
}

impl Holders {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Who prevents a listener at this address. `None` if nobody does, or if the system does not say it.
    pub fn of(&mut self, wanted: SocketAddr) -> Option<Holder> {
        let found = in_the_way(wanted)?;
        // Only root sees the processes of others.
        let me = geteuid();
        let visible = me.is_root() || found.uid == me.as_raw();
        let process = visible
            .then(|| self.processes.with_socket(found.inode))
            .flatten();
        Some(Holder {
            address: found.address,
            listens: found.listens,
            uid: found.uid,
            process,
            program: process.and_then(process::name),
        })
    }
}

impl Holder {
    /// Whether it is this process itself.
    pub fn is_this_process(&self) -> bool {
        self.process == Some(std::process::id())
    }

    /// Whether it is a broker daemon.
    pub fn is_daemon(&self) -> bool {
        self.program.as_deref() == Some(DAEMON)
    }

    fn is_of_this_user(&self) -> bool {
        self.uid == geteuid().as_raw()
    }
}

/// For a person: `python3 (process 4711)`, `a program of the user alice`.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.listens {
            f.write_str("a connection of ")?;
        }
        let named = self.program.as_deref().zip(self.process);
        match named {
            Some(_) if self.is_this_process() => return f.write_str("this process itself"),
            Some((_, id)) if self.is_daemon() => write!(f, "another broker daemon (process {id})")?,
            Some((program, id)) => write!(f, "{program} (process {id})")?,
            None => f.write_str("a program")?,
        }
        match users::name(self.uid) {
            _ if self.is_daemon() && self.is_of_this_user() => f.write_str(" of the same user"),
            _ if named.is_some() && self.is_of_this_user() => Ok(()),
            Some(user) => write!(f, " of the user {user}"),
            None => write!(f, " of the user with the id {}", self.uid),
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn listener(address: &str) -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    fn at(ip: &str, like: SocketAddr) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), like.port())
    }

    /// Whether this process's listener at `address` is found when somebody wants each of these addresses.
    #[track_caller]
    fn check(address: &str, wanted: &[(&str, bool)]) {
        let (_listener, held) = listener(address);
        for (ip, found) in wanted {
            let holder = Holders::new().of(at(ip, held));
            let ours = holder.filter(|it| it.is_this_process() && it.address == held);
            assert_eq!(ours.is_some(), *found, "{ip} beside {held}");
        }
    }

    #[test]
    fn whoever_listens_is_found_at_every_address_that_clashes() {
        check(
            "127.0.0.1:0",
            &[
                ("127.0.0.1", true),
                ("0.0.0.0", true),
                ("::", true),
                ("127.0.0.2", false),
                ("::1", false),
            ],
        );
        check("0.0.0.0:0", &[("127.0.0.9", true), ("::", true)]);
        check("[::]:0", &[("127.0.0.1", true), ("::1", true)]);
        check(
            "[::1]:0",
            &[("::", true), ("::1", true), ("127.0.0.1", false)],
        );
    }

    #[test]
    fn the_listener_counts_before_the_connections_to_it() {
        let (listener, held) = listener("127.0.0.1:0");
        let client = TcpStream::connect(held).unwrap();
        let _server = listener.accept().unwrap();
        assert!(Holders::new().of(held).unwrap().listens);
        drop(listener);
        assert!(!Holders::new().of(held).unwrap().listens);
        let near = client.local_addr().unwrap();
        assert!(!Holders::new().of(near).unwrap().listens);
    }

    #[test]
    fn nobody_has_a_free_port() {
        let (listener, free) = listener("127.0.0.1:0");
        drop(listener);
        assert_eq!(Holders::new().of(free), None);
    }

    #[test]
    fn who_it_is_depends_on_what_this_user_may_know() {
        let me = geteuid().as_raw();
        let (own, id) = (std::process::id(), 4711);
        for (uid, named, listens, expected) in [
            (me, Some((own, "x")), true, "this process itself"),
            (me, Some((id, "python3")), true, "python3 (process 4711)"),
            (
                me,
                Some((id, "curl")),
                false,
                "a connection of curl (process 4711)",
            ),
            (
                me,
                Some((id, "brokerd")),
                true,
                "another broker daemon (process 4711) of the same user",
            ),
            (
                u32::MAX - 9,
                Some((id, "x")),
                true,
                "x (process 4711) of the user with the id 4294967286",
            ),
            (
                u32::MAX - 9,
                None,
                true,
                "a program of the user with the id 4294967286",
            ),
        ] {
            let (process, program) = named.unzip();
            let holder = Holder {
                address: ([127, 0, 0, 1], 1).into(),
                listens,
                uid,
                process,
                program: program.map(str::to_owned),
            };
            assert_eq!(holder.to_string(), expected);
        }
    }

    #[test]
    fn root_has_its_name() {
        assert_eq!(users::name(0).as_deref(), Some("root"));
    }
}
