//! One round: a transfer, its cut, what became of it, what is left, and the transfer after it

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::client::{Client, Hold, Manners, Seen};
use super::fault::{Cut, Server};
use super::peers::{ChaosPeers, Targets};
use super::plan::Plan;
use super::quiet::{self, Baseline};
use super::transfer::{
    Deed, Direction, Interruption, Moment, Progress, Step, Transfer, Urgency, Verb,
};

/// Longer than the broker waits for anything it may wait for while a transfer hangs.
const TRANSFER_LIMIT: Duration = Duration::from_secs(60);
/// Longer than keepalives take to notice that a line is dead.
const SILENCE: Duration = Duration::from_secs(5);
/// A plain transfer takes milliseconds.
const NEXT_LIMIT: Duration = Duration::from_secs(20);

/// How the cut transfer ended for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// A success, and an orderly end of the data.
    Complete,
    /// A success, but its data connection failed.
    SuccessOnFailedData,
    /// A reply of 400 or above.
    Refused,
    /// No reply: the control connection failed or ended.
    Broken,
    /// The client itself left.
    Left,
}

/// What came out of a round.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) ending: Ending,
    /// A transfer reported complete whose file is not.
    pub(super) short: Option<String>,
    /// What was left over.
    pub(super) leaks: Vec<String>,
    /// What else went wrong: a hang, an uncut transfer that failed, a next one that did.
    pub(super) faults: Vec<String>,
    pub(super) seen: Seen,
    /// From the first byte to the end of the transfer, cut or not.
    pub(super) transfer_took: Duration,
    pub(super) took: Duration,
}

impl Outcome {
    pub(super) fn is_good(&self) -> bool {
        self.short.is_none() && self.leaks.is_empty() && self.faults.is_empty()
    }
}

/// Plays a round. `content` is what files are cut from.
///
/// # Errors
/// When the peers fail in a way that says nothing about the broker.
pub(super) async fn play(
    peers: &mut ChaosPeers,
    baseline: Baseline,
    plan: &Plan,
    content: &[u8],
) -> Result<Outcome> {
    let began = Instant::now();
    let mut faults = Vec::new();
    peers.find_tunnels().await?;
    let name = format!("file-{}", plan.number);
    let cut = plan.fault.cut;
    peers.prepare(plan);
    let file = File::new(peers, &name, plan.fault.server, &plan.transfer, content)?;

    let (progress, watched) = watch::channel(Progress::default());
    let (release, hold) = hold(plan);
    let tunnel = peers.tunnel(plan.relayed, plan.fault.server);
    let mut client = Client::new(tunnel, progress, manners(plan, hold, peers.remote));
    let played = transfer_and_cut(peers, plan, &file, &mut client, watched, release);
    let left = match timeout(TRANSFER_LIMIT, played).await {
        Ok(Ok(left)) => left,
        Ok(Err(error)) => {
            faults.push(format!("{error:#}"));
            false
        }
        Err(_) => {
            faults.push(format!("the transfer hangs: no end in {TRANSFER_LIMIT:?}"));
            false
        }
    };
    let seen = std::mem::take(&mut client.seen);
    drop(client);
    let ending = if left { Ending::Left } else { ending(&seen) };
    let transfer_took = began.elapsed();
    let short = if believes(plan, &seen, peers.remote) {
        file.difference(peers, &seen)?
    } else {
        None
    };
    faults.extend(unexpected(plan, &seen));
    if peers.broker.log().contains("panicked") {
        faults.push("a task of the daemon panicked".to_owned());
    }
    peers.heal(cut).await?;
    let new_daemon = cut.ends_the_daemon();
    if new_daemon {
        // It holds what the baseline counts only once it has carried something.
        faults.extend(next(peers, plan, content).await?);
    }
    let leaks = quiet::after_round(peers, baseline).await?;
    if !new_daemon && faults.is_empty() && leaks.is_empty() {
        faults.extend(next(peers, plan, content).await?);
    }
    file.remove(peers);
    Ok(Outcome {
        ending,
        short,
        leaks,
        faults,
        seen,
        transfer_took,
        took: began.elapsed(),
    })
}

/// A plain transfer on both tunnels, so that a daemon has done everything once.
///
/// # Errors
/// When one fails.
pub(super) async fn warm_up(peers: &mut ChaosPeers, plan: &Plan, content: &[u8]) -> Result<()> {
    for relayed in [false, true] {
        let plan = plan.warm_up(relayed);
        let fault = next(peers, &plan, content).await?;
        anyhow::ensure!(fault.is_none(), "{}", fault.unwrap_or_default());
    }
    Ok(())
}

