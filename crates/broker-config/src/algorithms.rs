//! The names of SSH algorithms: those that the broker supports, and those of older and other programs.

/// A family of algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Family {
    /// The list's element.
    pub(crate) list: &'static str,
    /// The element for one name.
    pub(crate) item: &'static str,
    /// Names that the broker can offer.
    pub(crate) good: &'static [&'static str],
    /// Names that one vendor gave to an algorithm before it had a standard name, each with the standard name.
    pub(crate) twins: &'static [(&'static str, &'static str)],
    /// Insecure names that the broker never offers, each with a replacement.
    pub(crate) broken: &'static [(&'static str, &'static str)],
    /// Names that other programs document, and that the broker does not have.
    pub(crate) foreign: &'static [&'static str],
}

/// What a written name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The broker offers it, under this name.
    Offered(&'static str),
    /// The broker offers the same algorithm under its standard name.
    Twin(&'static str),
    /// It is insecure; this one can replace it.
    Broken(&'static str),
    /// Only other programs have it.
    Foreign,
}

impl Family {
    /// The meaning of a name; `None`: no program is known to use it.
    pub(crate) fn meaning(self, name: &str) -> Option<Meaning> {
        let among = |names: &[(&'static str, &'static str)]| {
            let mut names = names.iter();
            names.find(|(known, _)| *known == name).map(|(_, it)| *it)
        };
        let mut good = self.good.iter().copied();
        good.find(|good| *good == name)
            .map(Meaning::Offered)
            .or_else(|| among(self.twins).map(Meaning::Twin))
            .or_else(|| among(self.broken).map(Meaning::Broken))
            .or_else(|| self.foreign.contains(&name).then_some(Meaning::Foreign))
    }
}

/// Ciphers.
pub(crate) const CIPHERS: Family = Family {
    list: "ciphers",
    item: "cipher",
    good: &[
        "aes256-gcm@openssh.com",
        "aes128-gcm@openssh.com",
        "chacha20-poly1305@openssh.com",
        "aes256-ctr",
        "aes192-ctr",
        "aes128-ctr",
    ],
    twins: &[],
    broken: &[
        ("3des-cbc", "aes256-ctr"),
        ("aes128-cbc", "aes128-ctr"),
        ("aes192-cbc", "aes192-ctr"),
        ("aes256-cbc", "aes256-ctr"),
        ("arcfour", "aes128-ctr"),
        ("arcfour128", "aes128-ctr"),
        ("arcfour256", "aes256-ctr"),
        ("blowfish-cbc", "aes128-ctr"),
        ("cast128-12-cbc@ssh.com", "aes128-ctr"),
        ("cast128-cbc", "aes128-ctr"),
        ("des-cbc", "aes128-ctr"),
        ("des-cbc@ssh.com", "aes128-ctr"),
        ("none", "aes128-gcm@openssh.com"),
        ("rc2-128-cbc@ssh.com", "aes128-ctr"),
        ("rijndael-cbc@lysator.liu.se", "aes256-ctr"),
        ("seed-cbc@ssh.com", "aes128-ctr"),
        ("twofish-cbc", "aes256-ctr"),
        ("twofish128-cbc", "aes128-ctr"),
        ("twofish192-cbc", "aes192-ctr"),
        ("twofish256-cbc", "aes256-ctr"),
    ],
    foreign: &["crypticore128@ssh.com", "seed-ctr@ssh.com"],
};

/// Message authentication codes.
pub(crate) const MACS: Family = Family {
    list: "macs",
    item: "mac",
    good: &[
        "hmac-sha2-512-etm@openssh.com",
        "hmac-sha2-256-etm@openssh.com",
        "hmac-sha2-512",
        "hmac-sha2-256",
        "hmac-sha1-etm@openssh.com",
        "hmac-sha1",
    ],
    twins: &[
        ("hmac-sha256-2@ssh.com", "hmac-sha2-256"),
        ("hmac-sha256@ssh.com", "hmac-sha2-256"),
        ("hmac-sha512@ssh.com", "hmac-sha2-512"),
    ],
    broken: &[
        ("hmac-md5", "hmac-sha2-256"),
        ("hmac-md5-96", "hmac-sha2-256"),
        ("hmac-md5-etm@openssh.com", "hmac-sha2-256-etm@openssh.com"),
        ("hmac-sha1-96", "hmac-sha2-256"),
        ("none", "hmac-sha2-256"),
    ],
    foreign: &[
        "crypticore-mac@ssh.com",
        "hmac-ripemd160",
        "hmac-ripemd160@openssh.com",
        "hmac-sha224@ssh.com",
        "hmac-sha384@ssh.com",
        "umac-128-etm@openssh.com",
        "umac-128@openssh.com",
        "umac-64-etm@openssh.com",
        "umac-64@openssh.com",
    ],
};

/// Key exchanges.
pub(crate) const KEXS: Family = Family {
    list: "kexs",
    item: "kex",
    good: &[
        "mlkem768x25519-sha256",
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
        "ecdh-sha2-nistp256",
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp521",
        "diffie-hellman-group-exchange-sha256",
        "diffie-hellman-group14-sha256",
        "diffie-hellman-group15-sha512",
        "diffie-hellman-group16-sha512",
        "diffie-hellman-group17-sha512",
        "diffie-hellman-group18-sha512",
    ],
    twins: &[
        (
            "diffie-hellman-group14-sha256@ssh.com",
            "diffie-hellman-group14-sha256",
        ),
        (
            "diffie-hellman-group16-sha512@ssh.com",
            "diffie-hellman-group16-sha512",
        ),
        (
            "diffie-hellman-group18-sha512@ssh.com",
            "diffie-hellman-group18-sha512",
        ),
    ],
    broken: &[
        (
            "diffie-hellman-group1-sha1",
            "diffie-hellman-group14-sha256",
        ),
        (
            "diffie-hellman-group14-sha1",
            "diffie-hellman-group14-sha256",
        ),
        (
            "diffie-hellman-group-exchange-sha1",
            "diffie-hellman-group-exchange-sha256",
        ),
        ("none", "curve25519-sha256"),
    ],
    foreign: &[
        "curve25519-frodokem1344-sha512@ssh.com",
        "diffie-hellman-group-exchange-sha224@ssh.com",
        "diffie-hellman-group-exchange-sha384@ssh.com",
        "diffie-hellman-group-exchange-sha512@ssh.com",
        "diffie-hellman-group14-sha224@ssh.com",
        "diffie-hellman-group15-sha256@ssh.com",
        "diffie-hellman-group15-sha384@ssh.com",
        "diffie-hellman-group16-sha384@ssh.com",
        "ecdh-nistp521-firesaber-sha512@ssh.com",
        "ecdh-nistp521-kyber1024-sha512@ssh.com",
        "sntrup761x25519-sha512",
        "sntrup761x25519-sha512@openssh.com",
    ],
};

/// Host key (signature) algorithms.
pub(crate) const HOST_KEYS: Family = Family {
    list: "hostkey-algorithms",
    item: "hostkey-algorithm",
    good: &[
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "rsa-sha2-512",
        "rsa-sha2-256",
    ],
    twins: &[
        ("ssh-rsa-sha256@ssh.com", "rsa-sha2-256"),
        ("ssh-rsa-sha512@ssh.com", "rsa-sha2-512"),
    ],
    broken: &[
        ("ssh-dss", "ssh-ed25519"),
        ("ssh-dss-sha224@ssh.com", "ssh-ed25519"),
        ("ssh-dss-sha256@ssh.com", "ssh-ed25519"),
        ("ssh-dss-sha384@ssh.com", "ssh-ed25519"),
        ("ssh-dss-sha512@ssh.com", "ssh-ed25519"),
        ("ssh-rsa", "rsa-sha2-512"),
    ],
    foreign: &[
        "ssh-rsa-sha224@ssh.com",
        "ssh-rsa-sha384@ssh.com",
        "x509v3-ecdsa-sha2-nistp256",
        "x509v3-ecdsa-sha2-nistp384",
        "x509v3-ecdsa-sha2-nistp521",
        "x509v3-rsa2048-sha256",
        "x509v3-sign-dss",
        "x509v3-sign-dss-sha224@ssh.com",
        "x509v3-sign-dss-sha256@ssh.com",
        "x509v3-sign-dss-sha384@ssh.com",
        "x509v3-sign-dss-sha512@ssh.com",
        "x509v3-sign-rsa",
        "x509v3-sign-rsa-sha224@ssh.com",
        "x509v3-sign-rsa-sha256@ssh.com",
        "x509v3-sign-rsa-sha384@ssh.com",
        "x509v3-sign-rsa-sha512@ssh.com",
        "x509v3-ssh-dss",
        "x509v3-ssh-rsa",
    ],
};
