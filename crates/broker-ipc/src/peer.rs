//! Who is at the other end, and whether that user is to be dealt with.

use interprocess::local_socket::tokio::Stream;
use interprocess::local_socket::traits::StreamCommon;

/// Root's user id.
const ROOT: u32 = 0;

/// The user this process acts as.
pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The user at the other end; `None` where the system does not say.
pub(crate) fn uid(stream: &Stream) -> Option<u32> {
    stream.peer_creds().ok().and_then(|peer| peer.euid())
}

/// Whether a daemon of user `own` serves a client of user `peer`: its own user's, and root's.
pub(crate) fn is_admitted(peer: Option<u32>, own: u32) -> bool {
    peer.is_some_and(|peer| peer == own || peer == ROOT)
}

/// Whether a client of user `peer` may answer the prompts of a daemon of user `own`: the secrets asked for are that
/// user's, so that not even root's programs are asked for them by mistake.
pub(crate) fn may_answer_prompts(peer: Option<u32>, own: u32) -> bool {
    peer == Some(own)
}

/// Whether a client of user `own` trusts a daemon of user `peer`: in a shared directory anybody may have put a socket in
/// the place of the daemon's. Root looks after the daemons of all users.
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
