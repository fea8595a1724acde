//! Whose data connections a session takes: those of the user who owns its control connection.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use plain_text::canonical;

use crate::own_host::{Host, Owner, is_own};

/// Whose the client's end of the control connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientOwner {
    /// Somebody's on another host, or this system does not tell: the address alone counts.
    Anyone,
    /// This user's.
    User(u32),
    /// Somebody's on this host, and nobody can tell whose: it was closed already. No data connection can be his.
    Nobody,
}

/// Why a connection is not taken for the client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Objection {
    /// It is from another address, or another user's.
    Stranger,
    /// It was closed before it was looked at.
    Closed,
    /// The kernel gave no answer.
    Unanswered,
    /// It is not known whose the control connection was.
    Unowned,
}

impl ClientOwner {
    /// Asks whose a control connection is that was accepted at `local`.
    pub(super) fn of(host: &Host, peer: SocketAddr, local: SocketAddr) -> Self {
        match host.owners.of(peer, local) {
            Owner::User(owner) => Self::User(owner),
            Owner::Nobody | Owner::Unknown if host.owners.are_known() && is_own(peer.ip()) => {
                Self::Nobody
            }
            Owner::Nobody | Owner::Unknown => Self::Anyone,
        }
    }

    /// Why a connection may not carry the session's data, if it may not. `owner` tells whose its other end is, given the
    /// address of this one.
    pub(super) fn objection(
        self,
        local: io::Result<SocketAddr>,
        owner: impl FnOnce(SocketAddr) -> Owner,
    ) -> Option<Objection> {
        let Self::User(client) = self else {
            return (self == Self::Nobody).then_some(Objection::Unowned);
        };
        match local.map_or(Owner::Unknown, |local| owner(canonical(local))) {
            Owner::User(owner) => (owner != client).then_some(Objection::Stranger),
            Owner::Nobody => Some(Objection::Closed),
            Owner::Unknown => Some(Objection::Unanswered),
        }
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stranger => "it is not the client's of this session",
            Self::Closed => {
                "who made it has closed it already, so that nobody can tell whose it was"
            }
            Self::Unanswered => "the system did not say whose it is",
            Self::Unowned => "the system did not say whose the session's control connection is",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_of_the_control_connection_has_data_connections() {
        let [me, other] = [Owner::User(1), Owner::User(2)];
        for (client, owner, objection) in [
            (ClientOwner::User(1), me, None),
            (ClientOwner::User(1), other, Some(Objection::Stranger)),
            (ClientOwner::User(1), Owner::Nobody, Some(Objection::Closed)),
            (
                ClientOwner::User(1),
                Owner::Unknown,
                Some(Objection::Unanswered),
            ),
            (ClientOwner::Nobody, me, Some(Objection::Unowned)),
            (
                ClientOwner::Nobody,
                Owner::Unknown,
                Some(Objection::Unowned),
            ),
            (ClientOwner::Anyone, other, None),
            (ClientOwner::Anyone, Owner::Unknown, None),
        ] {
            let local = Ok(([127, 0, 0, 1], 21).into());
            assert_eq!(
                client.objection(local, |_| owner),
                objection,
                "{client:?} {owner:?}"
            );
        }
    }
}
