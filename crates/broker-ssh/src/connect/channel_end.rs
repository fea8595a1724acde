//! The end of a channel on the wire

use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};

/// Takes what comes until the server has closed the channel, or the connection has ended.
pub(crate) async fn until_closed(messages: &mut ChannelReadHalf) {
    while let Some(message) = messages.wait().await {
        if matches!(message, ChannelMsg::Close) {
            return;
        }
    }
}

/// Closes the channel. False if the connection has ended.
pub(crate) async fn close(messages: &mut ChannelReadHalf, writer: &ChannelWriteHalf<Msg>) -> bool {
    tokio::select! {
        biased;
        sent = writer.close() => sent.is_ok(),
        // A session that waits for this channel's queue reads no message until the queue is drained.
        () = until_closed(messages) => true,
    }
}
