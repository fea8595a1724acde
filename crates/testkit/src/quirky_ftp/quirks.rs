//! What can be odd about the server.

use std::net::Ipv4Addr;
use std::time::Duration;

/// Everything that can be odd. [`Default`] is a server without any oddity.
#[derive(Clone, Debug)]
pub struct Quirks {
    /// What answers PASS.
    pub login: &'static str,
    /// Verbs that it refuses, each with the reply.
    pub refuses: &'static [(&'static str, &'static str)],
    /// The host that a 227 names; `None` is the server's own.
    pub passive_host: Option<Ipv4Addr>,
    /// The lines that announce a transfer; some servers send none.
    pub start: &'static [&'static str],
    /// The lines that call a transfer complete.
    pub done: &'static [&'static str],
    /// When those come.
    pub success: Success,
    /// What becomes of a NOOP that comes during a transfer.
    pub noop: Noop,
    /// What becomes of an ABOR that comes during a transfer.
    pub aborts: Aborts,
    /// Whether it ends its own half of an upload's data connection before the first byte comes.
    pub half_closes: bool,
    /// Whether it leaves the data connection of an upload open until the end of the session.
    pub keeps_data_socket: bool,
    /// Whether it calls a transfer complete without having had a data connection.
    pub skips_data: bool,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            login: "230 Logged in",
            refuses: &[],
            passive_host: None,
            start: &["150 Here it comes"],
            done: &["226 Transfer complete"],
            success: Success::default(),
            noop: Noop::default(),
            aborts: Aborts::default(),
            half_closes: false,
            keeps_data_socket: false,
            skips_data: false,
        }
    }
}

/// When the server calls a transfer complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Success {
    /// At the end of the data.
    #[default]
    AfterData,
    /// Before the first byte of it, whatever comes then.
    BeforeData,
    /// So long after its end.
    Late(Duration),
}

/// When the server answers a NOOP that comes during a transfer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Noop {
    /// When the transfer is over, as it does with every other command.
    #[default]
    After,
    /// At once.
    Now,
    /// At the end of the data, before it calls the transfer complete.
    Before,
    /// It does not.
    Never,
}

/// What the server does with an ABOR that comes during a transfer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aborts {
    /// It ends the transfer at once.
    #[default]
    AtOnce,
    /// It reads the command when the transfer is over: without the urgent signal, which SSH does not carry, some servers
    /// look at nothing else while they write data.
    AfterTransfer,
}
