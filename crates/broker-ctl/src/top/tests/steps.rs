//! What events and keys change.

use broker_ipc::types::{EventKind, TransferState};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::sample::{BEGIN, LOOK, events, hear, model, press, progress, text, type_keys, up};
use crate::top::keys::{self, Action, Key};
use crate::top::model::{Heard, Model, Overlay};
use crate::top::request::Request;
use crate::top::rows::{Key as RowKey, Pane};

/// The selected rows' texts in one column.
fn column(model: &Model, pane: Pane, place: usize) -> Vec<String> {
    let (rows, _) = model.rows(pane);
    rows.into_iter()
        .map(|row| row.cells[place].text.clone())
        .collect()
}

#[test]
fn a_pause_counts_down() {
    let mut model = model(LOOK);
    let state = |model: &Model| column(model, Pane::Profiles, 1)[1].clone();
    model.tick(BEGIN + 5);
    assert_eq!(state(&model), "retry in 15 s");
    model.tick(BEGIN + 19);
    assert_eq!(state(&model), "retry in 1 s");
    model.tick(BEGIN + 20);
    assert_eq!(state(&model), "failed");
}

#[test]
fn what_runs_comes_first_and_the_newest_before_the_others() {
    let model = model(LOOK);
    let files = column(&model, Pane::Transfers, 1);
    assert_eq!(files[0], "/home/bob/report.pdf");
    assert_eq!(files[3], "/srv/media/video.mkv");
    assert_eq!(files[5], "/home/alice");
}

#[test]
fn keys_sort_and_the_selection_stays_on_its_row() {
    let mut model = model(LOOK);
    press(&mut model, KeyCode::Down);
    assert_eq!(model.selected(), Some(RowKey::Number(18)));
    type_keys(&mut model, "s");
    assert_eq!(column(&model, Pane::Transfers, 6)[0], "41.0 MiB/s");
    assert_eq!(model.selected(), Some(RowKey::Number(18)));
    type_keys(&mut model, "sss");
    assert_eq!(model.view(Pane::Transfers).order, 0);
}

#[test]
fn the_filter_applies_to_all_panes_until_escape() {
    let mut model = model(LOOK);
    type_keys(&mut model, "/VIDEO");
    assert_eq!(column(&model, Pane::Transfers, 1), ["/srv/media/video.mkv"]);
    press(&mut model, KeyCode::Enter);
    type_keys(&mut model, "s");
    assert_eq!(model.filter, "VIDEO");
    let shown = text(&model, 80, 24);
    assert!(shown.contains("Transfers (1 of 6)"), "{shown}");
    assert!(shown.contains("Log (1 of 4)"), "{shown}");
    press(&mut model, KeyCode::Esc);
    assert_eq!(model.rows(Pane::Transfers).0.len(), 6);
}

#[test]
fn erasing_and_limits_of_the_filter() {
    let mut model = model(LOOK);
    type_keys(&mut model, "/");
    type_keys(&mut model, &"x".repeat(1000));
    assert_eq!(model.filter.len(), 64);
    press(&mut model, KeyCode::Backspace);
    assert_eq!(model.filter.len(), 63);
    press(&mut model, KeyCode::Esc);
    assert_eq!((model.filter.as_str(), model.typing), ("", false));
}

#[test]
fn only_yes_closes() {
    let mut model = model(LOOK);
    let cut = Request::CutTransfer {
        session: 13,
        file: "/home/bob/report.pdf".to_owned(),
    };
    assert_eq!(type_keys(&mut model, "xn"), None);
    assert_eq!(model.overlay, None);
    assert_eq!(press(&mut model, KeyCode::Enter), None);
    press(&mut model, KeyCode::Esc);
    assert_eq!(type_keys(&mut model, "xy"), Some(Action::Ask(cut)));
}

#[test]
fn each_pane_closes_what_it_shows() {
    let mut model = model(LOOK);
    let connections = Request::CloseConnections {
        name: "files".to_owned(),
        ids: vec![5, 6, 7, 8],
    };
    // The profiles are sorted by their names.
    type_keys(&mut model, "1jj");
    assert_eq!(type_keys(&mut model, "xy"), Some(Action::Ask(connections)));
    let tunnel = Request::CloseTunnel {
        id: 1,
        name: "127.0.0.1:2121".to_owned(),
    };
    assert_eq!(type_keys(&mut model, "2xy"), Some(Action::Ask(tunnel)));
    assert_eq!(type_keys(&mut model, "5x"), None);
    assert_eq!(model.overlay, None);
    assert!(model.notice.as_ref().unwrap().bad);
}

#[test]
fn a_notice_stays_until_the_next_key_or_the_end_of_the_daemon() {
    let mut model = model(LOOK);
    model.tell("The profile has no connection", true);
    type_keys(&mut model, "2");
    assert_eq!(model.notice, None);
    model.tell("The profile has no connection", true);
    model.hear(Heard::Down("it has ended the connection".to_owned()));
    up(&mut model);
    assert_eq!(model.notice, None);
}

#[test]
fn connecting_needs_no_question() {
    let mut model = model(LOOK);
    let connect = |profile: &str| {
        let (target, name) = (profile.to_owned(), profile.to_owned());
        Some(Action::Ask(Request::Connect { target, name }))
    };
    assert_eq!(type_keys(&mut model, "1c"), connect("archive"));
    assert_eq!(type_keys(&mut model, "2jjc"), connect("backup"));
    assert_eq!(type_keys(&mut model, "4c"), None);
    model.hear(Heard::Outcome(Ok("archive is connected".to_owned())));
    assert!(text(&model, 80, 24).contains("archive is connected"));
}

