//! The names of SSH algorithms: those that the broker supports, and those that are known to be insecure.

/// A family of algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Family {
    /// The list's element.
    pub(crate) list: &'static str,
    /// The element for one name.
    pub(crate) item: &'static str,
    /// Names that the broker can offer.
    pub(crate) good: &'static [&'static str],
    /// Insecure names that the broker never offers, each with a replacement.
    pub(crate) broken: &'static [(&'static str, &'static str)],
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
    broken: &[
        ("3des-cbc", "aes256-ctr"),
        ("aes128-cbc", "aes128-ctr"),
        ("aes192-cbc", "aes192-ctr"),
        ("aes256-cbc", "aes256-ctr"),
        ("arcfour", "aes128-ctr"),
        ("arcfour128", "aes128-ctr"),
        ("arcfour256", "aes256-ctr"),
        ("blowfish-cbc", "aes128-ctr"),
        ("cast128-cbc", "aes128-ctr"),
        ("des-cbc", "aes128-ctr"),
        ("des-cbc@ssh.com", "aes128-ctr"),
        ("none", "aes128-gcm@openssh.com"),
        ("rijndael-cbc@lysator.liu.se", "aes256-ctr"),
        ("seed-cbc@ssh.com", "aes128-ctr"),
        ("twofish-cbc", "aes256-ctr"),
        ("twofish128-cbc", "aes128-ctr"),
        ("twofish192-cbc", "aes192-ctr"),
        ("twofish256-cbc", "aes256-ctr"),
    ],
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
    broken: &[
        ("hmac-md5", "hmac-sha2-256"),
        ("hmac-md5-96", "hmac-sha2-256"),
        ("hmac-md5-etm@openssh.com", "hmac-sha2-256-etm@openssh.com"),
        ("hmac-sha1-96", "hmac-sha2-256"),
        ("none", "hmac-sha2-256"),
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
    broken: &[("ssh-dss", "ssh-ed25519"), ("ssh-rsa", "rsa-sha2-512")],
};
