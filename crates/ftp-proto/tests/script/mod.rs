//! Scripts of input and expected output for a session.
//!
//! Each line is an input, or `->` and one output that the input above it causes; outputs are compared exactly and in
//! order. Text stands for bytes with `\r`, `\n`, `\0` and `\xNN` as escapes; CRLF is understood at its end, unless it
//! ends with `\c`. One output line is one write, so two lines of FTP in it left together.
//!
//! ```text
//! c> TEXT  s> TEXT              the client or the server says this
//! c>s TEXT  s>c TEXT            the same, and it is passed on as it is, and nothing else happens
//! c end  s end  s lost REASON   a side ends, or the way to the server is cut
//! offered ID ADDRESS            the answer to an offer
//! offered ID failed REASON
//! data ID opened|joined|server-done|client-done|complete|unused
//! data ID alive CHECK           its SSH session answers
//! data ID cut REASON            also: client-gone
//! wait 5s                       time passes (also ms), and timers fire
//! timer 5s                      the next timer must be due then (or: none)
//! reads c=yes s=no              which sides the session must want to read
//! config KEY=VALUE …            client=ADDRESS also=ADDRESS tls=pass|offered|required|implicit foreign=pass active=no two-families=yes pasv-over-ipv6=any data=eager|lazy ahead=auto|yes far=client; before all else
//! events                        events are compared from here on
//! ```

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses a part of it"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a script with a fault must fail its test"
)]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use ftp_proto::*;

/// Runs a script.
pub fn check(script: &str) {
    let mut lines = script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .peekable();
    let mut player = Player::new(default_config());
    while let Some(input) = lines.next() {
        let mut expected = player.input(input);
        while let Some(line) = lines.next_if(|line| line.starts_with("->")) {
            expected.push(line.to_owned());
        }
        let seen = player.outputs();
        assert_eq!(
            seen, expected,
            "\nafter: {input}\nin this script:\n{script}"
        );
    }
}

/// A session with one passive channel, offered as 0.
pub const PASSIVE: &str = r"
    s>c 220 ready
    c>s EPSV
    s> 229 (|||1029|)
    -> offer 0 passive * 1029 open-first
    offered 0 127.0.0.1:20000
    -> client 229 (|||20000|)
";

/// A session with one active channel, offered as 0.
pub const ACTIVE: &str = r"
    s>c 220 ready
    c> PORT 127,0,0,1,4,5
    -> offer 0 active 127.0.0.1 1029
    offered 0 127.0.0.1:20000
    -> server PORT 127,0,0,1,78,32
    s>c 200 ok
";

/// A session with one passive channel, offered as 0, and this command under way on it.
pub fn transfer(command: &str, rest: &str) -> String {
    format!(
        r"
        {PASSIVE}
        c>s {command}
        data 0 joined
        s>c 150 here
        {rest}
        "
    )
}

/// A session with the policies that a script starts with.
pub fn default_config() -> SessionConfig {
    SessionConfig {
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
    }
}

fn terminate(required: bool, implicit: bool) -> TlsPolicy {
    TlsPolicy::Terminate(Terminate { required, implicit })
}

struct Player {
    config: SessionConfig,
    session: Session,
    now: Instant,
    events: bool,
}

impl Player {
    fn new(config: SessionConfig) -> Self {
        Self {
            session: Session::new(config.clone()),
            config,
            now: Instant::now(),
            events: false,
        }
    }

