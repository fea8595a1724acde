//! What holds for any bytes in any chunks.

mod script;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ftp_proto::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// The port that answers to offers begin with.
const FIRST_PORT: u16 = 20_000;

/// What both peers and the caller saw of a session.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    to_client: Vec<u8>,
    to_server: Vec<u8>,
    actions: Vec<Action>,
}

/// A session whose offers are answered at once, each with the next port.
struct Driver {
    session: Session,
    now: Instant,
    seen: Seen,
    next_port: u16,
}

#[derive(Debug, Clone)]
enum Input {
    Client(Vec<u8>),
    Server(Vec<u8>),
}

impl Driver {
    fn new() -> Self {
        let session = Session::new(script::default_config());
        Self {
            session,
            now: Instant::now(),
            seen: Seen::default(),
            next_port: FIRST_PORT,
        }
    }

    fn play(&mut self, input: &Input) {
        match input {
            Input::Client(bytes) => self.session.client_bytes(self.now, bytes),
            Input::Server(bytes) => self.session.server_bytes(self.now, bytes),
        }
        self.drain();
    }

    /// Ends both sides after every data channel has ended and all that waits for time has had its time.
    fn finish(mut self) -> Seen {
        for id in 0..=u64::from(self.next_port - FIRST_PORT) {
            let ended = DataEvent::Ended(DataEnd::Complete);
            self.session.data_event(self.now, DataId(id), ended);
            self.drain();
        }
        while let Some(due) = self.session.next_timeout() {
            self.now = due;
            self.session.handle_timeout(due);
            self.drain();
        }
        self.session.client_end(self.now);
        self.session.server_end(self.now);
        self.drain();
        assert_eq!(self.session.next_timeout(), None);
        self.seen
    }

    fn drain(&mut self) {
        loop {
            self.seen
                .to_client
                .extend(self.session.take_to_client().unwrap_or_default());
            self.seen
                .to_server
                .extend(self.session.take_to_server().unwrap_or_default());
            let Some(action) = self.session.poll_action() else {
                break;
            };
            if let Action::Offer { id, .. } = action {
                self.next_port += 1;
                let address = SocketAddr::from(([127, 0, 0, 1], self.next_port));
                self.session.offered(self.now, id, Ok(address));
            }
            self.seen.actions.push(action);
        }
    }
}

/// Plays inputs, each in chunks of these sizes, over and over.
fn play(inputs: &[Input], chunks: &[usize]) -> Seen {
    let mut driver = Driver::new();
    let mut sizes = chunks.iter().copied().cycle();
    for input in inputs {
        let (Input::Client(bytes) | Input::Server(bytes)) = input;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (chunk, tail) = rest.split_at(sizes.next().unwrap_or(1).min(rest.len()));
            driver.play(&match input {
                Input::Client(_) => Input::Client(chunk.to_vec()),
                Input::Server(_) => Input::Server(chunk.to_vec()),
            });
            rest = tail;
        }
    }
    driver.finish()
}

/// Lines that mean something to the session, and some that nearly do.
fn client_line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just("USER joe\r\n"),
        Just("PASV\r\n"),
        Just("EPSV\n"),
        Just("PORT 127,0,0,1,4,5\r\n"),
        Just("EPRT |1|127.0.0.1|1029|\r\n"),
        Just("PORT 10,0,0,1,4,5\r\n"),
        Just("RETR a\r\n"),
        Just("STOR a\r\n"),
        Just("ABOR\r\n"),
        Just("NOOP\r\n"),
        Just("MODE B\r\n"),
        Just("AUTH TLS\r\n"),
        Just("\r\n"),
        Just("PO"),
    ]
    .prop_map(|line| line.as_bytes().to_vec())
}

fn server_line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just("220 ready\r\n"),
        Just("200 ok\r\n"),
        Just("230-hello\r\n"),
        Just("230 in\r\n"),
        Just("227 Passive (10,0,0,1,4,5).\r\n"),
        Just("227-Passive (10,0,0,1,4,5).\r\n"),
        Just("229 Extended (|||1029|)\n"),
        Just("150 go\r\n"),
        Just("226 done\r\n"),
        Just("226-done\r\n"),
        Just("426 failed\r\n"),
        Just("500 what?\r\n"),
        Just("text\r\n"),
        Just("22"),
    ]
    .prop_map(|line| line.as_bytes().to_vec())
}

fn conversation() -> impl Strategy<Value = Vec<Input>> {
    let input = prop_oneof![
        client_line().prop_map(Input::Client),
        server_line().prop_map(Input::Server)
    ];
    vec(input, 0..40)
}

/// Any bytes, with many line ends among them.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![6 => any::<u8>(), 1 => Just(b'\n'), 1 => Just(b'\r'), 1 => Just(b'2'), 1 => Just(b' ')];
    vec(byte, 0..200)
}

/// Whether noise may hold the code of a passive reply, or a Telnet command that a line end is part of.
fn is_special(noise: &[u8]) -> bool {
    noise
        .windows(3)
        .any(|three| matches!(three, [_, 255, b'\n'] | [255, _, b'\n']))
        || announces(noise)
        || noise.starts_with(b"\xff\n")
        || announces(&without_telnet(noise))
}

/// Whether some bytes are the code of a passive reply.
fn announces(noise: &[u8]) -> bool {
    noise
        .windows(3)
        .any(|three| matches!(three, b"227" | b"228" | b"229"))
}

