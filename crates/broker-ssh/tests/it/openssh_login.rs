//! Logging in to OpenSSH's server: several methods in a row, certificates, agents, and refusals. What is missing on this
//! machine is said, and its tests pass.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use broker_ssh::{
    AttemptOutcome, AuthError, AuthMethod, ConnectSpec, HandshakeError, Identity, KeyPlace,
    OpenError, PasswordSource, Pool, SecretString,
};
use tempfile::TempDir;
use testkit::keys::KeyPair;
use testkit::programs::find_program;
use testkit::sshd::{Sshd, SshdOptions};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::login::{Script, log_in};
use crate::peers::{LIMIT, pinned, soon};

const PASSWORD: &str = "correct horse";

/// sshd with a password for this user and further lines of its configuration.
async fn start(lines: &[&str]) -> Option<Sshd> {
    let missing = ["sshd", "unshare", "openssl"]
        .iter()
        .find(|program| find_program(program).is_none());
    if let Some(program) = missing {
        eprintln!("skipped: {program} is missing");
        return None;
    }
    if let Err(reason) = testkit::netns::available() {
        eprintln!("skipped: sshd can be given no password of its own: {reason}");
        return None;
    }
    let options = SshdOptions {
        password: Some(PASSWORD.into()),
        extra_config: lines.iter().map(|line| (*line).into()).collect(),
        ..SshdOptions::default()
    };
    Some(Sshd::start(options).await.unwrap())
}

fn spec(sshd: &Sshd) -> ConnectSpec {
    let addr = sshd.addr();
    let mut spec = ConnectSpec::new(addr.ip().to_string(), addr.port(), sshd.user());
    spec.identities = vec![sshd.identity_file().into()];
    spec.agent = Some("/nonexistent".into());
    spec.host_key = pinned(sshd.host_key_openssh().unwrap());
    spec.settings.connect_timeout = Some(LIMIT);
    spec
}

fn password() -> Option<PasswordSource> {
    Some(PasswordSource::Inline(SecretString::from(PASSWORD)))
}

fn pool(spec: ConnectSpec) -> Pool {
    Pool::new(spec, TaskTracker::new(), CancellationToken::new())
}

const PUBLIC_KEY: AuthMethod = AuthMethod::PublicKey;
const PASS: AuthMethod = AuthMethod::Password;
const INTERACTIVE: AuthMethod = AuthMethod::KeyboardInteractive;

#[tokio::test]
async fn as_many_methods_as_the_server_wants_in_whatever_order_either_side_has_them() {
    for (wanted, ours) in [
        ("publickey,password", vec![PUBLIC_KEY, PASS]),
        ("publickey,password", vec![PASS, PUBLIC_KEY]),
        ("password,publickey", vec![PUBLIC_KEY, PASS]),
        (
            "publickey,keyboard-interactive",
            vec![INTERACTIVE, PUBLIC_KEY],
        ),
        ("publickey,publickey", vec![PUBLIC_KEY]),
        ("password", AuthMethod::DEFAULT.to_vec()),
    ] {
        let lines = [
            &format!("AuthenticationMethods {wanted}"),
            "UsePAM yes",
            "KbdInteractiveAuthentication yes",
        ];
        let Some(sshd) = start(&lines).await else {
            return;
        };
        let second = KeyPair::generate().unwrap();
        let directory = TempDir::new().unwrap();
        let file = second.write(directory.path(), "second").unwrap();
        authorize(&sshd, &second.public_openssh().unwrap());
        let mut spec = spec(&sshd);
        // A single key where one is enough: what was refused because it came too early must be tried again.
        if wanted == "publickey,publickey" {
            spec.identities.push(file.into());
        }
        spec.settings.auth_methods = ours.clone();
        spec.password = password();
        let logged_in = log_in(&pool(spec)).await;
        assert!(
            logged_in.is_ok(),
            "{wanted} {ours:?}: {logged_in:?}\n{}",
            sshd.log()
        );
    }
}

/// Lets one more key in.
fn authorize(sshd: &Sshd, line: &str) {
    let file = sshd.authorized_keys();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}\n{line}\n")).unwrap();
}

#[tokio::test]
async fn a_key_that_the_server_accepted_is_not_shown_again() {
    let Some(sshd) = start(&["AuthenticationMethods publickey,publickey"]).await else {
        return;
    };
    let refused = log_in(&pool(spec(&sshd))).await.unwrap_err().to_string();
    assert!(
        refused.contains("accepted, the server requires another method"),
        "{refused}"
    );
    assert_eq!(
        sshd.log().matches("Accepted key").count(),
        2,
        "shown and signed with\n{}",
        sshd.log()
    );
}

#[tokio::test]
async fn a_person_is_asked_for_the_password_that_comes_after_the_key() {
    let lines = ["AuthenticationMethods publickey,password"];
    let Some(sshd) = start(&lines).await else {
        return;
    };
    let person = Script::typing(&[&["wrong"], &[PASSWORD]]);
    let mut spec = spec(&sshd);
    spec.responder = Some(person.clone());
    // The password first: nobody must be asked before the server wants it.
    spec.settings.auth_methods = vec![PASS, PUBLIC_KEY];
    log_in(&pool(spec)).await.unwrap();
    assert_eq!(person.asked().len(), 2);
    let failed = sshd.log().matches("Failed password").count();
    assert_eq!(failed, 1, "{}", sshd.log());
}