    /// Plays one input; gives what it alone makes expected.
    fn input(&mut self, line: &str) -> Vec<String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (word, rest) {
            ("c>", text) => self.session.client_bytes(self.now, &bytes(text)),
            ("s>", text) => self.session.server_bytes(self.now, &bytes(text)),
            ("c>s", text) => {
                self.session.client_bytes(self.now, &bytes(text));
                return vec![format!("-> server {text}")];
            }
            ("s>c", text) => {
                self.session.server_bytes(self.now, &bytes(text));
                return vec![format!("-> client {text}")];
            }
            ("c", "end") => self.session.client_end(self.now),
            ("s", "end") => self.session.server_end(self.now),
            ("s", text) if text.starts_with("lost ") => {
                self.session.server_lost(self.now, &text[5..])
            }
            ("offered", rest) => self.offered(rest),
            ("data", rest) => self.data(rest),
            ("wait", rest) => {
                self.now += duration(rest);
                self.session.handle_timeout(self.now);
            }
            ("timer", rest) => {
                let due = self.session.next_timeout().map(|due| due - self.now);
                assert_eq!(due, (rest != "none").then(|| duration(rest)), "{line}");
            }
            ("reads", rest) => {
                let word = |wants| if wants { "yes" } else { "no" };
                let (c, s) = (
                    self.session.wants_client_bytes(),
                    self.session.wants_server_bytes(),
                );
                assert_eq!(format!("c={} s={}", word(c), word(s)), rest);
            }
            ("config", rest) => self.configure(rest),
            ("events", "") => self.events = true,
            _ => panic!("no such input: {line}"),
        }
        Vec::new()
    }

    fn offered(&mut self, rest: &str) {
        let (id, answer) = rest.split_once(' ').unwrap();
        let answer = match answer.strip_prefix("failed ") {
            Some(reason) => Err(reason.to_owned()),
            None => Ok(answer.parse().unwrap()),
        };
        self.session
            .offered(self.now, DataId(id.parse().unwrap()), answer);
    }

    fn data(&mut self, rest: &str) {
        let (id, event) = rest.split_once(' ').unwrap();
        let (event, reason) = event.split_once(' ').unwrap_or((event, ""));
        let event = match event {
            "opening" => DataEvent::Opening,
            "opened" => DataEvent::Opened,
            "joined" => DataEvent::Joined,
            "server-done" => DataEvent::ServerDone,
            "client-done" => DataEvent::ClientDone,
            "alive" => DataEvent::Alive {
                check: reason.parse().unwrap(),
            },
            "complete" => DataEvent::Ended(DataEnd::Complete),
            "unused" => DataEvent::Ended(DataEnd::Unused),
            "cut" => DataEvent::Ended(DataEnd::Cut(reason.to_owned())),
            "client-gone" => DataEvent::Ended(DataEnd::ClientGone(reason.to_owned())),
            _ => panic!("no such event: {event}"),
        };
        self.session
            .data_event(self.now, DataId(id.parse().unwrap()), event);
    }

    fn configure(&mut self, rest: &str) {
        for setting in rest.split_whitespace() {
            match setting.split_once('=').unwrap() {
                ("client", address) => self.config.client = address.parse().unwrap(),
                ("also", address) => self.config.also_client.push(address.parse().unwrap()),
                ("tls", "pass") => self.config.tls = TlsPolicy::Pass,
                ("tls", "offered") => self.config.tls = terminate(false, false),
                ("tls", "required") => self.config.tls = terminate(true, false),
                ("tls", "implicit") => self.config.tls = terminate(true, true),
                ("foreign", "pass") => self.config.foreign_port = ForeignPort::Pass,
                ("active", "no") => self.config.active = false,
                ("two-families", "yes") => self.config.two_families = true,
                ("pasv-over-ipv6", "any") => self.config.pasv_over_ipv6 = PasvOverIpv6::Any,
                ("far", "client") => self.config.behind_ssh = Peer::Client,
                ("ahead", "auto") => self.config.data_ahead = DataAhead::Auto,
                ("ahead", "yes") => self.config.data_ahead = DataAhead::Always,
                ("data", "eager") => self.config.data_open = DataOpen::Eager,
                ("data", "lazy") => self.config.data_open = DataOpen::Lazy,
                _ => panic!("no such setting: {setting}"),
            }
        }
        self.session = Session::new(self.config.clone());
    }

    fn outputs(&mut self) -> Vec<String> {
        let mut outputs = Vec::new();
        if let Some(bytes) = self.session.take_to_client() {
            outputs.push(format!("-> client {}", text(&bytes)));
        }
        if let Some(bytes) = self.session.take_to_server() {
            outputs.push(format!("-> server {}", text(&bytes)));
        }
        while let Some(action) = self.session.poll_action() {
            outputs.extend(self.show(action));
        }
        outputs
    }

    fn show(&self, action: Action) -> Option<String> {
        Some(match action {
            Action::Offer {
                id,
                mode,
                target,
                open_first,
                other_family,
                protected,
                ahead,
            } => {
                let target = target.map_or("nowhere".to_owned(), show_announced);
                let mode = if mode == Mode::Passive {
                    "passive"
                } else {
                    "active"
                };
                let first = if open_first { " open-first" } else { "" };
                let tls = if protected { " protected" } else { "" };
                let other = if other_family { " other-family" } else { "" };
                let ahead = if ahead { " ahead" } else { "" };
                format!(
                    "-> offer {} {mode} {target}{first}{other}{tls}{ahead}",
                    id.0
                )
            }
            Action::Announce { id, target } => {
                format!("-> announce {} {}", id.0, show_announced(target))
            }
            Action::Withdraw { id } => format!("-> withdraw {}", id.0),
            Action::Abort { id, reason } => format!("-> abort {} {reason}", id.0),
            Action::CheckLiveness { id, check } => format!("-> check {} {check}", id.0),
            Action::Release { id } => format!("-> release {}", id.0),
            Action::HalfClose { id } => format!("-> half-close {}", id.0),
            Action::StartTls => "-> start TLS".to_owned(),
            Action::EndServer => "-> end server".to_owned(),
            Action::EndClient => "-> end client".to_owned(),
            Action::Event(_) if !self.events => return None,
            Action::Event(event) => show_event(event),
        })
    }
}