/// The bytes as those see them who skip Telnet commands, which can stand inside a code.
fn without_telnet(noise: &[u8]) -> Vec<u8> {
    let mut rest = noise.iter();
    let mut plain = Vec::new();
    while let Some(&byte) = rest.next() {
        match byte {
            255 => drop(rest.next()),
            byte => plain.push(byte),
        }
    }
    plain
}

#[derive(Debug, Clone)]
enum Chaos {
    Say(Input),
    Data(u64, DataEvent),
    Answer(u64, bool),
    Wait(u64),
    Lose,
    ClientEnd,
    ServerEnd,
}

fn chaos() -> impl Strategy<Value = Chaos> {
    let event = prop_oneof![
        Just(DataEvent::Opened),
        Just(DataEvent::Joined),
        Just(DataEvent::ServerDone),
        Just(DataEvent::Ended(DataEnd::Complete)),
        Just(DataEvent::Ended(DataEnd::Cut("cut".to_owned()))),
        Just(DataEvent::Ended(DataEnd::Unused)),
    ];
    prop_oneof![
        8 => client_line().prop_map(|line| Chaos::Say(Input::Client(line))),
        8 => server_line().prop_map(|line| Chaos::Say(Input::Server(line))),
        1 => noise().prop_map(|bytes| Chaos::Say(Input::Client(bytes))),
        1 => noise().prop_map(|bytes| Chaos::Say(Input::Server(bytes))),
        6 => (0u64..4, event).prop_map(|(id, event)| Chaos::Data(id, event)),
        6 => (0u64..4, any::<bool>()).prop_map(|(id, works)| Chaos::Answer(id, works)),
        3 => (0u64..40).prop_map(Chaos::Wait),
        1 => Just(Chaos::Lose),
        1 => Just(Chaos::ClientEnd),
        1 => Just(Chaos::ServerEnd),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_chunking_gives_the_same(inputs in conversation(), chunks in vec(1usize..12, 1..20)) {
        prop_assert_eq!(play(&inputs, &[usize::MAX]), play(&inputs, &chunks));
    }

    #[test]
    fn bytes_that_are_not_rewritten_come_out_identical(
        client in vec(noise(), 0..4),
        server in vec(noise(), 0..4),
        chunks in vec(1usize..12, 1..20),
    ) {
        let mut inputs: Vec<Input> = client.iter().cloned().map(Input::Client).collect();
        inputs.extend(server.iter().cloned().map(Input::Server));
        let seen = play(&inputs, &chunks);
        // Noise that happens to announce an address or a transfer is another matter.
        let meaningful = |action: &Action| {
            match action {
                Action::Offer { .. } => true,
                Action::Event(Event::Command { verb, .. }) => ["PORT", "EPRT", "LPRT"].contains(&verb.as_str()),
                Action::Event(event) => matches!(event, Event::TransferStarted { .. } | Event::NotFtp { .. }),
                Action::Withdraw { .. }
                | Action::Abort { .. }
                | Action::CheckLiveness { .. }
                | Action::Release { .. }
                | Action::HalfClose { .. }
                | Action::Announce { .. }
                | Action::StartTls
                | Action::EndServer
                | Action::EndClient => false,
            }
        };
        prop_assume!(!is_special(&server.concat()) && !is_special(&client.concat()));
        prop_assume!(!seen.actions.iter().any(meaningful));
        prop_assert_eq!(seen.to_client, server.concat());
        prop_assert_eq!(seen.to_server, client.concat());
    }

    #[test]
    fn an_over_long_line_comes_out_identical(
        length in 65_000usize..140_000,
        tail in noise(),
        chunks in vec(1usize..70_000, 1..4),
    ) {
        prop_assume!(!is_special(&tail));
        let mut bytes = vec![b'x'; length];
        bytes.push(b'\n');
        bytes.extend(tail);
        let seen = play(&[Input::Server(bytes.clone()), Input::Client(bytes.clone())], &chunks);
        prop_assert_eq!(&seen.to_client, &bytes);
        prop_assert_eq!(&seen.to_server, &bytes);
    }

    #[test]
    fn nothing_panics_and_every_transfer_that_began_ends(steps in vec(chaos(), 0..60)) {
        let mut driver = Driver::new();
        for step in steps {
            match step {
                Chaos::Say(input) => driver.play(&input),
                Chaos::Data(id, event) => driver.session.data_event(driver.now, DataId(id), event),
                Chaos::Answer(id, works) => {
                    let answer = if works { Ok(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 20_000))) } else { Err(String::new()) };
                    driver.session.offered(driver.now, DataId(id), answer);
                }
                Chaos::Wait(seconds) => {
                    driver.now += Duration::from_secs(seconds);
                    driver.session.handle_timeout(driver.now);
                }
                Chaos::Lose => driver.session.server_lost(driver.now, "lost"),
                Chaos::ClientEnd => driver.session.client_end(driver.now),
                Chaos::ServerEnd => driver.session.server_end(driver.now),
            }
            driver.drain();
        }
        let seen = driver.finish();
        let count = |wanted: fn(&Action) -> bool| seen.actions.iter().filter(|action| wanted(action)).count();
        let started = count(|action| matches!(action, Action::Event(Event::TransferStarted { .. })));
        let ended = count(|action| matches!(action, Action::Event(Event::TransferEnded { .. })));
        prop_assert_eq!(started, ended);
        prop_assert_eq!(count(|action| *action == Action::EndClient), 1);
        prop_assert_eq!(count(|action| *action == Action::EndServer), 1);
    }
}