#[tokio::test]
async fn a_refusal_says_what_was_tried_and_what_the_server_takes() {
    let Some(sshd) = start(&["PasswordAuthentication yes"]).await else {
        return;
    };
    let directory = TempDir::new().unwrap();
    let key = KeyPair::generate().unwrap();
    let mut spec = spec(&sshd);
    spec.identities = vec![key.write(directory.path(), "unknown").unwrap().into()];
    spec.password = Some(PasswordSource::Inline(SecretString::from("hunter2")));
    let refused = log_in(&pool(spec)).await.unwrap_err();
    let OpenError::Auth(AuthError::Refused { tried, offered, .. }) = &refused else {
        panic!("{refused}")
    };
    let fingerprint = key.fingerprint();
    let path = directory.path().join("unknown");
    let lines: Vec<_> = tried.attempts().iter().map(ToString::to_string).collect();
    let with_key = format!(
        "publickey, key {}, {fingerprint}: not accepted",
        path.display()
    );
    assert_eq!(lines, [with_key.as_str(), "password: not accepted"]);
    let in_short = format!("tried key {}, password; ", path.display());
    assert!(refused.to_string().contains(&in_short), "{refused}");
    assert!(
        offered.contains("publickey") && offered.contains("password"),
        "{refused}"
    );
    assert!(!refused.to_string().contains("hunter2"));
}

#[tokio::test]
async fn too_many_attempts_are_told_as_such() {
    let Some(sshd) = start(&["MaxAuthTries 2"]).await else {
        return;
    };
    let directory = TempDir::new().unwrap();
    let mut spec = spec(&sshd);
    spec.identities = (0..4)
        .map(|number| {
            let key = KeyPair::generate().unwrap();
            key.write(directory.path(), &number.to_string())
                .unwrap()
                .into()
        })
        .collect();
    let refused = log_in(&pool(spec)).await.unwrap_err();
    assert!(
        matches!(refused, OpenError::Auth(AuthError::Ended { .. })),
        "{refused}"
    );
    let text = refused.to_string();
    let OpenError::Auth(error) = &refused else {
        panic!("{refused}")
    };
    let outcomes: Vec<_> = error.tried().iter().map(|it| &it.outcome).collect();
    assert_eq!(outcomes, [&AttemptOutcome::Refused, &AttemptOutcome::Ended]);
    assert!(
        text.contains("Too many") && text.contains("user-identities"),
        "{text}"
    );
}

/// A directory with keys that nobody knows, and after them the one that may log in.
fn keys_before_the_right_one(sshd: &Sshd, before: usize) -> TempDir {
    let directory = TempDir::new().unwrap();
    for number in 0..before {
        let key = KeyPair::generate().unwrap();
        key.write(directory.path(), &number.to_string()).unwrap();
    }
    sshd.client_key().write(directory.path(), "right").unwrap();
    directory
}

