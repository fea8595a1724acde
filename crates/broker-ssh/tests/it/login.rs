//! Logging in where a person has a part: passphrases, passwords, questions of the server

use std::collections::VecDeque;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_ssh::{
    Answer, AuthError, AuthMethod, ConnectSpec, CutReason, Identity, KeepFor, Keyring, NoAnswer,
    OpenError, PasswordSource, Pool, Prompt, Responder, SecretString,
};
use futures::future::BoxFuture;
use testkit::ssh_server::{Asked, SshServerOptions};

use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;

use crate::peers::{Bench, converse, echo, flood, originator, scripted, soon};

/// Gives prepared answers and notes what was asked.
#[derive(Debug, Default)]
pub struct Script {
    answers: Mutex<VecDeque<Result<Answer, NoAnswer>>>,
    asked: Mutex<Vec<Prompt>>,
    silent: bool,
}

impl Script {
    /// Answers each prompt with the texts of one line.
    pub fn typing(lines: &[&[&str]]) -> Arc<Self> {
        let texts = |line: &&[&str]| line.iter().map(|text| SecretString::from(*text)).collect();
        Arc::new(Self {
            answers: Mutex::new(
                lines
                    .iter()
                    .map(|line| Ok(Answer::Texts(texts(line))))
                    .collect(),
            ),
            ..Self::default()
        })
    }

    /// Never answers.
    pub fn silent() -> Arc<Self> {
        Arc::new(Self {
            silent: true,
            ..Self::default()
        })
    }

    /// What was asked since the last look.
    pub fn asked(&self) -> Vec<Prompt> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Responder for Script {
    fn ask(&self, prompt: Prompt) -> BoxFuture<'_, Result<Answer, NoAnswer>> {
        self.asked.lock().unwrap().push(prompt);
        let answer = self.answers.lock().unwrap().pop_front();
        Box::pin(async move {
            if self.silent {
                std::future::pending::<()>().await;
            }
            answer.unwrap_or(Err(NoAnswer::Nobody))
        })
    }
}

/// Opens a control channel and a data channel, each on a connection of its own.
pub async fn log_in(pool: &Pool) -> Result<(), OpenError> {
    let target = echo().await;
    let mut control = soon(pool.open_control(&target, originator())).await?;
    converse(&mut control, "control").await;
    let mut data = soon(pool.open_data(&target, originator())).await?;
    converse(&mut data, "data").await;
    Ok(())
}

/// A bench and a specification with this person beside it, for a server with this password.
async fn with_password(person: &Arc<Script>, password: &str) -> (Bench, ConnectSpec) {
    let options = SshServerOptions {
        password: Some(password.into()),
        ..SshServerOptions::default()
    };
    let bench = Bench::with(options).await;
    let mut spec = bench.spec();
    spec.settings.auth_methods = vec![AuthMethod::Password];
    spec.responder = Some(person.clone());
    (bench, spec)
}

