//! Host certificates of OpenSSH: whether one that a known authority has signed holds for a host at this time
//!
//! The format is described in OpenSSH's PROTOCOL.certkeys.

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Algorithm, Certificate, HashAlg};

use super::error::CertificateFault;

/// Characters of a certificate's principals that are shown: some are made for hundreds of hosts.
const MAX_NAMED: usize = 200;

/// Checks everything but whether the authority is to be believed. `host` is in lower case and without a port, `now` in
/// Unix seconds.
///
/// # Errors
/// Why the certificate does not hold.
pub(super) fn check(
    certificate: &Certificate,
    host: &str,
    now: u64,
) -> Result<(), CertificateFault> {
    if certificate.cert_type() != CertType::Host {
        return Err(CertificateFault::ForUser);
    }
    check_time(certificate, now)?;
    check_signature(certificate, now)?;
    check_principals(certificate, host)?;
    if certificate.critical_options().is_empty() {
        Ok(())
    } else {
        Err(CertificateFault::Conditions)
    }
}

fn check_time(certificate: &Certificate, now: u64) -> Result<(), CertificateFault> {
    let (from, until) = (certificate.valid_after(), certificate.valid_before());
    if now < from {
        Err(CertificateFault::NotYetValid(from - now))
    } else if now >= until {
        Err(CertificateFault::Expired(now - until))
    } else {
        Ok(())
    }
}

/// The signature is checked against the key inside, which the caller has found to be an authority's.
fn check_signature(certificate: &Certificate, now: u64) -> Result<(), CertificateFault> {
    if certificate.signature().algorithm() == (Algorithm::Rsa { hash: None }) {
        return Err(CertificateFault::Sha1);
    }
    let authority = certificate.signature_key().fingerprint(HashAlg::Sha256);
    certificate
        .validate_at(now, [&authority])
        .map_err(|_| CertificateFault::Signature)
}

/// Without principals it is for every host, as its authority wants it. Like OpenSSH, this knows no wildcards.
fn check_principals(certificate: &Certificate, host: &str) -> Result<(), CertificateFault> {
    let principals = certificate.valid_principals();
    if principals.is_empty() || principals.iter().any(|it| it == host) {
        return Ok(());
    }
    let named: String = principals.join(", ").chars().take(MAX_NAMED).collect();
    let named = named.escape_debug().to_string();
    Err(CertificateFault::OtherHost(named, host.to_owned()))
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
