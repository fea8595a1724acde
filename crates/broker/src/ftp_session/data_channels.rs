//! The data channels of one session, from start to end, and what the registry shows of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_ipc::Reason;
use ftp_proto::{Announced, DataEnd, DataId, Mode, TransferFacts};
use tokio::sync::{mpsc, watch};
use tracing::Instrument;

use super::data::{self, ControlConnection, DataReport, DataTask, Signals};
use super::record::{self, Began, OverTransfer, TransferEnd};
use crate::events::{Event, Fault, TransferRecord, TransferResult};
use crate::registry::{
    Cause, ChannelEntry, DataEntry, Part, RunningTransfer, SessionEntry, add, drop_one,
};

/// The commands that transfer data (RFC 959 section 4.1.3, RFC 3659 section 7).
const TRANSFERS: [&str; 7] = ["RETR", "STOR", "APPE", "STOU", "LIST", "NLST", "MLSD"];

/// The most active data channels that a session may have open: one for the running transfer, one for the next, and two
/// more for a client that sends commands ahead. Each holds a port and a place on an SSH connection. A busy FTP server
/// answers no `PORT`, so nothing else would limit them. One more can be prepared for a client that has not asked for it.
const MAX_ACTIVE: usize = 4;

/// How long the cause of a failed transfer may take to be known. A data channel that was cut ends within milliseconds; that of
/// a transfer that the server refused lasts as long as the client leaves it open. The host of a killed client needs one round
/// trip to refuse the result of an upload.
const EXPLAINED_WITHIN: Duration = Duration::from_secs(1);

/// How a new data channel is wanted. See [`ftp_proto::Action::Offer`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) open_first: bool,
    pub(super) other_family: bool,
    pub(super) protected: bool,
    pub(super) ahead: bool,
}

/// A data channel as its session knows it.
struct DataChannel {
    entry: Arc<DataEntry>,
    signals: Signals,
    liveness_checks: watch::Sender<u64>,
    /// Whether it was opened before the client asked for it.
    ahead: bool,
    /// Whether its task still runs.
    live: bool,
    /// Whether the server has refused the transfer that it was for. The client can use it for another one.
    refused: bool,
    /// Why it ended, if it carried no whole transfer.
    failure: Option<String>,
}

/// A transfer whose last reply went to the client.
struct EndedTransfer {
    /// If the server had begun it.
    running: Option<(Began, Arc<RunningTransfer>)>,
    id: Option<DataId>,
    transfer: TransferFacts,
    end: TransferEnd,
    /// Why the session was lost, if it was when the end came. What happens to it later explains nothing.
    session_fault: Option<(Fault, Reason)>,
}

/// All data channels of a session that may still matter to it.
pub(super) struct DataChannels {
    control: Arc<ControlConnection>,
    session: Arc<SessionEntry>,
    reports: mpsc::Sender<(DataId, Box<DataReport>)>,
    channels: BTreeMap<u64, DataChannel>,
    /// The transfer that the server has begun and not ended yet.
    running: Option<(Began, Arc<RunningTransfer>)>,
    /// The last transfer, if it has failed while its data channel still runs: how that ends tells why. Also an upload whose
    /// client has ended its side before the result: whether its host takes the result tells whether the client was killed.
    /// With the time until which to wait for that.
    unexplained: Option<(Instant, EndedTransfer)>,
    /// Whose fault it is that the server is lost, and why.
    session_fault: Option<(Fault, Reason)>,
}

impl DataChannels {
    pub(super) fn new(
        control: Arc<ControlConnection>,
        session: Arc<SessionEntry>,
        reports: mpsc::Sender<(DataId, Box<DataReport>)>,
    ) -> Self {
        Self {
            control,
            session,
            reports,
            channels: BTreeMap::new(),
            running: None,
            unexplained: None,
            session_fault: None,
        }
    }

