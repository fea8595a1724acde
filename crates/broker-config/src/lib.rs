//! `ssh-broker-config.xml`: read, checked, merged, and resolved into what it means.
//!
//! The way from files to a [`Config`]:
//!
//! 1. **syntax** – one structural pass over the text, with quick-xml, gives a tree in which every element, attribute and
//!    value knows its place; a fault of structure ends it;
//! 2. **names** – names are compared with those in the tables;
//! 3. **raw** – what the files say together, value by value: variables expanded, each value's syntax checked, a later file
//!    over an earlier one, and the usual values where all are silent;
//! 4. **resolve** – what it means: references followed, conflicts found.
//!
//! The tables in `raw` are the one place that knows an element or attribute: its name, how it is read, what holds without it,
//! and what the reference says of it. To add an attribute, add its row, the field that it is read into, and what uses it;
//! then run the tests with `SNAPSHOTS=overwrite`, which writes the tables of the reference anew.
//!
//! The values are taken from the tree by hand rather than with serde: serde stops at the first fault and knows no
//! positions, whereas this crate reports every fault of a well-formed file at once, each where it stands.
//!
//! This crate opens no file but the configuration itself: key files and password files are only named here.

mod access;
mod algorithms;
mod choices;
mod config;
mod diagnostic;
mod environment;
mod expand;
mod files;
mod findings;
mod load;
mod mask;
mod names;
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

pub use broker_settings::{
    AddressFamily, Algorithms, AuthMethod, Compression, HostKeyPolicy, Identity, PasswordSource,
    PinnedKey, PoolLimits, Proxy, ProxyCondition, ProxyHosts, ProxyKind, ProxyLogin, ProxyRule,
    Settings,
};
pub use config::{
    Config, Identification, KeyStoreProvider, KeyStores, KnownHosts, ListenWhen, LogTarget,
    Profile, StaticTunnel, Unsupported, UserKeys,
};
pub use diagnostic::{Concern, Diagnostic, Related, Report, Severity};
pub use environment::Environment;
pub use ftp_proto::{DataOpen, ForeignPort, TlsPolicy};
pub use load::{Exposed, Sources, check, load};
pub use position::Position;
pub use reference::reference;
pub use request::local_tunnel;
pub use tunnel::{
    DataAddress, FtpOptions, ListenAddress, LocalKind, LocalTunnel, MAX_HOST, RemoteKind,
    RemoteTunnel, is_host,
};
