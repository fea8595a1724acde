//! Whom we believe and who believes us: host keys and logins.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use broker_ssh::{
    Answer, AuthError, AuthMethod, ConnectSpec, HandshakeError, HostKeyError, HostKeyPolicy,
    HostKeyRules, NoAnswer, OpenError, PasswordSource, Prompt, Responder, SecretString,
};
use futures::future::BoxFuture;
use testkit::keys::KeyPair;
use testkit::ssh_server::SshServerOptions;

use crate::peers::{Bench, converse, echo, originator, pinned, soon};

/// Opens a control channel with a specification changed by the test.
async fn try_open(bench: &Bench, change: impl FnOnce(&mut ConnectSpec)) -> Result<(), OpenError> {
    let mut spec = bench.spec();
    change(&mut spec);
    let pool = bench.pool_of(spec);
    let mut channel = soon(pool.open_control(&echo().await, originator())).await?;
    converse(&mut channel, "let in").await;
    Ok(())
}

/// Has the server's key looked up by these rules under this policy.
fn under(policy: HostKeyPolicy, rules: HostKeyRules) -> impl FnOnce(&mut ConnectSpec) {
    move |spec| {
        spec.settings.host_key_policy = policy;
        spec.host_key = rules;
    }
}

fn known_hosts(bench: &Bench, text: &str) -> HostKeyRules {
    let file = bench.directory.path().join("known_hosts");
    std::fs::write(&file, text).unwrap();
    HostKeyRules {
        known_hosts: vec![file],
        ..HostKeyRules::default()
    }
}

#[tokio::test]
async fn an_unknown_host_key_is_refused_with_fingerprint_and_advice() {
    let bench = Bench::start().await;
    let strict = known_hosts(&bench, "");
    let refused = try_open(&bench, under(HostKeyPolicy::Strict, strict))
        .await
        .unwrap_err();
    let text = refused.to_string();
    assert!(
        matches!(refused, OpenError::HostKey(HostKeyError::Unknown { .. })),
        "{text}"
    );
    assert!(
        text.contains("SHA256:") && text.contains("broker-ctl trust-host 127.0.0.1#"),
        "{text}"
    );
    bench.end().await;
}

#[tokio::test]
async fn known_hosts_decide_by_host_and_port() {
    let bench = Bench::start().await;
    let (key, port) = (
        bench.server.host_key_openssh().unwrap(),
        bench.server.addr().port(),
    );
    let other = KeyPair::generate().unwrap().public_openssh().unwrap();

    let rules = known_hosts(&bench, &format!("[127.0.0.1]:{port} {key}\n"));
    try_open(&bench, under(HostKeyPolicy::Strict, rules))
        .await
        .unwrap();

    let rules = known_hosts(&bench, &format!("[127.0.0.1]:{port} {other}\n"));
    let changed = try_open(&bench, under(HostKeyPolicy::Strict, rules))
        .await
        .unwrap_err();
    assert!(
        matches!(&changed, OpenError::HostKey(HostKeyError::Changed { .. })),
        "{changed}"
    );
    assert!(
        changed.to_string().contains("known_hosts line 1"),
        "{changed}"
    );

    let rules = known_hosts(
        &bench,
        &format!("[127.0.0.1]:{port} {key}\n@revoked * {key}\n"),
    );
    let revoked = try_open(&bench, under(HostKeyPolicy::Strict, rules))
        .await
        .unwrap_err();
    assert!(
        matches!(revoked, OpenError::HostKey(HostKeyError::Revoked { .. })),
        "{revoked}"
    );
    bench.end().await;
}

#[tokio::test]
async fn trust_on_first_use_remembers_the_key_and_then_insists_on_it() {
    let bench = Bench::start().await;
    let store = bench.directory.path().join("store");
    let rules = HostKeyRules {
        store: Some(store.clone()),
        ..HostKeyRules::default()
    };
    try_open(&bench, under(HostKeyPolicy::Tofu, rules.clone()))
        .await
        .unwrap();
    let stored = std::fs::read_to_string(&store).unwrap();
    assert!(
        stored.contains(&bench.server.host_key_openssh().unwrap()),
        "{stored}"
    );
    try_open(&bench, under(HostKeyPolicy::Strict, rules))
        .await
        .unwrap();
    bench.end().await;
}

/// Says yes or no to every host key, and remembers what it was asked.
#[derive(Debug)]
struct Person {
    says: bool,
    asked: Mutex<Vec<Prompt>>,
}

