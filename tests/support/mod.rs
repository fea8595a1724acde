//! What the capabilities share.

pub(crate) mod bad_tunnel;
mod big_file;
pub(crate) mod burst;
pub(crate) mod clients;
pub(crate) mod compare;
pub(crate) mod examined;
pub(crate) mod failing_line;
pub(crate) mod fixture;
pub(crate) mod keyed_server;
pub(crate) mod local_socket;
pub(crate) mod metrics;
pub(crate) mod needs;
pub(crate) mod played;
pub(crate) mod python;
pub(crate) mod quirky;
pub(crate) mod reloading;
pub(crate) mod routes;
pub(crate) mod shown;
pub(crate) mod site;
pub(crate) mod sockets;
pub(crate) mod socks;
pub(crate) mod stream;
pub(crate) mod trial;

pub(crate) use big_file::BigFile;
pub(crate) use needs::{INSIDE, INSIDE_AND_CURL, Need, REAL, REAL_AND_CURL};
pub(crate) use trial::{trial, trial_within};
