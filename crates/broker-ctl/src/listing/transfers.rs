//! Transfers: those that run, and those that are over.

use broker_ipc::types::{Transfer, TransferState};

use crate::names::Names;
use crate::table::{Cell, Column, Row, Table};
use crate::units;

pub(crate) fn transfers(transfers: &[Transfer], names: &Names) -> Table {
    const COLUMNS: &[Column] = &[
        Column::new("ID"),
        Column::new("PROFILE").goes(6).shortens(8),
        Column::new("DIRECTION").goes(5),
        Column::new("STATE"),
        Column::new("BYTES").goes(2),
        Column::new("SIZE").goes(7),
        Column::new("%").goes(1),
        Column::new("RATE").goes(3),
        Column::wide("TIME"),
        Column::new("LEFT").goes(4),
        Column::wide("CLIENT"),
        Column::new("USER").goes(8).shortens(8),
        Column::new("FILE").shortens(20),
        Column::below("RESULT"),
    ];
    let row = |t: &Transfer| {
        Row::from(vec![
            Cell::number(t.id),
            Cell::text(&t.profile).briefly(names.of(&t.profile)),
            Cell::text(t.direction),
            state(t),
            Cell::size(t.bytes),
            Cell::maybe_size(t.size),
            Cell::maybe_number(t.percent()),
            Cell::rate(t.rate),
            Cell::time(t.duration_ms / 1000),
            Cell::maybe_time(t.time_left),
            Cell::text(&t.client),
            Cell::maybe(t.ftp_user.as_ref()),
            Cell::text(t.path.as_ref().unwrap_or(&t.command)),
            result(t),
        ])
        .with_below(stall(t))
    };
    Table::List {
        columns: COLUMNS,
        rows: transfers.iter().map(row).collect(),
        nothing: "No transfers",
    }
}

fn is_failure(state: TransferState) -> bool {
    match state {
        TransferState::Failed | TransferState::Cut => true,
        TransferState::Running
        | TransferState::Complete
        | TransferState::Refused
        | TransferState::Aborted => false,
    }
}

/// Whether it runs or how it ended. With `--wide` a person also sees here for how long no byte has moved.
fn state(t: &Transfer) -> Cell {
    let state = Cell::text(t.state).alert_if(is_failure(t.state) || t.stalled_since.is_some());
    match stalled(t) {
        Some(stalled) => state
            .with_remark(&format!(" ({stalled})"))
            .briefly("stalled"),
        None => state,
    }
}

fn stalled(t: &Transfer) -> Option<String> {
    let since = t.stalled_since?;
    Some(format!("no byte for {}", units::age(since)))
}

/// For how long no byte has moved. Without `--wide`, the row does not say it.
fn stall(t: &Transfer) -> Vec<Cell> {
    let stalled = stalled(t).into_iter();
    stalled
        .map(|text| Cell::text(text).alert_if(true))
        .collect()
}

/// What the client was told at the end, and why. Without `--wide` a person sees it if that was not success.
fn result(t: &Transfer) -> Cell {
    let told = [t.reply.as_deref(), t.reason.as_deref()];
    let told = told.into_iter().flatten().collect::<Vec<_>>().join("; ");
    let result = Cell::maybe(Some(told).filter(|told| !told.is_empty()));
    match t.state {
        TransferState::Complete => result.briefly(""),
        TransferState::Running
        | TransferState::Failed
        | TransferState::Refused
        | TransferState::Aborted
        | TransferState::Cut => result.alert_if(is_failure(t.state)),
    }
}
