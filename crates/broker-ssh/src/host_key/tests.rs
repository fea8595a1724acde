//! Known, unknown, changed and revoked keys, and how the policies treat them

use std::path::Path;

use russh::keys::{Algorithm, EcdsaCurve, PrivateKey, PublicKeyOrCertificate};

use super::known_hosts::keys_for;
use super::*;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio";
const OTHER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

const POLICIES: [HostKeyPolicy; 4] = [
    HostKeyPolicy::Ask,
    HostKeyPolicy::Strict,
    HostKeyPolicy::Tofu,
    HostKeyPolicy::Advisory,
];

fn key(text: &str) -> PublicKey {
    PublicKey::from_openssh(text).unwrap()
}

fn trust(policy: HostKeyPolicy, known_hosts: &str) -> Trust {
    let name = HostName::new("example.org", 22);
    Trust {
        server: "example.org:22".into(),
        target: "example.org#22".into(),
        known: Known {
            lines: keys_for(known_hosts, &name, Path::new("known_hosts")),
            krls: Vec::new(),
            ..Known::default()
        },
        name,
        policy,
        pinned: Vec::new(),
        store: None,
        unconfirmed: OnceLock::new(),
        known_at: OnceLock::new(),
    }
}

async fn verify(trust: &Trust, shown: &str) -> Result<(), HostKeyError> {
    trust
        .verify(&PublicKeyOrCertificate::from(key(shown)))
        .await
}

#[tokio::test]
async fn a_known_key_is_accepted_under_every_policy() {
    for policy in POLICIES {
        let trust = trust(policy, &format!("example.org {OTHER}\nexample.org {KEY}\n"));
        assert_eq!(verify(&trust, KEY).await, Ok(()));
        assert!(trust.unconfirmed.get().is_none());
    }
}

#[tokio::test]
async fn an_unknown_key_is_refused_left_to_a_person_or_accepted() {
    let strict = verify(&trust(HostKeyPolicy::Strict, ""), KEY).await;
    let text = strict.unwrap_err().to_string();
    assert!(text.contains(&fingerprint(&key(KEY))), "{text}");
    assert!(
        text.contains("broker-ctl trust-host example.org#22"),
        "{text}"
    );

    let ask = trust(HostKeyPolicy::Ask, "");
    assert_eq!(verify(&ask, KEY).await, Ok(()));
    assert!(ask.unconfirmed.get().is_some());

    // There is no file to store it in.
    let tofu = verify(&trust(HostKeyPolicy::Tofu, ""), KEY).await;
    assert!(matches!(tofu, Err(HostKeyError::NotStored { .. })));
    let advisory = trust(HostKeyPolicy::Advisory, "");
    assert_eq!(verify(&advisory, KEY).await, Ok(()));
}

#[tokio::test]
async fn a_changed_key_is_refused_with_both_fingerprints_and_the_place() {
    let known = format!("# note\nexample.org {OTHER}\n");
    for policy in [HostKeyPolicy::Strict, HostKeyPolicy::Tofu] {
        let refused = verify(&trust(policy, &known), KEY).await.unwrap_err();
        assert!(matches!(refused, HostKeyError::Changed { .. }));
        let text = refused.to_string();
        for part in [
            &fingerprint(&key(KEY)),
            &fingerprint(&key(OTHER)),
            "known_hosts line 2",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
    let ask = trust(HostKeyPolicy::Ask, &known);
    assert_eq!(verify(&ask, KEY).await, Ok(()));
    assert!(ask.unconfirmed.get().is_some());
    let advisory = trust(HostKeyPolicy::Advisory, &known);
    assert_eq!(verify(&advisory, KEY).await, Ok(()));
}

#[tokio::test]
async fn revoked_beats_a_valid_line_a_pin_and_every_policy() {
    for policy in POLICIES {
        let mut trust = trust(policy, &format!("example.org {KEY}\n@revoked * {KEY}\n"));
        trust.pinned = vec![key(KEY)];
        let refused = verify(&trust, KEY).await;
        assert!(matches!(refused, Err(HostKeyError::Revoked { .. })));
    }
}

#[tokio::test]
async fn a_pinned_key_rules_over_known_hosts_and_nobody_is_asked_for_another() {
    for policy in [
        HostKeyPolicy::Ask,
        HostKeyPolicy::Strict,
        HostKeyPolicy::Tofu,
    ] {
        let mut trust = trust(policy, &format!("example.org {KEY}\n"));
        trust.pinned = vec![key(OTHER)];
        assert_eq!(verify(&trust, OTHER).await, Ok(()));
        let text = verify(&trust, KEY).await.unwrap_err().to_string();
        assert!(text.contains("change the profile's hostkey"), "{text}");
    }
}

#[test]
fn the_key_of_the_same_type_is_the_former_one() {
    let curve = EcdsaCurve::NistP256;
    let ecdsa = PrivateKey::random(&mut rand::rng(), Algorithm::Ecdsa { curve }).unwrap();
    let ecdsa = ecdsa.public_key().to_openssh().unwrap();
    let known = format!("example.org {ecdsa}\nexample.org {OTHER}\n");
    let trust = trust(HostKeyPolicy::Strict, &known);
    let KeyStanding::Changed(former) = trust.standing(&key(KEY), None, 0) else {
        panic!("it is not the known one")
    };
    assert!(same(&former.key, &key(OTHER)), "{former}");
    let algorithms = trust.known_keys().algorithms;
    assert_eq!(algorithms, [Algorithm::Ecdsa { curve }, Algorithm::Ed25519]);
}

#[tokio::test]
async fn a_first_key_is_stored_for_trust_on_first_use() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("known_hosts");
    let mut trust = trust(HostKeyPolicy::Tofu, "");
    trust.store = Some(Store {
        path: path.clone(),
        hash_names: false,
    });
    assert_eq!(verify(&trust, KEY).await, Ok(()));
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        format!("example.org {KEY}\n")
    );
    // Another attempt, begun before that, is shown another key.
    let refused = verify(&trust, OTHER).await.unwrap_err();
    assert!(matches!(refused, HostKeyError::NotStored { .. }));
}
