//! What the capabilities share.

mod big_file;
pub(crate) mod clients;
pub(crate) mod compare;
pub(crate) mod ftp;
pub(crate) mod host_keys;
pub(crate) mod line;
pub(crate) mod needs;
pub(crate) mod python;
pub(crate) mod quirky;
pub(crate) mod rig;
pub(crate) mod session;
pub(crate) mod sockets;
pub(crate) mod stage;
pub(crate) mod trial;
pub(crate) mod ways;

pub(crate) use big_file::BigFile;
pub(crate) use needs::Need;
pub(crate) use trial::{trial, trial_within};
