//! FTP servers with habits of their own: what they do passes as it came, and no habit makes a lie of a cut.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use testkit::ftp_client::FtpClient;
use testkit::peer::FtpFiles;
use testkit::quirky_ftp::{Noop, Quirks, Success};

use crate::support::quirky::{HALF, Quirky, hear, promptly};
use crate::support::trial;

/// Lines of a server's.
type Lines = &'static [&'static str];

const MODES: [&str; 2] = ["EPSV", "EPRT"];

/// What the server says to a NOOP.
const NOOP: &str = "200 Nothing done";

/// Some servers look at a file for long before they call it stored.
const LATE: Duration = Duration::from_secs(2);

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for mode in MODES {
        for (what, quirks) in habits() {
            let name = format!("server quirks: {what}, whole transfers by {mode}");
            let whole = quirks.clone();
            trials.push(trial(name, &[], move || whole_transfers(whole, mode)));
            let name = format!("server quirks: {what}, upload by {mode}, cut");
            trials.push(trial(name, &[], move || cut_upload(quirks, mode)));
        }
        for (what, done, meanwhile) in MEANWHILE {
            let name = format!("server quirks: {what}, upload by {mode}");
            let test = move || pipelined(done, meanwhile, mode, false);
            trials.push(trial(name, &[], test));
            let name = format!("server quirks: {what}, upload by {mode}, cut");
            let test = move || pipelined(done, meanwhile, mode, true);
            trials.push(trial(name, &[], test));
        }
        let name = format!("server quirks: a client that half-closes, download by {mode}");
        trials.push(trial(name, &[], move || half_closing_client(mode)));
        for noop in [Noop::Now, Noop::Before, Noop::After, Noop::Never] {
            for cut in [false, true] {
                let end = if cut { ", cut" } else { "" };
                let name = format!("server quirks: NOOP answered {noop:?}, upload by {mode}{end}");
                trials.push(trial(name, &[], move || noops(noop, mode, cut)));
            }
        }
    }
    trials
}

/// Each habit of a server's by itself.
fn habits() -> Vec<(&'static str, Quirks)> {
    let usual = Quirks::default;
    let starts = |start| Quirks { start, ..usual() };
    let ends = |done| Quirks { done, ..usual() };
    let succeeds = |success| Quirks { success, ..usual() };
    let host = Some(Ipv4Addr::new(192, 0, 2, 7));
    vec![
        ("no habit", usual()),
        (
            "150- lines ended by 125",
            starts(&["150-Note", "125 Opening"]),
        ),
        (
            "553- lines ended by 150",
            starts(&["553-", "553- Directory excluded (precheck).", "150 Opening"]),
        ),
        (
            "200- lines ended by 150",
            starts(&["200-Note", "150 Opening"]),
        ),
        (
            "150- lines that never end",
            starts(&["150-Opening", "150-more"]),
        ),
        ("no 150", starts(&[])),
        ("completed by 250", ends(&["250 Stored"])),
        ("completed by 200", ends(&["200 OK, stored"])),
        (
            "226 of several lines",
            ends(&["226-Stored", " in full", "226 and well"]),
        ),
        ("226 before the data", succeeds(Success::BeforeData)),
        ("226 long after the data", succeeds(Success::Late(LATE))),
        (
            "PASS answered 220",
            Quirks {
                login: "220 Hello again",
                ..usual()
            },
        ),
        (
            "PASS answered 202",
            Quirks {
                login: "202 No need",
                ..usual()
            },
        ),
        (
            "227 that names nobody's host",
            Quirks {
                passive_host: host,
                ..usual()
            },
        ),
        (
            "half-closed uploads",
            Quirks {
                half_closes: true,
                ..usual()
            },
        ),
        (
            "data sockets kept open",
            Quirks {
                keeps_data_socket: true,
                ..usual()
            },
        ),
    ]
}

/// An upload's success, and a command that waits behind it, with the same code as its answer or with another.
const MEANWHILE: [(&str, Lines, (&str, &str)); 3] = [
    (
        "200 while a NOOP waits",
        &["200 OK, stored"],
        ("NOOP", NOOP),
    ),
    (
        "250 while a CWD waits",
        &["250 Stored"],
        ("CWD /", "250 Directory changed"),
    ),
    (
        "226 while a STAT waits",
        &["226 Stored"],
        ("STAT", "502 Not known here"),
    ),
];

/// The mode as the server's habit can be seen in it: only a 227 names a host.
fn visible<'a>(quirks: &Quirks, mode: &'a str) -> &'a str {
    match mode {
        "EPSV" if quirks.passive_host.is_some() => "PASV",
        _ => mode,
    }
}

