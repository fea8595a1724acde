//! The differential oracle: whatever comes out of a session, no lenient reader finds an address in it that is not the
//! broker's own.
//!
//! Clients and servers read addresses each in their own way. Here are models of the ways that are known, written from
//! descriptions of them; the session's own reading has no part in it. The fuzz targets use this module, too.

#![allow(dead_code, unreachable_pub, reason = "each program uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a finding must fail its test"
)]

pub mod clients;
pub mod scan;
pub mod servers;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use ftp_proto::{
    Action, DataAhead, DataOpen, ForeignPort, PasvOverIpv6, Peer, Session, SessionConfig, TlsPolicy,
};

/// Where the broker's own endpoints are. Neither peer ever names this address.
pub const BROKER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 77);

/// The first of the broker's ports.
const FIRST_PORT: u16 = 50_123;

/// What one peer says.
#[derive(Debug, Clone)]
pub enum Turn {
    Client(Vec<u8>),
    Server(Vec<u8>),
}

/// What both peers got to see.
#[derive(Debug, Default)]
pub struct Seen {
    pub to_client: Vec<u8>,
    pub to_server: Vec<u8>,
    /// The endpoints that the broker provided.
    pub granted: Vec<SocketAddr>,
}

/// An address that a reader found.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// Whose way of reading it is.
    pub reader: &'static str,
    /// The numbers as read: four of the address and two of the port, or the port alone.
    pub numbers: Vec<i128>,
}

/// Plays a session, each turn in chunks of these sizes, over and over, and lets all that waits for time have its time.
pub fn play(turns: &[Turn], chunks: &[usize]) -> Seen {
    let mut player = Player::new();
    let mut sizes = chunks.iter().copied().cycle();
    for turn in turns {
        let (Turn::Client(bytes) | Turn::Server(bytes)) = turn;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (chunk, tail) = rest.split_at(sizes.next().unwrap_or(1).clamp(1, rest.len()));
            match turn {
                Turn::Client(_) => player.session.client_bytes(player.now, chunk),
                Turn::Server(_) => player.session.server_bytes(player.now, chunk),
            }
            player.drain();
            rest = tail;
        }
    }
    player.finish()
}

/// Fails where a reader finds what it should not.
pub fn judge(turns: &[Turn], seen: &Seen) {
    let clients = clients::find(&seen.to_client);
    let servers = servers::find(&seen.to_server);
    for found in clients.iter().chain(&servers) {
        assert!(
            is_granted(found, &seen.granted),
            "{found:?} is not the broker's\nturns: {turns:?}\nto the client: {}\nto the server: {}",
            seen.to_client.escape_ascii(),
            seen.to_server.escape_ascii(),
        );
    }
}

/// A session in which the client has logged in.
pub fn logged_in() -> Vec<Turn> {
    vec![
        Turn::Server(b"220 ready\r\n".to_vec()),
        Turn::Client(b"USER joe\r\n".to_vec()),
        Turn::Server(b"331 go on\r\n".to_vec()),
        Turn::Client(b"PASS x\r\n".to_vec()),
        Turn::Server(b"230 in\r\n".to_vec()),
    ]
}

/// The client asks for something, and the server answers with these bytes.
pub fn answer(command: &[u8], reply: &[u8], chunks: &[usize]) {
    let mut turns = logged_in();
    turns.push(Turn::Client(command.to_vec()));
    turns.push(Turn::Server(reply.to_vec()));
    turns.push(Turn::Client(b"NOOP\r\n".to_vec()));
    turns.push(Turn::Server(b"200 ok\r\n".to_vec()));
    judge(&turns, &play(&turns, chunks));
}

/// The client says these bytes.
pub fn command(bytes: &[u8], chunks: &[usize]) {
    let mut turns = logged_in();
    turns.push(Turn::Client(bytes.to_vec()));
    turns.push(Turn::Server(b"500 what?\r\n".repeat(3)));
    judge(&turns, &play(&turns, chunks));
}

fn is_granted(found: &Found, granted: &[SocketAddr]) -> bool {
    granted.iter().any(|address| {
        let [a, b, c, d] = BROKER.octets().map(i128::from);
        let [high, low] = address.port().to_be_bytes().map(i128::from);
        let port = i128::from(address.port());
        let numbers = &found.numbers;
        *numbers == [a, b, c, d, high, low] || *numbers == [a, b, c, d, port] || *numbers == [port]
    })
}

struct Player {
    session: Session,
    now: Instant,
    seen: Seen,
}

impl Player {
    fn new() -> Self {
        Self {
            session: Session::new(SessionConfig {
                client: IpAddr::from([127, 0, 0, 1]),
                also_client: Vec::new(),
                behind_ssh: Peer::Server,
                tls: TlsPolicy::Refuse,
                foreign_port: ForeignPort::Refuse,
                active: true,
                two_families: false,
                pasv_over_ipv6: PasvOverIpv6::Refuse,
                data_open: DataOpen::Auto,
                data_ahead: DataAhead::Never,
            }),
            now: Instant::now(),
            seen: Seen::default(),
        }
    }

    fn drain(&mut self) {
        loop {
            let to_client = self.session.take_to_client();
            self.seen.to_client.extend(to_client.unwrap_or_default());
            let to_server = self.session.take_to_server();
            self.seen.to_server.extend(to_server.unwrap_or_default());
            match self.session.poll_action() {
                Some(Action::Offer { id, .. }) => {
                    let number = u16::try_from(self.seen.granted.len()).unwrap() % 1000;
                    let address = SocketAddr::from((BROKER, FIRST_PORT + number));
                    self.seen.granted.push(address);
                    self.session.offered(self.now, id, Ok(address));
                }
                Some(_) => {}
                None => break,
            }
        }
    }

    fn finish(mut self) -> Seen {
        self.wait();
        self.session.client_end(self.now);
        self.session.server_end(self.now);
        self.drain();
        self.wait();
        self.seen
    }

    fn wait(&mut self) {
        while let Some(due) = self.session.next_timeout() {
            self.now = due;
            self.session.handle_timeout(due);
            self.drain();
        }
    }
}