/// The transfer after the cut. Returns what is wrong with it.
async fn next(peers: &mut ChaosPeers, plan: &Plan, content: &[u8]) -> Result<Option<String>> {
    peers.find_tunnels().await?;
    let name = format!("next-{}", plan.number);
    let server = plan.fault.server;
    let file = File::new(peers, &name, server, &plan.next, content)?;
    let (progress, _) = watch::channel(Progress::default());
    let tunnel = peers.tunnel(plan.relayed, server);
    let mut client = Client::new(tunnel, progress, Manners::default());
    let ended = timeout(
        NEXT_LIMIT,
        client.run(&file.transfer, &file.name, file.content),
    );
    let hangs = ended.await.is_err();
    let seen = std::mem::take(&mut client.seen);
    let fault = if hangs {
        Some("the next transfer hangs".to_owned())
    } else if !seen.is_complete() {
        Some("the next transfer fails".to_owned())
    } else {
        file.difference(peers, &seen)?
            .map(|short| format!("the next transfer: {short}"))
    };
    file.remove(peers);
    Ok(fault.map(|fault| {
        let (data, lost) = (&seen.data_end, &seen.lost);
        format!(
            "{fault}: data {data:?}, lost {lost:?}\n  {}",
            seen.transcript.join("\n  ")
        )
    }))
}

/// Whether the client believes that the file is whole. A reset shows a failure too, but nobody cuts what the broker has
/// called a success; a client that itself wanted no more of a download is another matter. So is one that resets its upload
/// through a remote tunnel: sshd reports that as an orderly end.
fn believes(plan: &Plan, seen: &Seen, remote: bool) -> bool {
    let is_reset = matches!(plan.fault.cut, Cut::ClientData | Cut::BoxResets);
    if remote && is_reset && plan.transfer.direction() == Direction::Upload {
        return false;
    }
    let gave_up = matches!(plan.fault.cut, Cut::ClientData | Cut::Abort)
        && plan.transfer.direction() == Direction::Download;
    // A listing is asked for where it must be refused, and is compared with nothing.
    let is_compared = plan.transfer.verb != Verb::List;
    is_compared && (seen.is_complete() || (seen.has_success() && !gave_up))
}

/// What must not be heard of this transfer, or must be.
fn unexpected(plan: &Plan, seen: &Seen) -> Option<String> {
    let cut = plan.fault.cut;
    if cut.is_harmless() && !plan.transfer.may_be_too_quick() && !seen.is_complete() {
        return Some("a transfer that nobody cut did not complete".to_owned());
    }
    if cut == Cut::ClientRefuses && seen.answer.is_none_or(|code| code < 400) {
        return Some("a transfer without a data connection was not refused".to_owned());
    }
    // The replies to the transfer, to ABOR and to QUIT come, and no others.
    let lost = seen.lost.as_ref().filter(|_| cut == Cut::Abort);
    lost.map(|lost| format!("the session did not survive the ABOR: {lost}"))
}

fn manners(plan: &Plan, hold: Option<Hold>, remote: bool) -> Manners {
    let passed = match (plan.fault.cut, plan.moment) {
        (Cut::BoxResets, Moment::Bytes(bytes)) => Some(bytes as u64),
        _ => None,
    };
    Manners {
        hold,
        interruption: plan.interruption.map(|it| Interruption {
            deed: within_reach(it.deed, remote),
            ..it
        }),
        stops_reading: plan.coin,
        refuses: plan.fault.cut == Cut::ClientRefuses,
        box_resets_after: passed,
    }
}

/// sshd drops the byte that a client sends as urgent data. Where that is the end of the line, no ABOR arrives.
fn within_reach(deed: Deed, remote: bool) -> Deed {
    let is_lost = remote && deed == Deed::Abort(Urgency::Urgent);
    if is_lost {
        Deed::Abort(Urgency::Plain)
    } else {
        deed
    }
}

/// Where the client is to stand still, and who lets it go on.
fn hold(plan: &Plan) -> (watch::Sender<bool>, Option<Hold>) {
    let (release, released) = watch::channel(false);
    let hold = match (plan.hold, plan.moment) {
        (Some(_), Moment::Bytes(at)) => Some(Hold { at, released }),
        _ => None,
    };
    (release, hold)
}