fn again(prompt: &Prompt) -> bool {
    match prompt {
        Prompt::Passphrase { again, .. } | Prompt::Password { again, .. } => *again,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_locked_key_is_unlocked_once_for_all_connections() {
    let person = Script::typing(&[&["wrong"], &["right"]]);
    let bench = Bench::start().await;
    let mut spec = bench.spec();
    let key = bench.directory.path().join("id");
    lock(&key, "right");
    spec.responder = Some(person.clone());
    log_in(&bench.pool_of(spec.clone())).await.unwrap();
    let asked = person.asked();
    assert_eq!(asked.iter().map(again).collect::<Vec<_>>(), [false, true]);
    assert!(asked[0].to_string().contains(&key.display().to_string()));
    // Another pool with the same keyring: nobody is asked again.
    log_in(&bench.pool_of(spec)).await.unwrap();
    assert_eq!(person.asked(), []);
    bench.end().await;
}

#[tokio::test]
async fn a_passphrase_that_is_not_kept_is_asked_for_again() {
    let person = Script::typing(&[&["right"], &["right"]]);
    let bench = Bench::start().await;
    let mut spec = bench.spec();
    lock(&bench.directory.path().join("id"), "right");
    spec.responder = Some(person.clone());
    spec.keyring = Arc::new(Keyring::new(KeepFor {
        since_typed: Some(Duration::ZERO),
        since_used: None,
    }));
    for _ in 0..2 {
        log_in_once(&bench.pool_of(spec.clone())).await.unwrap();
        assert_eq!(person.asked().len(), 1);
    }
    bench.end().await;
}

/// Gives a key file a passphrase.
fn lock(key: &Path, passphrase: &str) {
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-p", "-N", passphrase, "-f"]).arg(key);
    assert!(keygen.status().unwrap().success());
}

#[tokio::test]
async fn nobody_is_asked_to_unlock_a_key_that_the_server_would_not_take() {
    let person = Script::typing(&[&["right"]]);
    let bench = Bench::start().await;
    let mut spec = bench.spec();
    let other = testkit::keys::KeyPair::generate().unwrap();
    let other = other.write(bench.directory.path(), "other").unwrap();
    lock(&other, "right");
    spec.identities = vec![other.into()];
    spec.settings.auth_methods = vec![AuthMethod::PublicKey];
    spec.responder = Some(person.clone());
    let refused = log_in(&bench.pool_of(spec)).await.unwrap_err();
    assert!(
        matches!(refused, OpenError::Auth(AuthError::Refused { .. })),
        "{refused}"
    );
    assert_eq!(person.asked(), []);
    bench.end().await;
}

#[tokio::test]
async fn three_wrong_passphrases_are_enough() {
    let person = Script::typing(&[&["a"], &["b"], &["c"], &["d"]]);
    let bench = Bench::start().await;
    let mut spec = bench.spec();
    lock(&bench.directory.path().join("id"), "right");
    spec.settings.auth_methods = vec![AuthMethod::PublicKey];
    spec.responder = Some(person.clone());
    let refused = log_in(&bench.pool_of(spec)).await.unwrap_err();
    assert!(refused.to_string().contains("passphrase"), "{refused}");
    assert_eq!(person.asked().len(), 3);
    bench.end().await;
}

#[tokio::test]
async fn a_typed_password_serves_further_connections_too() {
    let person = Script::typing(&[&["wrong"], &["right"]]);
    let (bench, spec) = with_password(&person, "right").await;
    let pool = bench.pool_of(spec);
    log_in(&pool).await.unwrap();
    let asked = person.asked();
    assert_eq!(asked.iter().map(again).collect::<Vec<_>>(), [false, true]);
    assert_eq!(bench.server.counters().logins, 2);
    bench.end().await;
}

#[tokio::test]
async fn a_password_good_for_one_time_serves_one_connection_that_all_share() {
    let person = Script::typing(&[&["right"]]);
    let options = SshServerOptions {
        password: Some("right".into()),
        one_time: true,
        ..SshServerOptions::default()
    };
    let bench = Bench::with(options).await;
    let mut spec = bench.spec();
    spec.settings.auth_methods = vec![AuthMethod::Password];
    spec.responder = Some(person.clone());
    let pool = bench.pool_of(spec);
    for _ in 0..2 {
        log_in(&pool).await.unwrap();
    }
    assert_eq!(person.asked().len(), 1);
    let seen = bench.server.counters();
    assert_eq!(
        (seen.logins, seen.logins_refused),
        (1, 1),
        "tried anew once"
    );
    bench.end().await;
}

#[tokio::test]
async fn with_nobody_there_the_error_names_the_question_and_says_how_to_attach() {
    let person = Script::typing(&[]);
    let (bench, mut spec) = with_password(&person, "right").await;
    let unanswered = log_in(&bench.pool_of(spec.clone())).await.unwrap_err();
    assert!(unanswered.wants_person());
    let text = unanswered.to_string();
    assert!(
        text.contains("password") && text.contains("auth-handler"),
        "{text}"
    );
    // A key that was refused before is told too.
    let other = testkit::keys::KeyPair::generate().unwrap();
    let other = other.write(bench.directory.path(), "other").unwrap();
    spec.identities = vec![other.into()];
    spec.settings.auth_methods = vec![AuthMethod::PublicKey, AuthMethod::Password];
    let refused = log_in(&bench.pool_of(spec)).await.unwrap_err();
    assert!(refused.wants_person(), "{refused}");
    let text = refused.to_string();
    assert!(
        text.contains("/other") && text.contains("auth-handler"),
        "{text}"
    );
    bench.end().await;
}

const ROUNDS: [&[Asked]; 2] = [
    &[Asked {
        text: "Password: ",
        echo: false,
        answer: "right",
    }],
    &[
        Asked {
            text: "Code: ",
            echo: true,
            answer: "1234",
        },
        Asked {
            text: "Colour: ",
            echo: false,
            answer: "blue",
        },
    ],
];

async fn interactive(person: &Arc<Script>) -> (Bench, ConnectSpec) {
    let options = SshServerOptions {
        interactive: ROUNDS.map(<[Asked]>::to_vec).to_vec(),
        ..SshServerOptions::default()
    };
    let bench = Bench::with(options).await;
    let mut spec = bench.spec();
    spec.settings.auth_methods = vec![AuthMethod::KeyboardInteractive];
    spec.responder = Some(person.clone());
    (bench, spec)
}

async fn log_in_once(pool: &Pool) -> Result<(), OpenError> {
    let mut control = soon(pool.open_control(&echo().await, originator())).await?;
    converse(&mut control, "control").await;
    Ok(())
}

#[tokio::test]
async fn a_person_answers_several_fields_in_several_rounds() {
    let person = Script::typing(&[&["right"], &["1234", "blue"]]);
    let (bench, spec) = interactive(&person).await;
    log_in_once(&bench.pool_of(spec)).await.unwrap();
    let asked = person.asked();
    let Prompt::Interactive { name, fields, .. } = &asked[1] else {
        panic!("{asked:?}")
    };
    assert_eq!(name, "A second look");
    let fields: Vec<_> = fields
        .iter()
        .map(|field| (&*field.text, field.echo))
        .collect();
    assert_eq!(fields, [("Code: ", true), ("Colour: ", false)]);
    bench.end().await;
}

#[tokio::test]
async fn a_person_who_answers_each_time_is_asked_once_and_all_channels_share() {
    let person = Script::typing(&[&["right"], &["1234", "blue"]]);
    let (bench, spec) = interactive(&person).await;
    let pool = bench.pool_of(spec);
    let _session = pool.in_use();
    let (echo, (burst, server)) = (echo().await, scripted().await);
    let mut control = soon(pool.open_control(&echo, originator())).await.unwrap();
    let mut data = soon(pool.open_data(&echo, originator())).await.unwrap();
    let forward = soon(pool.forward("127.0.0.1", None)).await.unwrap();
    // One that lags behind by less than the overflow stops none of them.
    let lagging = soon(pool.open_data(&burst, originator())).await.unwrap();
    let (mut server, _) = soon(server.accept()).await.unwrap();
    soon(server.write_all(&[7; 4 << 20])).await.unwrap();
    for channel in [&mut control, &mut data] {
        converse(channel, "shared").await;
        assert_eq!(channel.info().connection, forward.connection());
    }
    assert_eq!(person.asked().len(), 2);
    assert_eq!(bench.server.counters().connections, 1);
    drop((control, data, forward, lagging, server));
    bench.end().await;
}

#[tokio::test]
async fn a_stalled_transfer_among_control_channels_is_cut() {
    let person = Script::typing(&[&["right"], &["1234", "blue"]]);
    let (bench, mut spec) = interactive(&person).await;
    spec.settings.pool.stall_timeout = Duration::from_millis(300);
    let pool = bench.pool_of(spec);
    let (echo, flood) = (echo().await, flood().await);
    let mut control = soon(pool.open_control(&echo, originator())).await.unwrap();
    let stalled = soon(pool.open_data(&flood, originator())).await.unwrap();
    let (mut stalled, _) = stalled.split();
    assert!(matches!(soon(stalled.cut()).await, CutReason::Stalled(_)));
    converse(&mut control, "goes on").await;
    bench.end().await;
}

#[tokio::test]
async fn a_gateway_that_asks_each_time_is_logged_in_to_once() {
    let person = Script::typing(&[&["right"], &["1234", "blue"]]);
    let (gateway, way) = interactive(&person).await;
    let bench = Bench::start().await;
    let mut spec = bench.spec();
    spec.gateway = Some(Arc::new(way));
    spec.responder = Some(person.clone());
    let pool = bench.pool_of(spec);
    log_in(&pool).await.unwrap();
    assert_eq!(person.asked().len(), 2);
    assert_eq!(gateway.server.counters().logins, 1);
    drop(pool);
    bench.end().await;
    gateway.end().await;
}

#[tokio::test]
async fn a_configured_password_answers_its_question_and_a_person_the_others() {
    let person = Script::typing(&[&["1234", "red"], &["right"], &["1234", "blue"]]);
    let (bench, mut spec) = interactive(&person).await;
    spec.password = Some(PasswordSource::Inline(SecretString::from("right")));
    log_in_once(&bench.pool_of(spec)).await.unwrap();
    // The second time the person types all of it: nobody knows which answer was wrong.
    let asked: Vec<_> = person.asked().iter().map(Prompt::texts).collect();
    assert_eq!(asked, [2, 1, 2]);
    bench.end().await;
}

#[tokio::test]
async fn questions_that_nobody_answers_let_other_methods_go_on() {
    let person = Script::typing(&[]);
    let (bench, mut spec) = interactive(&person).await;
    spec.settings.auth_methods = vec![AuthMethod::KeyboardInteractive, AuthMethod::PublicKey];
    log_in_once(&bench.pool_of(spec)).await.unwrap();
    assert_eq!(person.asked().len(), 1);
    bench.end().await;
}

/// Answers once it is told to.
#[derive(Debug, Default)]
struct Slow {
    asked: Notify,
    go_on: Notify,
}

impl Responder for Slow {
    fn ask(&self, _question: Prompt) -> BoxFuture<'_, Result<Answer, NoAnswer>> {
        Box::pin(async {
            self.asked.notify_one();
            self.go_on.notified().await;
            Ok(Answer::Texts(vec![SecretString::from("right")]))
        })
    }
}

#[tokio::test]
async fn an_answer_that_comes_after_the_server_has_gone_ends_the_login() {
    let (bench, mut spec) = interactive(&Script::typing(&[])).await;
    let person = Arc::new(Slow::default());
    spec.responder = Some(person.clone());
    let pool = bench.pool_of(spec);
    let hang_up = async {
        person.asked.notified().await;
        bench.server.kill_all();
        person.go_on.notify_one();
    };
    let (lost, ()) = tokio::join!(log_in_once(&pool), hang_up);
    let lost = lost.unwrap_err();
    assert!(
        matches!(lost, OpenError::Auth(AuthError::Ended { .. })),
        "{lost}"
    );
    drop(pool);
    bench.end().await;
}

#[tokio::test]
async fn a_key_is_found_by_its_hash() {
    let bench = Bench::start().await;
    let directory = bench.directory.path().join("keys");
    fs::create_dir(&directory).unwrap();
    let key = testkit::keys::KeyPair::generate().unwrap();
    key.write(&directory, "another").unwrap();
    for name in ["id", "id.pub"] {
        fs::rename(bench.directory.path().join(name), directory.join(name)).unwrap();
    }
    fs::set_permissions(directory.join("id"), Permissions::from_mode(0o600)).unwrap();
    let mut spec = bench.spec();
    spec.settings.auth_methods = vec![AuthMethod::PublicKey];
    spec.key_places = vec![broker_ssh::KeyPlace::Directory(directory.clone())];
    spec.identities = vec![Identity::Hash(sha1_of(&directory.join("id.pub")))];
    log_in(&bench.pool_of(spec.clone())).await.unwrap();
    // Without a name, all keys of the directory are tried.
    spec.identities = Vec::new();
    log_in(&bench.pool_of(spec.clone())).await.unwrap();
    spec.identities = vec![Identity::Hash("0".repeat(40))];
    let missing = log_in(&bench.pool_of(spec)).await.unwrap_err();
    assert!(
        matches!(missing, OpenError::Auth(AuthError::KeyMissing { .. })),
        "{missing}"
    );
    bench.end().await;
}

/// As sha1sum tells for the decoded key.
fn sha1_of(public: &Path) -> String {
    let script = r#"cut -d' ' -f2 "$0" | base64 -d | sha1sum | cut -d' ' -f1"#;
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", script]).arg(public).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