    /// Starts the task of a new data channel.
    ///
    /// # Errors
    /// What to tell the client if the session already has too many.
    pub(super) fn start(
        &mut self,
        id: DataId,
        mode: Mode,
        target: Option<Announced>,
        wanted: Wanted,
    ) -> Result<(), String> {
        // An ended channel was needed only until its transfer's reply, and a new one comes after that.
        self.channels.retain(|_, channel| channel.live);
        if mode == Mode::Active && !wanted.ahead && self.active_offers() >= MAX_ACTIVE {
            return Err(format!(
                "this session has {MAX_ACTIVE} unused data connections open; wait for the replies before you send PORT again"
            ));
        }
        let tunnel = &self.control.tunnel;
        let number = tunnel.registry.new_id();
        let stop = tunnel.shutdown.kill.child_token();
        let channel = DataChannel {
            entry: Arc::new(DataEntry::new(
                ChannelEntry::new(number, tunnel.spec.listens, stop),
                mode,
            )),
            signals: Signals::default(),
            liveness_checks: watch::Sender::new(0),
            ahead: wanted.ahead,
            live: true,
            refused: false,
            failure: None,
        };
        let task = DataTask {
            id,
            control: self.control.clone(),
            tls: self.control.tls.clone().filter(|_| wanted.protected),
            entry: channel.entry.clone(),
            signals: channel.signals.clone(),
            liveness_checks: channel.liveness_checks.subscribe(),
            reports: self.reports.clone(),
            other_family: wanted.other_family,
            target,
            ahead: wanted.ahead,
        };
        let (session, totals) = (self.session.clone(), tunnel.totals.clone());
        let entry = channel.entry.clone();
        session.add_data(entry.clone());
        let working = tunnel.shutdown.working();
        let running = async move {
            let _working = working;
            data::run(task, wanted.open_first).await;
            session.remove_data(number);
            totals.add_traffic(entry.channel.traffic());
        };
        tunnel.shutdown.tasks.spawn(running.in_current_span());
        self.channels.insert(id.0, channel);
        Ok(())
    }

    fn with<T>(&self, id: DataId, act: impl FnOnce(&DataChannel) -> T) {
        self.channels.get(&id.0).map(act);
    }

    /// The active channels of the client to which a server may still connect or is connected.
    fn active_offers(&self) -> usize {
        let counts = |channel: &&DataChannel| {
            channel.live
                && channel.entry.mode == Mode::Active
                && !channel.signals.withdraw.is_cancelled()
                && (!channel.ahead || channel.signals.announce.initialized())
        };
        self.channels.values().filter(counts).count()
    }

    /// The bytes that the channels have carried so far.
    pub(super) fn bytes_moved(&self) -> u64 {
        let carried = self.channels.values().map(|it| it.entry.channel.traffic());
        carried.map(|(up, down)| up + down).sum()
    }

    /// Whether a transfer is in progress: begun and not answered yet, or still carrying bytes.
    pub(super) fn any_transfer(&self) -> bool {
        let carries = |channel: &DataChannel| {
            channel.live && !channel.refused && channel.entry.label().joined.is_some()
        };
        self.running.is_some() || self.channels.values().any(carries)
    }

    /// Whether the server has begun a transfer and not ended it yet.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Records that the server is lost, whose fault that is, and why.
    pub(super) fn session_lost(&mut self, fault: Fault, why: Reason) {
        self.session_fault.get_or_insert((fault, why));
    }

    /// Records that the task of this channel is over.
    pub(super) fn ended(&mut self, id: DataId, end: &DataEnd) {
        if let Some(channel) = self.channels.get_mut(&id.0) {
            channel.live = false;
            channel.failure = match end {
                DataEnd::Cut(reason) => Some(reason.clone()),
                DataEnd::ClientGone(reason) => {
                    let client = Some(Fault::FtpClient);
                    channel.entry.relabel(|label| label.fault = client);
                    Some(reason.clone())
                }
                DataEnd::Complete | DataEnd::Unused => None,
            };
        }
        let failed = self.unexplained.as_ref();
        if failed.is_some_and(|(_, it)| it.id == Some(id)) {
            self.explain();
        }
    }

