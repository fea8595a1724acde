//! Key files as ssh-keygen and openssl write them

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tempfile::TempDir;

use super::*;

const PASSPHRASE: &str = "a passphrase";

/// Runs a program that makes a key; false if it is missing.
fn run(program: &str, args: &[&str], file: &Path) -> bool {
    let output = Command::new(program).args(args).arg(file).output();
    let Ok(output) = output else {
        eprintln!("skipped: {program} is missing");
        return false;
    };
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
    true
}

fn ssh_keygen(file: &Path, kind: &str, format: &str, passphrase: &str) -> bool {
    let (kind, bits) = kind.split_once('-').unwrap();
    let args = [
        "-q", "-t", kind, "-b", bits, "-m", format, "-N", passphrase, "-f",
    ];
    run("ssh-keygen", &args, file)
}

/// The algorithm of a key that has no passphrase, or that was unlocked.
async fn algorithm(file: &Path) -> String {
    let key = match load(file).await.unwrap() {
        KeyFile::Plain(key) => key,
        KeyFile::Locked(locked) => {
            let wrong = SecretString::from("wrong");
            assert!(locked.unlock(&wrong).await.is_none());
            let key = locked.unlock(&SecretString::from(PASSPHRASE)).await;
            let key = key.expect("the passphrase is right");
            let public = locked.public.expect("the public half lies beside it");
            assert_eq!(public.key_data(), key.public_key().key_data());
            key
        }
    };
    key.algorithm().to_string()
}

#[tokio::test]
async fn every_kind_of_key_is_read_in_every_format_with_and_without_passphrase() {
    let directory = TempDir::new().unwrap();
    for (kind, expected, formats) in [
        ("ed25519-256", "ssh-ed25519", &["RFC4716"][..]),
        (
            "ecdsa-256",
            "ecdsa-sha2-nistp256",
            &["RFC4716", "PKCS8", "PEM"],
        ),
        (
            "ecdsa-384",
            "ecdsa-sha2-nistp384",
            &["RFC4716", "PKCS8", "PEM"],
        ),
        (
            "ecdsa-521",
            "ecdsa-sha2-nistp521",
            &["RFC4716", "PKCS8", "PEM"],
        ),
        ("rsa-2048", "ssh-rsa", &["RFC4716", "PKCS8", "PEM"]),
    ] {
        for format in formats {
            for passphrase in ["", PASSPHRASE] {
                if kind.starts_with("ecdsa") && *format == "PEM" && !passphrase.is_empty() {
                    continue;
                }
                let locked = !passphrase.is_empty();
                let file = directory.path().join(format!("{kind}{format}{locked}"));
                if !ssh_keygen(&file, kind, format, passphrase) {
                    return;
                }
                assert_eq!(algorithm(&file).await, expected, "{}", file.display());
            }
        }
    }
}

#[tokio::test]
async fn keys_of_openssl_are_read() {
    let directory = TempDir::new().unwrap();
    for (name, args) in [
        ("plain", &["-algorithm", "ed25519"][..]),
        (
            "locked",
            &[
                "-algorithm",
                "ed25519",
                "-aes-256-cbc",
                "-pass",
                "pass:a passphrase",
            ],
        ),
    ] {
        let file = directory.path().join(name);
        if !run("openssl", &[&["genpkey"], args, &["-out"]].concat(), &file) {
            return;
        }
        let key = match load(&file).await.unwrap() {
            KeyFile::Plain(key) => key,
            KeyFile::Locked(locked) => {
                assert!(locked.public.is_none());
                let unlocked = locked.unlock(&SecretString::from(PASSPHRASE)).await;
                unlocked.expect("the passphrase is right")
            }
        };
        assert_eq!(key.algorithm().to_string(), "ssh-ed25519", "{name}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_says_how_to_make_it_readable() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("old");
    if !ssh_keygen(&file, "ecdsa-256", "PEM", PASSPHRASE) {
        return;
    }
    let reason = load(&file).await.err().unwrap().to_string();
    assert!(reason.contains("ssh-keygen -p -f"), "{reason}");
    let rewrite = ["-q", "-p", "-P", PASSPHRASE, "-N", PASSPHRASE, "-f"];
    run("ssh-keygen", &rewrite, &file);
    assert_eq!(algorithm(&file).await, "ecdsa-sha2-nistp256");

    std::fs::write(&file, "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n").unwrap();
    let reason = load(&file).await.err().unwrap().to_string();
    assert!(reason.contains("ssh-keygen -i -f"), "{reason}");
}
