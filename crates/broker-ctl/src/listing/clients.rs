//! The clients of the local socket.

use broker_ipc::types::ClientInfo;

use crate::table::{Cell, Column, Row, Table};
use crate::users;

pub(crate) fn clients(clients: &[ClientInfo]) -> Table {
    const COLUMNS: &[Column] = &[
        Column::new("ID"),
        Column::new("PROCESS"),
        Column::new("USER").goes(2).shortens(8),
        Column::new("PROGRAM").shortens(8),
        Column::new("VERSION").goes(3).shortens(8),
        Column::new("SINCE").goes(1),
        Column::new("WAITS FOR").shortens(12),
    ];
    let row = |it: &ClientInfo| {
        let waits_for = (!it.waits_for.is_empty()).then(|| it.waits_for.join(", "));
        Row::from(vec![
            Cell::number(it.id),
            Cell::maybe_number(it.pid.map(u64::from)),
            Cell::maybe(it.uid.map(users::shown)),
            Cell::maybe(it.program.as_ref()),
            Cell::text(&it.build),
            Cell::since(it.since),
            Cell::maybe(waits_for),
        ])
    };
    Table::List {
        columns: COLUMNS,
        rows: clients.iter().map(row).collect(),
        nothing: "No clients",
    }
}
