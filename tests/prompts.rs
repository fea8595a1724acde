//! What only a person can answer is asked on a real terminal, and of nobody else.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::account::Account;
use testkit::broker::{self, Broker, ctl_command, socket_in, write_private};
use testkit::client;
use testkit::fixture::Fixture;
use testkit::ftp_client::FtpClient;
use testkit::peer::SshPeer;
use testkit::process::Process;
use testkit::profile::{self, Profile, Tunnel};
use testkit::programs::broker_program;
use testkit::scripted::Conversation;
use testkit::ssh_server::{Asked, SshServer, SshServerOptions};
use testkit::sshd::{Sshd, SshdOptions};
use testkit::terminal::Terminal;
use tokio::time::timeout;

use crate::support::fixture::{CONTENT, SOON};
use crate::support::local_socket::LocalSocket;
use crate::support::{Need, python, trial};

const NEEDS: &[Need] = &[Need::Program("setsid")];

const SSHD: &[Need] = &[
    Need::Program("setsid"),
    Need::Program("sshd"),
    Need::Program("ssh-keygen"),
];

/// What the user types, and nobody else may see.
const PASSWORD: &str = "correct horse battery";

/// What `auth-handler` says once it is attached.
const ATTACHED: &str = "This terminal now shows";

/// What is asked for the password.
const LABEL: &str = "Password: ";

/// What is asked about a host key.
const ACCEPT: &str = "(yes, no, or the fingerprint)? ";

/// What opens one more tunnel through the profile.
const OPEN: [&str; 4] = ["open-tunnel-listener", "-L", "ftp/0:127.0.0.1:21", "work"];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("prompts: nobody attached", &[], nobody_attached),
        trial("prompts: a password for the command", NEEDS, password),
        trial(
            "prompts: a wrong password, then the right one",
            NEEDS,
            again,
        ),
        trial("prompts: what a server asks for", NEEDS, interactive),
        trial("prompts: declined with Ctrl-D", NEEDS, declined),
        trial("prompts: interrupted with Ctrl-C", NEEDS, interrupted),
        trial("prompts: auth-handler serves FTP clients", NEEDS, handler),
        trial("prompts: auth-handler killed while it asks", NEEDS, killed),
        trial("prompts: one answer for several dials", NEEDS, shared),
        trial("prompts: the server hangs up meanwhile", NEEDS, hung_up),
        trial("prompts: auth-handler without a terminal", &[], no_terminal),
        trial("prompts: a new host key accepted", SSHD, accepted),
        trial("prompts: a new host key refused", SSHD, refused),
        trial("prompts: trust-host", SSHD, trust_host),
        trial("prompts: a passphrase", SSHD, passphrase),
        trial("prompts: events tell of them", SSHD, events),
        trial("prompts: longer than sshd waits", SSHD, too_slow),
        trial(
            "prompts: another program answers on one connection",
            &[Need::Program("python3")],
            other_program,
        ),
        trial(
            "prompts: not even root answers for another user",
            &[Need::Root, Need::Program("setsid")],
            other_user,
        ),
    ]
}

/// Servers of which the SSH one lets in whoever has the password, and a broker that does not know it.
struct Asking(Fixture);

impl Asking {
    async fn start(settings: &str) -> anyhow::Result<Self> {
        let lets_in = SshServerOptions {
            password: Some(PASSWORD.into()),
            ..SshServerOptions::default()
        };
        Self::with(lets_in, "auth-password", settings).await
    }

    async fn with(options: SshServerOptions, method: &str, settings: &str) -> anyhow::Result<Self> {
        let login = format!("<authentication-methods><{method}/></authentication-methods>");
        let by_anne = |mut profile: Profile| {
            profile.user = "anne".into();
            profile.login = login;
            profile
        };
        let builder = Fixture::builder().ssh(options).profile(by_anne);
        Ok(Self(builder.settings(settings).start().await?))
    }

    fn broker(&self) -> &Broker {
        &self.0.broker
    }

    fn ssh(&self) -> &SshServer {
        &self.0.servers.ssh
    }

    async fn handler(&self) -> anyhow::Result<Terminal> {
        let handler = self.broker().ctl_on_terminal(&["auth-handler"])?;
        handler.shows(ATTACHED, SOON).await?;
        Ok(handler)
    }

    /// What an FTP client is greeted with.
    async fn greeting(&self) -> anyhow::Result<String> {
        Conversation::connect(self.0.tunnel).await?.reply().await
    }

