//! The steps at a destination behind the SSH server that need no FTP login.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use broker_config::FtpOptions;
use broker_ipc::checks::{Outcome, Step};
use broker_ssh::{
    Channel, ChannelError, ChannelRead, ChannelRefusal, OpenError, Pool, RemoteForward, Target,
};
use bytes::Bytes;
use ftp_proto::{NoReply, Reply, ReplyReader};
use tokio::time::timeout;

use super::finding::Finding;
use super::report::Reporter;
use crate::ftp_session::{Greeting, forward_address, open_by_name};

/// How long an FTP server may take to greet: some first look up the client's name.
pub(super) const GREETING_LIMIT: Duration = Duration::from_secs(15);

/// How long a connection from the SSH server to its own forward may take.
const FORWARD_LIMIT: Duration = Duration::from_secs(5);

/// The reply of a server that begins TLS (RFC 4217, section 4).
const AUTH_ACCEPTED: u16 = 234;

/// The originator that an SSH server may log: the connection is the broker's own.
pub(super) const ORIGINATOR: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A channel to a destination.
pub(super) struct Server {
    pub(super) channel: Channel,
    /// The name that worked.
    pub(super) host: String,
}

/// Opens a channel to the destination.
pub(super) async fn open(pool: &Pool, target: &Target, reporter: &Reporter) -> Option<Server> {
    match open_by_name(pool, target, ORIGINATOR).await {
        Ok((channel, host)) => {
            let text = format!("{} connects to {target}", pool.spec().server());
            reporter.report(Finding::ok(Step::Channel, text));
            Some(Server { channel, host })
        }
        Err(error) => {
            reporter.report(
                Finding::failed(Step::Channel, error.to_string()).remedy(
                    "check that the server runs there and that the SSH server can reach it",
                ),
            );
            None
        }
    }
}

/// Waits for the FTP server's greeting. Returns false if it does not serve this client.
pub(super) async fn greeting(channel: &mut Channel, target: &Target, reporter: &Reporter) -> bool {
    let mut greeting = Greeting::default();
    let more = async || received(channel).await;
    let heard = timeout(GREETING_LIMIT, hear(&mut greeting, target, more)).await;
    let finding = about_greeting(heard.ok(), &greeting, target);
    let serves = finding.is_ok();
    reporter.report(finding);
    serves
}

/// The next bytes of a channel; none at its end.
async fn received(channel: &mut Channel) -> Vec<u8> {
    match channel.read().await {
        ChannelRead::Data(bytes) => bytes.to_vec(),
        ChannelRead::Eof | ChannelRead::Cut(_) => Vec::new(),
    }
}

/// What came of waiting for a greeting; `None`: the time is over.
pub(super) fn about_greeting(
    heard: Option<Result<(), String>>,
    greeting: &Greeting,
    target: &Target,
) -> Finding {
    match heard {
        Some(Ok(())) => judged(greeting, target),
        Some(Err(reason)) => Finding::failed(Step::FtpGreeting, reason),
        None => Finding::failed(Step::FtpGreeting, greeting.missing(target, GREETING_LIMIT)),
    }
}

fn judged(greeting: &Greeting, target: &Target) -> Finding {
    if let Some(said) = greeting.refusal() {
        let text = format!("the FTP server {target} refuses sessions: {said}");
        let remedy = "it does not serve clients now: look into its log";
        return Finding::failed(Step::FtpGreeting, text).remedy(remedy);
    }
    let said = greeting.shown();
    Finding::ok(Step::FtpGreeting, format!("{target} greets with: {said}"))
}

/// Reads to the end of the greeting. `more` returns the next bytes, and none at the end of the connection.
///
/// # Errors
/// There is none.
pub(super) async fn hear(
    greeting: &mut Greeting,
    target: &Target,
    mut more: impl AsyncFnMut() -> Vec<u8>,
) -> Result<(), String> {
    while !greeting.is_complete() {
        let bytes = more().await;
        if bytes.is_empty() {
            return Err(format!(
                "the FTP server {target} closed the connection without a greeting; it may refuse the address of its \
                 client or have too many clients"
            ));
        }
        greeting.take(&bytes, target)?;
    }
    Ok(())
}

