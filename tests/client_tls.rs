//! Clients that speak FTP over TLS to the broker, which speaks plain FTP inside SSH.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::Trial;
use serde_json::Value;
use tempfile::TempDir;
use testkit::certificates::Authority;
use testkit::client::{Output, curl, lftp, run};
use testkit::files::pattern;
use testkit::programs::PYTHON;

use crate::support::compare::same_bytes;
use crate::support::fixture::{Real, SOON, expect_transfers, real};
use crate::support::{Need, python, trial};

const LIMIT: Duration = Duration::from_secs(60);

/// Larger than what the connections on the way hold.
const LARGE: usize = 6 << 20;

/// curl does not know the authority (`CURLE_PEER_FAILED_VERIFICATION`).
const UNKNOWN_AUTHORITY: i32 = 60;

pub(crate) fn trials() -> Vec<Trial> {
    let with = |client| ["sshd", "vsftpd", client].map(Need::Program);
    vec![
        trial("client TLS: curl, explicit", &with("curl"), curl_explicit),
        trial("client TLS: curl, implicit", &with("curl"), curl_implicit),
        trial("client TLS: lftp in both modes", &with("lftp"), lftp_modes),
        trial(
            "client TLS: Python in both modes",
            &with("python3"),
            python_modes,
        ),
        trial(
            "client TLS: an unknown authority",
            &with("curl"),
            unknown_authority,
        ),
        trial(
            "client TLS: no login in the clear",
            &with("python3"),
            clear_login,
        ),
        trial(
            "client TLS: no data in the clear",
            &with("python3"),
            clear_data,
        ),
        trial("client TLS: optional", &with("python3"), optional),
        trial("client TLS: bytes behind AUTH", &with("python3"), injection),
        trial(
            "client TLS: an upload without close_notify",
            &with("python3"),
            truncated,
        ),
        trial(
            "client TLS: sessions are resumed",
            &with("python3"),
            resumed,
        ),
        trial(
            "client TLS: sessions must be resumed",
            &with("python3"),
            must_resume,
        ),
        trial(
            "client TLS: a new certificate",
            &with("python3"),
            new_certificate,
        ),
        trial(
            "client TLS: a download that is cut",
            &with("curl"),
            cut_download,
        ),
        trial("client TLS: the lists show it", &with("curl"), lists),
    ]
}

/// A broker with a certificate, and what its clients need.
struct Encrypted {
    fixture: Real,
    authority: Authority,
    home: TempDir,
}

/// With these further attributes of the tunnel.
async fn encrypted(attributes: &str) -> anyhow::Result<Encrypted> {
    let authority = Authority::new()?;
    authority.issue()?;
    let tunnel = format!("{} {attributes}", authority.tunnel());
    Ok(Encrypted {
        fixture: real().tunnel(tunnel).start().await?,
        authority,
        home: tempfile::tempdir()?,
    })
}

impl Encrypted {
    fn url(&self, scheme: &str, name: &str) -> String {
        let port = self.fixture.tunnel.port();
        format!("{scheme}://localhost:{port}/{name}")
    }

    async fn curl(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let authority = self.authority.file();
        let authority = authority.to_string_lossy();
        let common = [
            "--ssl-reqd",
            "--cacert",
            &authority,
            "--user",
            "anonymous:guest",
        ];
        curl([&common[..], arguments].concat(), LIMIT).await
    }

    /// Uploads and downloads files of these sizes, and lists them.
    async fn curl_all(&self, scheme: &str) -> anyhow::Result<()> {
        let (sent, got) = (self.home.path().join("sent"), self.home.path().join("got"));
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let url = self.url(scheme, "sent");
        for size in [LARGE, 1, 0] {
            let content = pattern(1, size);
            std::fs::write(&sent, &content)?;
            self.curl(&["--upload-file", &text(&sent), &url])
                .await?
                .success()?;
            self.curl(&["--output", &text(&got), &url])
                .await?
                .success()?;
            // curl writes no file if nothing comes.
            if size > 0 {
                same_bytes(&got, &content)?;
            }
            same_bytes(&self.fixture.servers.ftp.root().join("sent"), &content)?;
        }
        let listing = self.curl(&[&self.url(scheme, "")]).await?.success()?;
        ensure!(listing.text().contains("sent"), "{}", listing.text());
        expect_transfers(&self.fixture.broker, 7).await
    }

    async fn lftp(&self, script: &str) -> anyhow::Result<Output> {
        let (authority, server) = (self.authority.file(), self.fixture.tunnel.port());
        let script = format!(
            "set ssl:ca-file {}; set ftp:ssl-force yes; set ftp:ssl-protect-data yes; set net:max-retries 1;
             open ftp://anonymous:guest@localhost:{server}/; {script}",
            authority.display()
        );
        lftp(&script, self.home.path(), LIMIT).await?.success()
    }

    /// Runs a scenario of the Python script.
    async fn python(&self, scenario: &str) -> anyhow::Result<Output> {
        let mut command = Command::new(PYTHON.find()?);
        command
            .arg(python::script("ftplib_tls.py"))
            .arg(scenario)
            .arg(self.fixture.tunnel.port().to_string())
            .arg(self.authority.file())
            .current_dir(self.home.path());
        run(command, LIMIT).await?.success()
    }
}

async fn curl_explicit() -> anyhow::Result<()> {
    encrypted("").await?.curl_all("ftp").await
}

