//! The FTP server of the model: it takes commands in order and believes every end of data that it sees.

use std::collections::VecDeque;

use ftp_proto::{Direction, Mode};

use super::channel::Channel;
use super::random::Random;

/// What a server does that others do not.
#[derive(Debug, Default)]
pub struct Habits {
    /// It answers commands in the middle of a transfer.
    pub answers_meanwhile: bool,
    /// It leaves out a reply once in so many times.
    pub skips: Option<u64>,
    /// It leaves its data connection open after an upload.
    pub keeps_open: bool,
    /// It ends its direction of an upload at once.
    half_closes: bool,
    /// It says that an upload or download is complete before it is.
    early: bool,
    /// It tells no start of a transfer.
    no_start: bool,
    /// It reports a transfer when a data connection closes that none has used.
    pub reports_unused: bool,
    /// It was reached over IPv6, and takes neither PASV nor PORT.
    pub over_ipv6: bool,
    start: &'static str,
    pub done: &'static str,
}

impl Habits {
    /// Habits of a server. An orderly one answers each command once and in order.
    pub fn choose(random: &mut Random, orderly: bool) -> Self {
        if orderly || random.once_in(4) {
            return Self {
                keeps_open: random.once_in(4),
                half_closes: random.once_in(4),
                over_ipv6: random.once_in(4),
                start: random.pick(&["150 go\r\n", "125 go\r\n"]),
                done: random.pick(&["226", "250"]),
                ..Self::default()
            };
        }
        let early = random.once_in(5);
        let no_start = !early && random.once_in(5);
        Self {
            answers_meanwhile: random.once_in(3),
            skips: random.once_in(4).then_some(6),
            keeps_open: random.once_in(4),
            reports_unused: false,
            half_closes: random.once_in(4),
            over_ipv6: random.once_in(4),
            early,
            no_start,
            start: random.pick(&[
                "150 go\r\n",
                "125 go\r\n",
                "150-Note\r\n125 Opening\r\n",
                "150-Opening\r\n150-more\r\n",
                "553-\r\n553- excluded\r\n150 Opening\r\n",
                "200-Note\r\n150 Opening\r\n",
                "150-go\r\n226 files so far\r\n150 go\r\n",
            ]),
            // Without a start, or before the end, another code could as well be meant for something else.
            done: if no_start || early {
                "226"
            } else {
                random.pick(&["226", "226", "250", "200"])
            },
        }
    }

    /// Whether it answers each command once, in order, and with the usual codes.
    pub fn is_orderly(&self) -> bool {
        !self.answers_meanwhile
            && self.skips.is_none()
            && !self.early
            && self.done != "200"
            && matches!(self.start, "150 go\r\n" | "125 go\r\n")
    }
}

/// A transfer as the server sees it.
#[derive(Debug)]
pub struct Run {
    /// Number of the command among the client's transfer commands.
    pub number: usize,
    pub direction: Direction,
    pub channel: Option<usize>,
}

#[derive(Debug)]
pub struct Server {
    pub habits: Habits,
    inbox: VecDeque<String>,
    pub running: Option<Run>,
    /// The channel that it would use now.
    current: Option<usize>,
    /// Ports that it has listened on; the place of one is the number that its announcement carries.
    pub ports: usize,
    /// It was refused at a client's port.
    pub was_refused: bool,
    /// What it says, in lines that are on their way.
    pub says: VecDeque<String>,
}

/// The first port that the server announces; each further one is the next.
pub const FIRST_PORT: usize = 1025;

impl Server {
    pub fn new(habits: Habits) -> Self {
        // The session asks only a server ahead that is known to read its commands in turn, and to say nothing else. If it
        // refused the passive command of a client that has sent its transfer behind, it would wait for the prepared
        // connection until its own limit, which this server does not have.
        let asked = habits.is_orderly() && !habits.reports_unused && !habits.over_ipv6;
        let greeting = match asked {
            true => "220 (vsFTPd 3.0.3)\r\n",
            false => "220 ready\r\n",
        };
        Self {
            habits,
            inbox: VecDeque::new(),
            running: None,
            current: None,
            ports: 0,
            was_refused: false,
            says: VecDeque::from([greeting.to_owned()]),
        }
    }

    pub fn hears(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        self.inbox.extend(text.lines().map(str::to_owned));
    }

    pub fn is_idle(&self) -> bool {
        self.inbox.is_empty() && self.running.is_none() && self.says.is_empty()
    }

