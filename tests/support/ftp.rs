//! An FTP client that a test drives command by command.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, ensure};
use testkit::scripted::{Conversation, ScriptedListener};

/// A control connection.
pub(crate) struct Ftp {
    control: Conversation,
}

impl Ftp {
    /// Connects and takes the greeting, which must be 220.
    pub(crate) async fn connect(server: SocketAddr) -> anyhow::Result<Self> {
        let mut control = Conversation::connect(server).await?;
        let greeting = control.reply().await.context("waiting for the greeting")?;
        ensure!(greeting.starts_with("220"), "greeted with {greeting:?}");
        Ok(Self { control })
    }

    /// Connects, logs in as anonymous and chooses binary transfers.
    pub(crate) async fn login(server: SocketAddr) -> anyhow::Result<Self> {
        let mut ftp = Self::connect(server).await?;
        ftp.ask("USER anonymous", "331").await?;
        ftp.ask("PASS guest", "230").await?;
        ftp.ask("TYPE I", "200").await?;
        Ok(ftp)
    }

    /// Sends a command, whose reply must begin with `code`, and returns it.
    pub(crate) async fn ask(&mut self, command: &str, code: &str) -> anyhow::Result<String> {
        self.control.ask(command, code).await
    }

    /// Takes the next reply, which must begin with `code`.
    pub(crate) async fn reply(&mut self, code: &str) -> anyhow::Result<String> {
        let reply = self.control.reply().await?;
        ensure!(reply.starts_with(code), "{reply:?} came, not {code}");
        Ok(reply)
    }

    /// The control connection itself.
    pub(crate) fn control(&mut self) -> &mut Conversation {
        &mut self.control
    }

    /// Where the server says it waits for data, after `PASV` or `EPSV`.
    pub(crate) async fn announced(&mut self, command: &str) -> anyhow::Result<SocketAddr> {
        let reply = self.ask(command, "22").await?;
        let peer = self.control.peer_addr()?.ip();
        announced(&reply, peer).with_context(|| format!("no address in {reply:?}"))
    }

    /// Opens a passive data connection with `PASV` or `EPSV`.
    pub(crate) async fn passive(&mut self, command: &str) -> anyhow::Result<Conversation> {
        Conversation::connect(self.announced(command).await?).await
    }

    /// Listens for an active data connection and tells the server with `PORT` or `EPRT`.
    pub(crate) async fn active(&mut self, verb: &str) -> anyhow::Result<ScriptedListener> {
        let own = self.control.local_addr()?.ip();
        let listener = ScriptedListener::bind_on(SocketAddr::new(own, 0)).await?;
        self.ask(&port_command(verb, listener.addr()), "200")
            .await?;
        Ok(listener)
    }

    /// Fetches a whole file over a passive connection.
    pub(crate) async fn fetch(&mut self, name: &str) -> anyhow::Result<Vec<u8>> {
        let mut data = self.passive("EPSV").await?;
        self.ask(&format!("RETR {name}"), "150").await?;
        let bytes = data.rest().await?;
        self.reply("226").await?;
        Ok(bytes)
    }

    /// Stores a whole file over a passive connection.
    pub(crate) async fn store(&mut self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let mut data = self.passive("EPSV").await?;
        self.ask(&format!("STOR {name}"), "150").await?;
        data.send(bytes).await?;
        data.finish().await?;
        self.reply("226").await?;
        Ok(())
    }
}

/// The command that announces `address` in active mode.
pub(crate) fn port_command(verb: &str, address: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    match verb {
        "PORT" => format!(
            "PORT {},{},{}",
            ip.to_string().replace('.', ","),
            port >> 8,
            port & 255
        ),
        _ => format!("{verb} |{}|{ip}|{port}|", if ip.is_ipv4() { 1 } else { 2 }),
    }
}

/// The address in a 227 reply, or the port in a 229 reply together with the control connection's peer.
fn announced(reply: &str, peer: IpAddr) -> Option<SocketAddr> {
    let inside = reply.split_once('(')?.1.split_once(')')?.0;
    if reply.starts_with("229") {
        return Some(SocketAddr::new(
            peer,
            inside.split('|').nth(3)?.parse().ok()?,
        ));
    }
    let numbers: Vec<u8> = inside
        .split(',')
        .map_while(|part| part.parse().ok())
        .collect();
    let [a, b, c, d, high, low] = numbers.try_into().ok()?;
    Some(SocketAddr::from((
        [a, b, c, d],
        u16::from_be_bytes([high, low]),
    )))
}