/// Whether the FTP server begins TLS, which the tunnel lets pass. The session ends with it.
pub(super) async fn offers_tls(mut channel: Channel, target: &Target, reporter: &Reporter) {
    let answered = timeout(GREETING_LIMIT, ask(&mut channel, "AUTH TLS\r\n")).await;
    let remedy = "FTP clients that require TLS fail here: switch TLS on at the FTP server, or let the broker offer it with \
                  tls=\"terminate\"";
    let finding = match answered {
        Ok(Ok(reply)) if reply.code == AUTH_ACCEPTED => {
            Finding::ok(Step::Tls, format!("{target} begins TLS: {}", reply.text()))
        }
        Ok(Ok(reply)) => {
            let text = format!(
                "the tunnel has tls=\"pass\", but {target} refuses TLS: {}",
                reply.text()
            );
            Finding::new(Step::Tls, Outcome::Warning, text).remedy(remedy)
        }
        Ok(Err(reason)) => Finding::failed(Step::Tls, reason),
        Err(_) => Finding::failed(Step::Tls, format!("{target} does not answer AUTH TLS")),
    };
    reporter.report(finding);
}

/// The reply to a command.
async fn ask(channel: &mut Channel, command: &'static str) -> Result<Reply, String> {
    let sent = channel.write(Bytes::from_static(command.as_bytes())).await;
    sent.map_err(|cut| cut.to_string())?;
    let mut replies = ReplyReader::default();
    loop {
        let bytes = received(channel).await;
        if bytes.is_empty() {
            return Err("the FTP server closed the connection".to_owned());
        }
        replies.push(&bytes);
        let reply = replies.next_reply().map_err(|NoReply(text)| text)?;
        if let Some(reply) = reply {
            return Ok(reply);
        }
    }
}

/// Whether the SSH server opens channels at all, for a SOCKS tunnel, whose clients name the destinations: it is asked for
/// its own SSH port, which a server that may not be asked for refuses in another way than one that nobody listens on.
pub(super) async fn opens_channels(pool: &Pool, reporter: &Reporter) {
    let target = Target::new("localhost", pool.spec().port);
    let opened = pool.open_data(&target, ORIGINATOR).await;
    let server = pool.spec().server();
    reporter.report(match opened {
        Err(OpenError::Channel(ChannelError::Refused {
            reason: ChannelRefusal::ConnectFailed,
            ..
        }))
        | Ok(_) => Finding::ok(
            Step::Channel,
            format!("{server} opens channels for SOCKS clients"),
        ),
        Err(error) => Finding::failed(Step::Channel, error.to_string())
            .remedy("to try a destination that it permits, add --ftp HOST:PORT"),
    });
}

/// What can be said about data connections without an FTP login.
pub(super) async fn without_login(
    pool: &Pool,
    options: &FtpOptions,
    host: &str,
    reporter: &Reporter,
) {
    let text = "a passive data connection needs an FTP login";
    let remedy = "to try one, add --ftp-user USER";
    reporter.report(Finding::new(Step::Passive, Outcome::Skipped, text).remedy(remedy));
    active(pool, options, host, reporter).await;
}

/// Makes the SSH server listen as for an active data connection, and connects there through it.
async fn active(pool: &Pool, options: &FtpOptions, host: &str, reporter: &Reporter) {
    if !options.active {
        let text = "the tunnel has active=\"no\"";
        return reporter.report(Finding::new(Step::Active, Outcome::Skipped, text));
    }
    let bind = match forward_address(options, host, false) {
        Ok(bind) => bind,
        Err(reason) => {
            return reporter.report(Finding::new(Step::Active, Outcome::Skipped, reason));
        }
    };
    match pool.forward(&bind, options.active_ports.clone()).await {
        Ok(forward) => reporter.report(reached(pool, forward).await),
        Err(error) => reporter.report(not_forwarded(&error)),
    }
}

/// Passive mode works all the same.
fn not_forwarded(error: &OpenError) -> Finding {
    Finding::failed(Step::Active, error.to_string())
        .remedy("clients can use passive mode, which needs no listener at the SSH server")
}

/// Whether somebody at the SSH server reaches the forward. The server may not permit the broker itself to connect there.
async fn reached(pool: &Pool, mut forward: RemoteForward) -> Finding {
    let target = Target::new(forward.bind_address(), forward.port());
    let connecting = pool.open_data(&target, ORIGINATOR);
    let accepting = async {
        match forward.accept().await {
            Ok(incoming) => Ok(incoming.accept().await),
            Err(cut) => Err(cut.to_string()),
        }
    };
    let both = timeout(FORWARD_LIMIT, async { tokio::join!(connecting, accepting) });
    let server = pool.spec().server();
    let finding = match both.await {
        Ok((Ok(_), Ok(_))) => Finding::ok(
            Step::Active,
            format!("{server} listens on {target}, and connections there arrive"),
        ),
        Ok((_, Err(reason))) => Finding::failed(Step::Active, reason),
        Ok((Err(_), Ok(_))) | Err(_) => Finding::ok(
            Step::Active,
            format!(
                "{server} listens on {target}; it does not connect there for the broker itself"
            ),
        ),
    };
    forward.cancel().await;
    finding
}
