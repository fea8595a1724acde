//! A session between a client and a server, played to its end, and what became of its transfers.

use std::collections::VecDeque;
use std::iter::Sum;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use ftp_proto::{
    Action, Announced, DataAhead, DataId, Direction, Event, Mode, Peer, Session, SessionConfig,
    Told,
};

use super::channel::Channel;
use super::random::Random;
use super::script::default_config;
use super::server::{FIRST_PORT, Habits, Server};

/// The broker's own port for a channel is this and the channel's number.
const BROKERS_PORT: u16 = 20_000;
/// Things that happen in one session at most, before what is left is let run out.
const STEPS: u64 = 120;

/// What came of sessions.
#[derive(Debug, Default)]
pub struct Tally {
    /// Transfers told complete.
    pub complete: u64,
    /// Successes of the server that the client was not told.
    pub corrected: u64,
    /// Signs of life asked for.
    pub checked: u64,
    /// Connections that were ready when the client asked for them.
    pub announced: u64,
    /// Those of active mode among them.
    pub announced_active: u64,
    /// Successes told of transfers that were not whole.
    pub lies: Vec<String>,
    /// Sessions in which nothing went wrong but something was changed.
    pub spoilt: Vec<String>,
    /// Replies to no command.
    pub unasked: Vec<String>,
    /// Commands without a reply.
    pub unanswered: Vec<String>,
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |mut sum, mut tally| {
            sum.complete += tally.complete;
            sum.corrected += tally.corrected;
            sum.checked += tally.checked;
            sum.announced += tally.announced;
            sum.announced_active += tally.announced_active;
            sum.lies.append(&mut tally.lies);
            sum.spoilt.append(&mut tally.spoilt);
            sum.unasked.append(&mut tally.unasked);
            sum.unanswered.append(&mut tally.unanswered);
            sum
        })
    }
}

/// A transfer command as the client knows it.
#[derive(Debug)]
struct Wanted {
    direction: Direction,
    channel: Option<usize>,
    aborted: bool,
    /// The client was told that it failed.
    told_failed: bool,
}

#[derive(Debug)]
pub struct World {
    seed: u64,
    random: Random,
    far: Peer,
    session: Session,
    now: Instant,
    server: Server,
    channels: Vec<Channel>,
    /// Ports that lead to channels: the server's own, and the broker's.
    listens: Vec<(usize, usize)>,
    checks: VecDeque<(usize, u64)>,
    /// What the client has sent, a line each; `Some` for a transfer.
    sent: VecDeque<Option<usize>>,
    wanted: Vec<Wanted>,
    /// The client does not wait for replies. Others wait, but may send other commands in a transfer.
    pipelines: bool,
    /// The client transfers one file after the other, each behind a command of this mode.
    bursts: Option<Mode>,
    /// Its last command asked for a data connection.
    asked_last: bool,
    /// Commands sent less final replies heard, as far as a client can tell.
    outstanding: u64,
    /// Something was cut, refused or late, or the client did something odd.
    faults: bool,
    tally: Tally,
}

impl World {
    /// Plays the session of this seed.
    pub fn play(seed: u64) -> Tally {
        let mut random = Random::new(seed);
        let pipelines = random.once_in(2);
        // Where nobody waits and replies are left out, no client could tell what is about what.
        let mut habits = Habits::choose(&mut random, pipelines);
        let far = random.pick(&[Peer::Server, Peer::Client]);
        // Drawn apart, so that the other sessions stay what they were.
        let mut apart = Random::new(!seed);
        let in_bursts = apart.once_in(2);
        habits.reports_unused = apart.once_in(4);
        let config = SessionConfig {
            behind_ssh: far,
            two_families: true,
            data_ahead: apart.pick(&[DataAhead::Never, DataAhead::Always, DataAhead::Always]),
            ..default_config()
        };
        let mode = apart.pick(&[Mode::Passive, Mode::Active]);
        let mut world = Self {
            seed,
            random,
            far,
            session: Session::new(config),
            now: Instant::now(),
            server: Server::new(habits),
            channels: Vec::new(),
            listens: Vec::new(),
            checks: VecDeque::new(),
            sent: VecDeque::from([None]),
            wanted: Vec::new(),
            pipelines,
            bursts: in_bursts.then_some(mode),
            asked_last: false,
            outstanding: 1,
            faults: false,
            tally: Tally::default(),
        };
        trace(|| format!("seed {seed}: {far:?} is far, {:?}", world.server.habits));
        let careful = world.random.once_in(3);
        for _ in 0..STEPS {
            world.step(careful);
        }
        world.run_out();
        world.tally
    }

