//! The steps that look at files of this host: key pairs, and the certificates of tunnels that terminate TLS.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broker_config::{FtpOptions, Identity, Profile, Tls, TlsServer, TunnelKind};
use broker_ipc::checks::{Outcome, Step};
use broker_ssh::KeyPair;
use tls_certificate::{Facts, facts};

use super::finding::Finding;
use super::report::Reporter;

/// A certificate that ends sooner needs attention: authorities that renew by themselves do it a month ahead.
const SOON: Duration = Duration::from_secs(14 * DAY);

const DAY: u64 = 24 * 60 * 60;

const RENEW: &str = "renew the certificate; the daemon reads changed files by itself";

/// Compares each private key with the public key next to it.
pub(super) async fn key_pairs(profile: &Profile, reporter: &Reporter) {
    for identity in &profile.identities {
        if let Identity::File(path) = identity
            && let Some(pair) = KeyPair::of(path).await
            && let Some(finding) = about_pair(path, pair)
        {
            reporter.report(finding);
        }
    }
}

fn about_pair(path: &Path, pair: KeyPair) -> Option<Finding> {
    let key = path.display();
    match pair {
        KeyPair::Alone => None,
        KeyPair::Whole(fingerprint) => {
            let text =
                format!("{key} and the public key next to it belong together: {fingerprint}");
            Some(Finding::ok(Step::KeyPair, text))
        }
        KeyPair::Mismatch { public, own, other } => {
            let public = public.display();
            let text = format!("{public} is {other}, but the key {key} is {own}: another key");
            let remedy = format!(
                "run: ssh-keygen -y -f {key} > {public}, and put the new one into authorized_keys on the server"
            );
            Some(Finding::new(Step::KeyPair, Outcome::Warning, text).remedy(remedy))
        }
    }
}

/// Looks at the certificates that FTP clients of the profile's tunnels see, each once.
pub(super) fn certificates(profile: &Profile, reporter: &Reporter) {
    let mut seen: Vec<&Path> = Vec::new();
    for tunnel in &profile.tunnels {
        let TunnelKind::Ftp(options) = &tunnel.kind else {
            continue;
        };
        let Tls::Terminate(server) = &options.tls else {
            continue;
        };
        if !seen.contains(&server.certificate.as_path()) {
            seen.push(&server.certificate);
            reporter.report(about_certificate(server, options, SystemTime::now()));
        }
    }
}

fn about_certificate(server: &TlsServer, options: &FtpOptions, now: SystemTime) -> Finding {
    let certified = match tls_certificate::read(&server.certificate, &server.key) {
        Ok(certified) => certified,
        Err(error) => {
            let text = format!("the certificate cannot be used: {error}");
            return Finding::failed(Step::Certificate, text).remedy(error.remedy());
        }
    };
    let path = server.certificate.display();
    match facts(&certified) {
        Some(facts) => judged(
            &path.to_string(),
            &facts,
            options.advertise_address.as_deref(),
            now,
        ),
        None => {
            let text = format!("{path} is not an X.509 certificate");
            Finding::failed(Step::Certificate, text)
        }
    }
}

/// Whether FTP clients that connect to `advertised`, if that is known, will accept the certificate.
fn judged(path: &str, facts: &Facts, advertised: Option<&str>, now: SystemTime) -> Finding {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let left = facts.not_after - now;
    let days = left.unsigned_abs() / DAY;
    let names = facts.names.join(", ");
    let warning = |text: String| Finding::new(Step::Certificate, Outcome::Warning, text);
    if left < 0 {
        let text =
            format!("the certificate {path} has expired {days} days ago, so FTP clients refuse it");
        return Finding::failed(Step::Certificate, text).remedy(RENEW);
    }
    if facts.not_before > now {
        let text = format!("the certificate {path} is not valid yet");
        let remedy = "check the clock of this host, or wait";
        return Finding::failed(Step::Certificate, text).remedy(remedy);
    }
    if names.is_empty() {
        let text = format!(
            "the certificate {path} names no host, so FTP clients that check the name refuse it"
        );
        return warning(text).remedy("request one with the name of this host (subjectAltName)");
    }
    if let Some(missing) = advertised.filter(|it| !facts.names.iter().any(|name| covers(name, it)))
    {
        let text = format!(
            "the certificate {path} is for {names}, not for the advertise-address {missing}"
        );
        let remedy = "request one with the name to which FTP clients connect";
        return warning(text).remedy(remedy);
    }
    if left.unsigned_abs() < SOON.as_secs() {
        return warning(format!("the certificate {path} expires in {days} days")).remedy(RENEW);
    }
    let text = format!("{path} is for {names}, and valid for {days} more days");
    Finding::ok(Step::Certificate, text)
}

/// Whether a name in a certificate means this host; a `*` stands for one label (RFC 6125, section 6.4.3).
fn covers(name: &str, host: &str) -> bool {
    let below = |parent: &str| {
        host.split_once('.')
            .is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent))
    };
    name.eq_ignore_ascii_case(host) || name.strip_prefix("*.").is_some_and(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn day(days: i64) -> i64 {
        NOW + days * i64::try_from(DAY).unwrap()
    }

    fn outcome(
        names: &[&str],
        (from, to): (i64, i64),
        advertised: Option<&str>,
    ) -> (Outcome, String) {
        let facts = Facts {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            not_before: day(from),
            not_after: day(to),
        };
        let now = UNIX_EPOCH + Duration::from_secs(NOW.unsigned_abs());
        let finding = judged("/c.pem", &facts, advertised, now);
        (finding.outcome, finding.text)
    }

    #[test]
    fn a_certificate_must_be_valid_now_and_for_the_host() {
        let host = Some("ftp.example.com");
        for (names, valid, advertised, outcome_expected, text) in [
            (
                &["a.example"][..],
                (-9, 99),
                None,
                Outcome::Ok,
                "valid for 99 more days",
            ),
            (
                &["*.example.com"],
                (-9, 99),
                host,
                Outcome::Ok,
                "is for *.example.com",
            ),
            (
                &["FTP.example.com"],
                (-9, 99),
                host,
                Outcome::Ok,
                "valid for",
            ),
            (
                &["example.com"],
                (-9, 99),
                host,
                Outcome::Warning,
                "not for the advertise-address ftp.example.com",
            ),
            (&[], (-9, 99), None, Outcome::Warning, "names no host"),
            (
                &["a.example"],
                (-9, 3),
                None,
                Outcome::Warning,
                "expires in 3 days",
            ),
            (
                &["a.example"],
                (-9, -2),
                None,
                Outcome::Failed,
                "has expired 2 days ago",
            ),
            (
                &["a.example"],
                (1, 99),
                None,
                Outcome::Failed,
                "not valid yet",
            ),
        ] {
            let (found, said) = outcome(names, valid, advertised);
            assert_eq!(found, outcome_expected, "{said}");
            assert!(said.contains(text), "{said}");
        }
    }
}
