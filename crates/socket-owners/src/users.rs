//! The names of users.

use std::fs;

/// The user's name from the local list. Asking the system's name service could mean to wait for another host, and the
/// caller must not wait.
pub(crate) fn name(uid: u32) -> Option<String> {
    let list = fs::read_to_string("/etc/passwd").ok()?;
    let of_user = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let id: u32 = fields.nth(1)?.parse().ok()?;
        (id == uid).then(|| plain_text::printable(name))
    };
    list.lines().find_map(of_user)
}
