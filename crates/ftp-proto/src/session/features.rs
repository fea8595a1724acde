//! The features that concern TLS in a server's answer to `FEAT` (RFC 2389, RFC 4217 section 6).

/// The session's own features.
pub(super) const TLS: &[u8] = b" AUTH TLS\r\n PBSZ\r\n PROT\r\n";

/// The names of features that concern TLS.
const NAMES: [&[u8]; 4] = [b"AUTH", b"CCC", b"PBSZ", b"PROT"];

/// Whether this line of the answer names such a feature. Some servers begin each line with the code.
pub(super) fn concerns_tls(line: &[u8]) -> bool {
    let feature = line.strip_prefix(b"211-").unwrap_or(line);
    let name = feature
        .trim_ascii()
        .split(|byte| !byte.is_ascii_alphanumeric())
        .next();
    name.is_some_and(|name| NAMES.iter().any(|known| known.eq_ignore_ascii_case(name)))
}
