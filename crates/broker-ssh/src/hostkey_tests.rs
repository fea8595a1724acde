//! Which host keys are accepted, and what is said of the others

use super::*;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio";
const OTHER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

fn key(text: &str) -> PublicKey {
    parse_public_key(text).unwrap()
}

fn trust(policy: HostKeyPolicy, known_hosts: &str) -> Trust {
    Trust {
        server: "example.org:22".into(),
        lookup_name: "example.org".into(),
        policy,
        pinned: Vec::new(),
        known: keys_for(known_hosts, "example.org", Path::new("known_hosts")),
        store: None,
    }
}

#[test]
fn a_known_key_is_accepted_under_every_policy() {
    for policy in [
        HostKeyPolicy::Ask,
        HostKeyPolicy::Strict,
        HostKeyPolicy::Tofu,
        HostKeyPolicy::Advisory,
    ] {
        let trust = trust(policy, &format!("example.org {OTHER}\nexample.org {KEY}\n"));
        assert_eq!(trust.verify(&key(KEY)), Ok(()));
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_fingerprint_or_accepted_by_policy() {
    for policy in [HostKeyPolicy::Ask, HostKeyPolicy::Strict] {
        let refused = trust(policy, "").verify(&key(KEY)).unwrap_err();
        assert!(matches!(refused, OpenError::HostKeyUnknown { .. }));
        assert!(
            refused.to_string().contains(&fingerprint(&key(KEY))),
            "{refused}"
        );
    }
    for policy in [HostKeyPolicy::Tofu, HostKeyPolicy::Advisory] {
        assert_eq!(trust(policy, "").verify(&key(KEY)), Ok(()));
    }
}

#[test]
fn a_changed_key_is_refused_with_the_old_ones_place_unless_advisory() {
    let known = format!("# note\nexample.org {OTHER}\n");
    for policy in [
        HostKeyPolicy::Ask,
        HostKeyPolicy::Strict,
        HostKeyPolicy::Tofu,
    ] {
        let refused = trust(policy, &known).verify(&key(KEY)).unwrap_err();
        assert!(
            matches!(&refused, OpenError::HostKeyChanged { known_at, .. } if known_at == "known_hosts line 2")
        );
    }
    assert_eq!(
        trust(HostKeyPolicy::Advisory, &known).verify(&key(KEY)),
        Ok(())
    );
}

#[test]
fn revoked_beats_a_valid_line_a_pin_and_every_policy() {
    let mut trust = trust(
        HostKeyPolicy::Advisory,
        &format!("example.org {KEY}\n@revoked * {KEY}\n"),
    );
    trust.pinned = vec![key(KEY)];
    assert!(matches!(
        trust.verify(&key(KEY)),
        Err(OpenError::HostKeyRevoked { .. })
    ));
}

#[test]
fn a_pinned_key_rules_over_known_hosts() {
    let mut trust = trust(HostKeyPolicy::Strict, &format!("example.org {KEY}\n"));
    trust.pinned = vec![key(OTHER)];
    assert_eq!(trust.verify(&key(OTHER)), Ok(()));
    assert!(matches!(
        trust.verify(&key(KEY)),
        Err(OpenError::HostKeyChanged { .. })
    ));
}

#[test]
fn public_keys_are_read_in_three_forms() {
    let base64 = KEY.split_once(' ').unwrap().1;
    let (first, rest) = base64.split_at(30);
    let rfc4716 = format!(
        "{RFC4716_BEGIN}\nSubject: me\nComment: \"a long \\\ncontinued: one\"\n{first}\n{rest}\n{RFC4716_END}\n"
    );
    let with_comment = format!("\n# a comment\n{KEY} me@example.org\n");
    for text in [base64, with_comment.as_str(), rfc4716.as_str()] {
        assert!(same(&key(text), &key(KEY)), "{text}");
    }
    assert!(parse_public_key("nonsense").is_none());
    assert!(parse_public_key("").is_none());
}

#[test]
fn a_first_seen_key_is_stored_once_in_a_file_of_the_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("known_hosts");
    std::fs::write(&store, "# no newline at the end").unwrap();
    let mut trust = trust(HostKeyPolicy::Tofu, "");
    trust.store = Some(store.clone());
    trust.verify(&key(KEY)).unwrap();
    let text = std::fs::read_to_string(&store).unwrap();
    assert_eq!(
        text,
        format!("# no newline at the end\nexample.org {KEY}\n")
    );
    assert_eq!(keys_for(&text, "example.org", &store).len(), 1);
}

#[cfg(unix)]
#[test]
fn a_new_store_is_not_readable_by_others() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("known_hosts");
    append(&store, "line\n").unwrap();
    assert_eq!(
        store.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
}
