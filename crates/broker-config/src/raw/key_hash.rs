//! The hash of a public key, which identifies its private key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// The lengths of the hashes in hex digits: MD5, SHA-1, SHA-256.
const LENGTHS: [usize; 3] = [32, 40, 64];

/// The hash in lower-case hex digits, if the text is a hash: hex digits with or without colons, or a fingerprint as
/// OpenSSH's tools print it (`SHA256:` and base64, `MD5:` and hex digits). Older files have a `#` before the digits.
pub(super) fn parse(text: &str) -> Option<String> {
    let text = text.strip_prefix('#').unwrap_or(text);
    if let Some(encoded) = text.strip_prefix("SHA256:") {
        let bytes = STANDARD_NO_PAD.decode(encoded.trim_end_matches('=')).ok()?;
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        return (digits.len() == 64).then_some(digits);
    }
    let digits = text.strip_prefix("MD5:").unwrap_or(text);
    let digits: String = digits
        .chars()
        .filter(|it| !matches!(it, ':' | ' '))
        .collect();
    let is_hash =
        LENGTHS.contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_hexdigit());
    is_hash.then(|| digits.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn each_way_to_write_a_hash_is_understood() {
        let sha1 = "b9dd585b589cb54fccc05b7cce1fadda15745382";
        let sha256 = "6cf19a84c7168a64014dd92c35252823e8fc49f6dbc75392804ee11e24830538";
        for (written, expected) in [
            (sha1, sha1),
            ("#b9dd585b589cb54fccc05b7cce1fadda15745382", sha1),
            ("B9DD 585B 589C B54F CCC0 5B7C CE1F ADDA 1574 5382", sha1),
            ("SHA256:bPGahMcWimQBTdksNSUoI+j8Sfbbx1OSgE7hHiSDBTg", sha256),
            (
                "MD5:b0:25:8a:c8:70:d7:5a:3b:19:03:f4:63:ff:9b:12:f3",
                "b0258ac870d75a3b1903f463ff9b12f3",
            ),
        ] {
            assert_eq!(parse(written).as_deref(), Some(expected), "{written}");
        }
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        for wrong in [
            "",
            "9b27",
            "SHA256:AAAA",
            "SHA256:!",
            "xeneh-fyvam-sotaf",
            "SHA1:",
            "#",
            "##b9dd585b589cb54fccc05b7cce1fadda15745382",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert_eq!(parse(&"g".repeat(40)), None);
    }
}