fn show_announced(Announced { host, port }: Announced) -> String {
    let host = host.map_or("*".to_owned(), |host| host.to_string());
    format!("{host} {port}")
}

fn show_event(event: Event) -> String {
    let channel = |id: Option<DataId>| id.map_or("-".to_owned(), |id| id.0.to_string());
    match event {
        Event::LoggedIn { user } => format!("-> logged in {}", user.unwrap_or_default())
            .trim_end()
            .to_owned(),
        Event::LoginRefused { user, reply } => {
            let whose = user.map(|user| format!(" of {user}"));
            format!("-> login{} refused {reply}", whose.unwrap_or_default())
        }
        Event::Refused { reply } => format!("-> refused {reply}"),
        Event::Command { verb, argument } => format!("-> command {verb} {argument}")
            .trim_end()
            .to_owned(),
        Event::TransferStarted {
            id,
            transfer:
                TransferFacts {
                    command,
                    direction,
                    path,
                    size,
                    text: _,
                },
        } => {
            let at = path.map_or(String::new(), |path| format!(" at {path}"));
            let of = size.map_or(String::new(), |size| format!(" of {size}"));
            format!("-> started {} {direction:?} {command}{at}{of}", channel(id))
                .trim_end()
                .to_owned()
        }
        Event::TransferEnded {
            id,
            transfer,
            told,
            aborted,
        } => {
            let replaced = match (told.replaced, told.own) {
                (true, _) => " replaced",
                (false, true) => " own",
                (false, false) => "",
            };
            let aborted = if aborted { " aborted" } else { "" };
            let (code, command) = (told.code, transfer.command);
            format!(
                "-> ended {} {code}{replaced}{aborted} {command}",
                channel(id)
            )
            .trim_end()
            .to_owned()
        }
        Event::TransferRefused { id, transfer, told } => {
            format!(
                "-> refused {} {} {}",
                channel(id),
                told.code,
                transfer.command
            )
        }
        Event::NotFtp { protocol } => format!("-> not FTP but {protocol}"),
        Event::Opaque => "-> opaque".to_owned(),
    }
}

fn duration(text: &str) -> Duration {
    match text.strip_suffix("ms") {
        Some(count) => Duration::from_millis(count.parse().unwrap()),
        None => Duration::from_secs(text.strip_suffix('s').unwrap().parse().unwrap()),
    }
}

/// The bytes that a text stands for.
fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    loop {
        rest = match rest {
            [] => break,
            [b'\\', b'c'] => return bytes,
            [b'\\', b'x', high, low, tail @ ..] => {
                let digits = String::from_utf8(vec![*high, *low]).unwrap();
                bytes.push(u8::from_str_radix(&digits, 16).unwrap());
                tail
            }
            [b'\\', letter, tail @ ..] => {
                bytes.push(match letter {
                    b'r' => b'\r',
                    b'n' => b'\n',
                    b'0' => 0,
                    b'\\' => b'\\',
                    _ => panic!("no such escape in {text}"),
                });
                tail
            }
            [byte, tail @ ..] => {
                bytes.push(*byte);
                tail
            }
        };
    }
    bytes.extend(b"\r\n");
    bytes
}

/// The text that stands for these bytes.
fn text(bytes: &[u8]) -> String {
    let (bytes, end) = match bytes.strip_suffix(b"\r\n") {
        Some(bytes) => (bytes, ""),
        None => (bytes, "\\c"),
    };
    let mut text = String::new();
    for &byte in bytes {
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            0 => text.push_str("\\0"),
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text + end
}
