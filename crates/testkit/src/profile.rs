//! The configuration file as tests write it: profiles, tunnels, and what stands around them.

use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// A profile. It is written out by [`Display`], and each of its fields may be changed before.
#[derive(Clone, Debug)]
pub struct Profile {
    /// How other profiles call it.
    pub id: String,
    /// How a person calls it; empty: it has no name.
    pub name: String,
    /// The SSH server's name or address.
    pub host: String,
    /// The SSH server's port.
    pub port: u16,
    /// Whom to log in as.
    pub user: String,
    /// The public host key as one OpenSSH line; empty: the profile names none.
    pub host_key: String,
    /// The elements that say how to log in: [`identity`], or a password.
    pub login: String,
    /// More attributes.
    pub attributes: String,
    /// More elements.
    pub settings: String,
    /// Attributes of the element around the tunnels.
    pub tunnels_attributes: &'static str,
    /// The tunnels.
    pub tunnels: Vec<Tunnel>,
}

impl Profile {
    /// A profile `id1`, named `work`, for a server at an address.
    #[must_use]
    pub fn new(server: SocketAddr, user: &str, host_key: String, login: String) -> Self {
        Self {
            id: "id1".into(),
            name: "work".into(),
            host: server.ip().to_string(),
            port: server.port(),
            user: user.to_owned(),
            host_key,
            login,
            attributes: String::new(),
            settings: String::new(),
            tunnels_attributes: "",
            tunnels: Vec::new(),
        }
    }

    /// The same for a server, or a relay before it, at another address.
    #[must_use]
    pub fn at(mut self, server: SocketAddr) -> Self {
        (self.host, self.port) = (server.ip().to_string(), server.port());
        self
    }

    /// With another id and without a name.
    #[must_use]
    pub fn called(mut self, id: &str) -> Self {
        self.id = id.to_owned();
        self.name.clear();
        self
    }

    /// Reached through the profile with the id `gateway`.
    #[must_use]
    pub fn behind(self, gateway: &str) -> Self {
        self.attribute(&format!(r#"gateway-profile="{gateway}""#))
    }

    /// With this attribute too.
    #[must_use]
    pub fn attribute(mut self, attribute: &str) -> Self {
        self.attributes += &format!(" {attribute}");
        self
    }

    /// With these elements too.
    #[must_use]
    pub fn with(mut self, settings: &str) -> Self {
        self.settings += settings;
        self
    }

    /// With this tunnel too.
    #[must_use]
    pub fn tunnel(mut self, tunnel: Tunnel) -> Self {
        self.tunnels.push(tunnel);
        self
    }

    /// A file with this one profile.
    #[must_use]
    pub fn config(&self) -> String {
        config("", [self])
    }
}

impl Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"    <profile id="{}""#, self.id)?;
        if !self.name.is_empty() {
            write!(f, r#" name="{}""#, self.name)?;
        }
        let (host, port, user) = (&self.host, self.port, &self.user);
        let attributes = &self.attributes;
        writeln!(
            f,
            r#" host="{host}" port="{port}" user="{user}"{attributes}>"#
        )?;
        let key = self.host_key.split_whitespace().nth(1);
        let key = key.map_or_else(String::new, |key| format!("<hostkey>{key}</hostkey>"));
        for element in [&key, &self.login, &self.settings] {
            if !element.is_empty() {
                writeln!(f, "      {element}")?;
            }
        }
        writeln!(f, "      <tunnels{}>", self.tunnels_attributes)?;
        for tunnel in &self.tunnels {
            writeln!(f, "        {tunnel}")?;
        }
        write!(f, "      </tunnels>\n    </profile>\n")
    }
}

/// A tunnel on a free port of 127.0.0.1, local unless it is made remote. It is written out by [`Display`].
#[derive(Clone, Debug)]
pub struct Tunnel {
    element: &'static str,
    kind: &'static str,
    /// The address to listen on, where it is not the usual one.
    pub listen: Option<IpAddr>,
    /// The port to listen on.
    pub port: u16,
    /// Where it leads.
    pub to: SocketAddr,
    /// More attributes.
    pub attributes: String,
}

impl Tunnel {
    /// To an FTP server.
    #[must_use]
    pub fn ftp(to: SocketAddr) -> Self {
        Self {
            element: "local-tunnel",
            kind: "FTP",
            listen: None,
            port: 0,
            to,
            attributes: String::new(),
        }
    }

