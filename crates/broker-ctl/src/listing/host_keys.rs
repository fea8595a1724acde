//! The host keys of an SSH server.

use broker_ipc::types::{HostKey, HostKeyStanding};

use crate::table::{Cell, Column, Row, Table};

pub(crate) fn host_keys(keys: &[HostKey]) -> Table {
    const COLUMNS: &[Column] = &[
        Column::new("ALGORITHM"),
        Column::new("BITS").goes(1),
        Column::new("FINGERPRINT"),
        Column::new("STANDING"),
        Column::below("KNOWN AT"),
    ];
    let row = |key: &HostKey| {
        let trouble = match key.standing {
            HostKeyStanding::Known | HostKeyStanding::Unknown => false,
            HostKeyStanding::Changed | HostKeyStanding::Revoked => true,
        };
        Row::from(vec![
            Cell::text(&key.algorithm),
            Cell::number(key.bits.into()),
            Cell::text(&key.fingerprint),
            Cell::text(key.standing).alert_if(trouble),
            Cell::maybe(key.known_at.as_ref()),
        ])
    };
    Table::List {
        columns: COLUMNS,
        rows: keys.iter().map(row).collect(),
        nothing: "No host keys",
    }
}
