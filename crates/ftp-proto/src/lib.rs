//! The FTP control channel without I/O: lines, commands, replies, addresses and the session state machine.
//!
//! A [`Session`] stands between an FTP client and an FTP server. It is given the bytes that each of them sends and the
//! time, and says which bytes to hand on and what else to do. It knows the roles *client* and *server* only: which of
//! the two is near and which lies behind SSH is the caller's business.

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
mod session;
mod telnet;
mod text;

pub use config::{DataOpen, ForeignPort, SessionConfig, TlsPolicy};
pub use event::{Action, Announced, DataEnd, DataEvent, DataId, Direction, Event, Mode, Protocol};
pub use session::Session;
pub use text::reply;
