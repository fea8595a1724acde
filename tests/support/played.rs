//! A session whose FTP server and client are both played by the test.

use std::net::IpAddr;

use testkit::fixture::{Builder, Fixture, Scripted};
use testkit::ftp_client::announced;
use testkit::scripted::{Conversation, ScriptedListener};
use testkit::ssh_server::{SshServer, SshServerOptions};

/// Both ends of a control connection, after the greeting.
pub(crate) struct PlayedSession {
    pub(crate) fixture: Fixture<SshServer, ScriptedListener>,
    pub(crate) client: Conversation,
    pub(crate) server: Conversation,
}

impl PlayedSession {
    /// With a tunnel on this address.
    pub(crate) async fn start(listen: IpAddr) -> anyhow::Result<Self> {
        Self::start_with(Fixture::builder().ftp(Scripted).listen(listen)).await
    }

    pub(crate) async fn start_with(
        builder: Builder<SshServerOptions, Scripted>,
    ) -> anyhow::Result<Self> {
        let fixture = builder.start().await?;
        let mut client = Conversation::connect(fixture.tunnel).await?;
        let mut server = fixture.servers.ftp.accept().await?;
        server.send("220 ready\r\n").await?;
        client.expect("220 ready").await?;
        Ok(Self {
            fixture,
            client,
            server,
        })
    }
}

/// A download that has begun, or with [`PlayedDownload::begin_with`] an upload: then `sender` receives.
pub(crate) struct PlayedDownload {
    pub(crate) session: PlayedSession,
    /// The server's end of the data connection.
    pub(crate) sender: Conversation,
    /// The client's.
    pub(crate) receiver: Conversation,
}

impl PlayedDownload {
    pub(crate) async fn begin() -> anyhow::Result<Self> {
        let builder = Fixture::builder().ftp(Scripted);
        Self::begin_with(builder, "RETR file").await
    }

    pub(crate) async fn begin_with(
        builder: Builder<SshServerOptions, Scripted>,
        command: &str,
    ) -> anyhow::Result<Self> {
        let mut session = PlayedSession::start_with(builder).await?;
        let PlayedSession {
            fixture,
            client,
            server,
        } = &mut session;
        let data = ScriptedListener::bind().await?;
        client.send("EPSV\r\n").await?;
        server.expect("EPSV").await?;
        let port = data.addr().port();
        server.send(format!("229 at (|||{port}|)\r\n")).await?;
        let reply = client.reply().await?;
        let to = announced(&reply, fixture.tunnel.ip())?;
        let receiver = Conversation::connect(to).await?;
        let sender = data.accept().await?;
        client.send(format!("{command}\r\n")).await?;
        server.expect(command).await?;
        server.send("150 here it comes\r\n").await?;
        client.reply().await?;
        Ok(Self {
            session,
            sender,
            receiver,
        })
    }
}
