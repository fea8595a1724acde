//! An FTP client that a test drives command by command.

use std::net::{IpAddr, SocketAddr};

use crate::scripted::{Conversation, ScriptedListener};
use anyhow::{Context, ensure};

/// A control connection. Each method fails where the server answers otherwise than expected, or not in time.
pub struct FtpClient {
    control: Conversation,
}

impl FtpClient {
    /// Connects and takes the greeting, which must be 220.
    pub async fn connect(server: SocketAddr) -> anyhow::Result<Self> {
        Self::greeted(Conversation::connect(server).await?).await
    }

    /// Takes the greeting, which must be 220, on an open connection.
    pub async fn greeted(control: Conversation) -> anyhow::Result<Self> {
        let mut ftp = Self { control };
        ftp.reply("220").await.context("waiting for the greeting")?;
        Ok(ftp)
    }

    /// Connects, logs in as anonymous and chooses binary transfers.
    pub async fn login(server: SocketAddr) -> anyhow::Result<Self> {
        Self::login_on(Conversation::connect(server).await?).await
    }

    /// Logs in as anonymous on an open connection, and chooses binary transfers.
    pub async fn login_on(control: Conversation) -> anyhow::Result<Self> {
        let mut ftp = Self::greeted(control).await?;
        ftp.ask("USER anonymous", "331").await?;
        ftp.ask("PASS guest", "230").await?;
        ftp.ask("TYPE I", "200").await?;
        Ok(ftp)
    }

    /// Sends a command, whose reply must begin with `code`, and returns it.
    pub async fn ask(&mut self, command: &str, code: &str) -> anyhow::Result<String> {
        self.control.ask(command, code).await
    }

    /// Takes the next reply, which must begin with `code`.
    pub async fn reply(&mut self, code: &str) -> anyhow::Result<String> {
        let reply = self.control.reply().await?;
        ensure!(reply.starts_with(code), "{reply:?} came, not {code}");
        Ok(reply)
    }

    /// The control connection itself.
    pub fn control(&mut self) -> &mut Conversation {
        &mut self.control
    }

    /// Where the server says it waits for data, after `PASV` or `EPSV`.
    pub async fn announced(&mut self, command: &str) -> anyhow::Result<SocketAddr> {
        let reply = self.ask(command, "22").await?;
        announced(&reply, self.control.peer_addr()?.ip())
    }

    /// Opens a passive data connection with `PASV` or `EPSV`.
    pub async fn passive(&mut self, command: &str) -> anyhow::Result<Conversation> {
        Conversation::connect(self.announced(command).await?).await
    }

    /// Listens for an active data connection and tells the server with `PORT` or `EPRT`.
    pub async fn active(&mut self, verb: &str) -> anyhow::Result<ScriptedListener> {
        let own = self.control.local_addr()?.ip();
        let listener = ScriptedListener::bind_on(SocketAddr::new(own, 0)).await?;
        self.ask(&port_command(verb, listener.addr()), "200")
            .await?;
        Ok(listener)
    }

    /// Begins a transfer in the mode of a command: `PASV`, `EPSV`, `PORT` or `EPRT`.
    pub async fn begin(&mut self, mode: &str, command: &str) -> anyhow::Result<Conversation> {
        if mode.ends_with("SV") {
            let data = self.passive(mode).await?;
            self.ask(command, "150").await?;
            return Ok(data);
        }
        let listener = self.active(mode).await?;
        self.ask(command, "150").await?;
        listener.accept().await
    }

    /// Fetches a whole file over a passive connection.
    pub async fn fetch(&mut self, name: &str) -> anyhow::Result<Vec<u8>> {
        self.fetch_by("EPSV", name).await
    }

    /// Fetches a whole file in the mode of a command.
    pub async fn fetch_by(&mut self, mode: &str, name: &str) -> anyhow::Result<Vec<u8>> {
        let mut data = self.begin(mode, &format!("RETR {name}")).await?;
        let bytes = data.rest().await?;
        self.reply("226").await?;
        Ok(bytes)
    }

    /// Stores a whole file over a passive connection.
    pub async fn store(&mut self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        self.store_by("EPSV", name, bytes).await
    }

    /// Stores a whole file in the mode of a command.
    pub async fn store_by(&mut self, mode: &str, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let mut data = self.begin(mode, &format!("STOR {name}")).await?;
        data.send(bytes).await?;
        data.finish().await?;
        self.reply("226").await?;
        Ok(())
    }
}

/// The command that announces `address` in active mode: `PORT` or `EPRT`.
#[must_use]
pub fn port_command(verb: &str, address: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    if verb == "PORT" {
        let host = ip.to_string().replace('.', ",");
        return format!("PORT {host},{},{}", port >> 8, port & 255);
    }
    let family = if ip.is_ipv4() { 1 } else { 2 };
    format!("{verb} |{family}|{ip}|{port}|")
}

/// The address in a 227 reply, or the port in a 229 reply together with the control connection's peer.
pub fn announced(reply: &str, peer: IpAddr) -> anyhow::Result<SocketAddr> {
    let inside = reply
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'));
    let (inside, _) = inside.with_context(|| format!("no address in {reply:?}"))?;
    if reply.starts_with("229") {
        let port = inside.split('|').nth(3).context("no port")?;
        return Ok(SocketAddr::new(peer, port.parse()?));
    }
    let numbers: Result<Vec<u8>, _> = inside.split(',').map(str::parse).collect();
    match numbers?.as_slice() {
        &[a, b, c, d, high, low] => {
            let port = u16::from_be_bytes([high, low]);
            Ok(SocketAddr::from(([a, b, c, d], port)))
        }
        _ => anyhow::bail!("no address in {reply:?}"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn addresses_are_announced_and_understood() {
        let v4 = SocketAddr::from(([127, 0, 0, 1], 258));
        assert_eq!(port_command("PORT", v4), "PORT 127,0,0,1,1,2");
        assert_eq!(port_command("EPRT", v4), "EPRT |1|127.0.0.1|258|");
        let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 258));
        assert_eq!(port_command("EPRT", v6), "EPRT |2|::1|258|");
        let announced = |reply, peer: SocketAddr| announced(reply, peer.ip()).ok();
        assert_eq!(announced("227 Mode (127,0,0,1,1,2).", v6), Some(v4));
        assert_eq!(announced("229 Mode (|||258|)", v6), Some(v6));
        assert_eq!(announced("227 Logout.", v4), None);
    }
}