    /// Does one thing. `listens`: the channel behind a port of the broker's or the server's own.
    pub fn step(
        &mut self,
        random: &mut Random,
        channels: &mut [Channel],
        listens: &dyn Fn(usize) -> Option<usize>,
    ) {
        if self.running.is_some() && !(self.habits.answers_meanwhile && random.once_in(2)) {
            return self.go_on(random, channels);
        }
        let next = self.inbox.front().cloned();
        let in_order = |line: &String| self.running.is_none() || !is_transfer(line);
        let Some(line) = next.filter(in_order) else {
            return self.go_on(random, channels);
        };
        self.inbox.pop_front();
        let skips = self.habits.skips.is_some_and(|times| random.once_in(times));
        match line.split(' ').next().unwrap() {
            "STOR" | "APPE" => self.begin(Direction::Upload, &line),
            "RETR" | "LIST" => self.begin(Direction::Download, &line),
            _ if skips => {}
            "PASV" | "PORT" if self.habits.over_ipv6 => {
                self.says.push_back("500 not over IPv6\r\n".to_owned());
            }
            "EPSV" | "PASV" => {
                let port = FIRST_PORT + self.ports;
                self.ports += 1;
                self.says.push_back(if line == "PASV" {
                    format!("227 at (127,0,0,1,{},{})\r\n", port / 256, port % 256)
                } else {
                    format!("229 at (|||{port}|)\r\n")
                });
                // Which channel leads there is known once the broker has heard of it.
                self.current = Some(usize::MAX - port);
            }
            "PORT" => {
                let numbers: Vec<usize> =
                    line[5..].split(',').map(|n| n.parse().unwrap()).collect();
                self.current = listens(numbers[4] * 256 + numbers[5]);
                self.says.push_back("200 port\r\n".to_owned());
            }
            "EPRT" => {
                let port = line.split('|').nth(3).unwrap();
                self.current = listens(port.parse().unwrap());
                self.says.push_back("200 port\r\n".to_owned());
            }
            "ABOR" => self.says.push_back("226 abort\r\n".to_owned()),
            "CWD" => self.says.push_back("250 cwd\r\n".to_owned()),
            "STAT" => self
                .says
                .push_back("213-status\r\n 226 x\r\n213 end\r\n".to_owned()),
            _ => self.says.push_back("200 ok\r\n".to_owned()),
        }
    }

    /// The channels that the broker has made of the server's own ports.
    pub fn learn(&mut self, port: usize, channel: usize) {
        let unknown = Some(usize::MAX - port);
        if self.current == unknown {
            self.current = Some(channel);
        }
        if let Some(run) = &mut self.running
            && run.channel == unknown
        {
            run.channel = Some(channel);
        }
    }

    /// The data connection that it would use has closed before a transfer.
    pub fn loses(&mut self, channel: usize) {
        if self.habits.reports_unused && self.current == Some(channel) && self.running.is_none() {
            self.says.push_back("226 closed\r\n".to_owned());
        }
    }

    fn begin(&mut self, direction: Direction, line: &str) {
        let number = line.split('t').nth(1).unwrap().parse().unwrap();
        let Some(channel) = self.current.take() else {
            self.says
                .push_back("425 Use PORT or PASV first\r\n".to_owned());
            return;
        };
        if !self.habits.no_start {
            self.says.push_back(self.habits.start.to_owned());
        }
        self.running = Some(Run {
            number,
            direction,
            channel: Some(channel),
        });
    }

    /// Goes on with the transfer that runs.
    fn go_on(&mut self, random: &mut Random, channels: &mut [Channel]) {
        let Some(run) = &self.running else {
            return;
        };
        let channel = run.channel.and_then(|channel| channels.get_mut(channel));
        let failed = channel
            .as_ref()
            .is_some_and(|channel| channel.server_sees_failure);
        let over = match channel {
            // The broker has yet to hear of it.
            None => false,
            Some(channel) => {
                channel.direction = Some(run.direction);
                if channel.mode == Mode::Active
                    && !channel.joined
                    && !channel.server_sees_end
                    && !failed
                {
                    self.was_refused |= join_or_refuse(random, channel);
                }
                let sends = run.direction == Direction::Download && random.once_in(2);
                if sends || (self.habits.half_closes && channel.joined) {
                    channel.end_by_server();
                }
                let early = self.habits.early && random.once_in(6);
                let cut_short = channel.half_closed && run.direction != Direction::Download;
                channel.server_sees_end || cut_short || failed || sends || early
            }
        };
        if over {
            let code = if failed { "426" } else { self.habits.done };
            let number = run.number;
            self.says.push_back(format!("{code} done t{number}t\r\n"));
            self.running = None;
        }
    }
}

fn is_transfer(line: &str) -> bool {
    ["STOR", "APPE", "RETR", "LIST"]
        .iter()
        .any(|verb| line.starts_with(verb))
}

/// The client's port takes the server's connection, or does not: then this is true.
fn join_or_refuse(random: &mut Random, channel: &mut Channel) -> bool {
    let refuses = random.once_in(5);
    if refuses {
        channel.fail_to_join();
    } else {
        channel.join();
    }
    refuses
}
