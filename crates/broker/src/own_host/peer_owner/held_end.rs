//! Delays the end of a connection until the broker has looked up its owner.
//!
//! A client can connect, send a small file and close before this process runs at all. While its end is unacknowledged,
//! the kernel keeps the closed socket and its owner; after that, both are gone. So the sockets of a data listener drop
//! the segment with the end (FIN) until the broker has looked at them. The client's kernel sends it again a fifth of a
//! second later.

use std::io;

use socket2::{SockFilter, SockRef};

/// `ldb [13]; jset #1, drop; ret #-1; drop: ret #0`: the flags of the TCP header, of which the lowest is FIN
/// (linux/filter.h).
const WITHOUT_END: [SockFilter; 4] = [
    SockFilter::new(0x30, 0, 0, 13),
    SockFilter::new(0x45, 1, 0, 1),
    SockFilter::new(0x06, 0, 0, u32::MAX),
    SockFilter::new(0x06, 0, 0, 0),
];

/// Drops the end of this connection from now on; for a listener, that of every connection that it will accept.
pub(super) fn hold(socket: &SockRef<'_>) -> io::Result<()> {
    socket.attach_filter(&WITHOUT_END)
}

/// Accepts the end of the connection when it comes.
pub(super) fn release(socket: &SockRef<'_>) -> io::Result<()> {
    socket.detach_filter()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use socket2::SockRef;

    use socket_owners::Kernel;

    use super::super::{Owner, Owners};
    use super::hold;

    /// The data of a client that has already closed arrives complete, including its end, and its owner is known if the
    /// kernel keeps it.
    #[test]
    fn a_connection_that_is_closed_already_still_has_its_owner_and_its_bytes() {
        let owners = Owners::open();
        for content in [&b"tiny"[..], b""] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let local = listener.local_addr().unwrap();
            owners.hold_ends(&SockRef::from(&listener));
            let mut client = TcpStream::connect(local).unwrap();
            client.write_all(content).unwrap();
            drop(client);
            let (mut server, peer) = listener.accept().unwrap();
            let me = Owner::User(rustix::process::geteuid().as_raw());
            let kernel = owners.kernel.as_ref();
            // Some systems allow only root to delay an end.
            let held = hold(&SockRef::from(&listener)).is_ok();
            if held && kernel.is_some_and(Kernel::names_closed) {
                assert_eq!(owners.of(peer, local), me);
            }
            owners.release_end(&SockRef::from(&server));
            let mut received = Vec::new();
            server.read_to_end(&mut received).unwrap();
            assert_eq!(received, content);
        }
    }
}
