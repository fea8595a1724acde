//! The HTTP server for monitoring systems: what it answers, whom it serves, and what it does not hold up.

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use rustix::process::Signal;
use testkit::broker::{self, Broker};
use testkit::fixture::Servers;
use testkit::ftp_client::FtpClient;
use testkit::scripted::Conversation;
use tokio::time::timeout;

use crate::support::fixture::{CONTENT, SOON, embedded};
use crate::support::metrics::Metrics;
use crate::support::sockets::closed_port;
use crate::support::trial;

/// More clients than the server has places for.
const SILENT: usize = 40;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("monitoring: what each path answers", &[], paths),
        trial("monitoring: not ready, and why", &[], not_ready),
        trial("monitoring: requests that are none", &[], faulty),
        trial(
            "monitoring: silent clients hold up nobody for long",
            &[],
            silent,
        ),
        trial(
            "monitoring: other hosts only if that is said twice",
            &[],
            exposed,
        ),
        trial("monitoring: a port in use", &[], in_use),
        trial("monitoring: a takeover", &[], taken_over),
        trial("monitoring: a daemon that stops", &[], stopping),
    ]
}

/// What came back: the status line and the headers, and the body.
struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn has(&self, status: &str) -> anyhow::Result<()> {
        let Self { head, body } = self;
        let begins = head.starts_with(&format!("HTTP/1.1 {status} "));
        ensure!(begins, "{status} expected:\n{head}\n{body}");
        Ok(())
    }
}

async fn ask(at: SocketAddr, request: &str) -> anyhow::Result<Answer> {
    let mut server = Conversation::connect(at).await?;
    server.send(request).await?;
    let all = timeout(SOON, server.rest()).await.context("no answer")??;
    let all = String::from_utf8(all)?;
    let (head, body) = all.split_once("\r\n\r\n").with_context(|| all.clone())?;
    Ok(Answer {
        head: head.to_lowercase().replacen("http/1.1", "HTTP/1.1", 1),
        body: body.to_owned(),
    })
}

async fn get(at: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    ask(at, &format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n")).await
}

/// Servers, and a daemon that serves metrics at a free port.
async fn monitored() -> anyhow::Result<(Servers, Broker, SocketAddr)> {
    let servers = embedded().servers().await?;
    let arguments = ["--metrics-listen", "127.0.0.1:0"];
    let broker = Broker::start(&servers.profile()?.config(), &arguments).await?;
    let at = address(&broker.log_with("metrics at http://").await?)?;
    Ok((servers, broker, at))
}

fn address(log: &str) -> anyhow::Result<SocketAddr> {
    let (_, rest) = log.split_once("metrics at http://").context("no address")?;
    let (address, _) = rest.split_once('/').context("no path")?;
    Ok(address.parse()?)
}

trait LogWith {
    async fn log_with(&self, text: &str) -> anyhow::Result<String>;
}

impl LogWith for Broker {
    async fn log_with(&self, text: &str) -> anyhow::Result<String> {
        self.wait_log(text, SOON).await?;
        Ok(self.log())
    }
}

async fn paths() -> anyhow::Result<()> {
    let (_servers, broker, at) = monitored().await?;
    let mut ftp = FtpClient::login(broker.listener(0).await?).await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    let page = get(at, "/metrics").await?;
    page.has("200")?;
    ensure!(
        page.head
            .contains("content-type: text/plain; version=0.0.4")
    );
    let metrics = Metrics::parse(&page.body)?;
    let complete = metrics.sum("ssh_broker_transfers_total", &["result=\"complete\""]);
    ensure!(complete == 1.0, "{complete} transfers");

    let open = "GET /metrics HTTP/1.1\r\nHost: here\r\nAccept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n\r\n";
    let page = ask(at, open).await?;
    page.has("200")?;
    ensure!(
        page.head.contains("application/openmetrics-text"),
        "{}",
        page.head
    );
    ensure!(page.body.ends_with("# EOF\n"));

    for (path, body) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = get(at, path).await?;
        answer.has("200")?;
        ensure!(answer.body == body, "{}", answer.body);
    }
    let index = get(at, "/").await?;
    index.has("200")?;
    ensure!(
        ["/metrics", "/healthz", "/readyz"]
            .iter()
            .all(|it| index.body.contains(it))
    );
    let head = ask(at, "HEAD /metrics HTTP/1.1\r\nHost: here\r\n\r\n").await?;
    head.has("200")?;
    ensure!(head.body.is_empty() && head.head.contains("content-length: "));
    get(at, "/metrics/../secret").await?.has("404")?;
    let posted = ask(
        at,
        "POST /metrics HTTP/1.1\r\nHost: here\r\nContent-Length: 1\r\n\r\nx",
    )
    .await?;
    posted.has("405")?;
    ensure!(posted.head.contains("allow: get, head"), "{}", posted.head);
    Ok(())
}

async fn not_ready() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let mut profile = servers.profile()?;
    for tunnel in &mut profile.tunnels {
        tunnel.port = taken.local_addr()?.port();
    }
    let arguments = ["--metrics-listen", "127.0.0.1:0"];
    let broker = Broker::start(&profile.config(), &arguments).await?;
    let at = address(&broker.log_with("metrics at http://").await?)?;
    get(at, "/healthz").await?.has("200")?;
    let answer = get(at, "/readyz").await?;
    answer.has("503")?;
    let line = format!("tunnel {} of profile id1 is failed: ", taken.local_addr()?);
    ensure!(answer.body.starts_with(&line), "{}", answer.body);
    ensure!(answer.body.lines().count() == 1, "{}", answer.body);
    drop(taken);
    broker.wait_log("after it had failed", SOON).await?;
    get(at, "/readyz").await?.has("200")
}

