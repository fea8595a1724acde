//! The steps that need an FTP login: a listing in each mode, and a file. They run through a session of the broker, which
//! is the one that clients of the tunnel get.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use broker_config::FtpOptions;
use broker_ipc::checks::{FtpLogin, Outcome, Step};
use ftp_proto::{NoReply, Reply, ReplyReader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use super::finding::Finding;
use super::report::Reporter;

/// How long a reply may take.
const REPLY_LIMIT: Duration = Duration::from_secs(60);

/// How long a file is fetched: long enough for a rate, short enough for somebody who waits.
const FETCH_LIMIT: Duration = Duration::from_secs(15);

const ABOUT_PASSIVE: &str = "check the passive ports and the address that the FTP server announces, and the firewall between \
     it and the SSH server";

const ABOUT_ACTIVE: &str = "clients can use passive mode";

/// Bytes read at a time.
const CHUNK: usize = 64 << 10;

/// Logs in through the tunnel at this port, and tries the transfers.
pub(super) async fn transfers(
    port: u16,
    login: &FtpLogin,
    get: Option<&str>,
    options: &FtpOptions,
    reporter: &Reporter,
) {
    let mut client = match Client::login(port, login).await {
        Ok(client) => client,
        Err(reason) => {
            let remedy = "check the user and the password, and the log of the FTP server";
            return reporter.report(failed(Step::FtpLogin, reason).remedy(remedy));
        }
    };
    let text = format!("user {} is logged in", login.user);
    reporter.report(Finding::ok(Step::FtpLogin, text));
    report_listing(
        Step::Passive,
        client.list_passive().await,
        ABOUT_PASSIVE,
        reporter,
    );
    if options.active {
        report_listing(
            Step::Active,
            client.list_active().await,
            ABOUT_ACTIVE,
            reporter,
        );
    } else {
        let text = "the tunnel has active=\"no\"";
        reporter.report(Finding::new(Step::Active, Outcome::Skipped, text));
    }
    if let Some(file) = get {
        reporter.report(match client.fetch(file).await {
            Ok(fetched) => fetched.finding(file),
            Err(reason) => failed(Step::Throughput, reason)
                .remedy("name a file that this user can read, as the FTP server names it"),
        });
    }
}

fn failed(step: Step, reason: String) -> Finding {
    Finding::failed(step, reason)
}

fn report_listing(step: Step, listed: Result<u64, String>, remedy: &str, reporter: &Reporter) {
    reporter.report(match listed {
        Ok(bytes) => Finding::ok(
            step,
            format!("a listing of {bytes} bytes has arrived whole"),
        ),
        Err(reason) => failed(step, reason).remedy(remedy),
    });
}

/// What came of a file.
struct Fetched {
    bytes: u64,
    took: Duration,
    whole: bool,
}

impl Fetched {
    fn finding(&self, file: &str) -> Finding {
        let rate = self.bytes as f64 / self.took.as_secs_f64().max(1e-6) / 1e6;
        let part = if self.whole { "" } else { " the beginning of" };
        let text = format!(
            "{rate:.1} MB/s: {} bytes of{part} {file} in {:.1} s",
            self.bytes,
            self.took.as_secs_f64()
        );
        Finding::ok(Step::Throughput, text).took(self.took)
    }
}

/// An FTP client of the tunnel.
struct Client {
    control: TcpStream,
    reader: ReplyReader,
}

impl Client {
    async fn login(port: u16, login: &FtpLogin) -> Result<Self, String> {
        let control = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
        let mut client = Self {
            control: control.map_err(|error| format!("cannot connect to the tunnel: {error}"))?,
            reader: ReplyReader::default(),
        };
        expect(client.final_reply().await?, 200..300)?;
        let user = client.ask(&format!("USER {}", login.user)).await?;
        if user.code == 331 {
            let password = format!("PASS {}", login.password.expose());
            expect(client.ask(&password).await?, 200..300)?;
        } else {
            expect(user, 200..300)?;
        }
        expect(client.ask("TYPE I").await?, 200..300)?;
        Ok(client)
    }

    /// A listing in passive mode: how many bytes came.
    async fn list_passive(&mut self) -> Result<u64, String> {
        let data = self.passive().await?;
        expect(self.ask("LIST").await?, 100..200)?;
        self.received(data).await
    }

    /// A listing in active mode.
    async fn list_active(&mut self) -> Result<u64, String> {
        let own = |error: std::io::Error| format!("this host has no port for it: {error}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(own)?;
        let port = listener.local_addr().map_err(own)?.port();
        let announced = format!("PORT 127,0,0,1,{},{}", port >> 8, port & 0xff);
        expect(self.ask(&announced).await?, 200..300)?;
        expect(self.ask("LIST").await?, 100..200)?;
        let data = timeout(REPLY_LIMIT, listener.accept()).await;
        match data {
            Ok(Ok((data, _))) => self.received(data).await,
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the FTP server did not connect".to_owned()),
        }
    }

    /// Fetches a file, or its beginning if it is long. Keeps nothing of it.
    async fn fetch(&mut self, file: &str) -> Result<Fetched, String> {
        let mut data = self.passive().await?;
        expect(self.ask(&format!("RETR {file}")).await?, 100..200)?;
        let began = Instant::now();
        let mut bytes = 0;
        let copied = timeout(FETCH_LIMIT, discard(&mut data, &mut bytes)).await;
        let took = began.elapsed();
        let whole = match copied {
            Ok(outcome) => {
                outcome.map_err(|error| format!("the transfer was cut: {error}"))?;
                expect(self.final_reply().await?, 200..300)?;
                true
            }
            Err(_) => false,
        };
        Ok(Fetched { bytes, took, whole })
    }

    /// A passive data connection: with EPSV, or with PASV at a server that does not know it.
    async fn passive(&mut self) -> Result<TcpStream, String> {
        let mut reply = self.ask("EPSV").await?;
        if reply.code >= 500 {
            reply = self.ask("PASV").await?;
        }
        let reply = expect(reply, 200..300)?;
        let port = reply.announced_port();
        let port = port.ok_or_else(|| format!("no port in “{}”", reply.text()))?;
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let data = TcpStream::connect(to).await;
        data.map_err(|error| format!("cannot connect to the announced port: {error}"))
    }

    /// The listing, and the reply behind it.
    async fn received(&mut self, mut data: TcpStream) -> Result<u64, String> {
        let mut bytes = 0;
        let copied = timeout(REPLY_LIMIT, discard(&mut data, &mut bytes)).await;
        let reply = self.final_reply().await;
        // The reply says more than the connection, whose end it explains.
        expect(reply?, 200..300)?;
        match copied {
            Ok(Ok(())) => Ok(bytes),
            Ok(Err(error)) => Err(format!("the data connection was cut: {error}")),
            Err(_) => Err("the listing did not end in time".to_owned()),
        }
    }

    async fn ask(&mut self, command: &str) -> Result<Reply, String> {
        let line = zeroize::Zeroizing::new(format!("{command}\r\n"));
        let sent = self.control.write_all(line.as_bytes()).await;
        sent.map_err(lost)?;
        self.reply().await
    }

    /// The next reply that is not preliminary.
    async fn final_reply(&mut self) -> Result<Reply, String> {
        loop {
            let reply = self.reply().await?;
            if reply.code >= 200 {
                return Ok(reply);
            }
        }
    }

    async fn reply(&mut self) -> Result<Reply, String> {
        let reply = timeout(REPLY_LIMIT, self.next_reply()).await;
        reply.unwrap_or_else(|_| {
            let limit = REPLY_LIMIT.as_secs();
            Err(format!("the FTP server gave no reply within {limit} s"))
        })
    }

    async fn next_reply(&mut self) -> Result<Reply, String> {
        let mut bytes = [0; 4096];
        loop {
            let next = self.reader.next_reply();
            if let Some(reply) = next.map_err(|NoReply(text)| format!("no reply: “{text}”"))? {
                return Ok(reply);
            }
            let count = self.control.read(&mut bytes).await.map_err(lost)?;
            if count == 0 {
                return Err("the FTP session has ended".to_owned());
            }
            self.reader.push(bytes.get(..count).unwrap_or_default());
        }
    }
}

fn lost(error: std::io::Error) -> String {
    format!("the FTP session was lost: {error}")
}

/// The reply, if its code is one of these; otherwise its text is the reason.
fn expect(reply: Reply, codes: std::ops::Range<u16>) -> Result<Reply, String> {
    if codes.contains(&reply.code) {
        Ok(reply)
    } else {
        Err(reply.text())
    }
}

/// Reads to the end, and counts.
async fn discard(data: &mut TcpStream, bytes: &mut u64) -> std::io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match data.read(&mut chunk).await? {
            0 => return Ok(()),
            count => *bytes += count as u64,
        }
    }
}