    fn expect_no_secret(&self, screen: &str) -> anyhow::Result<()> {
        ensure!(!screen.contains(PASSWORD), "the screen shows it: {screen}");
        ensure!(!self.broker().log().contains(PASSWORD), "the log has it");
        Ok(())
    }
}

/// Types the password where it is asked for the `nth` time.
async fn give(terminal: &Terminal, nth: usize, password: &str) -> anyhow::Result<()> {
    terminal.shows_times(LABEL, nth, SOON).await?;
    ensure!(!terminal.echoes()?, "what is typed would be seen");
    terminal.type_line(password)
}

async fn nobody_attached() -> anyhow::Result<()> {
    let asking = Asking::start("").await?;
    for _ in 0..4 {
        let greeting = asking.greeting().await?;
        ensure!(greeting.starts_with("421 "), "{greeting}");
        for part in [
            "password of anne",
            "nobody is attached",
            "broker-ctl auth-handler",
        ] {
            ensure!(greeting.contains(part), "{greeting}");
        }
        ensure!(greeting.is_ascii() && greeting.len() < 512, "{greeting}");
    }
    let refused = asking.broker().ctl(&OPEN).await?;
    ensure!(refused.status.code() == Some(5), "{refused:?}");
    ensure!(refused.stderr.contains("is not a terminal"), "{refused:?}");
    Ok(())
}

async fn password() -> anyhow::Result<()> {
    let asking = Asking::start("").await?;
    // That nobody was there before must not keep whoever is there now from answering.
    for _ in 0..3 {
        ensure!(asking.greeting().await?.starts_with("421"));
    }
    let mut command = asking.broker().ctl_on_terminal(&OPEN)?;
    give(&command, 1, PASSWORD).await?;
    command.shows("Opened ftp tunnel", SOON).await?;
    ensure!(command.wait(SOON).await?.success());
    asking.expect_no_secret(&command.screen())?;
    FtpClient::connect(asking.0.tunnel).await?;
    Ok(())
}

async fn again() -> anyhow::Result<()> {
    let asking = Asking::start("").await?;
    let mut command = asking.broker().ctl_on_terminal(&OPEN)?;
    give(&command, 1, "wrong").await?;
    command.shows("did not accept", SOON).await?;
    give(&command, 2, PASSWORD).await?;
    command.shows("Opened ftp tunnel", SOON).await?;
    ensure!(command.wait(SOON).await?.success());
    asking.expect_no_secret(&command.screen())
}

async fn interactive() -> anyhow::Result<()> {
    let field = |text, echo, answer| Asked { text, echo, answer };
    let lets_in = SshServerOptions {
        interactive: vec![vec![
            field("Badge\u{1b}[2J: ", true, "4711"),
            field("Code: ", false, PASSWORD),
        ]],
        ..SshServerOptions::default()
    };
    let asking = Asking::with(lets_in, "auth-keyboard-interactive", "").await?;
    let mut command = asking.broker().ctl_on_terminal(&OPEN)?;
    command.shows("asks anne", SOON).await?;
    command.shows("Badge\\u{1b}[2J: ", SOON).await?;
    ensure!(command.echoes()?, "what may be seen is hidden");
    command.type_line("4711")?;
    command.shows("Code: ", SOON).await?;
    ensure!(!command.echoes()?, "what is typed would be seen");
    command.type_line(PASSWORD)?;
    command.shows("Opened ftp tunnel", SOON).await?;
    ensure!(command.wait(SOON).await?.success());
    let screen = command.screen();
    ensure!(
        screen.contains("4711") && !screen.contains('\u{1b}'),
        "{screen}"
    );
    asking.expect_no_secret(&screen)?;
    // Nobody would answer for another connection: transfers go over the one there is.
    let mut ftp = asking.0.login().await?;
    ftp.store("file", CONTENT).await?;
    ensure!(ftp.fetch("file").await? == CONTENT);
    let dialled = asking.ssh().counters().connections;
    ensure!(dialled == 1, "{dialled} connections");
    Ok(())
}

async fn declined() -> anyhow::Result<()> {
    let asking = Asking::start("").await?;
    let mut command = asking.broker().ctl_on_terminal(&OPEN)?;
    command.shows(LABEL, SOON).await?;
    command.end_input()?;
    command.shows("it was declined", SOON).await?;
    ensure!(command.wait(SOON).await?.code() == Some(5));
    Ok(())
}

