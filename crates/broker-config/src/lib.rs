//! Reads, checks, merges and resolves `ssh-broker-config.xml`.
//!
//! The steps from files to a [`Config`]:
//!
//! 1. **syntax** – one structural pass over the text, with quick-xml. It builds a tree in which every element,
//!    attribute and value has its place. The first fault of structure ends it.
//! 2. **names** – compares the names with those in the tables.
//! 3. **raw** – reads the values of all files: expands variables, checks each value's syntax, lets a later file
//!    override an earlier one, and fills in the defaults.
//! 4. **resolve** – finds the meaning: follows references and reports conflicts.
//!
//! The tables in `raw` are the only place that defines an element or attribute: its name, how it is read, its default,
//! and its text in the reference. To add an attribute, add its row, the field that it is read into, and the code that
//! uses it. Then run the tests with `SNAPSHOTS=overwrite`, which writes the tables of the reference again.
//!
//! This crate takes the values from the tree without serde. Serde stops at the first fault and knows no positions,
//! whereas this crate reports every fault of a well-formed file at once, each with its place.
//!
//! This crate opens no file except the configuration itself, and the certificates of tunnels with their keys: a tunnel
//! without them could serve nobody. It only names other key files and password files.

mod access;
mod algorithms;
mod choices;
mod config;
mod diagnostic;
mod entities;
mod environment;
mod expand;
mod files;
mod findings;
mod import;
mod load;
mod log_target;
mod lookup;
mod mask;
mod names;
mod openssh;
mod position;
mod proxy;
mod raw;
mod reference;
mod render;
mod request;
mod resolve;
mod source;
mod suggest;
mod syntax;
mod table;
mod tag;
mod tree;
mod tunnel;
mod values;
mod write;
mod written;

pub use broker_settings::{
    AddressFamily, Algorithms, AuthMethod, Compression, HostKeyPolicy, Identity, PasswordSource,
    PinnedKey, PoolLimits, Proxy, ProxyCondition, ProxyHosts, ProxyKind, ProxyLogin, ProxyRoute,
    ProxyRule, Settings,
};
pub use config::{
    Config, Hook, HookEvent, Identification, KeyStores, KnownHosts, ListenWhen, Profile,
    StaticTunnel, Unsupported, UserKeys,
};
pub use diagnostic::{Concern, Diagnostic, Related, Report, Severity};
pub use environment::Environment;
pub use ftp_proto::{DataAhead, DataOpen, ForeignPort, PasvOverIpv6};
pub use import::{Imported, import, import_openssh};
pub use load::{Exposed, Sources, check, load};
pub use log_target::LogTarget;
pub use openssh::{OpenSshHost, OpenSshOptions};
pub use position::Position;
pub use reference::reference;
pub use request::requested_tunnel;
pub use tunnel::{
    DataAddress, FtpOptions, ListenAddress, ListenSide, MAX_HOST, SocksLogin, SocksOptions, Tls,
    TlsServer, TunnelKind, TunnelSpec, is_host,
};
pub use written::Written;
