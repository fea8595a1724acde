//! What the daemon and `broker-ctl --json` send, against docs/ipc-schema.json.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use testkit::broker::Broker;
use testkit::files;
use testkit::fixture::Fixture;
use testkit::peer::FtpFiles;
use tokio::time::timeout;

use crate::support::fixture::{SOON, embedded};
use crate::support::local_socket::LocalSocket;
use crate::support::trial;

/// More than the buffers on the way hold, so that the transfer runs until its client reads on.
const BIG: usize = 64 << 20;

/// Methods that need a person or a second daemon; other trials call them.
const ELSEWHERE: [&str; 5] = [
    "answer-prompt",
    "attend-prompts",
    "hand-over",
    "next-prompt",
    "retire",
];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("interface: results fit the schema", &[], results),
        trial("interface: events fit the schema", &[], events),
        trial("interface: what broker-ctl prints fits", &[], printed),
        trial("interface: another daemon is seen", &[], another_daemon),
    ]
}

/// docs/ipc-schema.json.
struct Schema(Value);

impl Schema {
    fn read() -> anyhow::Result<Self> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ipc-schema.json");
        let text = std::fs::read_to_string(file)?;
        Ok(Self(serde_json::from_str(&text)?))
    }

    /// Fails if the value does not fit the part of the document at this place.
    fn check(&self, place: &str, value: &Value) -> anyhow::Result<()> {
        let part = self.0.pointer(place);
        let mut part = part
            .with_context(|| format!("the schema has no {place}"))?
            .clone();
        part["$schema"] = self.0["$schema"].clone();
        part["$defs"] = self.0["$defs"].clone();
        let validator = jsonschema::validator_for(&part)?;
        let faults: Vec<_> = validator.iter_errors(value).collect();
        ensure!(faults.is_empty(), "{place}: {faults:#?} in {value:#}");
        Ok(())
    }
}

/// A client whose requests and their results are held against the schema.
struct Checked<'a> {
    schema: &'a Schema,
    client: LocalSocket,
    called: BTreeSet<String>,
}

impl<'a> Checked<'a> {
    async fn connect(broker: &Broker, schema: &'a Schema) -> anyhow::Result<Self> {
        let client = LocalSocket::connect(broker).await?;
        schema.check("/methods/hello/result", &client.hello)?;
        Ok(Self {
            schema,
            client,
            called: BTreeSet::from(["hello".to_owned()]),
        })
    }

    async fn call(&mut self, method: &str, params: Value) -> anyhow::Result<Value> {
        let part = |part| format!("/methods/{method}/{part}");
        self.schema.check(&part("params"), &params)?;
        let result = self.client.call(method, &params).await?;
        self.schema.check(&part("result"), &result)?;
        self.called.insert(method.to_owned());
        Ok(result)
    }

    /// The result, which is a list of at least one thing.
    async fn list(&mut self, method: &str) -> anyhow::Result<Value> {
        let list = self.call(method, json!({})).await?;
        let some = list.as_array().is_some_and(|list| !list.is_empty());
        ensure!(some, "{method}: {list}");
        Ok(list)
    }

    async fn refusal(&mut self, method: &str, params: Value) -> anyhow::Result<()> {
        let error = self.client.refusal(method, &params).await?;
        self.schema.check("/error", &error)
    }
}

/// Servers with a file that no client reads to its end at once.
async fn with_big_file() -> anyhow::Result<Fixture> {
    let fixture = embedded().start().await?;
    let content = files::pattern(1, BIG);
    fixture.servers.ftp.put("big", &content)?;
    Ok(fixture)
}

