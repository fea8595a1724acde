//! Host certificates of OpenSSH: whether one from a known authority is valid for a host at this time
//!
//! The format is described in OpenSSH's PROTOCOL.certkeys.

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Algorithm, Certificate, HashAlg};

use super::error::CertificateFault;

/// How many characters of a certificate's principals are shown: some certificates name hundreds of hosts.
const MAX_NAMED: usize = 200;

/// Checks everything except whether the authority is trusted. `host` is in lower case and without a port, `now` in Unix
/// seconds.
///
/// # Errors
/// Why the certificate is not valid.
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

/// Checks the signature against the key inside, which the caller has found to be an authority's.
fn check_signature(certificate: &Certificate, now: u64) -> Result<(), CertificateFault> {
    if certificate.signature().algorithm() == (Algorithm::Rsa { hash: None }) {
        return Err(CertificateFault::Sha1);
    }
    let authority = certificate.signature_key().fingerprint(HashAlg::Sha256);
    certificate
        .validate_at(now, [&authority])
        .map_err(|_| CertificateFault::Signature)
}

/// A certificate without principals is valid for every host, which is the authority's choice. Like OpenSSH, this supports
/// no wildcards.
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
