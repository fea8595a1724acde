//! Data that has arrived on a channel and was not read yet

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::net::lock::lock;
use crate::state::CutReason;

use super::{Batch, ChannelRead};

/// A queue of bytes with one writer and one reader. The writer enforces its bound, since it alone knows whether the
/// channel shares its connection.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    state: Mutex<Contents>,
    /// Tells the reader that something arrived.
    readable: Notify,
    /// Tells the writer that the reader took something.
    taken: Notify,
}

#[derive(Debug, Default)]
struct Contents {
    queue: VecDeque<Bytes>,
    bytes: usize,
    eof: bool,
    eof_taken: bool,
    cut: Option<CutReason>,
}

impl Backlog {
    /// Adds new data and returns how many bytes wait now.
    pub(super) fn push(&self, data: Bytes) -> usize {
        let mut state = lock(&self.state);
        state.bytes += data.len();
        state.queue.push_back(data);
        let bytes = state.bytes;
        drop(state);
        self.readable.notify_one();
        bytes
    }

    pub(super) fn bytes(&self) -> usize {
        lock(&self.state).bytes
    }

    pub(super) fn set_eof(&self) {
        lock(&self.state).eof = true;
        self.readable.notify_one();
    }

    /// Records the channel's end; the first reason is kept.
    pub(super) fn cut(&self, reason: CutReason) {
        lock(&self.state).cut.get_or_insert(reason);
        self.readable.notify_one();
    }

    pub(super) fn cut_reason(&self) -> Option<CutReason> {
        lock(&self.state).cut.clone()
    }

    pub(super) fn has_eof(&self) -> bool {
        lock(&self.state).eof
    }

    /// Waits until the reader took something.
    pub(super) async fn taken(&self) {
        self.taken.notified().await;
    }

    /// Takes the next event: data first, then the orderly end, then the cut.
    pub(super) async fn read(&self) -> ChannelRead {
        loop {
            if let Some(event) = self.try_read() {
                return event;
            }
            self.readable.notified().await;
        }
    }

    /// Moves waiting data into a batch, as far as there is room.
    pub(super) fn take_waiting(&self, batch: &mut Batch) {
        let mut state = lock(&self.state);
        let mut room = true;
        while room && let Some(data) = state.queue.pop_front() {
            state.bytes -= data.len();
            room = batch.push(data);
        }
        drop(state);
        self.taken.notify_one();
    }

    /// Waits until the channel is cut before its orderly end, whether data waits or not.
    pub(super) async fn cut_before_eof(&self) -> CutReason {
        loop {
            if let Some(reason) = self.early_cut() {
                return reason;
            }
            self.readable.notified().await;
        }
    }

    /// Waits until the channel has its orderly end or is cut, whether data waits or not.
    pub(super) async fn ended(&self) {
        while !self.has_eof() && self.cut_reason().is_none() {
            self.readable.notified().await;
        }
        // The reader learns it as well.
        self.readable.notify_one();
    }

    fn early_cut(&self) -> Option<CutReason> {
        let state = lock(&self.state);
        if state.eof { None } else { state.cut.clone() }
    }

    fn try_read(&self) -> Option<ChannelRead> {
        let mut state = lock(&self.state);
        if let Some(data) = state.queue.pop_front() {
            state.bytes -= data.len();
            drop(state);
            self.taken.notify_one();
            return Some(ChannelRead::Data(data));
        }
        if state.eof && !state.eof_taken {
            state.eof_taken = true;
            return Some(ChannelRead::Eof);
        }
        state.cut.clone().map(ChannelRead::Cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn data_comes_before_the_end_and_the_end_before_the_cut() {
        let backlog = Backlog::default();
        backlog.cut(CutReason::Closed);
        backlog.set_eof();
        backlog.push(Bytes::from_static(b"x"));
        assert_eq!(
            backlog.read().await,
            ChannelRead::Data(Bytes::from_static(b"x"))
        );
        assert_eq!(backlog.read().await, ChannelRead::Eof);
        assert_eq!(backlog.read().await, ChannelRead::Cut(CutReason::Closed));
    }

    #[tokio::test]
    async fn a_cut_is_noticed_while_data_waits() {
        let backlog = Backlog::default();
        backlog.push(Bytes::from_static(b"x"));
        let (reason, ()) = tokio::join!(backlog.cut_before_eof(), async {
            backlog.cut(CutReason::Closed)
        });
        assert_eq!(reason, CutReason::Closed);
    }

    #[test]
    fn an_end_followed_by_a_cut_is_no_early_cut() {
        let backlog = Backlog::default();
        backlog.set_eof();
        backlog.cut(CutReason::Closed);
        assert_eq!(
            futures::FutureExt::now_or_never(backlog.cut_before_eof()),
            None
        );
    }
}
