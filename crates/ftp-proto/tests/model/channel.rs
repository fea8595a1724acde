//! One data channel of the model: what happens on it, and what the session is told of it and when.

use std::collections::VecDeque;

use ftp_proto::{DataEnd, DataEvent, Direction, Mode, Peer};

use super::random::Random;

/// A data channel between client and server.
#[derive(Debug)]
pub struct Channel {
    pub mode: Mode,
    pub direction: Option<Direction>,
    pub joined: bool,
    /// The client has not been told of it yet.
    pub is_ahead: bool,
    /// Active: the endpoint is of the other family.
    pub other_family: bool,
    /// The peer behind SSH. What goes to it is handed over first, and arrives later, or never.
    far: Peer,
    /// The client's end is on its way.
    client_ended: bool,
    /// The client's end was passed on.
    client_done: bool,
    /// The server's end is on its way.
    server_ended: bool,
    /// The server's end was passed on.
    server_done: bool,
    /// The server's end reached the client, behind all that was sent before it.
    server_end_arrived: bool,
    /// The server saw the client's own end, behind all that was sent before it.
    pub delivered: bool,
    /// The direction to the server has ended, for a download.
    pub half_closed: bool,
    /// The server sees an end, true or not.
    pub server_sees_end: bool,
    /// The server sees that its data connection has failed.
    pub server_sees_failure: bool,
    /// Nothing more happens on it.
    over: bool,
    /// What the session is still to be told, in order.
    news: VecDeque<DataEvent>,
}

impl Channel {
    pub fn new(mode: Mode, far: Peer) -> Self {
        Self {
            mode,
            direction: None,
            joined: false,
            is_ahead: false,
            other_family: false,
            far,
            client_ended: false,
            client_done: false,
            server_ended: false,
            server_done: false,
            server_end_arrived: false,
            delivered: false,
            half_closed: false,
            server_sees_end: false,
            server_sees_failure: false,
            over: false,
            news: VecDeque::new(),
        }
    }

    /// Whether all of a transfer in this direction went through, with its end.
    pub fn is_whole(&self, direction: Direction) -> bool {
        match direction {
            Direction::Upload => self.delivered,
            Direction::Download | Direction::Unknown => self.server_end_arrived,
        }
    }

    /// What the session is told next.
    pub fn next_news(&mut self) -> Option<DataEvent> {
        self.news.pop_front()
    }

    /// Client and server are connected.
    pub fn join(&mut self) {
        if !self.joined && !self.over && !self.is_ahead {
            self.joined = true;
            self.news.push_back(DataEvent::Joined);
        }
    }

    /// The way to the server's port is open, or not, before the client is told of it.
    pub fn open_ahead(&mut self, works: bool) {
        self.is_ahead = true;
        if works {
            self.news.push_back(DataEvent::Opened);
        } else {
            self.finish(DataEnd::Unused);
        }
    }

    /// The client has asked for it. False if it ended before.
    pub fn announce(&mut self) -> bool {
        self.is_ahead = false;
        !self.over
    }

    /// It is given up before the client is told of it.
    pub fn give_up(&mut self) {
        if self.is_ahead && !self.over {
            self.finish(DataEnd::Unused);
        }
    }

    /// The client refuses the connection, or never comes.
    pub fn fail_to_join(&mut self) {
        if !self.joined && !self.over {
            self.finish(match self.mode {
                Mode::Active => DataEnd::ClientGone("refused".into()),
                Mode::Passive => DataEnd::Cut("never came".into()),
            });
        }
    }

    /// The line breaks, or the client resets its connection. The peer behind SSH sees an end in order.
    pub fn break_off(&mut self, by_client: bool) {
        if self.joined && !self.over {
            self.finish(if by_client {
                DataEnd::ClientGone("reset".into())
            } else {
                DataEnd::Cut("cut".into())
            });
        }
    }

    /// The server ends its direction. The SSH server has accepted its connection, whether the client has come or not.
    pub fn end_by_server(&mut self) {
        if !self.over {
            self.server_ended = true;
        }
    }

    /// The SSH session answers this check if it is alive: behind everything that was handed over before it.
    pub fn answer(&mut self, check: u64) {
        self.deliver();
        if !self.over {
            self.news.push_back(DataEvent::Alive { check });
        }
    }

    /// One thing that may happen by itself.
    pub fn step(&mut self, random: &mut Random, keeps_open: bool) {
        if !self.joined || self.over {
            return;
        }
        match random.below(4) {
            0 => self.end_by_client(),
            1 => self.deliver(),
            2 => self.pass_on_client_end(),
            _ => self.pass_on_server_end(),
        }
        self.close_if_done(keeps_open);
    }

    /// The client ends its direction: after its last byte in an upload, after the server's end otherwise.
    fn end_by_client(&mut self) {
        let may = match self.direction {
            Some(Direction::Upload) => true,
            Some(Direction::Download | Direction::Unknown) => self.server_end_arrived,
            None => false,
        };
        self.client_ended |= may;
    }

    /// What was handed to the SSH connection arrives.
    fn deliver(&mut self) {
        if self.over {
            return;
        }
        match self.far {
            Peer::Server if self.client_done => self.arrive_at_server(),
            Peer::Client if self.server_done => self.server_end_arrived = true,
            Peer::Server | Peer::Client => {}
        }
    }

    fn arrive_at_server(&mut self) {
        self.delivered = true;
        self.server_sees_end = true;
    }

    fn pass_on_client_end(&mut self) {
        if self.client_ended && !self.client_done {
            self.client_done = true;
            self.news.push_back(DataEvent::ClientDone);
            if self.far == Peer::Client {
                self.arrive_at_server();
            }
        }
    }

    fn pass_on_server_end(&mut self) {
        if self.server_ended && !self.server_done {
            self.server_done = true;
            self.news.push_back(DataEvent::ServerDone);
            self.server_end_arrived |= self.far == Peer::Server;
        }
    }

    /// A server that has seen the client's end closes, unless it is one of those that never do.
    fn close_if_done(&mut self, keeps_open: bool) {
        if self.delivered && self.direction == Some(Direction::Upload) && !keeps_open {
            self.server_ended = true;
        }
        if self.delivered && self.server_end_arrived {
            self.finish(DataEnd::Complete);
        }
    }

    fn finish(&mut self, end: DataEnd) {
        self.over = true;
        let orderly = end == DataEnd::Complete || self.far == Peer::Server;
        self.server_sees_end |= orderly;
        // A server that has sent everything and closed looks at its connection no more.
        self.server_sees_failure |= !orderly && !self.server_ended;
        self.news.push_back(DataEvent::Ended(end));
    }
}
