//! The accounts of this host that daemons run as.

use std::fs;

use anyhow::Context;

/// A line of `/etc/passwd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The login name.
    pub name: String,
    /// The user's number.
    pub uid: u32,
    /// The number of the user's first group.
    pub gid: u32,
}

impl Account {
    /// The user this process runs as.
    ///
    /// # Errors
    /// When the user has no line in `/etc/passwd`.
    pub fn current() -> anyhow::Result<Self> {
        let uid = rustix::process::geteuid().as_raw();
        Self::find(|account| account.uid == uid)
            .with_context(|| format!("user {uid} has no line in /etc/passwd"))
    }

    /// A user by name, such as `nobody`.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn named(name: &str) -> anyhow::Result<Self> {
        Self::find(|account| account.name == name)
            .with_context(|| format!("{name} has no line in /etc/passwd"))
    }

    /// Whether this is root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    fn find(wanted: impl Fn(&Self) -> bool) -> Option<Self> {
        let passwd = fs::read_to_string("/etc/passwd").ok()?;
        passwd.lines().filter_map(Self::parse).find(wanted)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Self { name, uid, gid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart() {
        let account = Account::parse("ftp:x:104:65534:FTP server:/srv/ftp:/usr/sbin/nologin");
        let expected = Account {
            name: "ftp".to_owned(),
            uid: 104,
            gid: 65534,
        };
        assert_eq!(account, Some(expected));
        assert_eq!(Account::parse("half:x"), None);
    }

    #[test]
    fn root_is_root() {
        assert!(Account::named("root").unwrap().is_root());
    }
}