    /// Why a transfer can no longer succeed now that its channel has ended so, if the server may not notice: the channel
    /// was cut, or the client never came. What a client does to a connection that it has used is between the two ends.
    pub(super) fn why_hopeless<'a>(&self, id: DataId, end: &'a DataEnd) -> Option<&'a str> {
        let channel = self.channels.get(&id.0);
        let joined = channel.is_some_and(|channel| channel.entry.label().joined.is_some());
        match end {
            DataEnd::Cut(reason) if self.any_transfer() => Some(reason),
            DataEnd::ClientGone(reason) if self.is_running() && !joined => Some(reason),
            DataEnd::Cut(_) | DataEnd::ClientGone(_) | DataEnd::Complete | DataEnd::Unused => None,
        }
    }

    /// The client has asked for a channel that was opened ahead, and that leads to this address.
    pub(super) fn announce(&self, id: DataId, target: Announced) {
        self.with(id, |channel| channel.signals.announce.set(target).ok());
    }

    /// Withdraws an announced address; a running transfer continues.
    pub(super) fn withdraw(&self, id: DataId) {
        self.with(id, |channel| channel.signals.withdraw.cancel());
    }

    /// Closes what the server leaves open after a transfer is over.
    pub(super) fn release(&self, id: DataId) {
        self.with(id, |channel| channel.signals.over.cancel());
    }

    /// Ends the direction to the server.
    pub(super) fn half_close(&self, id: DataId) {
        self.with(id, |channel| channel.signals.half_close.cancel());
    }

    /// Requests a check whether the SSH session of a data channel is alive.
    pub(super) fn check_liveness(&self, id: DataId, check: u64) {
        self.with(id, |channel| channel.liveness_checks.send_replace(check));
    }

    /// Withdraws every unused address, and the spare forward for the next one. Cuts what waits for another transfer.
    pub(super) fn withdraw_all(&self) {
        self.control.forwards.discard();
        for channel in self.channels.values() {
            channel.signals.withdraw.cancel();
            if channel.live && channel.refused {
                channel.entry.cut("the session has ended");
            }
        }
    }

    /// Cuts a data channel in any state.
    pub(super) fn cut(&self, id: DataId, reason: &str) {
        self.with(id, |channel| channel.entry.cut(reason));
    }

    /// Cuts all of them.
    pub(super) fn cut_all(&self, reason: &str) {
        for channel in self.channels.values() {
            channel.entry.cut(reason);
        }
    }

    /// The client has sent a command. If it is a transfer, the channel learns now: servers may answer late, and some
    /// never say that it has begun.
    pub(super) fn command_sent(&mut self, verb: &str) {
        if TRANSFERS.contains(&verb) {
            for channel in self.channels.values_mut().filter(|channel| channel.live) {
                channel.signals.wanted.cancel();
                channel.refused = false;
            }
        }
    }

    /// Counts a transfer, and labels its channel with the command that it serves. Returns why the channel has failed
    /// before: some servers begin such a transfer and wait for another connection.
    pub(super) fn transfer_started(
        &mut self,
        id: Option<DataId>,
        transfer: TransferFacts,
    ) -> Option<String> {
        self.begin(id, transfer.clone());
        let channel = id.and_then(|id| self.channels.get_mut(&id.0))?;
        channel.refused = false;
        channel.signals.wanted.cancel();
        channel.entry.relabel(|label| {
            label.direction = Some(transfer.direction);
            label.command = transfer.command;
        });
        channel.failure.clone()
    }

    /// Counts a transfer that begins, and tells of it.
    fn begin(&mut self, id: Option<DataId>, transfer: TransferFacts) {
        self.explain();
        let began = Began::now();
        let data = id.and_then(|id| self.channels.get(&id.0));
        let data = data.map(|channel| channel.entry.clone());
        let start = Arc::new(record::start(transfer, &self.control, &self.session));
        let running = RunningTransfer::new(start.clone(), data, began.wall, began.at);
        let running = Arc::new(running);
        self.session.set_transfer(Some(running.clone()));
        self.running = Some((began, running));
        add(&self.control.tunnel.totals.transfers_active, 1);
        let event = Event::TransferStarted(start);
        self.control.tunnel.events.publish(event);
    }

    /// When to look at the last transfer again.
    pub(super) fn next_sample(&self) -> Option<Instant> {
        let running = self.running.as_ref().map(|(_, it)| it.next_sample());
        let explained = self.unexplained.as_ref().map(|(by, _)| *by);
        running.into_iter().chain(explained).min()
    }

    /// Looks at the last transfer, if that is due.
    pub(super) fn sample(&mut self, now: Instant) {
        if let Some((_, running)) = &self.running {
            running.sample(now);
        }
        if self.unexplained.as_ref().is_some_and(|(by, _)| *by <= now) {
            self.explain();
        }
    }

    /// Until when to wait for the refusal of the last upload's result.
    pub(super) fn delivered_by(&self) -> Option<Instant> {
        let (due, last) = self.unexplained.as_ref()?;
        let doubtful = last.end.needs_witness(last.transfer.direction);
        doubtful.then_some(*due)
    }

    /// The client has not received the result of the last upload.
    pub(super) fn client_gone(&mut self) {
        if let Some((due, last)) = self.unexplained.take() {
            let end = last.end.unseen(last.transfer.direction);
            self.unexplained = Some((due, EndedTransfer { end, ..last }));
        }
        self.explain();
    }

    /// Counts a transfer whose last reply goes to the client, and tells of it. `leaves`: the client has ended its side.
    pub(super) fn transfer_ended(
        &mut self,
        id: Option<DataId>,
        transfer: TransferFacts,
        end: TransferEnd,
        leaves: bool,
    ) {
        self.explain();
        let totals = &self.control.tunnel.totals;
        let running = self.running.take();
        if running.is_some() {
            drop_one(&totals.transfers_active);
        }
        let failed = end.result == TransferResult::Failed && self.is_live(id);
        let waits = failed || (leaves && end.needs_witness(transfer.direction));
        let ended = EndedTransfer {
            running,
            id,
            transfer,
            end,
            session_fault: self.session_fault,
        };
        if waits {
            self.unexplained = Some((Instant::now() + EXPLAINED_WITHIN, ended));
        } else {
            self.tell_of_ended(ended);
        }
    }

    fn is_live(&self, id: Option<DataId>) -> bool {
        let channel = id.and_then(|id| self.channels.get(&id.0));
        channel.is_some_and(|channel| channel.live)
    }

    /// Tells of a transfer that has failed before its data channel has ended, with what is known by now.
    pub(super) fn explain(&mut self) {
        if let Some((_, ended)) = self.unexplained.take() {
            self.tell_of_ended(ended);
        }
    }

    /// Counts a transfer that is over, and tells of it.
    fn tell_of_ended(&self, ended: EndedTransfer) {
        let record = self.tell(ended);
        self.control.tunnel.totals.transfer_over(&record);
    }

    /// Tells of a transfer that the server refused.
    pub(super) fn transfer_refused(
        &mut self,
        id: Option<DataId>,
        transfer: TransferFacts,
        end: TransferEnd,
    ) {
        self.explain();
        if let Some(channel) = id.and_then(|id| self.channels.get_mut(&id.0)) {
            channel.refused = true;
        }
        let record = self.tell(EndedTransfer {
            running: None,
            id,
            transfer,
            end,
            session_fault: self.session_fault,
        });
        let totals = &self.control.tunnel.totals;
        totals.transfers_refused.count(record.kind);
    }

    fn tell(&self, ended: EndedTransfer) -> Arc<TransferRecord> {
        let EndedTransfer {
            running,
            id,
            transfer,
            end,
            session_fault,
        } = ended;
        let channel = id.and_then(|id| self.channels.get(&id.0));
        let (began, start) = match running {
            Some((began, running)) => {
                self.session.set_transfer(None);
                (began, running.start.clone())
            }
            None => {
                let start = record::start(transfer, &self.control, &self.session);
                (Began::now(), Arc::new(start))
            }
        };
        let over = OverTransfer {
            start,
            end,
            began,
            data: channel.map(|channel| channel.entry.as_ref()),
            failure: channel.and_then(|channel| channel.failure.clone()),
            session_fault: session_fault.map(|(fault, _)| fault),
        };
        let tunnel = &self.control.tunnel;
        if over.end.is_corrected() {
            add(&tunnel.totals.replies_corrected, 1);
        }
        let record = Arc::new(over.record());
        record::log(&record);
        match record::failure(&record, session_fault) {
            Some(cause) => self.failed(record.result, &cause),
            None if record.result == TransferResult::Complete => tunnel.works(Part::Data),
            None => {}
        }
        tunnel.registry.past_transfers.add(record.clone());
        tunnel.events.publish(Event::TransferEnded(record.clone()));
        record
    }

    fn failed(&self, result: TransferResult, cause: &Cause) {
        let tunnel = &self.control.tunnel;
        if result == TransferResult::Cut {
            tunnel.totals.cuts.count(cause.reason);
        }
        tunnel.failed(cause);
    }
}

impl Drop for DataChannels {
    /// A session that panics leaves its transfer behind: no client learned that it is complete.
    fn drop(&mut self) {
        self.explain();
        if let Some((_, running)) = &self.running {
            let totals = &self.control.tunnel.totals;
            drop_one(&totals.transfers_active);
            let cut = (running.start.kind, TransferResult::Cut);
            totals.transfers.count(cut);
        }
    }
}
