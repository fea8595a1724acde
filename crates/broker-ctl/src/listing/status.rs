//! The daemon as a whole.

use broker_ipc::types::{DaemonStatus, TransferCounts};

use super::failures::recent_failure;
use crate::table::{Cell, Field, Table};

pub(crate) fn status(status: &DaemonStatus) -> Table {
    let TransferCounts { active, ok, failed } = status.transfers;
    let files = status.config.join(", ");
    let files = match files.is_empty() {
        true => Cell::maybe(None::<String>)
            .with_remark(" (no file exists: check-config names the usual places)"),
        false => Cell::text(files),
    };
    let state = Cell::text(status.state()).alert_if(status.stopping);
    let failed = Cell::number(failed).alert_if(failed > 0);
    let record = Table::Record(vec![
        Field::new("state", "state", state),
        Field::new("process", "pid", Cell::number(status.pid.into())),
        Field::new("version", "version", Cell::text(&status.version)),
        Field::new("started", "started", Cell::ago(status.started)),
        Field::new("configuration", "config", files),
        Field::new("profiles", "profiles", Cell::number(status.profiles)),
        Field::new("tunnels", "tunnels", Cell::number(status.tunnels)),
        Field::new("sessions", "sessions", Cell::number(status.sessions)),
        Field::new(
            "connections",
            "connections",
            Cell::number(status.connections),
        ),
        Field::new("channels", "channels", Cell::number(status.channels)),
        Field::new("transfers active", "transfers.active", Cell::number(active)),
        Field::new("transfers complete", "transfers.ok", Cell::number(ok)),
        Field::new("transfers failed", "transfers.failed", failed),
        Field::new("sent", "bytes_up", Cell::size(status.bytes_up)),
        Field::new("received", "bytes_down", Cell::size(status.bytes_down)),
    ]);
    if status.failures.is_empty() {
        return record;
    }
    let failures = status.failures.iter();
    let failures = failures.map(|it| Field::new("failure", "failures", recent_failure(it)));
    Table::Both(record.into(), Table::Record(failures.collect()).into())
}