#[tokio::test]
async fn the_sixth_key_that_nobody_named_is_shown_where_nothing_else_is_left() {
    let Some(sshd) = start(&[]).await else {
        return;
    };
    for (before, password, right) in [(5, None, true), (6, None, false), (6, password(), true)] {
        let directory = keys_before_the_right_one(&sshd, before);
        let mut spec = spec(&sshd);
        spec.identities = Vec::new();
        spec.key_places = vec![KeyPlace::Directory(directory.path().into())];
        spec.password = password;
        let outcome = log_in(&pool(spec)).await;
        assert_eq!(outcome.is_ok(), right, "{before} keys before: {outcome:?}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_wait_for_the_answer_ends_the_question() {
    let Some(sshd) = start(&["LoginGraceTime 1"]).await else {
        return;
    };
    let mut spec = spec(&sshd);
    spec.settings.auth_methods = vec![PASS];
    spec.responder = Some(Script::silent());
    let lost = log_in(&pool(spec)).await.unwrap_err();
    assert!(lost.wants_person(), "{lost}");
    assert!(lost.to_string().contains("LoginGraceTime"), "{lost}");
}

#[tokio::test]
async fn nothing_in_common_names_what_each_side_offers() {
    let Some(sshd) = start(&["KexAlgorithms ecdh-sha2-nistp521"]).await else {
        return;
    };
    let mut spec = spec(&sshd);
    spec.settings.algorithms.kexs =
        vec!["curve25519-sha256".into(), "mlkem768x25519-sha256".into()];
    let refused = log_in(&pool(spec)).await.unwrap_err();
    let OpenError::Handshake(HandshakeError::NoCommonAlgorithm { ours, theirs, .. }) = &refused
    else {
        panic!("{refused}")
    };
    assert!(
        ours.contains("curve25519") && theirs.contains("nistp521"),
        "{refused}"
    );
}

/// An authority that sshd trusts, and keys signed by it.
struct Authority {
    directory: TempDir,
}

impl Authority {
    fn new() -> Self {
        let it = Self {
            directory: TempDir::new().unwrap(),
        };
        it.keygen(&["-t", "ed25519", "-N", "", "-f", "ca"]);
        it
    }

    /// Makes a key of a kind and a certificate for it.
    fn key(&self, kind: &str, user: &str, validity: &str) -> PathBuf {
        self.keygen(&["-t", kind, "-N", "", "-f", kind]);
        let public = format!("{kind}.pub");
        self.keygen(&[
            "-s", "ca", "-I", "test", "-n", user, "-V", validity, &public,
        ]);
        self.directory.path().join(kind)
    }

    fn keygen(&self, args: &[&str]) {
        let mut keygen = Command::new("ssh-keygen");
        keygen
            .current_dir(self.directory.path())
            .arg("-q")
            .args(args);
        let output = keygen.output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
    }

    /// An sshd that lets in whom this authority vouches for, and nobody else.
    async fn sshd(&self) -> Option<Sshd> {
        let ca = self.directory.path().join("ca.pub");
        let trust = format!("TrustedUserCAKeys {}", ca.display());
        start(&[&trust, "AuthorizedKeysFile none"]).await
    }
}

fn with_key(sshd: &Sshd, key: &Path) -> ConnectSpec {
    let mut spec = spec(sshd);
    spec.settings.auth_methods = vec![PUBLIC_KEY];
    spec.identities = vec![key.to_owned().into()];
    spec
}

#[tokio::test]
async fn a_certificate_beside_the_key_lets_in_whatever_the_kind_of_key() {
    let authority = Authority::new();
    let Some(sshd) = authority.sshd().await else {
        return;
    };
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let key = authority.key(kind, sshd.user(), "-1h:+1h");
        let logged_in = log_in(&pool(with_key(&sshd, &key))).await;
        assert!(logged_in.is_ok(), "{kind}: {logged_in:?}\n{}", sshd.log());
    }
    // A passphrase is asked for, since the server would take the certificate.
    let key = authority.directory.path().join("ed25519");
    authority.keygen(&["-p", "-N", "secret", "-f", "ed25519"]);
    let person = Script::typing(&[&["secret"]]);
    let mut spec = with_key(&sshd, &key);
    spec.responder = Some(person.clone());
    log_in(&pool(spec)).await.unwrap();
    assert_eq!(person.asked().len(), 1);
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_told_as_such() {
    let authority = Authority::new();
    let Some(sshd) = authority.sshd().await else {
        return;
    };
    for (validity, expected) in [
        ("-3d:-2d", "expired 2 days ago"),
        ("+1d:+2d", "becomes valid in"),
    ] {
        let key = authority.key("ed25519", sshd.user(), validity);
        let refused = log_in(&pool(with_key(&sshd, &key))).await.unwrap_err();
        assert!(refused.to_string().contains(expected), "{refused}");
        std::fs::remove_file(key).unwrap();
    }
}

/// ssh-agent with one key, ended when dropped.
struct Agent {
    child: Child,
    socket: PathBuf,
}

impl Agent {
    async fn holding(key: &Path, directory: &TempDir) -> Self {
        let socket = directory.path().join("agent");
        let mut command = Command::new("ssh-agent");
        command
            .args(["-D", "-a"])
            .arg(&socket)
            .stdout(Stdio::null());
        let child = command.spawn().expect("ssh-agent comes with sshd's client");
        let add = || {
            let mut add = Command::new("ssh-add");
            add.env("SSH_AUTH_SOCK", &socket).arg(key);
            add.stderr(Stdio::null()).status().unwrap().success()
        };
        // The agent may still be starting.
        soon(async { while !add() {} }).await;
        Self { child, socket }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn the_agents_keys_and_certificates_are_used_and_found_by_hash() {
    let authority = Authority::new();
    let Some(sshd) = authority.sshd().await else {
        return;
    };
    let key = authority.key("ecdsa", sshd.user(), "-1h:+1h");
    let directory = TempDir::new().unwrap();
    let agent = Agent::holding(&key, &directory).await;
    let mut spec = with_key(&sshd, &key);
    spec.agent = Some(agent.socket.clone());
    spec.identities = Vec::new();
    log_in(&pool(spec.clone())).await.unwrap();
    spec.identities = vec![Identity::Hash(sha256_of(&key))];
    log_in(&pool(spec.clone())).await.unwrap();
    // A file whose passphrase nobody is asked for, and which the agent holds with a certificate.
    authority.keygen(&["-p", "-N", "secret", "-f", "ecdsa"]);
    spec.identities = vec![key.into()];
    log_in(&pool(spec)).await.unwrap();
}

fn sha256_of(key: &Path) -> String {
    let script = r#"cut -d' ' -f2 "$0.pub" | base64 -d | sha256sum | cut -d' ' -f1"#;
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", script]).arg(key).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
