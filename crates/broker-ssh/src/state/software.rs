//! The program that a server says it is

/// The version of OpenSSH that this identification names, such as `(9, 2)` for `SSH-2.0-OpenSSH_9.2p1 Debian-2`. `None`
/// for all other programs, and for OpenSSH's port to Windows.
pub(crate) fn openssh(identification: &str) -> Option<(u32, u32)> {
    let (_, software) = identification.split_once("-OpenSSH_")?;
    let (major, rest) = software.split_once('.')?;
    let digits = rest.find(|letter: char| !letter.is_ascii_digit());
    let minor = rest.get(..digits.unwrap_or(rest.len()))?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Whether this version of OpenSSH leaves Nagle's algorithm on for a connection without sessions. From 10.1 on, sshd turns
/// it off after each login.
pub(super) fn delays_small_packets(version: (u32, u32)) -> bool {
    version < (10, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_openssh_itself_has_a_version() {
        for (identification, version) in [
            ("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10", Some((9, 2))),
            ("SSH-2.0-OpenSSH_10.5", Some((10, 5))),
            ("SSH-1.99-OpenSSH_3.9p1", Some((3, 9))),
            ("SSH-2.0-OpenSSH_for_Windows_9.5", None),
            ("SSH-2.0-OpenSSH_", None),
            ("SSH-2.0-dropbear_2022.83", None),
            ("SSH-2.0-mod_sftp/0.9.9", None),
        ] {
            assert_eq!(openssh(identification), version, "{identification}");
        }
    }

    #[test]
    fn openssh_delays_small_packets_until_10_1() {
        for (version, delays) in [
            ((3, 9), true),
            ((9, 9), true),
            ((10, 0), true),
            ((10, 1), false),
            ((10, 5), false),
            ((11, 0), false),
        ] {
            assert_eq!(delays_small_packets(version), delays, "{version:?}");
        }
    }
}
