//! The steps at a destination behind the SSH server that need no FTP login.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use broker_config::FtpOptions;
use broker_ipc::checks::{Outcome, Step};
use broker_ssh::{Channel, ChannelRead, OpenError, Pool, RemoteForward, Target};
use tokio::time::timeout;

use super::finding::Finding;
use super::report::Reporter;
use crate::ftp_session::{Greeting, forward_address, open_by_name};

/// How long an FTP server may take to greet: some first look up the client's name.
const GREETING_LIMIT: Duration = Duration::from_secs(15);

/// How long a connection from the SSH server to its own forward may take.
const FORWARD_LIMIT: Duration = Duration::from_secs(5);

/// The originator that an SSH server may log: the connection is the broker's own.
const ORIGINATOR: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

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
pub(super) async fn greeting(mut channel: Channel, target: &Target, reporter: &Reporter) -> bool {
    let mut greeting = Greeting::default();
    let heard = timeout(GREETING_LIMIT, hear(&mut channel, &mut greeting, target)).await;
    let finding = match heard {
        Ok(Ok(())) => judged(&greeting, target),
        Ok(Err(reason)) => Finding::failed(Step::FtpGreeting, reason),
        Err(_) => Finding::failed(Step::FtpGreeting, greeting.missing(target, GREETING_LIMIT)),
    };
    let serves = finding.is_ok();
    reporter.report(finding);
    serves
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

/// Reads to the end of the greeting.
///
/// # Errors
/// There is none.
async fn hear(
    channel: &mut Channel,
    greeting: &mut Greeting,
    target: &Target,
) -> Result<(), String> {
    while !greeting.is_complete() {
        match channel.read().await {
            ChannelRead::Data(bytes) => greeting.take(&bytes, target)?,
            ChannelRead::Eof | ChannelRead::Cut(_) => {
                return Err(format!(
                    "the FTP server {target} closed the connection without a greeting; it may refuse the SSH server's \
                     address or have too many clients"
                ));
            }
        }
    }
    Ok(())
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