    /// To any server: what passes is not looked at.
    #[must_use]
    pub fn tcp(to: SocketAddr) -> Self {
        Self {
            kind: "tcp",
            ..Self::ftp(to)
        }
    }

    /// Through which clients reach any server by SOCKS. Connections to the port of this one are FTP sessions.
    #[must_use]
    pub fn socks(ftp: SocketAddr) -> Self {
        let tunnel = Self {
            kind: "socks",
            ..Self::ftp(ftp)
        };
        tunnel.with(&format!(r#"ftp-ports="{}""#, ftp.port()))
    }

    /// On the SSH server.
    #[must_use]
    pub fn remote(self) -> Self {
        let element = "remote-tunnel";
        Self { element, ..self }
    }

    /// On another address of this host.
    #[must_use]
    pub fn on(self, listen: IpAddr) -> Self {
        let listen = Some(listen);
        Self { listen, ..self }
    }

    /// With these attributes too.
    #[must_use]
    pub fn with(mut self, attributes: &str) -> Self {
        self.attributes += &format!(" {attributes}");
        self
    }
}

impl Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, port, attributes) = (self.kind, self.port, &self.attributes);
        let (to_host, to_port) = (self.to.ip(), self.to.port());
        write!(f, r#"<{} type="{kind}""#, self.element)?;
        if let Some(listen) = self.listen {
            write!(f, r#" listen-address="{listen}""#)?;
        }
        write!(f, r#" listen-port="{port}""#)?;
        if kind != "socks" {
            write!(f, r#" dst-host="{to_host}" dst-port="{to_port}""#)?;
        }
        write!(f, "{attributes}/>")
    }
}

/// The element that names a file with a private key.
pub fn identity(file: impl AsRef<Path>) -> String {
    let file = file.as_ref().display();
    format!(r#"<user-identities><identity file="{file}"/></user-identities>"#)
}

/// A file with these elements of general settings, and these profiles.
pub fn config<P: Display>(general: &str, profiles: impl IntoIterator<Item = P>) -> String {
    let mut file = "<secsh-broker version=\"1.0\">\n".to_owned();
    if !general.is_empty() {
        file += &format!("  <general>{general}</general>\n");
    }
    file += "  <profiles>\n";
    file.extend(profiles.into_iter().map(|profile| profile.to_string()));
    file + "  </profiles>\n</secsh-broker>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_as_a_person_would() {
        let server = SocketAddr::from(([127, 0, 0, 1], 22));
        let login = identity("/key");
        let profile = Profile::new(server, "me", "ssh-ed25519 AAAA x".into(), login)
            .called("a")
            .behind("b")
            .with("<keepalive-interval time=\"1\"/>")
            .tunnel(Tunnel::ftp(SocketAddr::from(([10, 0, 0, 1], 21))).with("tls=\"pass\""));
        let expected = r#"<secsh-broker version="1.0">
  <profiles>
    <profile id="a" host="127.0.0.1" port="22" user="me" gateway-profile="b">
      <hostkey>AAAA</hostkey>
      <user-identities><identity file="/key"/></user-identities>
      <keepalive-interval time="1"/>
      <tunnels>
        <local-tunnel type="FTP" listen-port="0" dst-host="10.0.0.1" dst-port="21" tls="pass"/>
      </tunnels>
    </profile>
  </profiles>
</secsh-broker>
"#;
        assert_eq!(profile.config(), expected);
    }
}
