//! Host certificates of OpenSSH: whether one that a known authority has signed holds for a host at this time
//!
//! The format is described in OpenSSH's PROTOCOL.certkeys.

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Algorithm, Certificate, HashAlg};

/// Characters of a certificate's principals that are shown: some are made for hundreds of hosts.
const MAX_NAMED: usize = 200;

/// Checks everything but whether the authority is to be believed. `host` is in lower case and without a port, `now` in
/// Unix seconds.
///
/// # Errors
/// Why the certificate does not hold.
pub(super) fn check(certificate: &Certificate, host: &str, now: u64) -> Result<(), String> {
    if certificate.cert_type() != CertType::Host {
        return Err("it is made for a user, not for a host".into());
    }
    check_time(certificate, now)?;
    check_signature(certificate, now)?;
    check_principals(certificate, host)?;
    if certificate.critical_options().is_empty() {
        Ok(())
    } else {
        Err("it has conditions, and none is known for hosts".into())
    }
}

fn check_time(certificate: &Certificate, now: u64) -> Result<(), String> {
    let (from, until) = (certificate.valid_after(), certificate.valid_before());
    if now < from {
        Err(format!("it is valid only in {}", roughly(from - now)))
    } else if now >= until {
        Err(format!("it expired {} ago", roughly(now - until)))
    } else {
        Ok(())
    }
}

/// The signature is checked against the key inside, which the caller has found to be an authority's.
fn check_signature(certificate: &Certificate, now: u64) -> Result<(), String> {
    if certificate.signature().algorithm() == (Algorithm::Rsa { hash: None }) {
        return Err("its authority signed it with SHA-1, which can be forged".into());
    }
    let authority = certificate.signature_key().fingerprint(HashAlg::Sha256);
    certificate
        .validate_at(now, [&authority])
        .map_err(|_| "its signature is not its authority's".to_owned())
}

/// Without principals it is for every host, as its authority wants it. Like OpenSSH, this knows no wildcards.
fn check_principals(certificate: &Certificate, host: &str) -> Result<(), String> {
    let principals = certificate.valid_principals();
    if principals.is_empty() || principals.iter().any(|it| it == host) {
        return Ok(());
    }
    let named: String = principals.join(", ").chars().take(MAX_NAMED).collect();
    Err(format!(
        "it is for {}, not for {host}",
        named.escape_debug()
    ))
}

/// A time span in its largest unit: nobody needs the seconds of a certificate that expired months ago.
fn roughly(seconds: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(24 * 60 * 60, "days"), (60 * 60, "hours"), (60, "minutes")];
    let fits = UNITS.iter().find(|(size, _)| seconds >= 2 * size);
    fits.map_or_else(
        || format!("{seconds} s"),
        |(size, unit)| format!("{} {unit}", seconds / size),
    )
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
