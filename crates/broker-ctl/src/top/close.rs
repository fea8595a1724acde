//! What the keys `x` and `c` mean for the selected row.

use super::request::Request;
use super::rows::{Key, Pane};
use super::world::World;

/// The request that closes a row, or why there is none.
pub(super) fn close(pane: Pane, key: &Key, world: &World) -> Result<Request, &'static str> {
    match (pane, key) {
        (Pane::Profiles, Key::Name(profile)) => match world.connections_of(profile) {
            none if none.is_empty() => Err("The profile has no connection"),
            ids => Ok(Request::CloseConnections {
                ids,
                name: world.name_of(profile).to_owned(),
            }),
        },
        (Pane::Tunnels, Key::Number(id)) => {
            let seen = world
                .tunnels
                .get(id)
                .ok_or("The tunnel is closed already")?;
            let name = plain_text::host_port(&seen.it.address, seen.it.port);
            Ok(Request::CloseTunnel { id: *id, name })
        }
        (Pane::Transfers, Key::Number(id)) => {
            let running = world.transfers.get(id).filter(|it| it.runs());
            let it = &running.ok_or("The transfer is over already")?.it;
            let file = it.path.as_ref().unwrap_or(&it.command);
            Ok(Request::CutTransfer {
                session: it.session,
                file: file.clone(),
            })
        }
        (Pane::Profiles | Pane::Tunnels | Pane::Transfers | Pane::Failures | Pane::Log, _) => {
            Err("Nothing to close: select a profile, a tunnel or a transfer")
        }
    }
}

/// The request that connects the profile of a row, or why there is none.
pub(super) fn connect(pane: Pane, key: &Key, world: &World) -> Result<Request, &'static str> {
    let profile = match (pane, key) {
        (Pane::Profiles, Key::Name(profile)) => Some(profile.clone()),
        (Pane::Tunnels, Key::Number(id)) => {
            let seen = world.tunnels.get(id);
            seen.map(|seen| seen.it.profile.clone().unwrap_or(seen.it.target.clone()))
        }
        (Pane::Profiles | Pane::Tunnels | Pane::Transfers | Pane::Failures | Pane::Log, _) => None,
    };
    let target = profile.ok_or("Nothing to connect: select a profile or a tunnel")?;
    let name = world.name_of(&target).to_owned();
    Ok(Request::Connect { target, name })
}