async fn interrupted() -> anyhow::Result<()> {
    let asking = Asking::start("").await?;
    let mut command = asking.broker().ctl_on_terminal(&OPEN)?;
    command.shows(LABEL, SOON).await?;
    ensure!(!command.echoes()?);
    command.interrupt()?;
    command.shows("interrupted", SOON).await?;
    ensure!(command.echoes()?, "the terminal is left without echo");
    ensure!(command.wait(SOON).await?.code() == Some(1));
    Ok(())
}

async fn handler() -> anyhow::Result<()> {
    let asking = Asking::start("").await?;
    for _ in 0..5 {
        ensure!(asking.greeting().await?.starts_with("421"));
    }
    let mut handler = asking.handler().await?;
    // Whoever comes within the second after the last failure would still be told so.
    let ready = |profiles: &Value| profiles[0]["retry_in"].is_null();
    asking
        .broker()
        .wait_json(&["list-profiles"], Duration::from_secs(2), ready)
        .await?;
    let client = async {
        let greeting = asking.greeting().await?;
        ensure!(greeting.starts_with("220"), "{greeting}");
        Ok(())
    };
    tokio::try_join!(client, give(&handler, 1, PASSWORD))?;
    handler.interrupt()?;
    ensure!(handler.wait(SOON).await?.success());
    asking.expect_no_secret(&handler.screen())
}

async fn killed() -> anyhow::Result<()> {
    let asking = Asking::start("").await?;
    let mut handler = asking.handler().await?;
    let mut subscriber = about_prompts(asking.broker()).await?;
    let client = asking.greeting();
    let kill = async {
        handler.shows(LABEL, SOON).await?;
        handler.kill();
        anyhow::Ok(())
    };
    let (greeting, done) = tokio::join!(client, kill);
    done?;
    let greeting = greeting?;
    ensure!(
        greeting.starts_with("421") && greeting.contains("disconnected"),
        "{greeting}"
    );
    prompt_event(&mut subscriber, "prompt-waiting").await?;
    let withdrawn = prompt_event(&mut subscriber, "prompt-answered").await?;
    ensure!(withdrawn["reason"].is_string(), "{withdrawn:#}");
    Ok(())
}

async fn shared() -> anyhow::Result<()> {
    let asking = Asking::start("<exclusive-connection enable=\"yes\"/>").await?;
    let handler = asking.handler().await?;
    let clients = async {
        let (one, two) = tokio::join!(asking.greeting(), asking.greeting());
        anyhow::Ok([one?, two?])
    };
    let answer = async {
        handler.shows(LABEL, SOON).await?;
        let both = |seen: &testkit::ssh_server::SshCounters| seen.connections_open == 2;
        asking.ssh().wait_for(SOON, both).await?;
        asking.broker().wait_log("joins prompt", SOON).await?;
        handler.type_line(PASSWORD)
    };
    let (greetings, answered) = tokio::join!(clients, answer);
    answered?;
    for greeting in greetings? {
        ensure!(greeting.starts_with("220"), "{greeting}");
    }
    ensure!(
        handler.screen().matches(LABEL).count() == 1,
        "{}",
        handler.screen()
    );
    Ok(())
}

async fn hung_up() -> anyhow::Result<()> {
    let asking = Asking::start("").await?;
    let handler = asking.handler().await?;
    let cut = async {
        handler.shows(LABEL, SOON).await?;
        asking.ssh().kill_all();
        handler.shows("withdrawn", SOON).await
    };
    let (greeting, withdrawn) = tokio::join!(asking.greeting(), cut);
    withdrawn?;
    let greeting = greeting?;
    ensure!(
        greeting.starts_with("421") && greeting.contains("did not wait for the answer"),
        "{greeting}"
    );
    ensure!(handler.echoes()?, "the terminal is left without echo");
    Ok(())
}

/// A broker that has never seen the host key of a real sshd.
async fn unseen(sshd: &Sshd) -> anyhow::Result<Broker> {
    let mut profile = sshd.profile()?;
    profile.host_key.clear();
    // Where the tunnel leads is of no matter.
    let profile = profile.tunnel(Tunnel::ftp(sshd.addr()));
    Broker::start(&profile.config(), &[]).await
}

/// The file with the host keys that were accepted.
fn store(broker: &Broker) -> PathBuf {
    broker.directory().join(".ssh2/known_hosts")
}

