//! Which SSH server is believed: keys, certificates and revocations as OpenSSH makes them, and what a person is told of
//! the others.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use testkit::broker::Broker;
use testkit::peer::SshPeer;
use testkit::profile::config;
use testkit::sshd::{Sshd, SshdOptions};

use crate::support::fixture::SOON;
use crate::support::keyed_server::{
    KeyedServer, NEEDS, contains_all, fetches, keygen, refusal, run_keygen, store,
};
use crate::support::{Need, trial};

/// What a test with somebody at the keyboard needs besides.
const TYPING: &[Need] = &[
    Need::Program("sshd"),
    Need::Program("ssh-keygen"),
    Need::Program("setsid"),
];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "host keys: probe-key knows the profile's key and not the others",
            NEEDS,
            pinned,
        ),
        trial(
            "host keys: probe-key shows what the server has",
            NEEDS,
            probe,
        ),
        trial("host keys: trust-host stores the key named", NEEDS, trust),
        trial(
            "host keys: trust-host through a gateway",
            NEEDS,
            through_gateway,
        ),
        trial("host keys: trust-host after a yes", TYPING, typed_yes),
        trial("host keys: trust-host after a no", TYPING, typed_no),
        trial(
            "host keys: a person accepts an unknown key",
            TYPING,
            accepted,
        ),
        trial(
            "host keys: a person accepts a changed key",
            TYPING,
            accepted_anew,
        ),
        trial("host keys: a person refuses a key", TYPING, rejected),
        trial(
            "host keys: trust-host asks only on a terminal",
            NEEDS,
            unattended,
        ),
        trial("host keys: an unknown key", NEEDS, unknown),
        trial("host keys: a changed key", NEEDS, changed),
        trial("host keys: a revoked key", NEEDS, revoked),
        trial("host keys: a key revocation list", NEEDS, revocation_list),
        trial(
            "host keys: each known type of key is asked for",
            NEEDS,
            preferred,
        ),
        trial("host keys: trust on first use", NEEDS, first_use),
        trial("host keys: advisory", NEEDS, advisory),
        trial("host keys: a directory of known hosts", NEEDS, directory),
        trial(
            "host keys: a key store of an older program",
            NEEDS,
            older_key_store,
        ),
        trial(
            "host keys: a store that others can write",
            NEEDS,
            open_store,
        ),
    ]
}

async fn probe() -> anyhow::Result<()> {
    let server = KeyedServer::start().await?;
    let known = format!("{}@revoked * {}", server.line("", "rsa")?, {
        let line = server.line("", "ecdsa")?;
        line.split_once(' ').context("no line")?.1.to_owned()
    });
    let broker = server.broker("strict", &known).await?;
    let keys = broker.json(&["probe-key", &server.target()]).await?;
    let of = |algorithm: &str| {
        let mut keys = keys.as_array().into_iter().flatten();
        keys.find(|key| key["algorithm"] == algorithm)
            .context(algorithm.to_owned())
    };
    // sshd's launcher makes an Ed25519 key of its own, which sshd prefers to the test's.
    for (kind, algorithm, standing) in [
        ("ecdsa", "ecdsa-sha2-nistp256", "revoked"),
        ("rsa", "ssh-rsa", "known"),
    ] {
        let key = of(algorithm)?;
        ensure!(key["fingerprint"] == *server.fingerprint(kind)?, "{key:#}");
        ensure!(key["standing"] == standing, "{key:#}");
        let pictured = run_keygen(
            server.directory.path(),
            &["-lv", "-f", &format!("{kind}.pub")],
        )?;
        let art = pictured
            .split_once('\n')
            .context("no picture")?
            .1
            .trim_end();
        ensure!(key["randomart"] == art, "{pictured}{key:#}");
        let text = broker.told(&["probe-key", &server.target()]).await?;
        ensure!(text.contains(art), "{text}");
    }
    ensure!(of("ssh-ed25519")?["standing"] == "unknown", "{keys:#}");
    keygen(server.directory.path(), "former", "ecdsa")?;
    let former = server.line("", "former")?;
    let stranger = server.broker("strict", &former).await?;
    let changed = stranger.json(&["probe-key", &server.target()]).await?;
    for key in changed.as_array().into_iter().flatten() {
        ensure!(
            key["standing"] == "changed",
            "none of them is known: {key:#}"
        );
    }
    ensure!(keys.as_array().map(Vec::len) == Some(3), "{keys:#}");
    let short = broker.told(&["probe-key", "-s", "work"]).await?;
    ensure!(
        short.lines().count() == 3,
        "the profile is that server too: {short}"
    );
    Ok(())
}