/// Returns whether the client left.
async fn transfer_and_cut(
    peers: &mut ChaosPeers,
    plan: &Plan,
    file: &File<'_>,
    client: &mut Client,
    watched: watch::Receiver<Progress>,
    release: watch::Sender<bool>,
) -> Result<bool> {
    if matches!(plan.fault.cut, Cut::ClientGone | Cut::ClientData) {
        return Ok(cut_by_client(client, plan, file, watched).await);
    }
    let run = client.run(&file.transfer, &file.name, file.content);
    let (cut, ()) = tokio::join!(cut_by_others(peers, plan, watched, release), run);
    cut.map(|()| false)
}

/// Returns whether the client left.
async fn cut_by_client(
    client: &mut Client,
    plan: &Plan,
    file: &File<'_>,
    watched: watch::Receiver<Progress>,
) -> bool {
    let finished = tokio::select! {
        biased;
        () = reached(watched, plan.moment) => false,
        () = client.run(&file.transfer, &file.name, file.content) => true,
    };
    if finished {
        return false;
    }
    let leaves = plan.fault.cut == Cut::ClientGone;
    if !leaves {
        client.reset_data().await;
    }
    client.leave(leaves && plan.coin);
    leaves
}

async fn cut_by_others(
    peers: &mut ChaosPeers,
    plan: &Plan,
    watched: watch::Receiver<Progress>,
    release: watch::Sender<bool>,
) -> Result<()> {
    if plan.fault.cut == Cut::Nothing {
        return Ok(());
    }
    // Looking up takes a while, so it is done where nothing moves yet.
    let early = matches!(plan.moment, Moment::Step(step) if step < Step::Offered);
    let mut targets = Targets::default();
    if !early {
        reached(watched.clone(), Moment::Step(Step::Offered)).await;
        targets = peers.look(plan)?;
    }
    reached(watched.clone(), plan.moment).await;
    if early {
        targets = peers.look(plan)?;
    }
    if plan.fault.cut == Cut::AbortAndSshdData {
        let said = |progress: &Progress| progress.interrupted || progress.step == Step::Over;
        let _ = watched.clone().wait_for(said).await;
    }
    if let Some(wait) = plan.hold {
        sleep(wait).await;
    }
    let struck = peers.strike(plan, &targets).await;
    // A receiver that has gone was not held.
    let _ = release.send(true);
    if plan.fault.cut == Cut::DataSilent {
        // The FTP server is not told that its data goes nowhere, and answers when the line is back.
        let over = reached(watched, Moment::Step(Step::Over));
        let _ = timeout(SILENCE, over).await;
        peers.end_silence();
    }
    struck
}

/// Returns at the moment, or when the client is through.
async fn reached(mut watched: watch::Receiver<Progress>, moment: Moment) {
    let come = |progress: &Progress| moment.has_come(*progress);
    // The sender goes when the client does.
    let _ = watched.wait_for(come).await;
    if let Moment::After(wait) = moment {
        let over = watched.wait_for(|progress| progress.step == Step::Over);
        let _ = timeout(wait, over).await;
    }
}

fn ending(seen: &Seen) -> Ending {
    match seen.answer {
        _ if seen.is_complete() => Ending::Complete,
        _ if seen.has_success() => Ending::SuccessOnFailedData,
        Some(_) => Ending::Refused,
        None => Ending::Broken,
    }
}

/// The file of one transfer.
struct File<'a> {
    name: String,
    server: Server,
    transfer: Transfer,
    content: &'a [u8],
}

impl<'a> File<'a> {
    /// Puts it where a download finds it.
    fn new(
        peers: &ChaosPeers,
        name: &str,
        server: Server,
        transfer: &Transfer,
        content: &'a [u8],
    ) -> Result<Self> {
        let content = content
            .get(transfer.offset..transfer.offset + transfer.size)
            .context("the file is larger than there is content")?;
        if transfer.direction() == Direction::Download {
            peers.server(server).put(name, content)?;
        }
        Ok(Self {
            name: name.to_owned(),
            server,
            transfer: *transfer,
            content,
        })
    }

    /// How what arrived differs from what was sent.
    fn difference(&self, peers: &ChaosPeers, seen: &Seen) -> Result<Option<String>> {
        let stored;
        let arrived = match self.transfer.direction() {
            Direction::Download => &seen.received,
            Direction::Upload => {
                let file = peers.server(self.server).file(&self.name);
                stored = file.unwrap_or_default();
                &stored
            }
        };
        Ok((arrived != self.content).then(|| {
            let (had, of) = (arrived.len(), self.content.len());
            format!("reported complete with {had} of {of} bytes")
        }))
    }

    fn remove(&self, peers: &ChaosPeers) {
        peers.server(self.server).remove(&self.name);
    }
}
