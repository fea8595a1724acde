//! Lists written by `ssh-keygen -k`, queried as with `ssh-keygen -Q`

use std::fs;
use std::process::Command;

use super::*;

/// A directory in which `ssh-keygen` works; the tests are skipped if it is not installed.
struct Keygen(tempfile::TempDir);

impl Keygen {
    /// Two keys, an authority and its certificates for the first key.
    fn start() -> Option<Self> {
        Command::new("ssh-keygen").arg("-?").output().ok()?;
        let keygen = Self(tempfile::tempdir().unwrap());
        for name in ["a", "b", "ca", "other-ca"] {
            keygen.run(&["-q", "-t", "ed25519", "-N", "", "-f", name]);
        }
        Some(keygen)
    }

    fn run(&self, arguments: &[&str]) -> bool {
        let mut command = Command::new("ssh-keygen");
        let output = command.args(arguments).current_dir(self.0.path()).output();
        output.unwrap().status.success()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    fn key(&self, name: &str) -> PublicKey {
        PublicKey::from_openssh(&self.read(&format!("{name}.pub"))).unwrap()
    }

    fn certificate(&self, authority: &str, serial: &str, id: &str) -> Certificate {
        let sign = ["-q", "-s", authority, "-h", "-I", id, "-z", serial, "a.pub"];
        assert!(self.run(&sign));
        Certificate::from_openssh(&self.read("a-cert.pub")).unwrap()
    }

    /// The list that a specification makes (see KEY REVOCATION LISTS in ssh-keygen(1)).
    fn krl(&self, specification: &str) -> Krl {
        fs::write(self.0.path().join("spec"), specification).unwrap();
        assert!(self.run(&["-q", "-k", "-f", "krl", "-s", "ca.pub", "spec"]));
        let path = self.0.path().join("krl");
        let bytes = fs::read(&path).unwrap();
        assert!(Krl::is_krl(&bytes));
        Krl::parse(&bytes, &path).unwrap()
    }
}

#[test]
fn keys_are_revoked_whole_and_by_hash() {
    let Some(keygen) = Keygen::start() else {
        return;
    };
    let (a, b) = (keygen.key("a"), keygen.key("b"));
    let whole = a.to_openssh().unwrap();
    let by_hash = format!("hash: {}", a.fingerprint(HashAlg::Sha256));
    for specification in [
        format!("key: {whole}"),
        format!("sha1: {whole}"),
        format!("sha256: {whole}"),
        by_hash,
    ] {
        let krl = keygen.krl(&specification);
        assert!(krl.revokes(&a, None), "{specification}");
        assert!(!krl.revokes(&b, None), "{specification}");
        assert!(keygen.run(&["-Q", "-f", "krl", "b.pub"]));
        assert!(!keygen.run(&["-Q", "-f", "krl", "a.pub"]));
    }
}

#[test]
fn certificates_are_revoked_as_ssh_keygen_says() {
    let Some(keygen) = Keygen::start() else {
        return;
    };
    let bits: String = (100..300)
        .step_by(3)
        .map(|n| format!("serial: {n}\n"))
        .collect();
    let specification = format!("serial: 7\nserial: 20-29\n{bits}id: leaked\n");
    let krl = keygen.krl(&specification);
    let key = keygen.key("a");
    let mut seen = [false, false];
    for authority in ["ca", "other-ca"] {
        for (serial, id) in [
            ("7", "x"),
            ("8", "x"),
            ("19", "x"),
            ("20", "x"),
            ("29", "x"),
            ("30", "x"),
            ("100", "x"),
            ("101", "x"),
            ("103", "x"),
            ("298", "x"),
            ("299", "x"),
            ("0", "x"),
            ("0", "leaked"),
        ] {
            let certificate = keygen.certificate(authority, serial, id);
            let revoked = !keygen.run(&["-Q", "-f", "krl", "a-cert.pub"]);
            let found = krl.revokes(&key, Some(&certificate));
            assert_eq!(found, revoked, "{authority} {serial} {id}");
            seen[usize::from(found)] = true;
        }
    }
    assert_eq!(seen, [true, true], "both answers have come");
}

#[test]
fn a_revoked_authority_takes_its_certificates_with_it() {
    let Some(keygen) = Keygen::start() else {
        return;
    };
    let krl = keygen.krl(&format!("key: {}", keygen.read("ca.pub")));
    let key = keygen.key("a");
    let certificate = keygen.certificate("ca", "1", "x");
    assert!(krl.revokes(&key, Some(&certificate)));
    let certificate = keygen.certificate("other-ca", "1", "x");
    assert!(!krl.revokes(&key, Some(&certificate)));
}

#[test]
fn what_is_cut_or_unknown_is_no_list() {
    let Some(keygen) = Keygen::start() else {
        return;
    };
    keygen.krl("serial: 1\nid: x");
    let bytes = fs::read(keygen.0.path().join("krl")).unwrap();
    // What is cut between two sections is whole again; nothing else is.
    let readable =
        (0..bytes.len()).filter(|end| Krl::parse(&bytes[..*end], Path::new("krl")).is_ok());
    assert!(readable.count() <= 1);
    let mut unknown = bytes.clone();
    unknown.extend([9, 0, 0, 0, 0]);
    assert!(Krl::parse(&unknown, Path::new("krl")).is_err());
}

#[test]
fn a_list_of_more_keys_than_fit_in_a_megabyte_is_read() {
    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio";
    let key = PublicKey::from_openssh(KEY).unwrap();
    let string =
        |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let others = string(&[7; 32]).repeat(40_000);
    let last = string(key.fingerprint(HashAlg::Sha256).as_bytes());
    let section = [others, last].concat();
    let head = [
        MAGIC,
        &VERSION.to_be_bytes(),
        &[0; 3 * 8],
        &[0; 2 * 4],
        &[5],
    ]
    .concat();
    let list = [head, string(&section)].concat();
    let krl = Krl::parse(&list, Path::new("krl")).unwrap();
    assert!(krl.revokes(&key, None));
}
