//! Users of this host.

/// The user's name, if there is one.
pub(crate) fn name(uid: u32) -> Option<String> {
    let user = nix::unistd::User::from_uid(uid.into()).ok().flatten();
    user.map(|user| user.name)
}

/// The user's name, otherwise the id.
pub(crate) fn shown(uid: u32) -> String {
    name(uid).unwrap_or_else(|| uid.to_string())
}
