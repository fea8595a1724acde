//! The clients that are being served.

use broker_ipc::types::Session;

use crate::names::Names;
use crate::table::{Cell, Column, Row, Table};

pub(crate) fn sessions(sessions: &[Session], names: &Names) -> Table {
    const COLUMNS: &[Column] = &[
        Column::new("ID"),
        Column::wide("TUNNEL"),
        Column::new("PROFILE").goes(2).shortens(8),
        Column::new("TYPE").goes(4),
        Column::new("CLIENT").shortens(12),
        Column::new("USER").goes(3).shortens(8),
        Column::new("DESTINATION").goes(5).shortens(12),
        Column::new("SINCE").goes(6),
        Column::wide("TRANSFER"),
        Column::new("LAST COMMAND").goes(1).shortens(16),
    ];
    let row = |s: &Session| {
        let profile = s.profile.as_deref();
        let name = profile.map_or("-", |id| names.of(id));
        Row::from(vec![
            Cell::number(s.id),
            Cell::number(s.tunnel),
            Cell::maybe(profile).briefly(name),
            Cell::text(if s.ftp { "ftp" } else { "tcp" }),
            Cell::text(&s.client),
            Cell::maybe(s.ftp_user.as_ref()),
            Cell::text(&s.destination),
            Cell::since(s.since),
            Cell::maybe_number(s.transfer),
            Cell::maybe(s.command.as_ref()),
        ])
    };
    Table::List {
        columns: COLUMNS,
        rows: sessions.iter().map(row).collect(),
        nothing: "No sessions",
    }
}