async fn accepted() -> anyhow::Result<()> {
    let sshd = Sshd::start(SshdOptions::default()).await?;
    let broker = unseen(&sshd).await?;
    let mut command = broker.ctl_on_terminal(&OPEN)?;
    command.shows(ACCEPT, SOON).await?;
    command.type_line("maybe")?;
    command.shows_times(ACCEPT, 2, SOON).await?;
    let screen = command.screen();
    let fingerprint = screen
        .split_whitespace()
        .find(|word| word.starts_with("SHA256:"));
    command.type_line(fingerprint.context("no fingerprint is shown")?)?;
    command.shows("Opened ftp tunnel", SOON).await?;
    ensure!(command.wait(SOON).await?.success());
    let key = sshd.host_key_openssh()?;
    let key = key.split_whitespace().nth(1).context("a host key")?;
    ensure!(fs::read_to_string(store(&broker))?.contains(key));
    broker.ctl(&OPEN).await?.success()?;
    Ok(())
}

async fn refused() -> anyhow::Result<()> {
    let sshd = Sshd::start(SshdOptions::default()).await?;
    let broker = unseen(&sshd).await?;
    let mut command = broker.ctl_on_terminal(&OPEN)?;
    command.shows(ACCEPT, SOON).await?;
    command.type_line("no")?;
    command.shows("was not confirmed", SOON).await?;
    ensure!(command.wait(SOON).await?.code() == Some(5));
    ensure!(!store(&broker).exists());
    Ok(())
}

async fn trust_host() -> anyhow::Result<()> {
    const STORE: &str = "(yes or no)? ";
    let sshd = Sshd::start(SshdOptions::default()).await?;
    let broker = unseen(&sshd).await?;
    let target = format!("127.0.0.1#{}", sshd.addr().port());
    for (typed, stored) in [("no", false), ("yes", true)] {
        let mut command = broker.ctl_on_terminal(&["trust-host", &target])?;
        command.shows(STORE, SOON).await?;
        command.type_line(typed)?;
        ensure!(
            command.wait(SOON).await?.success() == stored,
            "{}",
            command.screen()
        );
        ensure!(store(&broker).exists() == stored, "{}", command.screen());
    }
    Ok(())
}

/// A broker whose private key has a passphrase, and the directory of the key.
async fn with_passphrase(sshd: &Sshd) -> anyhow::Result<(Broker, TempDir)> {
    let directory = tempfile::tempdir()?;
    let identity = directory.path().join("key");
    write_private(&identity, &fs::read_to_string(sshd.identity_file())?)?;
    let mut keygen = Command::new("ssh-keygen");
    keygen
        .args(["-q", "-p", "-N", PASSWORD, "-f"])
        .arg(&identity);
    client::run(keygen, SOON).await?.success()?;
    let mut profile = sshd.profile()?.tunnel(Tunnel::ftp(sshd.addr()));
    profile.login = profile::identity(identity);
    let broker = Broker::start(&profile.config(), &[]).await?;
    Ok((broker, directory))
}

async fn passphrase() -> anyhow::Result<()> {
    let sshd = Sshd::start(SshdOptions::default()).await?;
    let (broker, _directory) = with_passphrase(&sshd).await?;
    let mut command = broker.ctl_on_terminal(&OPEN)?;
    command.shows("Passphrase: ", SOON).await?;
    ensure!(!command.echoes()?, "what is typed would be seen");
    command.type_line("wrong")?;
    command.shows("The passphrase was wrong", SOON).await?;
    command.shows_times("Passphrase: ", 2, SOON).await?;
    command.type_line(PASSWORD)?;
    command.shows("Opened ftp tunnel", SOON).await?;
    ensure!(command.wait(SOON).await?.success());
    ensure!(!command.screen().contains(PASSWORD) && !broker.log().contains(PASSWORD));
    Ok(())
}

