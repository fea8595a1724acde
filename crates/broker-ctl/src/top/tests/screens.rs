//! What the screen shows, in several sizes.

use broker_ipc::types::EventKind;
use ratatui::crossterm::event::KeyCode;
use snapbox::{assert_data_eq, str};

use super::sample::{LOOK, hear, model, press, text, type_keys};
use crate::top::look::Look;
use crate::top::model::{Heard, Model};

#[test]
fn everything_fits_into_80_by_24() {
    assert_data_eq!(
        text(&model(LOOK), 80, 24),
        str![[r#"
brokerd 0.1.0, process 4711     3 sessions  ↓ 41.0 MiB/s ↑ 11.0 MiB/s  12:25:14Z
 Profiles (3) ──────────────────────────────────────────────────────────────────
NAME         STATE            CONNS TUNNELS LAST ERROR
archive      not connected        0       0
backup       retry in 6 s         0       1 connection refused at 192.0.2.7:222…
files        connected            4       2
 Tunnels (3) ───────────────────────────────────────────────────────────────────
LISTENS ON            STATE      KIND  CLIENTS         RATE TO
127.0.0.1:2121        listening  ftp         2   52.0 MiB/s localhost:21
127.0.0.1:1080        listening  socks       1        0 B/s as the client asks
127.0.0.1:2122        failed     ftp         0        0 B/s port 2122 is in use…
 Transfers (6) ◂ ───────────────────────────────────────────────────────────────
  FILE                           SIZE   %         RATE            STATE
↓ /home/bob/report.pdf        9.0 MiB  22        0 B/s ▁          stalled 28 s
↑ /srv/ba…26-11-26.tar.zst  620.0 MiB  71   11.0 MiB/s ▄▂▃▅▇██▇▇▇ 16 s left
↓ /pub/im…-amd64-DVD-1.iso    3.7 GiB  37   41.0 MiB/s ▆▇▇█▇▆▅▆▇█ 57 s left
 Failures (2) ──────────────────────────────────────────────────────────────────
TIME      CAUSED BY  TIMES WHAT FAILED
12:24:57Z ssh            4 connection refused at 192.0.2.7:2222: check that the…
12:23:44Z ssh            1 the transfer of /srv/media/video.mkv was cut: the SS…
 Log (4) ───────────────────────────────────────────────────────────────────────
12:24:00Z INFO  configuration applied generation=2
12:24:57Z WARN  not connected profile=backup: connection refused at 192.0.2.7:2…
? help  q quit  Tab pane  Enter details  / filter  s sort  x close  c connect
"#]]
    );
}

#[test]
fn a_small_terminal_shows_one_pane() {
    let mut model = model(LOOK);
    assert_data_eq!(
        text(&model, 40, 12),
        str![[r#"
brokerd 0.1.0, process 4711    12:25:14Z
 Prof  Tunn [Transfers] Fail  Log ──────
  FILE                  % STATE
↓ /home/…b/report.pdf  22 stalled 28 s
↑ /srv/b…1-26.tar.zst  71 16 s left
↓ /pub/i…64-DVD-1.iso  37 57 s left
↓ /srv/m…ia/video.mkv   5 cut
↑ /home/…/minutes.odt 100 complete
≡ /home/alice             complete


? help  q quit  Tab pane  Enter details
"#]]
    );
    press(&mut model, KeyCode::BackTab);
    assert_data_eq!(
        text(&model, 40, 12),
        str![[r#"
brokerd 0.1.0, process 4711    12:25:14Z
 Prof [Tunnels] Tran  Fail  Log ────────
LISTENS ON            STATE
127.0.0.1:2121        listening
127.0.0.1:1080        listening
127.0.0.1:2122        failed





? help  q quit  Tab pane  Enter details
"#]]
    );
}

#[test]
fn a_large_terminal_has_two_columns_and_more_of_each_row() {
    assert_data_eq!(
        text(&model(LOOK), 170, 24),
        str![[r#"
broker-ctl top  brokerd 0.1.0, process 4711                                                                               3 sessions  ↓ 41.0 MiB/s ↑ 11.0 MiB/s  12:25:14Z
 Profiles (3) ────────────────────────────────────────────────────────────────────────────────────────  Failures (2) ─────────────────────────────────────────────────────
NAME         STATE            CONNS TUNNELS SERVER                       LAST ERROR                    TIME      CAUSED BY  TIMES WHAT FAILED
archive      not connected        0       0 alice@archive.example.org                                  12:24:57Z ssh            4 connection refused at 192.0.2.7:2222: c…
backup       retry in 6 s         0       1 backup@backup.example.net#2… connection refused at 192.0.… 12:23:44Z ssh            1 the transfer of /srv/media/video.mkv wa…
files        connected            4       2 alice@files.example.com                                     Log (4) ──────────────────────────────────────────────────────────
 Tunnels (3) ───────────────────────────────────────────────────────────────────────────────────────── 12:23:30Z INFO  transfer complete path=/home/alice/minutes.odt use…
LISTENS ON            STATE      KIND  CLIENTS         RATE THROUGH        TO                          12:23:44Z WARN  transfer failed: 426 Data connection lost path=/sr…
127.0.0.1:2121        listening  ftp         2   52.0 MiB/s files          localhost:21                12:24:00Z INFO  configuration applied generation=2
127.0.0.1:1080        listening  socks       1        0 B/s files          as the client asks          12:24:57Z WARN  not connected profile=backup: connection refused a…
127.0.0.1:2122        failed     ftp         0        0 B/s backup         port 2122 is in use by pro…
 Transfers (6) ◂ ─────────────────────────────────────────────────────────────────────────────────────
  FILE                                                 SIZE   %         RATE            STATE
↓ /home/bob/report.pdf                              9.0 MiB  22        0 B/s ▁          stalled 28 s
↑ /srv/backup/backup-2026-11-26.tar.zst           620.0 MiB  71   11.0 MiB/s ▄▂▃▅▇██▇▇▇ 16 s left
↓ /pub/images/debian-13.1.0-amd64-DVD-1.iso         3.7 GiB  37   41.0 MiB/s ▆▇▇█▇▆▅▆▇█ 57 s left
↓ /srv/media/video.mkv                            700.0 MiB   5    9.0 MiB/s            cut
↑ /home/alice/minutes.odt                         412.0 KiB 100    2.7 MiB/s            complete
≡ /home/alice                                       1.8 KiB       59.6 KiB/s            complete




? help  q quit  Tab pane  Enter details  / filter  s sort  x close  c connect  p pause
"#]]
    );
}

#[test]
fn ascii_is_enough() {
    let ascii = Look {
        ascii: true,
        colour: false,
    };
    let mut model = model(ascii);
    assert_data_eq!(
        text(&model, 80, 24),
        str![[r#"
brokerd 0.1.0, process 4711             down 41.0 MiB/s up 11.0 MiB/s  12:25:14Z
 Profiles (3) ------------------------------------------------------------------
NAME         STATE            CONNS TUNNELS LAST ERROR
archive      not connected        0       0
backup       retry in 6 s         0       1 connection refused at 192.0.2.7:222~
files        connected            4       2
 Tunnels (3) -------------------------------------------------------------------
LISTENS ON            STATE      KIND  CLIENTS         RATE TO
127.0.0.1:2121        listening  ftp         2   52.0 MiB/s localhost:21
127.0.0.1:1080        listening  socks       1        0 B/s as the client asks
127.0.0.1:2122        failed     ftp         0        0 B/s port 2122 is in use~
 Transfers (6) < ---------------------------------------------------------------
  FILE                           SIZE   %         RATE            STATE
v /home/bob/report.pdf        9.0 MiB  22        0 B/s _          stalled 28 s
^ /srv/ba~26-11-26.tar.zst  620.0 MiB  71   11.0 MiB/s -.:=*##*** 16 s left
v /pub/im~-amd64-DVD-1.iso    3.7 GiB  37   41.0 MiB/s +**#*+=+*# 57 s left
 Failures (2) ------------------------------------------------------------------
TIME      CAUSED BY  TIMES WHAT FAILED
12:24:57Z ssh            4 connection refused at 192.0.2.7:2222: check that the~
12:23:44Z ssh            1 the transfer of /srv/media/video.mkv was cut: the SS~
 Log (4) -----------------------------------------------------------------------
12:24:00Z INFO  configuration applied generation=2
12:24:57Z WARN  not connected profile=backup: connection refused at 192.0.2.7:2~
? help  q quit  Tab pane  Enter details  / filter  s sort  x close  c connect
"#]]
    );
    press(&mut model, KeyCode::Enter);
    assert!(text(&model, 80, 24).is_ascii());
}

#[test]
fn details_have_all_that_is_known() {
    let mut model = model(LOOK);
    press(&mut model, KeyCode::Enter);
    assert_data_eq!(
        text(&model, 80, 24),
        str![[r#"
brokerd 0.1.0, process 4711     3 sessions  ↓ 41.0 MiB/s ↑ 11.0 MiB/s  12:25:14Z
 Profiles (3) ──────────────────────────────────────────────────────────────────
NAME         STATE            CONNS TUNNELS LAST ERROR
ar┌ Transfers ───────────────────────────────────────────────────────────────┐
ba│Transfer     19                                                           │2…
fi│Command      RETR report.pdf                                              │
 T│Path         /home/bob/report.pdf                                         │──
LI│Direction    download                                                     │
12│State        stalled 28 s                                                 │
12│Bytes        2.0 MiB                                                      │
12│Size         9.0 MiB                                                      │e…
 T│Rate         0 B/s                                                        │──
  │Began        12:24:35Z                                                    │
↓ │Time         25 s                                                         │
↑ │Client       127.0.0.1:50000                                              │
↓ │FTP user     alice                                                        │
 F│FTP server   localhost:21                                                 │──
TI│Through      files                                                        │
12│Session      13                                                           │e…
12│▁                                                                         │S…
 L└──────────────────────────────────────────────────────────────────────────┘──
12:24:00Z INFO  configuration applied generation=2
12:24:57Z WARN  not connected profile=backup: connection refused at 192.0.2.7:2…
? help  q quit  Tab pane  Enter details  / filter  s sort  x close  c connect
"#]]
    );
    press(&mut model, KeyCode::Esc);
    type_keys(&mut model, "4");
    press(&mut model, KeyCode::Enter);
    assert_data_eq!(
        text(&model, 60, 16),
        str![[r#"
broker-ctl top  brokerd 0.1.0, process 4711        12:25:14Z
 Prof  Tunn  Tran [Failures] Log ───────────────────────────
TI┌ Failures ────────────────────────────────────────────┐
12│Tunnel       3, 127.0.0.1:2122                        │:…
12│Last at      12:24:57Z                                │o…
  │Times        4                                        │
  │Caused by    ssh                                      │
  │Reason       refused                                  │
  │Works again  no                                       │
  │What failed  connection refused at 192.0.2.7:2222:    │
  │             check that the SSH server runs and       │
  │             listens there                            │
  └──────────────────────────────────────────────────────┘


? help  q quit  Tab pane  Enter details  / filter  s sort
"#]]
    );
}

#[test]
fn the_help_fits_into_80_columns() {
    let mut model = model(LOOK);
    type_keys(&mut model, "?");
    assert_data_eq!(
        text(&model, 80, 24),
        str![[r#"
brokerd 0.1.0, process 4711     3 sessions  ↓ 41.0 MiB/s ↑ 11.0 MiB/s  12:25:14Z
 Profiles (3) ──────────────────────────────────────────────────────────────────
NAME         STATE            CONNS TUNNELS LAST ERROR
archive      not connected        0       0
backup       retry in 6 s         0       1 connection refused at 192.0.2.7:222…
fi┌ Keys ────────────────────────────────────────────────────────────────────┐
 T│Tab, Shift-Tab  the next pane, the one before                             │──
LI│1 to 5          a pane by its place                                       │
12│Up, Down, j, k  select a row; also PgUp, PgDn, Home, End                  │
12│Enter           all that is known of the selected row                     │
12│/               show only rows with a text, in all panes; Esc: all rows   │e…
 T│s               sort the pane in another order                            │──
  │z               show this pane alone, or all panes                        │
↓ │x               close the selected tunnel, cut the transfer, or close the │
↑ │                SSH connections of the profile; asks first                │
↓ │c               connect the selected profile                              │
 F│p               pause the screen, or continue                             │──
TI│q, Ctrl-C       end; the daemon continues                                 │
12└──────────────────────────────────────────────────────────────────────────┘e…
12:23:44Z ssh            1 the transfer of /srv/media/video.mkv was cut: the SS…
 Log (4) ───────────────────────────────────────────────────────────────────────
12:24:00Z INFO  configuration applied generation=2
12:24:57Z WARN  not connected profile=backup: connection refused at 192.0.2.7:2…
? help  q quit  Tab pane  Enter details  / filter  s sort  x close  c connect
"#]]
    );
}

#[test]
fn a_question_comes_before_what_does_harm() {
    let mut model = model(LOOK);
    type_keys(&mut model, "x");
    assert_data_eq!(
        text(&model, 80, 24),
        str![[r#"
brokerd 0.1.0, process 4711     3 sessions  ↓ 41.0 MiB/s ↑ 11.0 MiB/s  12:25:14Z
 Profiles (3) ──────────────────────────────────────────────────────────────────
NAME         STATE            CONNS TUNNELS LAST ERROR
archive      not connected        0       0
backup       retry in 6 s         0       1 connection refused at 192.0.2.7:222…
files        connected            4       2
 Tunnels (3) ───────────────────────────────────────────────────────────────────
LISTENS ON            STATE      KIND  CLIENTS         RATE TO
127.0.0.1:2121        listening  ftp         2   52.0 MiB/s localhost:21
127.0.0.1:1080        listening  socks       1        0 B/s as the client asks
12┌ Are you sure? ───────────────────────────────────────────────────────────┐e…
 T│Cut the transfer of /home/bob/report.pdf? Its client learns that it failed│──
  │y: yes   any other key: no                                                │
↓ └──────────────────────────────────────────────────────────────────────────┘
↑ /srv/ba…26-11-26.tar.zst  620.0 MiB  71   11.0 MiB/s ▄▂▃▅▇██▇▇▇ 16 s left
↓ /pub/im…-amd64-DVD-1.iso    3.7 GiB  37   41.0 MiB/s ▆▇▇█▇▆▅▆▇█ 57 s left
 Failures (2) ──────────────────────────────────────────────────────────────────
TIME      CAUSED BY  TIMES WHAT FAILED
12:24:57Z ssh            4 connection refused at 192.0.2.7:2222: check that the…
12:23:44Z ssh            1 the transfer of /srv/media/video.mkv was cut: the SS…
 Log (4) ───────────────────────────────────────────────────────────────────────
12:24:00Z INFO  configuration applied generation=2
12:24:57Z WARN  not connected profile=backup: connection refused at 192.0.2.7:2…
? help  q quit  Tab pane  Enter details  / filter  s sort  x close  c connect
"#]]
    );
}

#[test]
fn a_daemon_that_has_ended_is_shown_as_it_was() {
    let mut model = model(LOOK);
    model.hear(Heard::Down("it has ended the connection".to_owned()));
    let shown = text(&model, 80, 24);
    assert!(shown.starts_with("broker-ctl top  no daemon  "), "{shown}");
    let header = shown.lines().next().unwrap();
    assert!(!header.contains("session"), "{header}");
    assert!(!header.contains("/s"), "{header}");
    let notice = "The daemon does not answer: it has ended the connection; trying again";
    assert!(shown.contains(notice), "{shown}");
    assert!(shown.contains("-amd64-DVD-1.iso"), "{shown}");
}

#[test]
fn a_prompt_that_waits_is_announced_until_it_is_answered() {
    let mut model = model(LOOK);
    let mut event = broker_ipc::types::Event::new(41, 0, EventKind::PromptWaiting);
    let prompt = r#"{"id":1,"kind":"password","message":"m","fields":[],"fingerprint":null,"seconds_left":9}"#;
    event.prompt = Some(serde_json::from_str(prompt).unwrap());
    hear(&mut model, event.clone());
    let notice = "A prompt waits for an answer: run broker-ctl auth-handler in another terminal";
    assert!(text(&model, 80, 24).contains(notice));
    event.kind = EventKind::PromptAnswered;
    hear(&mut model, event);
    assert!(!text(&model, 80, 24).contains("prompt"));
}

#[test]
fn no_size_is_too_small() {
    let mut model = model(LOOK);
    for overlay in [None, Some('?'), Some('x')] {
        if let Some(key) = overlay {
            model.overlay = None;
            type_keys(&mut model, &key.to_string());
        }
        for width in [1, 2, 3, 12, 29, 30, 31, 44] {
            for height in [1, 2, 3, 4, 7, 13] {
                text(&model, width, height);
            }
        }
    }
    text(&Model::new(LOOK, 0), 80, 24);
}

#[test]
fn a_file_name_cannot_steer_the_terminal() {
    let mut model = model(LOOK);
    let (world, _) = model.shown();
    let mut it = world.transfers[&17].it.clone();
    it.path = Some("/pub/\u{1b}[2J\u{9b}evil".to_owned());
    hear(&mut model, super::sample::progress(0, &it));
    let shown = text(&model, 80, 24);
    assert!(shown.contains(r"/pub/\u{1b}[2J"), "{shown}");
    assert!(!shown.contains(['\u{1b}', '\u{9b}']), "{shown}");
}