/// The keys of a healthy server besides the one that the profile names are unknown, not changed.
async fn pinned() -> anyhow::Result<()> {
    let server = KeyedServer::start().await?;
    let mut profile = server.profile()?;
    profile.host_key = fs::read_to_string(server.directory.path().join("rsa.pub"))?;
    let broker = Broker::start(&config("", [profile]), &[]).await?;
    let keys = broker.json(&["probe-key", "work"]).await?;
    let keys = keys.as_array().context("no list")?;
    ensure!(keys.len() == 3, "{keys:#?}");
    for key in keys {
        let expected = match key["algorithm"] == "ssh-rsa" {
            true => "known",
            false => "unknown",
        };
        ensure!(key["standing"] == expected, "{key:#}");
    }
    Ok(())
}

async fn trust() -> anyhow::Result<()> {
    let server = KeyedServer::start().await?;
    let broker = server.broker("strict", "").await?;
    refusal(&broker).await?;
    refusal(&broker).await?;

    let made_up = format!("SHA256:{}", "A".repeat(43));
    let wrong = ["trust-host", &server.target(), "--fingerprint", &made_up];
    let refused = broker.ctl(&wrong).await?;
    ensure!(refused.status.code() == Some(5), "{refused:?}");
    contains_all(
        &refused.stderr,
        &["has no host key", &server.fingerprint("rsa")?],
    )?;
    ensure!(!store(&broker).exists());

    let fingerprint = server.fingerprint("rsa")?;
    let right = [
        "trust-host",
        &server.target(),
        "--fingerprint",
        &fingerprint,
    ];
    let key = broker.json(&right).await?;
    ensure!(
        key["standing"] == "known" && key["fingerprint"] == *fingerprint,
        "{key:#}"
    );
    // Though the last two clients were refused, the next one need not wait.
    fetches(&broker).await?;
    let stored = store(&broker).display().to_string();
    let found = run_keygen(
        server.directory.path(),
        &["-l", "-F", &server.name(), "-f", &stored],
    )?;
    ensure!(found.contains(&fingerprint), "{found}");
    Ok(())
}

/// The way to the server leads through another one, which is believed and logged in to by its own profile.
async fn through_gateway() -> anyhow::Result<()> {
    let server = KeyedServer::start().await?;
    let gateway = Sshd::start(SshdOptions::default()).await?;
    let first = gateway.profile()?;
    let inner = server.profile()?.called("inner").behind("id1");
    let broker = Broker::start(&config("", [first, inner]), &[]).await?;
    let fingerprint = server.fingerprint("rsa")?;
    // The host and port are enough: the way is that of their profile.
    let target = server.target();
    let trust = ["trust-host", &target, "--fingerprint", &fingerprint];
    contains_all(&broker.told(&trust).await?, &["is known: "])?;
    let opened = "server_request_direct_tcpip";
    gateway.process().wait_log(opened, SOON).await?;
    let found = run_keygen(
        server.directory.path(),
        &[
            "-F",
            &server.name(),
            "-f",
            &store(&broker).display().to_string(),
        ],
    )?;
    contains_all(&found, &["ssh-rsa"])
}

async fn unattended() -> anyhow::Result<()> {
    let server = KeyedServer::start().await?;
    let broker = server.broker("ask", "").await?;
    let refused = broker.ctl(&["trust-host", &server.target()]).await?;
    ensure!(refused.status.code() == Some(1), "{refused:?}");
    contains_all(&refused.stderr, &["--fingerprint"])?;
    ensure!(!store(&broker).exists());
    Ok(())
}

