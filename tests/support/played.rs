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

impl PlayedSession {
    /// A passive data connection: the server's end and the client's.
    pub(crate) async fn connect_data(&mut self) -> anyhow::Result<(Conversation, Conversation)> {
        let data = ScriptedListener::bind().await?;
        self.client.send("EPSV\r\n").await?;
        self.server.expect("EPSV").await?;
        let port = data.addr().port();
        self.server.send(format!("229 at (|||{port}|)\r\n")).await?;
        let reply = self.client.reply().await?;
        let to = announced(&reply, self.fixture.tunnel.ip())?;
        let client = Conversation::connect(to).await?;
        Ok((data.accept().await?, client))
    }

    /// Both ends end the session in good order.
    pub(crate) async fn quit(&mut self) -> anyhow::Result<()> {
        self.client.send("QUIT\r\n").await?;
        self.server.expect("QUIT").await?;
        self.server.send("221 bye\r\n").await?;
        self.server.finish().await?;
        self.client.expect("221 bye").await?;
        self.client.rest().await?;
        Ok(())
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
        let (sender, receiver) = session.connect_data().await?;
        let PlayedSession { client, server, .. } = &mut session;
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