#[test]
fn nothing_is_asked_of_a_daemon_that_is_gone() {
    let mut model = model(LOOK);
    type_keys(&mut model, "2x");
    model.hear(Heard::Down("it has ended the connection".to_owned()));
    assert_eq!(type_keys(&mut model, "y"), None);
    assert_eq!(type_keys(&mut model, "1c"), None);
}

#[test]
fn a_transfer_that_is_over_is_not_cut() {
    let mut model = model(LOOK);
    model.view_mut(Pane::Transfers).selected = Some(RowKey::Number(16));
    assert_eq!(type_keys(&mut model, "x"), None);
    assert_eq!(model.notice.unwrap().text, "The transfer is over already");
}

#[test]
fn a_paused_screen_stays_and_then_catches_up() {
    let mut model = model(LOOK);
    let before = text(&model, 80, 22);
    type_keys(&mut model, "p");
    let mut it = model.shown().0.transfers[&17].it.clone();
    it.state = TransferState::Complete;
    let mut ended = progress(BEGIN + 30, &it);
    ended.kind = EventKind::TransferEnded;
    hear(&mut model, ended);
    model.tick(BEGIN + 30);
    let paused = text(&model, 80, 22);
    assert_eq!(
        paused.lines().take(21).collect::<Vec<_>>(),
        before.lines().take(21).collect::<Vec<_>>()
    );
    assert!(paused.contains("PAUSED"), "{paused}");
    type_keys(&mut model, "p");
    assert!(text(&model, 80, 22).contains("complete"));
    assert_eq!(
        model.rows(Pane::Transfers).0[0].cells[1].text,
        "/home/bob/report.pdf"
    );
}

#[test]
fn a_new_daemon_replaces_what_was_known_when_its_state_is_complete() {
    let mut model = model(LOOK);
    model.hear(Heard::Up {
        pid: 1,
        build: String::new(),
    });
    let mut events = events();
    let complete = events.pop().unwrap();
    events.retain(|event| event.kind != EventKind::ProfileChanged);
    events.into_iter().for_each(|event| hear(&mut model, event));
    assert_eq!(model.rows(Pane::Profiles).0.len(), 3);
    hear(&mut model, complete);
    assert_eq!(model.rows(Pane::Profiles).0.len(), 0);
    assert_eq!(model.rows(Pane::Transfers).0.len(), 6);
}

#[test]
fn a_state_that_comes_again_doubles_nothing() {
    let mut model = model(LOOK);
    let graph = |model: &Model| column(model, Pane::Transfers, 7)[2].clone();
    let before = graph(&model);
    up(&mut model);
    let sizes = Pane::ALL.map(|pane| model.rows(pane).0.len());
    assert_eq!(sizes, [3, 3, 6, 2, 4]);
    assert_eq!(graph(&model), before);
}

#[test]
fn what_is_over_is_bounded() {
    let mut model = model(LOOK);
    let mut it = model.shown().0.transfers[&16].it.clone();
    for id in 100..1000 {
        it.id = id;
        hear(&mut model, progress(BEGIN, &it));
    }
    let (rows, _) = model.rows(Pane::Transfers);
    assert_eq!(rows.len(), 203);
    assert_eq!(rows[3].key, RowKey::Number(999));
}

#[test]
fn the_log_follows_its_end_until_another_line_is_selected() {
    let mut model = model(LOOK);
    type_keys(&mut model, "5");
    let (rows, _) = model.rows(Pane::Log);
    assert_eq!(model.place(Pane::Log, &rows), 3);
    type_keys(&mut model, "k");
    assert_eq!(model.place(Pane::Log, &rows), 2);
    type_keys(&mut model, "G");
    assert_eq!(model.view(Pane::Log).selected, None);
}

#[test]
fn panes_follow_each_other_in_both_directions() {
    let mut model = model(LOOK);
    press(&mut model, KeyCode::Tab);
    assert_eq!(model.focus, Pane::Failures);
    press(&mut model, KeyCode::Tab);
    press(&mut model, KeyCode::Tab);
    assert_eq!(model.focus, Pane::Profiles);
    press(&mut model, KeyCode::BackTab);
    assert_eq!(model.focus, Pane::Log);
}

#[test]
fn the_program_can_be_ended_from_everywhere() {
    let interrupt = Key::of(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)).unwrap();
    for keys in ["", "?", "/x", "x"] {
        let mut model = model(LOOK);
        type_keys(&mut model, keys);
        assert_eq!(
            keys::press(&mut model, interrupt),
            Some(Action::End),
            "{keys}"
        );
    }
    let mut model = model(LOOK);
    assert_eq!(type_keys(&mut model, "/q"), None);
    press(&mut model, KeyCode::Esc);
    assert_eq!(type_keys(&mut model, "q"), Some(Action::End));
}

#[test]
fn a_row_that_goes_away_closes_no_details() {
    let mut model = model(LOOK);
    type_keys(&mut model, "2");
    press(&mut model, KeyCode::Enter);
    let mut closed = events()
        .into_iter()
        .find(|it| it.kind == EventKind::TunnelChanged)
        .unwrap();
    closed.kind = EventKind::TunnelClosed;
    hear(&mut model, closed);
    assert!(matches!(model.overlay, Some(Overlay::Details { .. })));
    assert!(text(&model, 80, 24).contains("It is gone"));
}
