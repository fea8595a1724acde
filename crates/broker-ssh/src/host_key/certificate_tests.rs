//! Valid and invalid certificates

use russh::keys::PrivateKey;
use russh::keys::ssh_key::certificate::Builder;

use super::*;

const FROM: u64 = 1_000_000;
const UNTIL: u64 = 2_000_000;

fn key() -> PrivateKey {
    PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap()
}

/// A certificate, changed by the test before it is signed.
fn certificate(kind: CertType, change: impl FnOnce(&mut Builder)) -> Certificate {
    let mut builder =
        Builder::new([7; 16], key().public_key().key_data().clone(), FROM, UNTIL).unwrap();
    builder.cert_type(kind).unwrap();
    change(&mut builder);
    builder.sign(&key()).unwrap()
}

fn for_hosts(hosts: &[&str]) -> Certificate {
    certificate(CertType::Host, |builder| {
        for host in hosts {
            builder.valid_principal(*host).unwrap();
        }
    })
}

#[track_caller]
fn refused(certificate: &Certificate, now: u64, because: &str) {
    let reason = check(certificate, "example.org", now)
        .unwrap_err()
        .to_string();
    assert!(reason.contains(because), "{reason}");
}

#[test]
fn it_holds_for_its_hosts_and_without_any_for_all() {
    for hosts in [&["other.org", "example.org"] as &[&str], &["example.org"]] {
        assert_eq!(check(&for_hosts(hosts), "example.org", FROM), Ok(()));
    }
    let all = certificate(CertType::Host, |builder| {
        builder.all_principals_valid().unwrap();
    });
    assert_eq!(check(&all, "example.org", FROM), Ok(()));
    for hosts in [&["other.org"], &["*.org"], &["[example.org]:22"]] {
        let because = format!("it is for {}, not for example.org", hosts[0]);
        refused(&for_hosts(hosts), FROM, &because);
    }
}

#[test]
fn names_of_an_authority_cannot_steer_a_terminal_or_fill_it() {
    let evil = for_hosts(&["\u{1b}[2J", &"a".repeat(5000)]);
    let reason = check(&evil, "example.org", FROM).unwrap_err().to_string();
    assert!(!reason.contains('\u{1b}') && reason.len() < 400, "{reason}");
}

#[test]
fn it_holds_from_its_first_second_up_to_its_last() {
    let certificate = for_hosts(&["example.org"]);
    for now in [FROM, UNTIL - 1] {
        assert_eq!(check(&certificate, "example.org", now), Ok(()));
    }
    refused(&certificate, FROM - 7200, "becomes valid in 2 hours");
    refused(&certificate, UNTIL, "expired 0 seconds ago");
    refused(&certificate, UNTIL + 3 * 86400, "expired 3 days ago");
}

#[test]
fn a_users_certificate_is_none_of_a_host() {
    let user = certificate(CertType::User, |builder| {
        builder.valid_principal("example.org").unwrap();
    });
    refused(&user, FROM, "made for a user");
}

#[test]
fn conditions_that_nobody_knows_are_not_ignored() {
    let conditional = certificate(CertType::Host, |builder| {
        builder.valid_principal("example.org").unwrap();
        builder
            .critical_option("source-address", "10.0.0.1")
            .unwrap();
    });
    refused(&conditional, FROM, "critical options");
}

#[test]
fn a_signature_for_something_else_does_not_count() {
    let right = for_hosts(&["example.org"]);
    let mut bytes = right.to_bytes().unwrap();
    // The name inside is changed to one of the same length.
    let at = bytes
        .windows(11)
        .position(|it| it == b"example.org")
        .unwrap();
    bytes[at..at + 11].copy_from_slice(b"3xample.org");
    let forged = Certificate::from_bytes(&bytes).unwrap();
    let reason = check(&forged, "3xample.org", FROM).unwrap_err().to_string();
    assert!(reason.contains("signature"), "{reason}");
}
