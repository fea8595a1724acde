//! `broker-ctl top` on a real terminal, before a daemon that works.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use rustix::process::Signal;
use testkit::broker::{Broker, ctl_command};
use testkit::client;
use testkit::terminal::{Terminal, vt100};

use crate::ctl::download;
use crate::support::fixture::{SOON, embedded};
use crate::support::{Need, trial};

const NEEDS: &[Need] = &[Need::Program("setsid")];

/// The keys that are no characters.
const ENTER: &str = "\r";
const ESCAPE: &str = "\x1b";
const CTRL_C: &str = "\x03";
const CTRL_Z: &str = "\x1a";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("top: a transfer on the whole screen", NEEDS, whole_screen),
        trial("top: a transfer is cut by a key", NEEDS, cut),
        trial("top: filter, order and details", NEEDS, keys),
        trial("top: the terminal gets another size", NEEDS, resized),
        trial("top: a profile is connected by a key", NEEDS, connected),
        trial("top: the daemon ends and comes back", NEEDS, daemon_ends),
        trial("top: a signal restores the terminal", NEEDS, signalled),
        trial("top: suspended and continued", NEEDS, suspended),
        trial("top: without colours, in ASCII", NEEDS, plain),
        trial("top: without a terminal", &[], no_terminal),
        trial("top: a terminal without a cursor", NEEDS, dumb),
    ]
}

fn command(broker: &Broker, arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = ctl_command(&broker.socket(), &[&["top"], arguments].concat())?;
    command.env("TERM", "xterm-256color");
    Ok(command)
}

/// The screen of a daemon, once it shows the daemon's state.
async fn top(broker: &Broker) -> anyhow::Result<Terminal> {
    let top = Terminal::spawn_sized(&command(broker, &[])?, 80, 24)?;
    shows(&top, "Profiles (1)").await?;
    Ok(top)
}

async fn shows(top: &Terminal, text: &str) -> anyhow::Result<()> {
    let shown = |screen: &vt100::Screen| screen.contents().contains(text);
    let shown = top.displays(shown, SOON).await;
    shown
        .map(drop)
        .with_context(|| format!("expected {text:?}"))
}

async fn hides(top: &Terminal, text: &str) -> anyhow::Result<()> {
    let hidden = |screen: &vt100::Screen| !screen.contents().contains(text);
    let hidden = top.displays(hidden, SOON).await;
    hidden
        .map(drop)
        .with_context(|| format!("expected no {text:?}"))
}

/// Ends it by a key. The terminal is as it was before.
async fn quit(mut top: Terminal, key: &str) -> anyhow::Result<()> {
    top.press(key)?;
    let status = top.wait(SOON).await?;
    ensure!(status.success(), "{status}");
    restored(&top)
}

fn restored(top: &Terminal) -> anyhow::Result<()> {
    let screen = top.display()?;
    ensure!(!screen.alternate_screen(), "{}", screen.contents());
    ensure!(!screen.hide_cursor(), "the cursor is hidden");
    ensure!(top.echoes()?, "the terminal does not show what is typed");
    Ok(())
}

/// A screen without what differs from run to run: numbers, units of sizes, the bars of graphs, and the widths of gaps.
fn masked(screen: &str) -> String {
    let mut masked = String::new();
    for line in screen.lines() {
        let words = line.split_whitespace().filter(|word| !is_graph(word));
        let words: Vec<String> = words.map(mask).collect();
        if !words.is_empty() {
            masked.push_str(&words.join(" "));
            masked.push('\n');
        }
    }
    masked
}

fn is_graph(word: &str) -> bool {
    word.chars().all(|c| ('\u{2581}'..='\u{2588}').contains(&c))
}

/// Digits, however many, become one sign.
fn mask(word: &str) -> String {
    const UNITS: [&str; 8] = ["B", "KiB", "MiB", "GiB", "B/s", "KiB/s", "MiB/s", "GiB/s"];
    if UNITS.contains(&word) {
        return "u".to_owned();
    }
    let mut masked = String::new();
    for c in word.chars() {
        match c.is_ascii_digit() {
            true if masked.ends_with('#') => {}
            true => masked.push('#'),
            false => masked.push(c),
        }
    }
    masked
}

