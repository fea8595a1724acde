//! The end of a connection is not taken before somebody has looked whose the connection is.
//!
//! A client may connect, send a small file and close before this process runs at all. While its end is not acknowledged
//! the kernel keeps the closed socket, and with it the owner's name; once it is, both are gone. So the sockets that a
//! data listener makes drop the segment that bears the end (FIN) until they are looked at. The client's kernel sends it
//! again, a fifth of a second later.

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

/// Takes no end of the connection from now on; of a listener, of all connections that it is going to accept.
pub(super) fn hold(socket: &SockRef<'_>) -> io::Result<()> {
    socket.attach_filter(&WITHOUT_END)
}

/// Takes the end of the connection when it comes.
pub(super) fn release(socket: &SockRef<'_>) -> io::Result<()> {
    socket.detach_filter()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use socket2::SockRef;

    use super::super::{Kernel, Owner, Owners};
    use super::hold;

    /// What a client sends that has closed by the time it is looked at comes whole, its end included, and its owner is known
    /// where the kernel keeps it.
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
            // Some systems let only root hold an end.
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
