//! The user at the other end of the socket, and what that user may do.

use interprocess::local_socket::tokio::Stream;
use interprocess::local_socket::traits::StreamCommon;

/// Root's user id.
const ROOT: u32 = 0;

/// The user this process acts as.
pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The process at the other end, as far as the system reports it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peer {
    /// Its user.
    pub(crate) uid: Option<u32>,
    pub(crate) pid: Option<u32>,
    /// The name of its program.
    pub(crate) program: Option<String>,
}

impl Peer {
    pub(crate) fn of(stream: &Stream) -> Self {
        let pid = stream.peer_creds().ok().and_then(|peer| peer.pid());
        let pid = pid.and_then(|pid| u32::try_from(pid).ok());
        Self {
            uid: uid(stream),
            pid,
            program: pid.and_then(program),
        }
    }
}

/// The name of a process's program. Only Linux tells it in a file.
fn program(pid: u32) -> Option<String> {
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

/// The user at the other end; `None` if the system does not report it.
pub(crate) fn uid(stream: &Stream) -> Option<u32> {
    stream.peer_creds().ok().and_then(|peer| peer.euid())
}

/// Whether a daemon of user `own` serves a client of user `peer`. It serves its own user and root.
pub(crate) fn is_admitted(peer: Option<u32>, own: u32) -> bool {
    peer.is_some_and(|peer| peer == own || peer == ROOT)
}

/// Whether a client of user `peer` may answer the prompts of a daemon of user `own`. The prompts ask for that user's
/// secrets, so not even root's programs get them by mistake.
pub(crate) fn may_answer_prompts(peer: Option<u32>, own: u32) -> bool {
    peer == Some(own)
}

/// Whether a client of user `own` trusts a daemon of user `peer`. In a shared directory, another user may have replaced
/// the daemon's socket. Root manages the daemons of all users.
pub(crate) fn is_trusted(peer: Option<u32>, own: u32) -> bool {
    peer.is_some_and(|peer| peer == own || peer == ROOT || own == ROOT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNE: Option<u32> = Some(1000);
    const BOB: Option<u32> = Some(1001);

    #[test]
    fn a_daemon_serves_its_own_user_and_root() {
        assert!(is_admitted(ANNE, 1000));
        assert!(is_admitted(Some(ROOT), 1000));
        assert!(!is_admitted(BOB, 1000));
        assert!(!is_admitted(BOB, ROOT));
        assert!(!is_admitted(None, 1000));
    }

    #[test]
    fn only_the_daemons_own_user_answers_prompts() {
        assert!(may_answer_prompts(ANNE, 1000));
        assert!(!may_answer_prompts(Some(ROOT), 1000));
        assert!(!may_answer_prompts(BOB, 1000));
        assert!(!may_answer_prompts(None, 1000));
    }

    #[test]
    fn a_client_trusts_its_own_user_and_root_and_root_trusts_all() {
        assert!(is_trusted(ANNE, 1000));
        assert!(is_trusted(Some(ROOT), 1000));
        assert!(!is_trusted(BOB, 1000));
        assert!(is_trusted(BOB, ROOT));
        assert!(!is_trusted(None, 1000));
    }
}
