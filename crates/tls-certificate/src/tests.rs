//! Certificates and keys that fit, and those that do not.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use rcgen::{CertifiedKey as Made, generate_simple_self_signed};
use tempfile::TempDir;

use super::*;

struct Files {
    directory: TempDir,
    certificate: PathBuf,
    key: PathBuf,
}

/// A certificate and its key in two files.
fn files() -> Files {
    let Made { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let directory = TempDir::new().unwrap();
    let files = Files {
        certificate: directory.path().join("certificate.pem"),
        key: directory.path().join("key.pem"),
        directory,
    };
    std::fs::write(&files.certificate, cert.pem()).unwrap();
    write_key(&files.key, &signing_key.serialize_pem());
    files
}

fn write_key(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

#[track_caller]
fn fails(certificate: &Path, key: &Path) -> (FileRole, String) {
    let error = read(certificate, key).unwrap_err();
    assert!(!error.remedy().is_empty());
    (error.role, error.fault.to_string())
}

#[test]
fn a_certificate_and_its_key_are_read_from_two_files_or_one() {
    let files = files();
    assert_eq!(read(&files.certificate, &files.key).unwrap().cert.len(), 1);
    let both = files.directory.path().join("both.pem");
    let text = [&files.certificate, &files.key].map(|path| std::fs::read_to_string(path).unwrap());
    write_key(&both, &text.concat());
    assert_eq!(read(&both, &both).unwrap().cert.len(), 1);
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (one, other) = (files(), files());
    assert_eq!(
        fails(&one.certificate, &other.key),
        (
            FileRole::Key,
            "this private key does not belong to the certificate".to_owned()
        )
    );
}

#[test]
fn a_group_may_read_the_key_and_nobody_else() {
    let files = files();
    for (mode, usable) in [(0o600, true), (0o640, true), (0o660, false), (0o644, false)] {
        std::fs::set_permissions(&files.key, Permissions::from_mode(mode)).unwrap();
        let refused = read(&files.certificate, &files.key)
            .is_err_and(|error| matches!(error.fault, Fault::OpenToOthers));
        assert_eq!(!refused, usable, "{mode:o}");
    }
}

#[test]
fn a_file_without_what_it_should_contain_is_named() {
    let files = files();
    let missing = files.directory.path().join("missing.pem");
    let (role, fault) = fails(&missing, &files.key);
    assert_eq!(role, FileRole::Certificate);
    assert!(fault.starts_with("cannot read the file: "), "{fault}");
    assert_eq!(fails(&files.certificate, &missing).0, FileRole::Key);
    assert_eq!(
        fails(&files.key, &files.key).1,
        "the file contains no certificate in PEM form"
    );
    write_key(
        &missing,
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    assert_eq!(
        fails(&files.certificate, &missing),
        (
            FileRole::Key,
            "the file contains no unencrypted private key in PEM form".to_owned()
        )
    );
    write_key(
        &missing,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    assert_eq!(fails(&missing, &files.key).0, FileRole::Certificate);
}

#[test]
fn a_certificate_that_others_can_read_is_not_taken_for_a_key() {
    let files = files();
    std::fs::set_permissions(&files.certificate, Permissions::from_mode(0o644)).unwrap();
    let error = read(&files.certificate, &files.certificate).unwrap_err();
    assert_eq!(error.role, FileRole::Key);
    assert!(matches!(error.fault, Fault::NoKey), "{error}");
    let remedy = error.remedy();
    assert!(remedy.contains("`tls-key`"), "{remedy}");
}

#[test]
fn a_file_that_was_cut_is_described_in_words() {
    let files = files();
    let text = std::fs::read_to_string(&files.certificate).unwrap();
    std::fs::write(&files.certificate, &text[..text.len() / 2]).unwrap();
    assert_eq!(
        fails(&files.certificate, &files.key),
        (
            FileRole::Certificate,
            "the file cannot be used: its line `-----END CERTIFICATE-----` is missing".to_owned()
        )
    );
}