    fn step(&mut self, careful: bool) {
        match self.random.below(16) {
            0..=2 => self.client_says(),
            3..=5 => self.server_steps(),
            6..=8 => self.server_is_heard(),
            9..=11 => self.at_any_channel(Self::channel_steps),
            12..=13 => self.at_any_channel(Self::news_arrive),
            14 => self.check_is_answered(),
            _ if careful => {}
            _ => self.something_goes_wrong(),
        }
    }

    /// Lets everything that is under way come to its end.
    fn run_out(&mut self) {
        for round in 0..600 {
            self.server_steps();
            self.server_is_heard();
            self.check_is_answered();
            for at in 0..self.channels.len() {
                self.channel_steps(at);
                self.news_arrive(at);
            }
            if self.server.is_idle()
                && self.session.next_timeout().is_none()
                && round > if self.sent.is_empty() { 20 } else { 500 }
            {
                break;
            }
            if round > 400 {
                self.time_passes(61);
                for channel in &mut self.channels {
                    channel.fail_to_join();
                }
            }
        }
        while self.session.next_timeout().is_some() {
            self.time_passes(61);
        }
        if self.server.habits.is_orderly() && !self.sent.is_empty() && !self.faults {
            let (seed, count) = (self.seed, self.sent.len());
            self.tally.unanswered.push(format!(
                "seed {seed}: {count} of {} commands",
                self.wanted.len()
            ));
        }
    }

    fn client_says(&mut self) {
        let waits = self.outstanding > 0 && !self.pipelines;
        let burst = self.bursts.filter(|_| !waits && !self.random.once_in(4));
        let kind = if let Some(mode) = burst {
            match mode {
                _ if self.asked_last => 4 + self.random.below(3),
                Mode::Passive => 0,
                Mode::Active => 3,
            }
        } else if !waits {
            self.random.below(12)
        } else if !self.server.says.is_empty() || !self.random.once_in(4) {
            return;
        } else {
            7 + self.random.below(4)
        };
        let line = match kind {
            0..=1 => "EPSV\r\n".to_owned(),
            2 => "PASV\r\n".to_owned(),
            3 => "PORT 127,0,0,1,4,5\r\n".to_owned(),
            4..=5 => self.transfer_command(Direction::Upload, "STOR"),
            // A download's `250` may be taken for that of a command sent meanwhile: its data connection tells the outcome.
            6 if !self.pipelines || self.server.habits.done != "250" => {
                self.transfer_command(Direction::Download, "RETR")
            }
            6 | 7 => "NOOP\r\n".to_owned(),
            8 => "CWD x\r\n".to_owned(),
            9 => "STAT\r\n".to_owned(),
            10 => self.abort(),
            _ => self.answered_here(),
        };
        self.asked_last = line.starts_with("EPSV") || line.starts_with("PORT 127");
        self.outstanding += 1;
        if !is_transfer_line(&line) {
            self.sent.push_back(None);
        }
        trace(|| format!("c> {line}"));
        self.session.client_bytes(self.now, line.as_bytes());
        self.drain();
    }

    fn transfer_command(&mut self, direction: Direction, verb: &str) -> String {
        let number = self.wanted.len();
        self.wanted.push(Wanted {
            direction,
            channel: None,
            aborted: false,
            told_failed: false,
        });
        self.sent.push_back(Some(number));
        format!("{verb} t{number}t\r\n")
    }

    fn abort(&mut self) -> String {
        self.faults = true;
        self.wanted
            .iter_mut()
            .for_each(|wanted| wanted.aborted = true);
        "ABOR\r\n".to_owned()
    }

    fn answered_here(&mut self) -> String {
        self.faults = true;
        "PORT 10,9,9,9,4,5\r\n".to_owned()
    }

    fn server_steps(&mut self) {
        let listens = self.listens.clone();
        let find = |port: usize| {
            listens
                .iter()
                .find(|(at, _)| *at == port)
                .map(|(_, id)| *id)
        };
        self.note_running();
        self.server
            .step(&mut self.random, &mut self.channels, &find);
        self.note_running();
    }

    /// Takes note of the channel that the transfer uses.
    fn note_running(&mut self) {
        if let Some(run) = &self.server.running {
            self.wanted[run.number].channel = run.channel;
        }
    }

    fn server_is_heard(&mut self) {
        if let Some(line) = self.server.says.pop_front() {
            trace(|| format!("s> {line}"));
            self.session.server_bytes(self.now, line.as_bytes());
            self.drain();
        }
    }

