//! The FTP control connection without I/O: lines, commands, replies, addresses and the session state machine.
//!
//! A [`Session`] works between an FTP client and an FTP server. Its caller gives it the bytes from each of them and the
//! time. The session returns the bytes to pass on, and actions. It knows only the roles *client* and *server*. Only the
//! caller knows which of the two is behind SSH.

mod actions;
mod address;
mod channels;
mod command;
mod config;
mod event;
mod kind;
mod line;
mod pending_replies;
mod reply;
mod reply_reader;
mod sent;
mod session;
mod telnet;
mod text;

pub use config::{
    DataAhead, DataOpen, ForeignPort, PasvOverIpv6, SessionConfig, Terminate, TlsPolicy,
};
pub use event::{
    Action, Announced, DataEnd, DataEvent, DataId, Direction, Event, Mode, Peer, Protocol, Told,
    TransferFacts,
};
pub use reply_reader::{NoReply, Reply, ReplyReader};
pub use session::{NO_DATA_CONNECTION, Session};
pub use text::{long_reply, reply};
