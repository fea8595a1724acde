//! A line between two namespaces, used as programs use a network.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::*;
use crate::netns;

/// Two namespaces, a line between them, and a listener at the far end.
struct Ends {
    near: Netns,
    listener: TcpListener,
    _line: Line,
}

impl Ends {
    fn joined(options: LineOptions) -> Option<Self> {
        netns::available().ok()?;
        let (near, far) = (Netns::create().unwrap(), Netns::create().unwrap());
        let line = Line::between(&near, &far, options).unwrap();
        let to = SocketAddr::new(line.far(), 0);
        let listener = far.enter(|| TcpListener::bind(to)).unwrap().unwrap();
        Some(Self {
            near,
            listener,
            _line: line,
        })
    }

    fn connect(&self) -> TcpStream {
        let to = self.listener.local_addr().unwrap();
        self.near.enter(|| TcpStream::connect(to)).unwrap().unwrap()
    }

    /// Sends so many bytes, and returns what has arrived and how long it took.
    fn send(&self, length: usize) -> (Vec<u8>, Duration) {
        let mut client = self.connect();
        let (mut server, _) = self.listener.accept().unwrap();
        let bytes = crate::files::pattern(1, length);
        let began = Instant::now();
        let sending = thread::spawn(move || client.write_all(&bytes).unwrap());
        let mut received = Vec::new();
        server.read_to_end(&mut received).unwrap();
        sending.join().unwrap();
        (received, began.elapsed())
    }
}

#[test]
fn a_handshake_takes_a_round_trip() {
    let delay = Duration::from_millis(30);
    let options = LineOptions {
        delay,
        ..LineOptions::default()
    };
    let Some(ends) = Ends::joined(options) else {
        return;
    };
    let began = Instant::now();
    let mut client = ends.connect();
    let connected = began.elapsed();
    assert!(connected >= 2 * delay, "{connected:?}");
    client.write_all(b"x").unwrap();
    let (mut server, _) = ends.listener.accept().unwrap();
    server.read_exact(&mut [0]).unwrap();
    assert!(began.elapsed() >= 3 * delay);
}

#[test]
fn no_more_passes_than_the_rate_allows() {
    let options = LineOptions {
        delay: Duration::from_millis(1),
        rate: Some(80_000_000),
        ..LineOptions::default()
    };
    let Some(ends) = Ends::joined(options) else {
        return;
    };
    // Ten megabytes a second.
    let (received, took) = ends.send(4_000_000);
    assert_eq!(received, crate::files::pattern(1, 4_000_000));
    assert!(took >= Duration::from_millis(380), "{took:?}");
}

#[test]
fn lost_packets_are_sent_again() {
    let options = LineOptions {
        delay: Duration::from_millis(2),
        loss: 0.01,
        ..LineOptions::default()
    };
    let Some(ends) = Ends::joined(options) else {
        return;
    };
    let (received, _) = ends.send(1_000_000);
    assert_eq!(received, crate::files::pattern(1, 1_000_000));
}