async fn curl_implicit() -> anyhow::Result<()> {
    let implicit = encrypted(r#"tls-implicit="yes""#).await?;
    implicit.curl_all("ftps").await
}

async fn lftp_modes() -> anyhow::Result<()> {
    let encrypted = encrypted("").await?;
    let content = pattern(2, LARGE);
    std::fs::write(encrypted.home.path().join("sent"), &content)?;
    for passive in ["yes", "no"] {
        let script = format!("set ftp:passive-mode {passive}; put sent; get sent -o got-{passive}");
        encrypted.lftp(&script).await?;
        same_bytes(
            &encrypted.home.path().join(format!("got-{passive}")),
            &content,
        )?;
    }
    expect_transfers(&encrypted.fixture.broker, 4).await
}

async fn python_modes() -> anyhow::Result<()> {
    encrypted("").await?.python("matrix").await?;
    Ok(())
}

async fn unknown_authority() -> anyhow::Result<()> {
    let encrypted = encrypted("").await?;
    let url = encrypted.url("ftp", "file");
    let output = curl(["--ssl-reqd", &url], LIMIT).await?;
    ensure!(
        output.status.code() == Some(UNKNOWN_AUTHORITY),
        "{output:?}"
    );
    let reason = "the client does not accept the broker's certificate";
    encrypted.fixture.broker.wait_log(reason, SOON).await?;
    expect_transfers(&encrypted.fixture.broker, 0).await
}

async fn clear_login() -> anyhow::Result<()> {
    let encrypted = encrypted("").await?;
    encrypted.python("clear_login").await?;
    let log = encrypted.fixture.servers.ftp.log();
    ensure!(!log.contains("secret"), "the server saw the login:\n{log}");
    Ok(())
}

async fn clear_data() -> anyhow::Result<()> {
    encrypted("").await?.python("clear_data").await?;
    Ok(())
}

async fn optional() -> anyhow::Result<()> {
    let encrypted = encrypted(r#"tls-required="no""#).await?;
    encrypted.python("optional").await?;
    encrypted.python("matrix").await?;
    Ok(())
}

async fn injection() -> anyhow::Result<()> {
    for attributes in ["", r#"tls-required="no""#] {
        let encrypted = encrypted(attributes).await?;
        encrypted.python("injection").await?;
        let log = encrypted.fixture.servers.ftp.log();
        ensure!(!log.contains("injected"), "the server saw it:\n{log}");
    }
    Ok(())
}

/// vsftpd takes the end of its connection for the end of the file.
async fn truncated() -> anyhow::Result<()> {
    for (attributes, reply) in [("", "426 "), (r#"tls-close-notify="no""#, "226 ")] {
        let encrypted = encrypted(attributes).await?;
        let output = encrypted.python("truncated").await?.text();
        ensure!(output.starts_with(reply), "{attributes}: {output}");
    }
    Ok(())
}

async fn resumed() -> anyhow::Result<()> {
    encrypted("").await?.python("resumed").await?;
    Ok(())
}

async fn must_resume() -> anyhow::Result<()> {
    let encrypted = encrypted(r#"tls-session-reuse="yes""#).await?;
    for scenario in ["matrix", "resumed", "not_resumed"] {
        encrypted.python(scenario).await?;
    }
    Ok(())
}

async fn new_certificate() -> anyhow::Result<()> {
    let encrypted = encrypted("").await?;
    let first = encrypted.python("certificate").await?.text();
    encrypted.authority.replace("damaged")?;
    ensure!(encrypted.python("certificate").await?.text() == first);
    let reason = "the changed certificate is not used";
    encrypted.fixture.broker.wait_log(reason, SOON).await?;
    encrypted.authority.issue()?;
    ensure!(encrypted.python("certificate").await?.text() != first);
    Ok(())
}

/// The client must see a failure, although only the broker's end knows that bytes are missing.
async fn cut_download() -> anyhow::Result<()> {
    let encrypted = encrypted("").await?;
    let large = encrypted.fixture.servers.ftp.root().join("large");
    std::fs::write(large, pattern(3, 64 << 20))?;
    let url = encrypted.url("ftp", "large");
    let slowly = ["--limit-rate", "4M", "--output", "/dev/null", &url];
    let cut = async {
        let broker = &encrypted.fixture.broker;
        let moves = |it: &Value| it["kind"] == "data" && it["rate"].as_u64() > Some(0);
        let any_moves = |all: &Value| all.as_array().is_some_and(|all| all.iter().any(moves));
        let channels = broker
            .wait_json(&["list-channels"], SOON, any_moves)
            .await?;
        for channel in channels.as_array().into_iter().flatten() {
            let tls = channel["tls"].as_str().unwrap_or_default();
            ensure!(tls.starts_with("TLS 1.3 TLS13_AES"), "{channel}");
            if moves(channel) {
                broker
                    .told(&["close-channel", &channel["id"].to_string()])
                    .await?;
            }
        }
        Ok(())
    };
    let (output, cut) = tokio::join!(encrypted.curl(&slowly), cut);
    cut?;
    ensure!(
        !output?.status.success(),
        "curl takes the part for the whole"
    );
    Ok(())
}

async fn lists() -> anyhow::Result<()> {
    let encrypted = encrypted("").await?;
    let listener = encrypted
        .fixture
        .broker
        .list(&["list-tunnel-listeners"])
        .await?;
    ensure!(listener[0]["tls"] == "explicit", "{listener:?}");
    let table = encrypted
        .fixture
        .broker
        .told(&["list-tunnel-listeners"])
        .await?;
    ensure!(table.contains("ftp (explicit TLS)"), "{table}");
    Ok(())
}