/// The log depends on what the daemon does meanwhile, and has tests of its own.
fn without_log(screen: &str) -> String {
    let log = screen.find(" Log (").unwrap_or(screen.len());
    screen.get(..log).unwrap_or_default().to_owned()
}

async fn whole_screen() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let top = top(&fixture.broker).await?;
    let (_ftp, _data) = download(&fixture).await?;
    // The client reads no further.
    shows(&top, "stalled").await?;
    let settled = |screen: &vt100::Screen| {
        let shown = screen.contents();
        shown.contains("stalled") && shown.contains("connected") && shown.contains("1 session ")
    };
    let screen = top.displays(settled, SOON).await?;
    ensure!(screen.alternate_screen());
    let expected = "\
brokerd #.#.#, process # # session ↓ # u ↑ # u #:#:#Z
Profiles (#) ──────────────────────────────────────────────────────────────────
NAME STATE CONNS TUNNELS LAST ERROR
work connected # #
Tunnels (#) ───────────────────────────────────────────────────────────────────
LISTENS ON STATE KIND CLIENTS RATE TO
#.#.#.#:# listening ftp # # u #.#.#.#:#
Transfers (#) ◂ ───────────────────────────────────────────────────────────────
FILE SIZE % RATE STATE
↓ RETR big file #.# u # u stalled # s
Failures (#) ──────────────────────────────────────────────────────────────────
TIME CAUSED BY TIMES WHAT FAILED
";
    let shown = masked(&without_log(&screen.contents()));
    ensure!(shown.trim_end() == expected.trim_end(), "{shown}");
    let keys = screen.contents();
    let keys = keys.lines().last().unwrap_or_default();
    ensure!(keys.starts_with("? help  q quit  Tab pane"), "{keys}");
    quit(top, "q").await
}

async fn cut() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let top = top(&fixture.broker).await?;
    let (mut ftp, _data) = download(&fixture).await?;
    shows(&top, "big file").await?;
    top.press("x")?;
    shows(&top, "Cut the transfer of RETR big file?").await?;
    top.press("n")?;
    shows(&top, "Nothing was closed").await?;
    top.press("xy")?;
    ftp.reply("426").await?;
    shows(&top, "The transfer of RETR big file is cut").await?;
    shows(&top, " cut ").await?;
    shows(&top, "Failures (1)").await?;

    // The tunnel of the second pane.
    top.press("2xy")?;
    shows(&top, "Tunnels (0)").await?;
    let listed = fixture.broker.list(&["list-tunnel-listeners"]).await?;
    ensure!(listed.is_empty(), "{listed:?}");
    quit(top, CTRL_C).await
}

async fn keys() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let top = top(&fixture.broker).await?;
    let mut ftp = fixture.login().await?;
    ftp.fetch("file").await?;
    ftp.store("stored", b"more").await?;
    shows(&top, "Transfers (2)").await?;
    top.press("/STOR")?;
    shows(&top, "Filter: STOR").await?;
    shows(&top, "Transfers (1 of 2)").await?;
    top.press(ENTER)?;
    top.press(ESCAPE)?;
    shows(&top, "Transfers (2)").await?;
    top.press("s")?;
    shows(&top, "Transfers (2) by rate").await?;
    top.press(ENTER)?;
    shows(&top, "FTP server").await?;
    top.press(ESCAPE)?;
    // Read together, Escape and a character would be Alt and that character.
    hides(&top, "FTP server").await?;
    top.press("?")?;
    shows(&top, "a pane by its place").await?;
    top.press(ENTER)?;
    top.press("p")?;
    shows(&top, "PAUSED").await?;
    ftp.fetch("file").await?;
    top.press("p")?;
    shows(&top, "Transfers (3)").await?;
    quit(top, "q").await
}

async fn resized() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let top = top(&fixture.broker).await?;
    top.resize(40, 12)?;
    shows(&top, " Prof  Tunn [Transfers] Fail  Log ").await?;
    top.press("1")?;
    shows(&top, "[Profiles]").await?;
    top.resize(170, 16)?;
    let two_columns = |screen: &vt100::Screen| {
        let shown = screen.contents();
        let line = shown.lines().nth(1).unwrap_or_default();
        line.contains("Profiles") && line.contains("Failures")
    };
    top.displays(two_columns, SOON).await?;
    quit(top, "q").await
}

