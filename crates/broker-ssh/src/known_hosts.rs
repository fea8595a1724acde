//! OpenSSH's known_hosts files: wildcards, negation, ports, hashed names and revoked keys
//!
//! The format is described in sshd(8). `@cert-authority` lines are read and left out: host certificates are not offered.

use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use russh::keys::PublicKey;
use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, Marker};
use sha1::Sha1;

/// A key that some line gives to the host.
#[derive(Debug, Clone)]
pub(crate) struct KnownKey {
    pub(crate) key: PublicKey,
    pub(crate) revoked: bool,
    file: PathBuf,
    line: usize,
}

impl KnownKey {
    /// Where it stands, for a person.
    pub(crate) fn place(&self) -> String {
        format!("{} line {}", self.file.display(), self.line)
    }
}

/// The name under which a host is looked up: `[host]:port` unless the port is 22.
pub(crate) fn lookup_name(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 {
        host
    } else {
        format!("[{host}]:{port}")
    }
}

/// All keys that a file's text gives to the host `name`. A line that cannot be read is left out with a warning.
pub(crate) fn keys_for(text: &str, name: &str, file: &Path) -> Vec<KnownKey> {
    let lines = text.lines().enumerate();
    lines
        .filter_map(|(index, line)| known_key(line, name, file, index + 1))
        .collect()
}

fn known_key(line: &str, name: &str, file: &Path, number: usize) -> Option<KnownKey> {
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let entry: Entry = line
        .parse()
        .inspect_err(|error| tracing::warn!(file = %file.display(), line = number, %error, "host key line is not readable"))
        .ok()?;
    let revoked = match entry.marker() {
        None => false,
        Some(Marker::Revoked) => true,
        Some(Marker::CertAuthority) => return None,
    };
    let found = matches(entry.host_patterns(), name);
    found.then(|| KnownKey {
        key: entry.public_key().clone(),
        revoked,
        file: file.to_owned(),
        line: number,
    })
}

fn matches(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => hashed_matches(salt, hash, name),
        HostPatterns::Patterns(patterns) => list_matches(patterns, name),
    }
}

fn hashed_matches(salt: &[u8], hash: &[u8], name: &str) -> bool {
    Hmac::<Sha1>::new_from_slice(salt).is_ok_and(|mut mac| {
        mac.update(name.as_bytes());
        mac.verify_slice(hash).is_ok()
    })
}

/// One negated pattern that matches rules the whole line out.
fn list_matches(patterns: &[String], name: &str) -> bool {
    let mut found = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(negated) if wildcard_matches(negated, name) => return false,
            Some(_) => {}
            None => found |= wildcard_matches(pattern, name),
        }
    }
    found
}

/// `*` stands for any characters, `?` for one; linear, by going back to the last `*` only.
pub(crate) fn wildcard_matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.to_ascii_lowercase().chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(character) = name.get(seen) {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || wanted == character => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((star_at, star_seen)) = star else {
                    return false;
                };
                star = Some((star_at, star_seen + 1));
                at = star_at + 1;
                seen = star_seen + 1;
            }
        }
    }
    pattern.iter().skip(at).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio";

    fn found(hosts: &str, name: &str) -> bool {
        !keys_for(
            &format!("{hosts} {KEY} comment"),
            name,
            Path::new("known_hosts"),
        )
        .is_empty()
    }

    #[test]
    fn names_ports_wildcards_and_negation() {
        let cases = [
            ("example.org", "example.org", true),
            ("EXAMPLE.org", "example.org", true),
            ("example.org", "[example.org]:2222", false),
            ("[example.org]:2222", "[example.org]:2222", true),
            ("other,example.org", "example.org", true),
            ("*.org", "example.org", true),
            ("*.org", "example.com", false),
            ("ex?mple.org", "example.org", true),
            ("*a*b*", "xaxxbx", true),
            ("*a*b", "xaxxbx", false),
            ("*.org,!example.org", "example.org", false),
            ("!example.org,*.org", "other.org", true),
            ("!example.org", "other.org", false),
        ];
        for (hosts, name, expected) in cases {
            assert_eq!(found(hosts, name), expected, "{hosts} against {name}");
        }
    }

    #[test]
    fn a_hashed_name_matches_its_host_only() {
        let mut mac = Hmac::<Sha1>::new_from_slice(&[7; 20]).unwrap();
        mac.update(b"[example.org]:2222");
        let hash: [u8; 20] = mac.finalize().into_bytes().into();
        let hosts = HostPatterns::HashedName {
            salt: vec![7; 20],
            hash,
        }
        .to_string();
        assert!(found(&hosts, "[example.org]:2222"));
        assert!(!found(&hosts, "example.org"));
    }

    #[test]
    fn a_line_hashed_by_openssh_is_understood() {
        // A line as `ssh-keygen -H` writes it.
        let line = format!("|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= {KEY}");
        assert_eq!(keys_for(&line, "192.168.1.61", Path::new("f")).len(), 1);
    }

    #[test]
    fn revoked_is_marked_and_authorities_are_left_out() {
        let text = format!("@revoked * {KEY}\n@cert-authority * {KEY}\n");
        let keys = keys_for(&text, "example.org", Path::new("f"));
        assert_eq!(
            keys.iter().map(|known| known.revoked).collect::<Vec<_>>(),
            [true]
        );
    }

    #[test]
    fn comments_tabs_and_broken_lines_do_no_harm() {
        let text = format!("# note\n\nbroken\n  example.org\t{KEY}\n");
        let keys = keys_for(&text, "example.org", Path::new("f"));
        assert_eq!(
            keys.iter().map(KnownKey::place).collect::<Vec<_>>(),
            ["f line 4"]
        );
    }

    #[test]
    fn a_long_pattern_of_stars_takes_no_time() {
        let pattern = "*a".repeat(2000);
        assert!(!wildcard_matches(&pattern, &"a".repeat(1999)));
    }
}