async fn typed_yes() -> anyhow::Result<()> {
    let server = KeyedServer::start().await?;
    let broker = server.broker("strict", "").await?;
    let mut command = broker.ctl_on_terminal(&["trust-host", "work"])?;
    command.shows("+--[ED25519 256]--+", SOON).await?;
    command.shows("not known", SOON).await?;
    command.shows("(yes or no)? ", SOON).await?;
    command.type_line("y")?;
    command.shows("Answer yes or no", SOON).await?;
    command.shows_times("(yes or no)? ", 2, SOON).await?;
    ensure!(!store(&broker).exists());
    command.type_line("yes")?;
    command.shows("is known: ", SOON).await?;
    ensure!(command.wait(SOON).await?.success());
    fetches(&broker).await?;

    let fingerprint = stored_fingerprint(&server, &broker)?;
    let again = ["trust-host", "work", "--fingerprint", &fingerprint];
    contains_all(&broker.told(&again).await?, &["is known: "])?;
    ensure!(fs::read_to_string(store(&broker))?.lines().count() == 1);
    Ok(())
}

fn stored_fingerprint(server: &KeyedServer, broker: &Broker) -> anyhow::Result<String> {
    let file = store(broker).display().to_string();
    let said = run_keygen(server.directory.path(), &["-l", "-f", &file])?;
    let fingerprint = said.split(' ').nth(1).map(str::to_owned);
    fingerprint.with_context(|| format!("no fingerprint in {said}"))
}

async fn typed_no() -> anyhow::Result<()> {
    let server = KeyedServer::start().await?;
    let broker = server.broker("strict", "").await?;
    let mut command = broker.ctl_on_terminal(&["trust-host", &server.target()])?;
    command.shows("(yes or no)? ", SOON).await?;
    command.type_line("no")?;
    command.shows("nothing was stored", SOON).await?;
    ensure!(command.wait(SOON).await?.code() == Some(1));
    ensure!(!store(&broker).exists());
    Ok(())
}

/// Opens a tunnel for which somebody at the keyboard answers one question, which shows all of `parts`.
async fn answer(broker: &Broker, parts: &[&str], answer: &str) -> anyhow::Result<bool> {
    let tunnel = broker.listener(0).await?;
    let through = |tunnel: SocketAddr| format!("tcp/0:127.0.0.1:{}", tunnel.port());
    let open = ["open-tunnel-listener", "-L", &through(tunnel), "work"];
    let mut command = broker.ctl_on_terminal(&open)?;
    command
        .shows("Accept it (yes, no, or the fingerprint)? ", SOON)
        .await?;
    contains_all(&command.screen(), parts)?;
    command.type_line(answer)?;
    Ok(command.wait(SOON).await?.success())
}

async fn accepted() -> anyhow::Result<()> {
    let server = KeyedServer::start().await?;
    let mut broker = server.broker("ask", "").await?;
    ensure!(answer(&broker, &["is not known yet", "ssh-ed25519 SHA256:"], "yes").await?);
    ensure!(fs::read_to_string(store(&broker))?.lines().count() == 1);
    // Transfers take connections of their own, for which nobody is asked any more; nor is anybody after a restart.
    fetches(&broker).await?;
    broker.restart(&[]).await?;
    fetches(&broker).await
}

async fn accepted_anew() -> anyhow::Result<()> {
    let server = KeyedServer::start().await?;
    keygen(server.directory.path(), "other", "rsa")?;
    let broker = server.broker("ask", &server.line("", "other")?).await?;
    let (shown, former) = (server.fingerprint("rsa")?, server.fingerprint("other")?);
    let place = format!("{} line 1", server.known().display());
    let parts = ["HAS CHANGED", &shown, &former, &place];
    ensure!(answer(&broker, &parts, &shown).await?);
    fetches(&broker).await?;
    let stored = stored_fingerprint(&server, &broker)?;
    ensure!(stored == shown, "{stored}");
    Ok(())
}

