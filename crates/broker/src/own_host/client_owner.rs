//! Whose data connections a session accepts: those of the user who owns its control connection.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use plain_text::canonical;

use super::host::Host;
use super::peer_owner::{Owner, is_own};

/// Who owns the client's end of the control connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientOwner {
    /// A client on another host, or on a system that does not name owners: only the address counts.
    Anyone,
    /// This user.
    User(u32),
    /// A client on this host with an unknown owner, since the connection was already closed. No data connection can
    /// match.
    Nobody,
}

/// Why a connection is not accepted as the client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Objection {
    /// It comes from another address or another user.
    Stranger,
    /// It was closed before the broker looked at it.
    Closed,
    /// The kernel gave no answer.
    Unanswered,
    /// The owner of the control connection is unknown.
    Unowned,
    /// No proxy of the tunnel has named its client.
    Unnamed,
}

impl ClientOwner {
    /// Finds out who owns a control connection that was accepted at `local`.
    pub(crate) fn of(host: &Host, peer: SocketAddr, local: SocketAddr) -> Self {
        match host.owners.of(peer, local) {
            Owner::User(owner) => Self::User(owner),
            Owner::Nobody | Owner::Unknown if host.owners.are_known() && is_own(peer.ip()) => {
                Self::Nobody
            }
            Owner::Nobody | Owner::Unknown => Self::Anyone,
        }
    }

    /// Why a connection may not carry the session's data, if it may not. `owner` returns who owns its other end, given
    /// the address of this one.
    pub(crate) fn objection(
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
            Self::Stranger => "it does not belong to the client of this session",
            Self::Closed => "its client closed it before the system could say who owned it",
            Self::Unanswered => "the system did not say who owns it",
            Self::Unowned => "the system did not say who owns the session's control connection",
            Self::Unnamed => "no proxy of this tunnel has named its client",
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