impl Responder for Person {
    fn ask(&self, prompt: Prompt) -> BoxFuture<'_, Result<Answer, NoAnswer>> {
        self.asked.lock().unwrap().push(prompt);
        Box::pin(async { Ok(Answer::Confirm(self.says)) })
    }
}

/// Opens a channel with a person there, and tells what was asked.
async fn try_open_asking(
    bench: &Bench,
    rules: &HostKeyRules,
    says: bool,
) -> (Result<(), OpenError>, Vec<Prompt>) {
    let asked = Mutex::default();
    let person = Arc::new(Person { says, asked });
    let opened = try_open(bench, |spec| {
        spec.host_key = rules.clone();
        spec.responder = Some(person.clone());
    });
    let opened = opened.await;
    let asked = person.asked.lock().unwrap().clone();
    (opened, asked)
}

#[tokio::test]
async fn a_person_decides_about_unknown_and_changed_keys_and_a_yes_is_stored() {
    let bench = Bench::start().await;
    let store = bench.directory.path().join("store");
    let rules = HostKeyRules {
        store: Some(store.clone()),
        ..HostKeyRules::default()
    };
    let (refused, asked) = try_open_asking(&bench, &rules, false).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused, OpenError::HostKey(HostKeyError::Rejected { .. })),
        "{refused}"
    );
    assert_eq!(asked.len(), 1);
    assert!(!store.exists());

    let (opened, asked) = try_open_asking(&bench, &rules, true).await;
    assert_eq!(opened, Ok(()));
    assert!(matches!(
        asked.as_slice(),
        [Prompt::HostKey {
            changed_from: None,
            ..
        }]
    ));
    let (opened, asked) = try_open_asking(&bench, &rules, true).await;
    assert_eq!((opened, asked.len()), (Ok(()), 0));

    let (port, key) = (
        bench.server.addr().port(),
        bench.server.host_key_openssh().unwrap(),
    );
    let other = KeyPair::generate().unwrap().public_openssh().unwrap();
    std::fs::write(&store, format!("# mine\n[127.0.0.1]:{port} {other}\n")).unwrap();
    let (opened, asked) = try_open_asking(&bench, &rules, true).await;
    assert_eq!(opened, Ok(()));
    let [
        Prompt::HostKey {
            changed_from: Some(former),
            ..
        },
    ] = asked.as_slice()
    else {
        panic!("{asked:?}")
    };
    assert!(former.contains("store line 2"), "{former}");
    let stored = std::fs::read_to_string(&store).unwrap();
    assert_eq!(stored, format!("# mine\n[127.0.0.1]:{port} {key}\n"));
    bench.end().await;
}

#[tokio::test]
async fn a_yes_to_a_key_that_has_changed_in_a_foreign_file_is_stored_beside_it() {
    let bench = Bench::start().await;
    let port = bench.server.addr().port();
    let other = KeyPair::generate().unwrap().public_openssh().unwrap();
    let text = format!("[127.0.0.1]:{port} {other}\n");
    let rules = HostKeyRules {
        store: Some(bench.directory.path().join("store")),
        ..known_hosts(&bench, &text)
    };
    let (opened, asked) = try_open_asking(&bench, &rules, true).await;
    assert_eq!((opened, asked.len()), (Ok(()), 1));
    let (opened, asked) = try_open_asking(&bench, &rules, true).await;
    assert_eq!((opened, asked.len()), (Ok(()), 0), "it is known now");
    let foreign = std::fs::read_to_string(&rules.known_hosts[0]).unwrap();
    assert_eq!(foreign, text, "it is not ours to change");
    bench.end().await;
}

#[tokio::test]
async fn a_pinned_key_that_is_not_the_servers_is_a_changed_key() {
    let bench = Bench::start().await;
    let other = KeyPair::generate().unwrap().public_openssh().unwrap();
    let refused = try_open(&bench, |spec| spec.host_key = pinned(other))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, OpenError::HostKey(HostKeyError::Changed { .. })),
        "{refused}"
    );
    bench.end().await;
}