async fn events() -> anyhow::Result<()> {
    const WRONG: &str = "wrong horse";
    let sshd = Sshd::start(SshdOptions::default()).await?;
    let (broker, _directory) = with_passphrase(&sshd).await?;
    let mut subscriber = about_prompts(&broker).await?;
    let mut command = broker.ctl_on_terminal(&OPEN)?;
    for (times, typed) in [(1, WRONG), (2, PASSWORD)] {
        command.shows_times("Passphrase: ", times, SOON).await?;
        let waiting = prompt_event(&mut subscriber, "prompt-waiting").await?;
        let prompt = &waiting["prompt"];
        ensure!(prompt["kind"] == "passphrase", "{waiting:#}");
        ensure!(prompt["fields"][0]["echo"] == false, "{waiting:#}");
        command.type_line(typed)?;
        let answered = prompt_event(&mut subscriber, "prompt-answered").await?;
        ensure!(answered["prompt"]["id"] == prompt["id"], "{answered:#}");
        ensure!(answered["reason"].is_null(), "{answered:#}");
        for event in [waiting, answered] {
            let text = event.to_string();
            ensure!(!text.contains(WRONG) && !text.contains(PASSWORD), "{text}");
        }
    }
    command.shows("Opened ftp tunnel", SOON).await?;
    ensure!(command.wait(SOON).await?.success());
    Ok(())
}

/// A client that learns of prompts and answers none.
async fn about_prompts(broker: &Broker) -> anyhow::Result<LocalSocket> {
    let mut client = LocalSocket::connect(broker).await?;
    let kinds = json!({ "kinds": ["prompt-waiting", "prompt-answered"] });
    client.call("subscribe", &kinds).await?;
    Ok(client)
}

/// The next event, which is of this kind.
async fn prompt_event(subscriber: &mut LocalSocket, kind: &str) -> anyhow::Result<Value> {
    let line = timeout(SOON, subscriber.line()).await;
    let line = line.with_context(|| format!("no {kind}"))??;
    let event = line.context("no more events")?["params"].take();
    ensure!(event["kind"] == kind, "{event:#}");
    Ok(event)
}

async fn too_slow() -> anyhow::Result<()> {
    let impatient = SshdOptions {
        extra_config: vec!["LoginGraceTime 2".into()],
        ..SshdOptions::default()
    };
    let sshd = Sshd::start(impatient).await?;
    let broker = unseen(&sshd).await?;
    let mut command = broker.ctl_on_terminal(&OPEN)?;
    command.shows(ACCEPT, SOON).await?;
    command.shows("LoginGraceTime", SOON).await?;
    ensure!(command.wait(SOON).await?.code() == Some(5));
    Ok(())
}

async fn no_terminal() -> anyhow::Result<()> {
    let asking = Asking::start("").await?;
    let refused = asking.broker().ctl(&["auth-handler"]).await?;
    ensure!(refused.status.code() == Some(1), "{refused:?}");
    ensure!(refused.stderr.contains("terminal"), "{refused:?}");
    Ok(())
}

async fn other_program() -> anyhow::Result<()> {
    let asking = Asking::start("").await?;
    let mut program = Command::new("python3");
    program.arg(python::script("ipc_prompts.py"));
    program.arg(asking.broker().socket()).arg(PASSWORD);
    client::run(program, SOON).await?.success()?;
    ensure!(!asking.broker().log().contains(PASSWORD), "the log has it");
    Ok(())
}

async fn other_user() -> anyhow::Result<()> {
    let nobody = Account::named("nobody")?;
    let directory = tempfile::tempdir()?;
    let own = |path: &Path| chown(path, Some(nobody.uid), Some(nobody.gid));
    own(directory.path())?;
    let (program, file) = (
        directory.path().join("brokerd"),
        directory.path().join("config"),
    );
    // Where it was built, the other user may not go. A child copies it: were the copy open for writing here, processes
    // that other tests start at this moment would hold it open, and it could not be run ("text file busy").
    let mut copy = Command::new("cp");
    copy.arg(broker_program("brokerd")?).arg(&program);
    client::run(copy, SOON).await?.success()?;
    write_private(&file, "<secsh-broker/>")?;
    own(&file)?;
    let socket = socket_in(directory.path());
    let mut command = Command::new(program);
    command
        .arg("--config")
        .arg(file)
        .arg("--socket")
        .arg(&socket);
    command.uid(nobody.uid).gid(nobody.gid).current_dir("/");
    let daemon = Process::spawn(command, None)?;
    daemon.wait_log("broker ready", SOON).await?;
    let mut handler = Terminal::spawn(&ctl_command(&socket, &["auth-handler"])?)?;
    handler
        .shows("only the user who runs the daemon may answer", SOON)
        .await?;
    ensure!(handler.wait(SOON).await?.code() == Some(1));
    broker::ctl(&socket, &["status"]).await?.success()?;
    Ok(())
}