async fn whole_transfers(quirks: Quirks, mode: &'static str) -> anyhow::Result<()> {
    let mode = visible(&quirks, mode);
    let done = quirks.done;
    let wait = match quirks.success {
        Success::Late(wait) => wait,
        Success::AfterData | Success::BeforeData => Duration::ZERO,
    };
    let rig = Quirky::start(quirks).await?;
    let mut ftp = rig.login().await?;
    for name in ["a", "b"] {
        let mut data = rig.begin(&mut ftp, mode, &format!("STOR {name}")).await?;
        data.send(HALF).await?;
        // Only on some systems may a client close before the broker has looked at it, as one could without a 150.
        rig.ftp().wait_for_bytes(name, HALF.len()).await?;
        drop(data);
        if !wait.is_zero() {
            rig.ftp().wait_for_line(&format!("< {}", done[0])).await?;
        }
        hear(&mut ftp, done).await.context("STOR")?;
        let stored = rig.ftp().file(name);
        ensure!(stored.as_deref() == Some(HALF), "the server has more");
        let mut data = rig.begin(&mut ftp, mode, &format!("RETR {name}")).await?;
        ensure!(data.rest().await? == HALF, "RETR brought not all");
        hear(&mut ftp, done).await.context("RETR")?;
    }
    in_step(&mut ftp).await
}

async fn cut_upload(quirks: Quirks, mode: &'static str) -> anyhow::Result<()> {
    let mode = visible(&quirks, mode);
    let done = format!("< {}", quirks.done[0]);
    let rig = Quirky::start(quirks).await?;
    let mut ftp = rig.login().await?;
    let _data = rig.half_stored(&mut ftp, mode).await?;
    rig.cut_data();
    // The server takes half of the file for the whole.
    rig.ftp().wait_for_line(&done).await?;
    no_success(&mut ftp).await?;
    in_step(&mut ftp).await
}

/// The next line, which must call nothing complete.
async fn no_success(ftp: &mut FtpClient) -> anyhow::Result<()> {
    let line = promptly(ftp).await?;
    ensure!(
        line.starts_with('4'),
        "an upload that was cut was answered {line:?}"
    );
    Ok(())
}

async fn pipelined(
    done: Lines,
    (command, answer): (&'static str, &'static str),
    mode: &'static str,
    cut: bool,
) -> anyhow::Result<()> {
    let quirks = Quirks {
        done,
        ..Quirks::default()
    };
    let rig = Quirky::start(quirks).await?;
    let mut ftp = rig.login().await?;
    let data = rig.half_stored(&mut ftp, mode).await?;
    ftp.control().send(format!("{command}\r\n")).await?;
    rig.ftp().wait_for_line(&format!("> {command}")).await?;
    if cut {
        rig.cut_data();
        no_success(&mut ftp).await?;
    } else {
        drop(data);
        hear(&mut ftp, done).await?;
    }
    hear(&mut ftp, &[answer]).await?;
    in_step(&mut ftp).await
}

/// Three NOOPs keep the session alive during an upload.
async fn noops(noop: Noop, mode: &'static str, cut: bool) -> anyhow::Result<()> {
    let quirks = Quirks {
        noop,
        ..Quirks::default()
    };
    let done = quirks.done;
    let rig = Quirky::start(quirks).await?;
    let mut ftp = rig.login().await?;
    let data = rig.half_stored(&mut ftp, mode).await?;
    ftp.control().send("NOOP\r\nNOOP\r\nNOOP\r\n").await?;
    let answers = [NOOP; 3];
    rig.ftp().wait_for_lines("> NOOP", answers.len()).await?;
    if noop == Noop::Now {
        hear(&mut ftp, &answers).await?;
    }
    if cut {
        rig.cut_data()
    } else {
        drop(data)
    }
    let before = if noop == Noop::Before {
        &answers[..]
    } else {
        &[]
    };
    if cut {
        // A success that may be the upload's is its failure, also where it is meant for a NOOP.
        no_success(&mut ftp).await?;
        if let [_, others @ ..] = before {
            hear(&mut ftp, others).await?;
            no_success(&mut ftp).await?;
        }
    } else {
        hear(&mut ftp, before).await?;
        hear(&mut ftp, done).await?;
    }
    if noop == Noop::After {
        hear(&mut ftp, &answers).await?;
    }
    in_step(&mut ftp).await
}

/// The client has nothing to give, and says so before the server has given anything.
async fn half_closing_client(mode: &'static str) -> anyhow::Result<()> {
    let rig = Quirky::start(Quirks::default()).await?;
    rig.ftp().put("file", &HALF.repeat(20))?;
    let mut ftp = rig.login().await?;
    let mut data = rig.begin(&mut ftp, mode, "RETR file").await?;
    data.finish().await?;
    ensure!(
        data.rest().await? == HALF.repeat(20),
        "RETR brought not all"
    );
    hear(&mut ftp, Quirks::default().done).await?;
    in_step(&mut ftp).await
}

/// The next reply is the one asked for.
async fn in_step(ftp: &mut FtpClient) -> anyhow::Result<()> {
    ftp.control().send("PWD\r\n").await?;
    hear(ftp, &[r#"257 "/" is the directory"#]).await
}