    fn at_any_channel(&mut self, does: fn(&mut Self, usize)) {
        if let Some(at) = self.any_channel() {
            does(self, at);
        }
    }

    fn channel_steps(&mut self, at: usize) {
        let keeps_open = self.server.habits.keeps_open;
        let channel = &mut self.channels[at];
        // The client connects at once or later; the server of an active channel when it begins.
        if channel.mode == Mode::Passive && self.random.once_in(2) {
            channel.join();
        }
        channel.step(&mut self.random, keeps_open);
    }

    fn news_arrive(&mut self, at: usize) {
        if let Some(event) = self.channels[at].next_news() {
            trace(|| format!("data {at} {event:?}"));
            self.session.data_event(self.now, DataId(at as u64), event);
            self.drain();
        }
    }

    fn check_is_answered(&mut self) {
        if let Some((channel, check)) = self.checks.pop_front() {
            self.channels[channel].answer(check);
        }
    }

    fn something_goes_wrong(&mut self) {
        self.faults = true;
        let by_client = self.random.once_in(2);
        match (self.random.below(4), self.any_channel()) {
            (0, _) | (_, None) => {
                let seconds = self.random.pick(&[1, 3, 6, 31]);
                self.time_passes(seconds);
            }
            (1, Some(at)) if self.random.once_in(3) => self.channels[at].fail_to_join(),
            (_, Some(at)) => self.channels[at].break_off(by_client),
        }
    }

    fn time_passes(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.session.handle_timeout(self.now);
        self.drain();
    }

    /// One of the latest channels.
    fn any_channel(&mut self) -> Option<usize> {
        let back = self.random.below(2) as usize;
        self.channels.len().checked_sub(1 + back)
    }

