//! OpenSSH user certificates: those beside private keys, and whether one is of use

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use russh::keys::{Certificate, PublicKey};

use crate::auth::keyfile::beside;

/// What OpenSSH adds to a key file's name for its certificate.
const ENDING: &str = "-cert.pub";

/// The certificate beside a private key, if there is one.
///
/// # Errors
/// Why it is of no use, and what to do.
pub(super) async fn beside_key(
    path: &Path,
    key: &PublicKey,
) -> Result<Option<Certificate>, String> {
    let file = beside(path, ENDING);
    let Ok(text) = tokio::fs::read_to_string(&file).await else {
        return Ok(None);
    };
    let name = file.display();
    let certificate = Certificate::from_openssh(text.trim())
        .map_err(|error| format!("certificate {name} cannot be read ({error})"))?;
    if certificate.public_key() != key.key_data() {
        return Err(format!(
            "certificate {name} is not that of the key beside it"
        ));
    }
    match fault(&certificate, SystemTime::now()) {
        Some(fault) => Err(format!("certificate {name} {fault}")),
        None => Ok(Some(certificate)),
    }
}

/// What makes a certificate useless at this time.
pub(super) fn fault(certificate: &Certificate, now: SystemTime) -> Option<String> {
    if !certificate.cert_type().is_user() {
        return Some("is for a host, not for a user".into());
    }
    let now = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    let (from, to) = (certificate.valid_after(), certificate.valid_before());
    if now < from {
        let in_time = span(from - now);
        Some(format!(
            "is not valid yet, but in {in_time}; check the clock"
        ))
    } else if now >= to {
        let ago = span(now - to);
        Some(format!("expired {ago} ago; have it signed anew"))
    } else {
        None
    }
}

/// A length of time as a person would say it.
fn span(seconds: u64) -> String {
    let units = [(86400, "days"), (3600, "hours"), (60, "minutes")];
    let unit = units.iter().find(|(length, _)| seconds >= 2 * length);
    unit.map_or_else(
        || format!("{seconds} seconds"),
        |(length, unit)| format!("{} {unit}", seconds / length),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_told_in_the_largest_fitting_unit() {
        let cases = [
            (1, "1 seconds"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (7199, "119 minutes"),
            (7200, "2 hours"),
            (86400, "24 hours"),
            (3 * 86400, "3 days"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(span(seconds), expected);
        }
    }
}