async fn rejected() -> anyhow::Result<()> {
    let server = KeyedServer::start().await?;
    let broker = server.broker("ask", "").await?;
    ensure!(!answer(&broker, &["is not known yet"], "no").await?);
    ensure!(!store(&broker).exists());
    Ok(())
}

async fn unknown() -> anyhow::Result<()> {
    let server = KeyedServer::start().await?;
    let strict = server.broker("strict", "").await?;
    let said = refusal(&strict).await?;
    let advice = format!("broker-ctl trust-host {}", server.target());
    contains_all(&said, &["is unknown", "SHA256:", &advice])?;
    ensure!(!store(&strict).exists());
    drop(strict);
    let ask = server.broker("ask", "").await?;
    let said = refusal(&ask).await?;
    contains_all(&said, &["SHA256:", "broker-ctl auth-handler"])?;
    ensure!(!store(&ask).exists());
    Ok(())
}

async fn changed() -> anyhow::Result<()> {
    let server = KeyedServer::start().await?;
    keygen(server.directory.path(), "other", "rsa")?;
    let known = format!("# a note\n{}", server.line("", "other")?);
    for policy in ["strict", "tofu", "ask"] {
        let broker = server.broker(policy, &known).await?;
        let said = refusal(&broker).await?;
        let place = format!("{} line 2", server.known().display());
        let (shown, former) = (server.fingerprint("rsa")?, server.fingerprint("other")?);
        contains_all(&said, &["changed", &shown, &former, &place])?;
        ensure!(!store(&broker).exists());
    }
    Ok(())
}

async fn revoked() -> anyhow::Result<()> {
    let server = KeyedServer::start().await?;
    let known = server.line("", "rsa")? + &server.line("@revoked ", "rsa")?;
    for policy in ["strict", "advisory"] {
        let broker = server.broker(policy, &known).await?;
        let said = refusal(&broker).await?;
        let place = format!("{} line 2", server.known().display());
        contains_all(&said, &["revoked", &server.fingerprint("rsa")?, &place])?;
    }
    Ok(())
}