#[tokio::test]
async fn a_wrong_key_is_refused_with_what_was_tried_and_what_is_offered() {
    let bench = Bench::start().await;
    KeyPair::generate()
        .unwrap()
        .write(bench.directory.path(), "wrong")
        .unwrap();
    let path = bench.directory.path().join("wrong");
    let refused = try_open(&bench, |spec| spec.identities = vec![path.into()])
        .await
        .unwrap_err();
    let OpenError::Auth(AuthError::Refused { tried, offered, .. }) = &refused else {
        panic!("{refused}")
    };
    assert!(
        tried.attempts()[0].with.ends_with("/wrong") && offered.contains("publickey"),
        "{refused}"
    );
    bench.end().await;
}

#[tokio::test]
async fn unusable_key_files_say_why() {
    let bench = Bench::start().await;
    let directory = bench.directory.path().to_owned();
    let reason = |refused: OpenError| match refused {
        OpenError::Auth(AuthError::KeyFile { reason, .. }) => reason.to_string(),
        other => panic!("{other}"),
    };
    let missing = directory.join("missing");
    let refused = try_open(&bench, |spec| spec.identities = vec![missing.into()])
        .await
        .unwrap_err();
    assert!(reason(refused).contains("No such file"));

    let open = directory.join("id");
    std::fs::set_permissions(&open, Permissions::from_mode(0o644)).unwrap();
    let refused = try_open(&bench, |spec| spec.identities = vec![open.into()])
        .await
        .unwrap_err();
    assert!(reason(refused).contains("chmod 600"));

    let no_key = directory.join("no_key");
    std::fs::write(&no_key, "hello").unwrap();
    std::fs::set_permissions(&no_key, Permissions::from_mode(0o600)).unwrap();
    let refused = try_open(&bench, |spec| spec.identities = vec![no_key.into()])
        .await
        .unwrap_err();
    assert!(reason(refused).contains("not a private key"));
    bench.end().await;
}

#[tokio::test]
async fn a_password_lets_in_from_each_source_and_never_shows() {
    let options = SshServerOptions {
        password: Some("s3cret".into()),
        ..SshServerOptions::default()
    };
    let bench = Bench::with(options).await;
    let file = bench.directory.path().join("password");
    std::fs::write(&file, "s3cret\n").unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let sources = [
        PasswordSource::Inline(SecretString::from("s3cret")),
        PasswordSource::File(file.clone()),
        PasswordSource::Command("echo s3cret".into()),
    ];
    for source in sources {
        assert!(!format!("{source:?}").contains("[REDACTED]s3cret"));
        try_open(&bench, |spec| {
            spec.settings.auth_methods = vec![AuthMethod::Password];
            spec.password = Some(source);
        })
        .await
        .unwrap();
    }
    std::fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    let refused = try_open(&bench, |spec| {
        spec.settings.auth_methods = vec![AuthMethod::Password];
        spec.password = Some(PasswordSource::File(file));
    })
    .await
    .unwrap_err();
    assert!(refused.to_string().contains("chmod 600"), "{refused}");
    let wrong = try_open(&bench, |spec| {
        spec.settings.auth_methods = vec![AuthMethod::Password];
        spec.password = Some(PasswordSource::Inline(SecretString::from("wr0ng")));
    })
    .await
    .unwrap_err();
    assert!(
        matches!(wrong, OpenError::Auth(AuthError::Refused { .. }))
            && !wrong.to_string().contains("wr0ng"),
        "{wrong}"
    );
    bench.end().await;
}

#[tokio::test]
async fn no_common_cipher_names_both_sides() {
    let bench = Bench::start().await;
    let refused = try_open(&bench, |spec| {
        spec.settings.algorithms.ciphers = vec!["aes192-cbc".into()]
    })
    .await
    .unwrap_err();
    let text = refused.to_string();
    assert!(
        matches!(
            refused,
            OpenError::Handshake(HandshakeError::NoCommonAlgorithm { .. })
        ),
        "{text}"
    );
    assert!(
        text.contains("aes192-cbc") && text.contains("gcm"),
        "{text}"
    );
    bench.end().await;
}

#[tokio::test]
async fn by_default_the_best_of_today_is_agreed_on() {
    let bench = Bench::start().await;
    let pool = bench.pool();
    soon(pool.connect()).await.unwrap();
    let connections = pool.snapshot().connections;
    let agreed = connections[0].negotiated.clone().unwrap();
    assert_eq!(agreed.kex, "mlkem768x25519-sha256");
    // Which of the two comes first depends on the processor.
    let is_best = ["gcm", "chacha20-poly1305"].map(|kind| agreed.cipher.contains(kind));
    assert!(is_best.contains(&true), "{}", agreed.cipher);
    drop(pool);
    bench.end().await;
}
