//! The Python client of the page about the interface, as it is there, against a daemon.

use std::os::unix::fs::symlink;
use std::process::Stdio;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use testkit::fixture::Fixture;
use testkit::programs::PYTHON;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::fixture::{CONTENT, SOON, embedded};
use crate::support::{Need, trial};

const PAGE: &str = include_str!("../docs/ipc-api.md");

const NEEDS: &[Need] = &[Need::Program("python3")];

/// The most lines of the client: what a reader types off a page.
const LINES: usize = 30;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("interface: the client of the page", NEEDS, client),
        trial("interface: the client finds the socket", NEEDS, finds),
    ]
}

/// The client, without the example that uses it.
fn page_client() -> anyhow::Result<&'static str> {
    let (_, rest) = PAGE.split_once("```python\n").context("no client")?;
    let (client, _) = rest.split_once("```").context("no end")?;
    ensure!(client.lines().count() <= LINES, "the client is too long");
    Ok(client)
}

/// What this program prints behind the client.
async fn run(program: &str, variables: &[(&str, &str)]) -> anyhow::Result<String> {
    let mut python = Command::new(PYTHON.find()?);
    python
        .arg("-c")
        .arg(format!("{}\n{program}", page_client()?));
    python
        .env_remove("SSH_BROKER_SOCKET")
        .envs(variables.iter().copied());
    python.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(SOON, python.output()).await??;
    let told = String::from_utf8(output.stdout)?;
    let wrong = String::from_utf8(output.stderr)?;
    ensure!(output.status.success(), "{told}{wrong}");
    Ok(told)
}

async fn client() -> anyhow::Result<()> {
    let fixture: Fixture = embedded().start().await?;
    let socket = fixture.broker.socket();
    let socket = socket.to_str().context("the path of the socket")?;
    let port = fixture.servers.ftp.addr().port();
    let mut ftp = fixture.login().await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    let program = format!(
        r#"
broker = Broker()
tunnel = broker.call("open-tunnel-listener", kind="ftp", listen_port=0, dst_host="127.0.0.1", dst_port={port}, target="work")
print(tunnel["kind"], tunnel["port"] > 0)
try:
    broker.call("close-tunnel-listener", id=4711)
except RuntimeError as error:
    print(error.args[0]["code"], error.args[0]["data"]["reason"])
for event in broker.events(after=0, kinds=["transfer-ended"]):
    print(event["transfer"]["command"], event["transfer"]["state"])
    break
print(broker.call("status")["transfers"]["ok"])
"#
    );
    let told = run(&program, &[("SSH_BROKER_SOCKET", socket)]).await?;
    ensure!(
        told == "ftp True\n5 not-found\nRETR file complete\n1\n",
        "{told}"
    );
    Ok(())
}

async fn finds() -> anyhow::Result<()> {
    let fixture: Fixture = embedded().start().await?;
    let runtime = tempfile::tempdir()?;
    let place = runtime.path().join("ssh-broker");
    std::fs::create_dir(&place)?;
    symlink(fixture.broker.socket(), place.join("broker.sock"))?;
    let runtime = runtime.path().to_str().context("a path")?;
    let told = run(
        "print(Broker().call('status')['pid'])",
        &[("XDG_RUNTIME_DIR", runtime)],
    )
    .await?;
    let pid = fixture.broker.process().pid();
    ensure!(told == format!("{pid}\n"));
    Ok(())
}