async fn revocation_list() -> anyhow::Result<()> {
    let server = KeyedServer::start().await?;
    run_keygen(
        server.directory.path(),
        &["-q", "-k", "-f", "revoked.krl", "rsa.pub"],
    )?;
    let list = server.directory.path().join("revoked.krl");
    let list = list.display().to_string();
    let general = format!(r#"<known-hosts file="{list}"/>"#);
    let known = server.line("", "rsa")?;
    let broker = server.broker_with("advisory", &known, &general).await?;
    let said = refusal(&broker).await?;
    contains_all(&said, &["revoked", &server.fingerprint("rsa")?, &list])?;
    drop(broker);
    let known = server.line("", "ecdsa")?;
    fetches(&server.broker_with("strict", &known, &general).await?).await
}

async fn preferred() -> anyhow::Result<()> {
    let server = KeyedServer::start().await?;
    for kind in ["ecdsa", "rsa"] {
        fs::write(server.known(), server.line("", kind)?)?;
        let known = server.known().display().to_string();
        run_keygen(server.directory.path(), &["-H", "-f", &known])?;
        let hashed = fs::read_to_string(server.known())?;
        ensure!(hashed.starts_with("|1|"), "{hashed}");
        let broker = server.broker("strict", &hashed).await?;
        fetches(&broker).await?;
        let connections = broker.json(&["list-connections"]).await?;
        let shown = connections[0]["host_key"].as_str().unwrap_or_default();
        ensure!(
            shown.contains(&server.fingerprint(kind)?),
            "{connections:#}"
        );
        ensure!(
            kind != "rsa" || shown.starts_with("rsa-sha2-512 "),
            "{shown}"
        );
    }
    Ok(())
}

async fn first_use() -> anyhow::Result<()> {
    let server = KeyedServer::start().await?;
    let general = r#"<known-hosts filename-format="hash"/>"#;
    let mut broker = server.broker_with("tofu", "", general).await?;
    fetches(&broker).await?;
    let stored = fs::read_to_string(store(&broker))?;
    ensure!(
        stored.starts_with("|1|") && stored.lines().count() == 1,
        "{stored}"
    );
    let file = store(&broker).display().to_string();
    run_keygen(
        server.directory.path(),
        &["-F", &server.name(), "-f", &file],
    )?;
    broker.restart(&[]).await?;
    fetches(&broker).await?;
    ensure!(fs::read_to_string(store(&broker))? == stored);

    // Another server in the place of the first.
    let key = stored.split(' ').nth(2).context("no key")?.trim();
    let other = fs::read_to_string(server.directory.path().join("ecdsa.pub"))?;
    let other: Vec<&str> = other.split(' ').take(2).collect();
    let swapped = stored.replace(&format!("ssh-ed25519 {key}"), &other.join(" "));
    ensure!(swapped != stored, "{stored}");
    fs::write(store(&broker), &swapped)?;
    fs::write(server.known(), "")?;
    broker.restart(&[]).await?;
    fetches(&broker).await?;
    let connections = broker.json(&["list-connections"]).await?;
    let shown = connections[0]["host_key"].as_str().unwrap_or_default();
    ensure!(shown.starts_with("ecdsa-"), "{connections:#}");
    Ok(())
}

async fn advisory() -> anyhow::Result<()> {
    let server = KeyedServer::start().await?;
    let broker = server.broker("advisory", "").await?;
    fetches(&broker).await?;
    ensure!(fs::read_to_string(store(&broker))?.lines().count() == 1);
    drop(broker);
    keygen(server.directory.path(), "other", "rsa")?;
    let broker = server
        .broker("advisory", &server.line("", "other")?)
        .await?;
    fetches(&broker).await?;
    ensure!(!store(&broker).exists(), "a changed key is not stored");
    let warning = "host key has changed, accepted";
    broker.wait_log(warning, SOON).await
}

async fn directory() -> anyhow::Result<()> {
    let server = KeyedServer::start().await?;
    let directory = server.directory.path().join("directory");
    fs::create_dir(&directory)?;
    fs::write(directory.join("any name"), server.line("", "ecdsa")?)?;
    let general = format!(r#"<known-hosts directory="{}"/>"#, directory.display());
    let broker = server.broker_with("strict", "", &general).await?;
    fetches(&broker).await
}

/// The keys are in the files that older programs make of them, and the path is one that could also be a file.
async fn older_key_store() -> anyhow::Result<()> {
    let server = KeyedServer::start().await?;
    let place = server.directory.path().join("hostkeys");
    fs::create_dir(&place)?;
    let general = format!(r#"<known-hosts path="{}"/>"#, place.display());
    let broker = server.broker_with("strict", "", &general).await?;
    let said = refusal(&broker).await?;
    contains_all(&said, &["is unknown"])?;
    let key = server.directory.path().join("rsa.pub");
    let export = Command::new("ssh-keygen")
        .args(["-e", "-m", "RFC4716", "-f"])
        .arg(&key)
        .output()?;
    ensure!(export.status.success(), "{export:?}");
    let name = format!("key_{}_127.0.0.1.pub", server.port());
    fs::write(place.join(name), export.stdout)?;
    let broker = server.broker_with("strict", "", &general).await?;
    fetches(&broker).await
}

async fn open_store() -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let server = KeyedServer::start().await?;
    let broker = server.broker("tofu", "").await?;
    fetches(&broker).await?;
    // One that is closed while it is being made would be told as a failure of its own.
    let all_made = |listed: &Value| {
        let mut connections = listed.as_array().into_iter().flatten();
        connections.all(|connection| connection["state"] != "connecting")
    };
    let connections = broker
        .wait_json(&["list-connections"], SOON, all_made)
        .await?;
    for connection in connections.as_array().into_iter().flatten() {
        let id = connection["id"].as_u64().map(|id| id.to_string());
        broker
            .told(&["close-connection", &id.context("no id")?])
            .await?;
    }
    fs::set_permissions(store(&broker), fs::Permissions::from_mode(0o666))?;
    let said = refusal(&broker).await?;
    let advice = format!("chmod go-w {}", store(&broker).display());
    contains_all(&said, &["other users can write", &advice])
}