    fn drain(&mut self) {
        let mut heard = String::new();
        loop {
            if let Some(bytes) = self.session.take_to_client() {
                let text = String::from_utf8(bytes).unwrap();
                trace(|| format!("    -> client {text}"));
                heard.push_str(&text);
            }
            if let Some(bytes) = self.session.take_to_server() {
                trace(|| format!("    -> server {}", String::from_utf8_lossy(&bytes)));
                self.judge_asking(&bytes);
                self.server.hears(&bytes);
            }
            let Some(action) = self.session.poll_action() else {
                break;
            };
            trace(|| format!("    -> {action:?}"));
            self.act(action);
        }
        self.client_hears(&heard);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Offer {
                id,
                mode,
                target,
                other_family,
                ahead,
                ..
            } => self.offer(id, mode, target, other_family, ahead),
            Action::Announce { id, .. } => {
                self.tally.announced += 1;
                let channel = &mut self.channels[id.0 as usize];
                self.tally.announced_active += u64::from(channel.mode == Mode::Active);
                let other_family = channel.other_family;
                if channel.announce() {
                    self.answer(id, other_family);
                } else {
                    let reason = Err("it has ended".to_owned());
                    self.session.offered(self.now, id, reason);
                }
            }
            Action::Withdraw { id } => {
                let at = id.0 as usize;
                if self.channels[at].is_ahead {
                    self.channels[at].give_up();
                    self.server.loses(at);
                }
            }
            Action::CheckLiveness { id, check } => {
                self.tally.checked += 1;
                self.checks.push_back((id.0 as usize, check));
            }
            Action::Abort { id, .. } => {
                let channel = &mut self.channels[id.0 as usize];
                channel.fail_to_join();
                channel.break_off(false);
            }
            Action::Event(Event::TransferEnded {
                transfer,
                told:
                    Told {
                        own: true,
                        replaced,
                        ..
                    },
                ..
            }) => {
                self.tally.corrected += u64::from(replaced);
                if let Some(number) = number_in(&transfer.command) {
                    self.wanted[number].told_failed = true;
                }
            }
            Action::HalfClose { id } => self.channels[id.0 as usize].half_closed = true,
            Action::Release { .. }
            | Action::EndServer
            | Action::EndClient
            | Action::StartTls
            | Action::Event(_) => {}
        }
    }

    fn offer(
        &mut self,
        id: DataId,
        mode: Mode,
        target: Option<Announced>,
        other_family: bool,
        ahead: bool,
    ) {
        let at = self.channels.len();
        assert_eq!(id, DataId(at as u64));
        self.channels.push(Channel::new(mode, self.far));
        let own = BROKERS_PORT + at as u16;
        match mode {
            Mode::Passive => self.server.learn(usize::from(target.unwrap().port), at),
            Mode::Active => self.listens.push((usize::from(own), at)),
        }
        if ahead {
            let works = !self.random.once_in(8);
            self.channels[at].other_family = other_family;
            self.channels[at].open_ahead(works);
            // Otherwise it is not ready in time.
            if mode == Mode::Active && works && !self.random.once_in(4) {
                self.answer(id, other_family);
            }
            return;
        }
        self.answer(id, other_family);
    }

    /// There is an endpoint for this channel.
    fn answer(&mut self, id: DataId, other_family: bool) {
        let own = BROKERS_PORT + id.0 as u16;
        let host = if other_family {
            IpAddr::from(Ipv6Addr::LOCALHOST)
        } else {
            IpAddr::from(Ipv4Addr::LOCALHOST)
        };
        self.session
            .offered(self.now, id, Ok(SocketAddr::new(host, own)));
    }

    /// What the client makes of lines that it reads.
    fn client_hears(&mut self, text: &str) {
        for line in text.lines() {
            let is_final = matches!(line.as_bytes(), [b'2'..=b'5', _, _, b' ', ..]);
            self.outstanding = self.outstanding.saturating_sub(u64::from(is_final));
            let Some(number) = number_in(line) else {
                self.take_in_turn(line);
                continue;
            };
            self.tally.complete += 1;
            self.judge(number, line);
            self.take_in_turn(line);
        }
    }

    /// The server's own success of a transfer came through.
    fn judge(&mut self, number: usize, line: &str) {
        let Some(wanted) = self.wanted.get(number) else {
            return;
        };
        // Of two successes, one for the transfer and one for a command sent meanwhile, the first became a failure.
        let given_up =
            wanted.told_failed || (wanted.aborted && wanted.direction == Direction::Download);
        // Where a command sent meanwhile explains it, the end of the data connection tells the client of a download.
        let told_otherwise = wanted.direction == Direction::Download && !line.starts_with("226");
        let channel = wanted.channel.and_then(|at| self.channels.get(at));
        let whole = channel.is_some_and(|channel| channel.is_whole(wanted.direction));
        if line.starts_with('2') && !whole && !given_up && !told_otherwise {
            let seed = self.seed;
            self.tally
                .lies
                .push(format!("seed {seed}: {line}: {wanted:?}"));
        }
    }

    /// Nobody asks for a data connection while a transfer runs unless the client does, and one that waits does not.
    fn judge_asking(&mut self, bytes: &[u8]) {
        let asks = [b"EPSV", b"PASV", b"PORT", b"EPRT"]
            .iter()
            .any(|verb| bytes.starts_with(*verb));
        let plain = !self.pipelines && !self.faults && self.server.habits.is_orderly();
        if asks && plain && self.server.running.is_some() {
            let seed = self.seed;
            self.tally
                .spoilt
                .push(format!("seed {seed}: a command for data during a transfer"));
        }
    }

    /// A client takes final replies in the order of its commands. Where the server answers so, no success may stand where the
    /// client expects that of a transfer which was not whole.
    fn take_in_turn(&mut self, line: &str) {
        let head = line.as_bytes();
        let is_final = matches!(head, [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9', b' ', ..]);
        if !is_final || !self.server.habits.is_orderly() {
            return;
        }
        let Some(sent) = self.sent.pop_front() else {
            return self
                .tally
                .unasked
                .push(format!("seed {}: {line}", self.seed));
        };
        let Some(number) = sent else {
            return;
        };
        self.judge(number, line);
        let wanted = &self.wanted[number];
        let failed_for_nothing = !self.faults
            && !self.server.was_refused
            && wanted.channel.is_some()
            && !line.starts_with('2');
        if failed_for_nothing {
            let seed = self.seed;
            self.tally
                .spoilt
                .push(format!("seed {seed}: {line}: {wanted:?}"));
        }
    }
}

/// Shows what happens where one session is looked at (`MODEL_SESSIONS=1 MODEL_SEED=… MODEL_TRACE=1`).
fn trace(line: impl FnOnce() -> String) {
    static WANTED: LazyLock<bool> = LazyLock::new(|| std::env::var_os("MODEL_TRACE").is_some());
    if *WANTED {
        println!("{}", line().trim_end().replace("\r\n", " | "));
    }
}

/// The number of the transfer that a line names.
fn number_in(line: &str) -> Option<usize> {
    line.split('t').nth(1)?.parse().ok()
}

fn is_transfer_line(line: &str) -> bool {
    ["STOR", "RETR"].iter().any(|verb| line.starts_with(verb))
}

/// The ports of the server and of the broker never meet.
const _: () = assert!(FIRST_PORT < BROKERS_PORT as usize - 1000);