async fn connected() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let top = top(&fixture.broker).await?;
    shows(&top, "not connected").await?;
    top.press("1c")?;
    shows(&top, "work is connected").await?;
    top.press("xy")?;
    shows(&top, "The connections of work are closed").await?;
    quit(top, "q").await
}

async fn daemon_ends() -> anyhow::Result<()> {
    let mut fixture = embedded().start().await?;
    let top = top(&fixture.broker).await?;
    fixture.broker.stop(SOON).await?;
    shows(&top, "The daemon does not answer").await?;
    shows(&top, "no daemon").await?;
    shows(&top, "work ").await?;
    fixture.broker.restart(&[]).await?;
    let pid = fixture.broker.process().pid();
    shows(&top, &format!("process {pid}")).await?;
    quit(top, "q").await
}

async fn signalled() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    for (signal, expected) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let mut top = top(&fixture.broker).await?;
        ensure!(!top.echoes()?, "the terminal shows what is typed");
        top.process().signal(signal)?;
        let status = top.wait(SOON).await?;
        ensure!(status.code() == Some(expected), "{status}");
        restored(&top)?;
    }
    Ok(())
}

/// A shell with job control, as people have it.
async fn suspended() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let top = command(&fixture.broker, &[])?;
    let mut shell = Command::new("sh");
    let script = r#"set -m; "$@"; echo shell has it; read line; fg; echo over"#;
    shell.args(["-c", script, "sh"]);
    shell.arg(top.get_program()).args(top.get_args());
    shell.env("TERM", "xterm-256color").env("LC_ALL", "C.UTF-8");
    let mut terminal = Terminal::spawn_sized(&shell, 80, 24)?;
    shows(&terminal, "Profiles (1)").await?;
    terminal.press(CTRL_Z)?;
    shows(&terminal, "shell has it").await?;
    restored(&terminal)?;
    terminal.type_line("")?;
    shows(&terminal, "Profiles (1)").await?;
    ensure!(!terminal.echoes()?, "the terminal shows what is typed");
    terminal.press("q")?;
    shows(&terminal, "over").await?;
    terminal.wait(SOON).await?;
    restored(&terminal)
}

async fn plain() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let mut command = command(&fixture.broker, &["--ascii"])?;
    command.env("NO_COLOR", "1");
    let top = Terminal::spawn_sized(&command, 80, 24)?;
    shows(&top, "listening").await?;
    let screen = top.display()?;
    ensure!(screen.contents().is_ascii(), "{}", screen.contents());
    for (y, x) in (0..24).flat_map(|y| (0..80).map(move |x| (y, x))) {
        let colour = screen.cell(y, x).map(vt100::Cell::fgcolor);
        ensure!(
            colour == Some(vt100::Color::Default),
            "{colour:?} at {x}, {y}"
        );
    }
    quit(top, "q").await
}

async fn no_terminal() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let piped = client::run(command(&fixture.broker, &[])?, Duration::from_secs(20)).await?;
    ensure!(piped.status.code() == Some(1), "{piped:?}");
    ensure!(piped.stderr.contains("run broker-ctl events"), "{piped:?}");
    ensure!(piped.stdout.is_empty(), "{piped:?}");
    Ok(())
}

async fn dumb() -> anyhow::Result<()> {
    let fixture = embedded().start().await?;
    let mut command = command(&fixture.broker, &[])?;
    command.env("TERM", "dumb");
    let mut top = Terminal::spawn_sized(&command, 80, 24)?;
    let status = top.wait(SOON).await?;
    ensure!(status.code() == Some(1), "{status}");
    let shown = top.screen();
    ensure!(
        shown.contains("TERM is \"dumb\": run broker-ctl events"),
        "{shown}"
    );
    ensure!(!shown.contains("\x1b[?1049h"), "{shown:?}");
    Ok(())
}