async fn results() -> anyhow::Result<()> {
    let schema = Schema::read()?;
    let fixture = with_big_file().await?;
    let mut ftp = fixture.login().await?;
    let mut data = ftp.begin("EPSV", "RETR big").await?;
    data.bytes(1).await?;
    let mut checked = Checked::connect(&fixture.broker, &schema).await?;
    for list in [
        "list-channels",
        "list-clients",
        "list-sessions",
        "list-transfers",
        "list-tunnel-listeners",
    ] {
        checked.list(list).await?;
    }
    let profiles = checked.list("list-profiles").await?;
    let target = &profiles[0]["id"];
    let connections = checked.list("list-connections").await?;
    let id = &connections[0]["id"];
    checked
        .call("connection-status", json!({ "id": id }))
        .await?;
    for method in ["status", "metrics", "keep-running", "set-log-level"] {
        checked.call(method, json!({})).await?;
    }
    let path = json!({ "path": "profiles/profile[1]/@host" });
    checked.call("config-value", path).await?;
    checked.call("reload", json!({ "dry_run": true })).await?;
    checked.call("connect", json!({ "target": target })).await?;
    let keys = checked.call("probe-key", json!({ "target": target }));
    let keys = keys.await?;
    let key = json!({ "target": target, "fingerprint": keys[0]["fingerprint"] });
    checked.call("trust-host", key).await?;
    let tunnel = json!({
        "kind": "ftp", "listen_port": 0, "dst_host": "localhost", "dst_port": 21, "target": target,
        "options": { "max-sessions": "3" },
    });
    let opened = checked.call("open-tunnel-listener", tunnel).await?;
    let opened = json!({ "id": opened["id"] });
    checked
        .call("close-tunnel-listener", opened.clone())
        .await?;
    checked.refusal("close-tunnel-listener", opened).await?;
    checked.refusal("connect", json!({ "target": "" })).await?;
    checked.refusal("fly", json!({})).await?;
    let channels = checked.list("list-channels").await?;
    let id = &channels[0]["id"];
    checked.call("close-channel", json!({ "id": id })).await?;
    let id = &connections[0]["id"];
    checked
        .call("close-connection", json!({ "id": id }))
        .await?;
    let second = Checked::connect(&fixture.broker, &schema).await?;
    let clients = checked.list("list-clients").await?;
    let clients = clients.as_array().context("no list")?;
    let id = &clients.last().context("no clients")?["id"];
    let disconnected = json!({ "id": id });
    checked.call("disconnect-client", disconnected).await?;
    drop(second);
    checked
        .call("subscribe", json!({ "kinds": ["lost"] }))
        .await?;
    checked.call("stop", json!({ "grace": 0 })).await?;
    let methods = schema.0["methods"].as_object().context("no methods")?;
    let called = |method: &String| checked.called.contains(method);
    let missing = |it: &&String| !called(it) && !ELSEWHERE.contains(&it.as_str());
    let missing: Vec<_> = methods.keys().filter(missing).collect();
    ensure!(missing.is_empty(), "not called: {missing:?}");
    Ok(())
}

async fn events() -> anyhow::Result<()> {
    const KINDS: [&str; 9] = [
        "configuration-changed",
        "connected",
        "log",
        "profile-changed",
        "session-opened",
        "state-complete",
        "transfer-progress",
        "transfer-started",
        "tunnel-changed",
    ];
    let schema = Schema::read()?;
    let fixture = with_big_file().await?;
    let mut ftp = fixture.login().await?;
    let mut data = ftp.begin("EPSV", "RETR big").await?;
    data.bytes(1).await?;
    let mut checked = Checked::connect(&fixture.broker, &schema).await?;
    let params = json!({ "state": true, "kinds": KINDS });
    checked.call("subscribe", params).await?;
    let mut missing = BTreeSet::from(KINDS);
    while !missing.is_empty() {
        let line = timeout(SOON, checked.client.line()).await;
        let line = line.with_context(|| format!("no event of {missing:?}"))??;
        let event = &line.context("the end of the events")?["params"];
        schema.check("/event", event)?;
        let kind = event["kind"].as_str().context("an event without kind")?;
        missing.remove(kind);
    }
    Ok(())
}

async fn printed() -> anyhow::Result<()> {
    let schema = Schema::read()?;
    let fixture = embedded().start().await?;
    let broker = &fixture.broker;
    let mut ftp = fixture.login().await?;
    ensure!(ftp.fetch("file").await? == crate::support::fixture::CONTENT);
    let config = broker.config_file();
    let config = config.to_str().context("the file's name")?;
    let commands: [(&str, &[&str]); 8] = [
        ("check-config", &["check-config", config]),
        ("start", &["start"]),
        ("health", &["health"]),
        ("status --all", &["status", "--all"]),
        (
            "list-connections --show-channels",
            &["list-connections", "-c"],
        ),
        ("doctor", &["doctor"]),
        ("close-connection", &["close-connection", "1"]),
        ("stop", &["stop", "--now"]),
    ];
    for (name, arguments) in commands {
        let arguments = [arguments, &["--json"]].concat();
        let output = broker.ctl(&arguments).await?;
        let shown: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{name}: {output:?}"))?;
        let empty = shown.as_array().is_some_and(Vec::is_empty);
        ensure!(!empty || name == "status --all", "{name} shows nothing");
        schema.check(&format!("/broker-ctl/{name}"), &shown)?;
    }
    let refused = broker.ctl(&["--json", "status"]).await?;
    let error = serde_json::from_str(&refused.stderr)?;
    schema.check("/broker-ctl/error", &error)
}

async fn another_daemon() -> anyhow::Result<()> {
    let mut fixture = embedded().start().await?;
    let before = instance(&fixture.broker).await?;
    ensure!(before == instance(&fixture.broker).await?, "{before}");
    fixture.broker.restart(&[]).await?;
    ensure!(before != instance(&fixture.broker).await?, "{before}");
    Ok(())
}

/// What `hello` and `status` say alike.
async fn instance(broker: &Broker) -> anyhow::Result<String> {
    let mut client = LocalSocket::connect(broker).await?;
    let status = client.call("status", &json!({})).await?;
    let instance = status["instance"].as_str().context("no instance")?;
    ensure!(client.hello["instance"] == instance, "{:#}", client.hello);
    Ok(instance.to_owned())
}
