//! SSH channels.

use broker_ipc::types::{ChannelInfo, ChannelState, Direction};

use crate::table::{Cell, Column, Row, Table};

pub(crate) fn channels(channels: &[ChannelInfo]) -> Table {
    const COLUMNS: &[Column] = &[
        Column::new("ID"),
        Column::wide("CONNECTION"),
        Column::new("SESSION").goes(4),
        Column::new("KIND"),
        Column::wide("MODE"),
        Column::new("STATE").goes(5),
        Column::new("SENT").goes(3),
        Column::new("RECEIVED").goes(2),
        Column::new("RATE").goes(1),
        Column::wide("CLIENT"),
        Column::wide("TARGET"),
        Column::new("COMMAND").shortens(16),
    ];
    Table::List {
        columns: COLUMNS,
        rows: channels.iter().map(row).collect(),
        nothing: "No SSH channels",
    }
}

fn row(c: &ChannelInfo) -> Row {
    let direction = || {
        c.direction
            .map(|direction: Direction| direction.to_string())
    };
    Row::from(vec![
        Cell::number(c.id),
        Cell::maybe_number(c.connection),
        Cell::number(c.session),
        Cell::text(c.kind),
        Cell::maybe(c.mode),
        Cell::text(c.state).alert_if(c.state == ChannelState::Closing),
        Cell::size(c.bytes_up),
        Cell::size(c.bytes_down),
        Cell::rate(c.rate),
        Cell::text(client(c)),
        Cell::text(&c.target),
        Cell::maybe(c.command.clone().or_else(direction)),
    ])
}

/// The client's address, and the version of TLS that it uses.
fn client(channel: &ChannelInfo) -> String {
    match &channel.tls {
        None => channel.client.clone(),
        Some(tls) => {
            let version = tls
                .rsplit_once(' ')
                .map_or(tls.as_str(), |(version, _)| version);
            format!("{} ({version})", channel.client)
        }
    }
}
