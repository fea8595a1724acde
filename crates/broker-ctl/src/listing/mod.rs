//! The part of each answer that a person wants to see.

mod channels;
mod clients;
mod connections;
mod failures;
mod host_keys;
mod listeners;
mod sessions;
mod status;
mod transfers;

pub(crate) use self::channels::channels;
pub(crate) use self::clients::clients;
pub(crate) use self::connections::{connection, connections, profiles};
pub(crate) use self::host_keys::host_keys;
pub(crate) use self::listeners::{destination, listeners, opened};
pub(crate) use self::sessions::sessions;
pub(crate) use self::status::status;
pub(crate) use self::transfers::transfers;