async fn faulty() -> anyhow::Result<()> {
    let (_servers, _broker, at) = monitored().await?;
    let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    for (request, status) in [("nonsense\r\n\r\n", "400"), (&long, "431")] {
        let mut server = Conversation::connect(at).await?;
        // The server may close before it has read everything.
        let _ = server.send(request).await;
        let line = server.text().await?;
        ensure!(line.contains(status), "{line}");
    }
    let two = "GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n".repeat(2);
    let answer = ask(at, &two).await?;
    ensure!(
        answer.body == "ok\n",
        "more than one answer: {}",
        answer.body
    );
    Ok(())
}

/// They have seconds for their request. Then others have their places.
async fn silent() -> anyhow::Result<()> {
    let (_servers, broker, at) = monitored().await?;
    let mut clients = Vec::new();
    for _ in 0..SILENT {
        let mut client = Conversation::connect(at).await?;
        client.send("GET /metr").await?;
        clients.push(client);
    }
    get(at, "/healthz").await?.has("200")?;
    let mut ftp = FtpClient::login(broker.listener(0).await?).await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    Ok(())
}

async fn exposed() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let arguments = ["--metrics-listen", "0.0.0.0:0"];
    let mut refused = broker::launch(directory.path(), "<secsh-broker/>", &arguments)?;
    let status = refused.wait(SOON).await?;
    ensure!(status.code() == Some(2), "{status}");
    ensure!(
        refused.log().contains("--metrics-allow-remote"),
        "{}",
        refused.log()
    );
    let arguments = ["--metrics-listen", "0.0.0.0:0", "--metrics-allow-remote"];
    let broker = Broker::start("<secsh-broker/>", &arguments).await?;
    let port = address(&broker.log_with("metrics at http://").await?)?.port();
    get(([127, 0, 0, 1], port).into(), "/healthz")
        .await?
        .has("200")
}

async fn in_use() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let at = taken.local_addr()?;
    let arguments = ["--metrics-listen", &at.to_string()];
    let broker = Broker::start(&servers.profile()?.config(), &arguments).await?;
    let log = broker.log_with("no monitoring: ").await?;
    ensure!(log.contains(&format!("{at} is in use by ")), "{log}");
    let mut ftp = FtpClient::login(broker.listener(0).await?).await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    drop(taken);
    broker.wait_log("metrics at http://", SOON).await?;
    get(at, "/readyz").await?.has("200")
}

/// The port answers all the time, and in the end for the new process.
async fn taken_over() -> anyhow::Result<()> {
    let servers = embedded().servers().await?;
    let (tunnel, at) = (closed_port()?, closed_port()?);
    let mut profile = servers.profile()?;
    for it in &mut profile.tunnels {
        it.port = tunnel.port();
    }
    let listen = ["--metrics-listen", &at.to_string()];
    let mut old = Broker::start(&profile.config(), &listen).await?;
    old.wait_log("metrics at http://", SOON).await?;
    let mut ftp = FtpClient::login(tunnel).await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    let arguments = [&["--takeover"][..], &listen].concat();
    let new = broker::launch(old.directory(), &profile.config(), &arguments)?;
    new.wait_log("metrics at http://", SOON).await?;
    old.wait_log("another process serves the sockets", SOON)
        .await?;
    ensure!(!new.log().contains("no monitoring"), "{}", new.log());
    get(at, "/metrics").await?.has("200")?;
    ftp.ask("QUIT", "221").await?;
    ensure!(old.wait(SOON).await?.success());
    let page = Metrics::parse(&get(at, "/metrics").await?.body)?;
    let transfers = page.sum("ssh_broker_transfers_total", &["result=\"complete\""]);
    ensure!(transfers == 0.0, "these are the numbers of the old process");
    get(at, "/readyz").await?.has("200")?;
    broker::ctl(&old.socket(), &["stop"]).await?.success()?;
    Ok(())
}

/// A load balancer learns it at once, and the last transfers still show.
async fn stopping() -> anyhow::Result<()> {
    let (servers, mut broker, at) = monitored().await?;
    let mut ftp = FtpClient::login(broker.listener(0).await?).await?;
    let mut upload = ftp.begin("EPSV", "STOR big").await?;
    upload.send("half").await?;
    broker.process().signal(Signal::TERM)?;
    broker.wait_log("stopping: no new clients", SOON).await?;
    let answer = get(at, "/readyz").await?;
    answer.has("503")?;
    ensure!(
        answer.body.starts_with("the daemon is stopping\n"),
        "{}",
        answer.body
    );
    get(at, "/healthz").await?.has("200")?;
    let page = Metrics::parse(&get(at, "/metrics").await?.body)?;
    ensure!(page.get("ssh_broker_stopping")? == 1.0);
    ensure!(page.sum("ssh_broker_transfers_running", &[]) == 1.0);
    upload.finish().await?;
    ftp.reply("226").await?;
    drop((upload, ftp));
    ensure!(broker.wait(SOON).await?.success());
    drop(servers);
    Ok(())
}
