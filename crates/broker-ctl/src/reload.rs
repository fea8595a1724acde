//! `reload`: makes the daemon apply its configuration, and shows what has changed.

use broker_ipc::methods::Reload;
use broker_ipc::types::{Change, Changes, ReloadReport};
use broker_ipc::{ClientError, ErrorCode};
use plain_text::printable;

use crate::daemon::Daemon;
use crate::failure::Reported;
use crate::table::{Cell, Column, Row, Table};

/// Sends the request and shows the answer. Fails if the daemon cannot use the new configuration.
pub(crate) async fn reload(daemon: &Daemon<'_>, request: Reload) -> anyhow::Result<()> {
    let output = daemon.output();
    let report = match daemon.call(&request).await {
        Err(ClientError::Failed(refusal))
            if refusal.code == ErrorCode::BadConfig && !output.is_json() =>
        {
            let (reason, faults) = refusal.message.split_once('\n').unwrap_or_default();
            output.passage(faults.trim_matches('\n'));
            output.error(if reason.is_empty() {
                &refusal.message
            } else {
                reason
            });
            return Err(Reported::because(refusal.reason()).into());
        }
        answer => answer?,
    };
    for warning in report.warnings.iter().filter(|_| !output.is_json()) {
        output.passage(&format!("warning: {warning}"));
    }
    if !output.is_for_people() {
        return output.answer(&report, &table(&report, true));
    }
    if !report.is_unchanged() {
        output.print(output.table(&table(&report, false)))?;
    }
    Ok(output.print(printable(&summary(&report)))?)
}

/// What has become of what.
fn table(report: &ReloadReport, with_kept: bool) -> Table {
    const COLUMNS: &[Column] = &[
        Column::new("CHANGE"),
        Column::new("KIND"),
        Column::new("NAME").shortens(12),
        Column::below("EFFECT"),
    ];
    let mut rows: Vec<Row> = Vec::new();
    for (kind, changes) in [("profile", &report.profiles), ("tunnel", &report.tunnels)] {
        let mut add = |change: &str, name: &str, effect: Option<&str>| {
            let cells = [change, kind, name].map(Cell::text);
            rows.push(row(cells, effect));
        };
        let Changes {
            added,
            removed,
            changed,
            kept,
        } = changes;
        added.iter().for_each(|name| add("added", name, None));
        for (word, changes) in [("removed", removed), ("changed", changed)] {
            for Change { name, effect } in changes {
                add(word, name, Some(effect));
            }
        }
        let kept = kept.iter().filter(|_| with_kept);
        kept.for_each(|name| add("kept", name, None));
    }
    for (settings, effect) in [
        (&report.settings, None),
        (&report.restart, Some("needs a restart")),
    ] {
        let setting = |name: &String| {
            let cells = ["changed", "setting", name].map(Cell::text);
            row(cells, effect)
        };
        rows.extend(settings.iter().map(setting));
    }
    Table::List {
        columns: COLUMNS,
        rows,
        nothing: "",
    }
}

fn row(cells: [Cell; 3], effect: Option<&str>) -> Row {
    let cells = cells.into_iter().chain([Cell::maybe(effect)]);
    Row::from(cells.collect::<Vec<_>>())
}

fn summary(report: &ReloadReport) -> String {
    let counted = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    };
    let kept = format!(
        "kept as they are: {}, {}",
        counted(report.profiles.kept.len(), "profile"),
        counted(report.tunnels.kept.len(), "tunnel")
    );
    let done = match (report.dry_run, report.is_unchanged()) {
        (true, true) => "A reload would change nothing",
        (true, false) => "Nothing has changed yet: this is what a reload would do",
        (false, true) => "The configuration has not changed",
        (false, false) => "The new configuration holds",
    };
    format!("{done}; {kept}")
}
