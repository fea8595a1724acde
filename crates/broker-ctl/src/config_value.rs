//! `config-value`: single values of the configuration that the daemon uses.

use broker_ipc::methods::ConfigValue;
use broker_ipc::types::ConfigEntry;
use plain_text::printable;

use crate::daemon::Daemon;
use crate::table::{Cell, Column, Row, Table};

/// Prints the values at a path. A person gets a single value alone.
pub(crate) async fn show(daemon: &Daemon<'_>, path: String) -> anyhow::Result<()> {
    let entries = daemon.call(&ConfigValue { path }).await?;
    let output = daemon.output();
    match entries.as_slice() {
        [only] if output.is_for_people() => Ok(output.print(printable(&only.value))?),
        _ => output.answer(&entries, &table(&entries)),
    }
}

fn table(entries: &[ConfigEntry]) -> Table {
    const COLUMNS: &[Column] = &[Column::new("PATH").shortens(20), Column::new("VALUE")];
    let row = |it: &ConfigEntry| Row::from(vec![Cell::text(&it.path), Cell::text(&it.value)]);
    Table::List {
        columns: COLUMNS,
        rows: entries.iter().map(row).collect(),
        nothing: "No values",
    }
}
