//! One session: commands one after the other, and what may come during a transfer.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};

use super::control::Control;
use super::data::{End, Job, Line, Offer, carry, eprt_argument, port_argument};
use super::{Aborts, Noop, Quirks, Shared, Success};

/// Data connections of uploads that are left open; a client that makes more uploads finds the oldest closed.
const MAX_KEPT: usize = 256;

/// Commands that wait for the end of a transfer; a client that sends more is not read meanwhile.
const MAX_WAITING: usize = 256;

pub(super) async fn serve(stream: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut session = QuirkySession {
        control: Control::new(stream, Arc::clone(shared)),
        shared: Arc::clone(shared),
        offer: None,
        waiting: VecDeque::new(),
        kept: VecDeque::new(),
    };
    session.control.say(&["220 Ready"]).await?;
    while let Some(command) = session.next().await? {
        if command.eq_ignore_ascii_case("QUIT") {
            return session.control.say(&["221 Goodbye"]).await;
        }
        session.obey(&command).await?;
    }
    Ok(())
}

struct QuirkySession {
    control: Control,
    shared: Arc<Shared>,
    offer: Option<Offer>,
    /// Commands that came during a transfer.
    waiting: VecDeque<String>,
    kept: VecDeque<TcpStream>,
}

impl QuirkySession {
    async fn next(&mut self) -> io::Result<Option<String>> {
        match self.waiting.pop_front() {
            Some(command) => Ok(Some(command)),
            None => self.control.next().await,
        }
    }

    async fn obey(&mut self, command: &str) -> io::Result<()> {
        let (verb, argument) = command.split_once(' ').unwrap_or((command, ""));
        let quirks = self.shared.quirks();
        let verb = verb.to_ascii_uppercase();
        if let Some((_, reply)) = quirks.refuses.iter().find(|(it, _)| *it == verb) {
            return self.control.say(&[reply]).await;
        }
        let reply = match verb.as_str() {
            "USER" => "331 Password, please",
            "PASS" => quirks.login,
            "TYPE" => "200 Type set",
            "CWD" => "250 Directory changed",
            "PWD" => r#"257 "/" is the directory"#,
            "NOOP" => "200 Nothing done",
            "ABOR" => "225 No transfer to abort",
            "PASV" => return self.listen(false, &quirks).await,
            "EPSV" => return self.listen(true, &quirks).await,
            "PORT" => self.offer_active(port_argument(argument).map(Offer::Active)),
            "EPRT" => self.offer_active(eprt_argument(argument).map(Offer::Active)),
            "RETR" | "LIST" => return self.download(&verb, argument, &quirks).await,
            "STOR" | "APPE" => return self.upload(&verb, argument, &quirks).await,
            _ => "502 Not known here",
        };
        self.control.say(&[reply]).await
    }

    async fn listen(&mut self, extended: bool, quirks: &Quirks) -> io::Result<()> {
        let own = self.control.stream().local_addr()?.ip();
        let listener = TcpListener::bind((own, 0)).await?;
        let port = listener.local_addr()?.port();
        let host = quirks.passive_host.map_or(own, IpAddr::V4);
        self.offer = Some(Offer::Passive(listener));
        let reply = if extended {
            format!("229 Entering Extended Passive Mode (|||{port}|)")
        } else {
            let host = host.to_string().replace('.', ",");
            let (high, low) = (port >> 8, port & 255);
            format!("227 Entering Passive Mode ({host},{high},{low}).")
        };
        self.control.say(&[&reply]).await
    }

    fn offer_active(&mut self, offer: Option<Offer>) -> &'static str {
        let known = offer.is_some();
        self.offer = offer;
        if known { "200 Noted" } else { "501 No address" }
    }

    async fn download(&mut self, verb: &str, name: &str, quirks: &Quirks) -> io::Result<()> {
        let bytes = match verb.eq_ignore_ascii_case("LIST") {
            true => Some(self.listing()),
            false => self.shared.files.borrow().get(name).cloned(),
        };
        match bytes {
            Some(bytes) => self.transfer(Job::Send(bytes), quirks).await,
            None => self.control.say(&["550 No such file"]).await,
        }
    }

    fn listing(&self) -> Vec<u8> {
        let files = self.shared.files.borrow();
        let lines = files.keys().map(|name| format!("{name}\r\n"));
        lines.collect::<String>().into_bytes()
    }

    async fn upload(&mut self, verb: &str, name: &str, quirks: &Quirks) -> io::Result<()> {
        let anew = verb.eq_ignore_ascii_case("STOR");
        self.shared.files.send_modify(|files| {
            let file = files.entry(name.to_owned()).or_default();
            if anew {
                file.clear();
            }
        });
        self.transfer(Job::Receive(name.to_owned()), quirks).await
    }

    async fn transfer(&mut self, job: Job, quirks: &Quirks) -> io::Result<()> {
        let Some(offer) = self.offer.take() else {
            return self.control.say(&["425 PASV or PORT comes first"]).await;
        };
        if quirks.skips_data {
            drop(offer);
            self.control.say(quirks.start).await?;
            return self.control.say(quirks.done).await;
        }
        let Ok(line) = offer.take_up().await else {
            return self.control.say(&["425 Cannot connect"]).await;
        };
        self.control.say(quirks.start).await?;
        if quirks.success == Success::BeforeData {
            self.control.say(quirks.done).await?;
        }
        let mut noops = 0;
        let end = self.watch(line, job, quirks, &mut noops).await?;
        for _ in 0..noops {
            self.control.say(&["200 Nothing done"]).await?;
        }
        self.conclude(end, quirks).await
    }

    /// Carries the data and hears what the client says meanwhile. Counts the NOOPs that are owed a reply at its end.
    async fn watch(
        &mut self,
        line: Line,
        job: Job,
        quirks: &Quirks,
        noops: &mut usize,
    ) -> io::Result<End> {
        let shared = Arc::clone(&self.shared);
        let mut carried = pin!(carry(line, job, quirks, &shared));
        loop {
            let listens = !self.control.has_ended() && self.waiting.len() < MAX_WAITING;
            let command = tokio::select! {
                end = &mut carried => return Ok(end),
                command = self.control.next(), if listens => command?,
            };
            let Some(command) = command else { continue };
            match command.to_ascii_uppercase().as_str() {
                "ABOR" if quirks.aborts == Aborts::AtOnce => return Ok(End::Aborted),
                "NOOP" if quirks.noop == Noop::Now => {
                    self.control.say(&["200 Nothing done"]).await?;
                }
                "NOOP" if quirks.noop == Noop::Before => *noops += 1,
                "NOOP" if quirks.noop == Noop::Never => {}
                _ => self.waiting.push_back(command),
            }
        }
    }

    async fn conclude(&mut self, end: End, quirks: &Quirks) -> io::Result<()> {
        match end {
            End::Whole(stream) => {
                self.keep(stream.filter(|_| quirks.keeps_data_socket));
                match quirks.success {
                    Success::BeforeData => return Ok(()),
                    Success::Late(wait) => tokio::time::sleep(wait).await,
                    Success::AfterData => {}
                }
                self.control.say(quirks.done).await
            }
            End::Unconnected => self.control.say(&["425 Nobody connected"]).await,
            End::Failed => self.control.say(&["426 The connection failed"]).await,
            End::Aborted => {
                let replies = ["426 Transfer aborted", "226 ABOR done"];
                self.control.say(&replies).await
            }
        }
    }

    fn keep(&mut self, stream: Option<TcpStream>) {
        self.kept.extend(stream);
        while self.kept.len() > MAX_KEPT {
            self.kept.pop_front();
        }
    }
}
