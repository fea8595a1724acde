//! What the store writes, and what it refuses

use russh::keys::{Algorithm, EcdsaCurve, PrivateKey};

use super::*;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio";
const OTHER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

fn key(text: &str) -> PublicKey {
    PublicKey::from_openssh(text).unwrap()
}

fn name() -> HostName {
    HostName::new("Example.org", 2222)
}

/// A store in a directory that does not exist yet.
fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(".ssh2/known_hosts");
    let hash_names = false;
    (dir, Store { path, hash_names })
}

#[test]
fn a_key_is_stored_once_under_the_exact_name() {
    let (_dir, store) = store();
    for _ in 0..2 {
        store.put(&name(), &key(KEY), Others::Replace).unwrap();
    }
    let expected = format!("[example.org]:2222 {KEY}\n");
    assert_eq!(store.read().unwrap(), expected);
}

#[test]
fn other_lines_stay_as_they_are() {
    let (_dir, store) = store();
    store.put(&name(), &key(KEY), Others::Replace).unwrap();
    let text = format!("# note\n@revoked * {OTHER}\nother.org {KEY}\n\nno newline");
    fs::write(&store.path, &text).unwrap();
    store.put(&name(), &key(KEY), Others::Replace).unwrap();
    let expected = format!("{text}\n[example.org]:2222 {KEY}\n");
    assert_eq!(store.read().unwrap(), expected);
}

#[test]
fn a_former_key_stays_is_replaced_or_keeps_the_new_one_out() {
    let (_dir, store) = store();
    store.put(&name(), &key(KEY), Others::Replace).unwrap();
    let refused = store
        .put(&name(), &key(OTHER), Others::Refuse)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("known_hosts line 1"), "{refused}");
    let ecdsa = Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP256,
    };
    let ecdsa = PrivateKey::random(&mut rand::rng(), ecdsa).unwrap();
    store
        .put(&name(), ecdsa.public_key(), Others::Replace)
        .unwrap();
    let ecdsa = store.read().unwrap().lines().nth(1).unwrap().to_owned();
    store.put(&name(), &key(OTHER), Others::Replace).unwrap();
    let expected = format!("{ecdsa}\n[example.org]:2222 {OTHER}\n");
    assert_eq!(store.read().unwrap(), expected);
}

#[test]
fn hashed_names_are_found_again_and_tell_nothing() {
    let (_dir, mut store) = store();
    store.hash_names = true;
    store.put(&name(), &key(KEY), Others::Replace).unwrap();
    store.put(&name(), &key(OTHER), Others::Replace).unwrap();
    let text = store.read().unwrap();
    assert!(
        text.starts_with("|1|") && !text.contains("example"),
        "{text}"
    );
    assert_eq!(keys_for(&text, &name(), &store.path).len(), 1);
}

#[test]
fn a_name_that_is_more_than_a_name_is_never_written() {
    let (_dir, store) = store();
    for host in [
        "a\nevil.org ssh-ed25519 AAAA",
        "a\r",
        "a b",
        "a\tb",
        "a,evil.org",
        "*",
        "!a",
        "@revoked",
        "#a",
        "|1|a",
        "a\u{1b}[2J",
        "a\0",
        "a\u{2028}b",
        "",
    ] {
        let refused = store.put(&HostName::new(host, 22), &key(KEY), Others::Replace);
        let text = refused.unwrap_err().to_string();
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    assert!(!store.path.exists());
    for host in ["::1", "fe80::1%eth0", "müller.example", "a_b-c.d"] {
        let host = HostName::new(host, 22);
        store.put(&host, &key(KEY), Others::Replace).unwrap();
        let text = store.read().unwrap();
        assert_eq!(keys_for(&text, &host, &store.path).len(), 1, "{text}");
    }
}

#[test]
fn stores_of_two_daemons_lose_nothing() {
    let (_dir, store) = store();
    let hosts: Vec<HostName> = (1..=40).map(|port| HostName::new("a", port)).collect();
    std::thread::scope(|scope| {
        for half in hosts.chunks(20) {
            let store = store.clone();
            scope.spawn(move || {
                for host in half {
                    store.put(host, &key(KEY), Others::Refuse).unwrap();
                }
            });
        }
    });
    let text = store.read().unwrap();
    for host in &hosts {
        assert_eq!(keys_for(&text, host, &store.path).len(), 1, "{host:?}");
    }
}

#[cfg(unix)]
mod permissions {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_the_owners_alone() {
        let (_dir, store) = store();
        store.put(&name(), &key(KEY), Others::Replace).unwrap();
        let directory = store.path.parent().unwrap();
        assert_eq!((mode(directory), mode(&store.path)), (0o700, 0o600));
        let names = fs::read_dir(directory).unwrap().count();
        assert_eq!(names, 2, "the file, its lock and nothing else");
    }

    #[test]
    fn a_store_of_another_user_is_refused_with_what_to_do() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let (_dir, store) = store();
        store.put(&name(), &key(KEY), Others::Replace).unwrap();
        std::os::unix::fs::chown(&store.path, Some(4242), None).unwrap();
        let refused = store.read().unwrap_err().to_string();
        assert!(refused.contains("belongs to another user"), "{refused}");
    }

    #[test]
    fn a_store_that_others_can_write_is_refused_with_what_to_do() {
        let (_dir, store) = store();
        store.put(&name(), &key(KEY), Others::Replace).unwrap();
        let directory = store.path.parent().unwrap();
        for (place, open, closed) in [
            (store.path.as_path(), 0o620, 0o600),
            (directory, 0o702, 0o700),
        ] {
            fs::set_permissions(place, Permissions::from_mode(open)).unwrap();
            let expected = format!("run: chmod go-w {}", place.display());
            for refused in [
                store.read().unwrap_err().to_string(),
                store
                    .put(&name(), &key(OTHER), Others::Replace)
                    .unwrap_err()
                    .to_string(),
            ] {
                assert!(refused.contains(&expected), "{refused}");
            }
            fs::set_permissions(place, Permissions::from_mode(closed)).unwrap();
        }
    }
}
