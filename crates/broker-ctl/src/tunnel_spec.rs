//! The two spellings of a tunnel on the command line, and the names of listeners.

use std::str::FromStr;

use broker_ipc::checks::FtpServer;
use broker_ipc::types::{TunnelKind, TunnelListener, TunnelSide};
use plain_text::{host_port, without_brackets};

/// The FTP port (RFC 959, section 8).
const FTP_PORT: u16 = 21;

const SYNTAX: &str = "expected [tcp/|ftp/][listen-address:]listen-port:dst-host:dst-port or \
                      socks/[listen-address:]listen-port";

const SOCKS_DESTINATION: &str = "a socks tunnel has no destination, since its clients name it: expected socks/[listen-address:]listen-port";

/// A tunnel to open, without its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TunnelSpec {
    pub(crate) kind: TunnelKind,
    pub(crate) side: TunnelSide,
    pub(crate) listen: ListenAt,
    /// Empty for SOCKS.
    pub(crate) dst_host: String,
    /// 0 for SOCKS.
    pub(crate) dst_port: u16,
}

/// `[address:]port`, an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListenAt {
    pub(crate) address: Option<String>,
    pub(crate) port: u16,
}

impl FromStr for TunnelSpec {
    type Err = String;

    /// Reads `[protocol/][listen-address:]listen-port:dst-host:dst-port`, or `socks/[listen-address:]listen-port`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = match text.split_once('/') {
            Some((protocol, rest)) => (kind(protocol)?, rest),
            None => (TunnelKind::Tcp, text),
        };
        if kind == TunnelKind::Socks {
            return Self::socks(rest);
        }
        let fields = fields(rest)?;
        let (address, port, host, dst_port) = match fields.as_slice() {
            [port, host, dst_port] => (None, port, host, dst_port),
            [address, port, host, dst_port] => (Some(address), port, host, dst_port),
            [_, _] | [_] | [] => return Err(format!("parts are missing: {SYNTAX}")),
            [..] => {
                return Err(format!(
                    "too many parts (put IPv6 addresses in brackets): {SYNTAX}"
                ));
            }
        };
        Ok(Self {
            kind,
            side: TunnelSide::Local,
            listen: ListenAt {
                address: address
                    .map(|a| host_field(a, "listen-address"))
                    .transpose()?,
                port: any_port(port)?,
            },
            dst_host: host_field(host, "dst-host")?,
            dst_port: dst_port_field(dst_port)?,
        })
    }
}

impl TunnelSpec {
    /// Reads the same for a tunnel that listens on the SSH server.
    pub(crate) fn remote(text: &str) -> Result<Self, String> {
        Ok(Self {
            side: TunnelSide::Remote,
            ..text.parse()?
        })
    }

    /// Reads `[listen-address:]listen-port`, dst-host and dst-port from separate words.
    pub(crate) fn from_words(
        kind: TunnelKind,
        listen: &str,
        host: Option<&str>,
        port: Option<&str>,
    ) -> Result<Self, String> {
        let dst_port = match (port, kind) {
            (None, TunnelKind::Socks) if host.is_none() => return Self::socks(listen),
            (_, TunnelKind::Socks) => return Err(SOCKS_DESTINATION.into()),
            (Some(port), _) => dst_port_field(port)?,
            (None, TunnelKind::Ftp) => FTP_PORT,
            (None, TunnelKind::Tcp) => {
                return Err("a tcp tunnel needs a dst-host and a dst-port".into());
            }
        };
        let dst_host = host_field(without_brackets(host.unwrap_or("localhost")), "dst-host")?;
        Ok(Self {
            kind,
            side: TunnelSide::Local,
            listen: listen.parse()?,
            dst_host,
            dst_port,
        })
    }

    /// Reads `[listen-address:]listen-port` of a SOCKS tunnel.
    fn socks(listen: &str) -> Result<Self, String> {
        let fields = fields(listen)?;
        if fields.len() > 2 {
            return Err(SOCKS_DESTINATION.into());
        }
        Ok(Self {
            kind: TunnelKind::Socks,
            side: TunnelSide::Local,
            listen: listen.parse()?,
            dst_host: String::new(),
            dst_port: 0,
        })
    }
}

impl FromStr for ListenAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match fields(text)?.as_slice() {
            [port] => Ok(Self {
                address: None,
                port: any_port(port)?,
            }),
            // `:1234` marks the number as a port, and leaves the address open.
            ["", port] => Ok(Self {
                address: None,
                port: any_port(port)?,
            }),
            [address, port] => Ok(Self {
                address: Some((*address).into()),
                port: any_port(port)?,
            }),
            [] | [..] => Err("expected [address:]port, an IPv6 address in brackets".into()),
        }
    }
}

/// How a user names an existing listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ListenerName {
    /// A number alone: an id if a listener has it, otherwise a port.
    Number(u64),
    /// A port, with or without an address.
    At(ListenAt),
}

impl FromStr for ListenerName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(number) => Ok(Self::Number(number)),
            Err(_) => text.parse().map(Self::At),
        }
    }
}

impl ListenerName {
    /// The id of the one listener with this name.
    pub(crate) fn find(&self, listeners: &[TunnelListener]) -> Result<u64, String> {
        let matching: Vec<&TunnelListener> = match self {
            Self::Number(id) if listeners.iter().any(|l| l.id == *id) => return Ok(*id),
            Self::Number(port) => listeners
                .iter()
                .filter(|l| u64::from(l.port) == *port)
                .collect(),
            Self::At(at) => listeners.iter().filter(|l| at.names(l)).collect(),
        };
        match matching.as_slice() {
            [one] => Ok(one.id),
            [] => Err(format!(
                "there is no tunnel listener {}: run broker-ctl list-tunnel-listeners to see all",
                self.text()
            )),
            [..] => Err(format!(
                "there are several tunnel listeners on {}: name one by its id",
                self.text()
            )),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::At(ListenAt {
                address: None,
                port,
            }) => format!("port {port}"),
            Self::At(ListenAt {
                address: Some(address),
                port,
            }) => host_port(address, *port),
        }
    }
}

impl ListenAt {
    fn names(&self, listener: &TunnelListener) -> bool {
        let address = self.address.as_ref();
        self.port == listener.port && address.is_none_or(|address| *address == listener.address)
    }
}

/// What a tunnel forwards.
pub(crate) fn kind(text: &str) -> Result<TunnelKind, String> {
    match text.to_ascii_lowercase().as_str() {
        "tcp" => Ok(TunnelKind::Tcp),
        "ftp" => Ok(TunnelKind::Ftp),
        "socks" => Ok(TunnelKind::Socks),
        _ => Err(format!(
            "there is no protocol \"{text}\": use tcp, ftp or socks"
        )),
    }
}

/// A name and a value, separated by `=`.
pub(crate) fn option(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        Some(_) | None => Err("expected NAME=VALUE".into()),
    }
}

/// An FTP server as HOST or HOST:PORT, without a port 21.
pub(crate) fn ftp_server(text: &str) -> Result<FtpServer, String> {
    let (host, port) = match fields(text)?.as_slice() {
        [host] => (*host, 21),
        [host, port] => (*host, dst_port_field(port)?),
        [] | [..] => return Err("expected host:port, an IPv6 address in brackets".into()),
    };
    let host = host_field(host, "host")?;
    Ok(FtpServer { host, port })
}

/// Splits at colons outside brackets, and removes the brackets.
fn fields(text: &str) -> Result<Vec<&str>, String> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, more) = first_field(rest)?;
        fields.push(field);
        match more {
            Some(more) => rest = more,
            None => return Ok(fields),
        }
    }
}

/// The first field, and the rest after its colon, if any.
fn first_field(text: &str) -> Result<(&str, Option<&str>), String> {
    let Some(inside) = text.strip_prefix('[') else {
        return Ok(text
            .split_once(':')
            .map_or((text, None), |(field, rest)| (field, Some(rest))));
    };
    let (field, rest) = inside.split_once(']').ok_or("a bracket is not closed")?;
    match rest.strip_prefix(':') {
        Some(rest) => Ok((field, Some(rest))),
        None if rest.is_empty() => Ok((field, None)),
        None => Err(format!(
            "expected a colon after the closing bracket, found \"{rest}\""
        )),
    }
}

fn host_field(text: &str, name: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err(format!("{name} is empty: {SYNTAX}"));
    }
    Ok(text.to_owned())
}

fn any_port(text: &str) -> Result<u16, String> {
    text.parse()
        .map_err(|_| format!("\"{text}\" is not a port: expected a number from 0 to 65535"))
}

fn dst_port_field(text: &str) -> Result<u16, String> {
    match any_port(text)? {
        0 => Err("dst-port is 0: expected a number from 1 to 65535".into()),
        port => Ok(port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use TunnelKind::{Ftp, Socks, Tcp};

    fn spec(
        kind: TunnelKind,
        address: Option<&str>,
        port: u16,
        host: &str,
        dst: u16,
    ) -> TunnelSpec {
        let listen = ListenAt {
            address: address.map(str::to_owned),
            port,
        };
        TunnelSpec {
            kind,
            side: TunnelSide::Local,
            listen,
            dst_host: host.into(),
            dst_port: dst,
        }
    }

    #[test]
    fn tunnels_are_read() {
        let cases = [
            (
                "ftp/1234:localhost:21",
                spec(Ftp, None, 1234, "localhost", 21),
            ),
            ("FTP/0:localhost:21", spec(Ftp, None, 0, "localhost", 21)),
            ("1234:host:80", spec(Tcp, None, 1234, "host", 80)),
            ("tcp/1234:host:80", spec(Tcp, None, 1234, "host", 80)),
            ("[::1]:0:host:21", spec(Tcp, Some("::1"), 0, "host", 21)),
            ("ftp/[::1]:0:host:21", spec(Ftp, Some("::1"), 0, "host", 21)),
            (
                "127.0.0.2:65535:host:65535",
                spec(Tcp, Some("127.0.0.2"), 65535, "host", 65535),
            ),
            (
                "ftp/2121:[2001:db8::7]:21",
                spec(Ftp, None, 2121, "2001:db8::7", 21),
            ),
            ("[::]:1:[::1]:2", spec(Tcp, Some("::"), 1, "::1", 2)),
            ("socks/1080", spec(Socks, None, 1080, "", 0)),
            ("SOCKS/[::1]:0", spec(Socks, Some("::1"), 0, "", 0)),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_tunnel_is_said() {
        let cases = [
            ("", "parts are missing"),
            ("1234", "parts are missing"),
            ("ftp/1234:localhost", "parts are missing"),
            ("sftp/1:h:2", "no protocol \"sftp\""),
            ("socks/1080:host:21", "a socks tunnel has no destination"),
            ("socks/1080:host", "\"host\" is not a port"),
            ("socks/", "\"\" is not a port"),
            ("/1:h:2", "no protocol \"\""),
            ("::1:0:host:21", "put IPv6 addresses in brackets"),
            ("[::1:0:host:21", "bracket is not closed"),
            ("[::1]0:host:21", "expected a colon"),
            ("x:host:21", "\"x\" is not a port"),
            ("65536:host:21", "\"65536\" is not a port"),
            ("-1:host:21", "\"-1\" is not a port"),
            (":1:host:21", "listen-address is empty"),
            ("1::21", "dst-host is empty"),
            ("1:host:", "\"\" is not a port"),
            ("1:host:0", "dst-port is 0"),
        ];
        for (text, part) in cases {
            let message = text.parse::<TunnelSpec>().unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn words_have_defaults() {
        let words = TunnelSpec::from_words;
        assert_eq!(
            words(Ftp, "1234", None, None),
            Ok(spec(Ftp, None, 1234, "localhost", 21))
        );
        assert_eq!(
            words(Ftp, "[::1]:0", Some("h"), None),
            Ok(spec(Ftp, Some("::1"), 0, "h", 21))
        );
        assert_eq!(
            words(Tcp, ":80", Some("[::1]"), Some("8080")),
            Ok(spec(Tcp, None, 80, "::1", 8080))
        );
        assert_eq!(
            words(Socks, "[::1]:0", None, None),
            Ok(spec(Socks, Some("::1"), 0, "", 0))
        );
        assert!(
            words(Socks, "1080", Some("h"), None)
                .unwrap_err()
                .contains("has no destination")
        );
        assert!(
            words(Tcp, "80", Some("h"), None)
                .unwrap_err()
                .contains("dst-port")
        );
        assert!(
            words(Ftp, "localhost", None, None)
                .unwrap_err()
                .contains("not a port")
        );
        assert!(
            words(Ftp, "1:2:3", None, None)
                .unwrap_err()
                .contains("[address:]port")
        );
    }

    fn listener(id: u64, address: &str, port: u16) -> TunnelListener {
        let listener = serde_json::json!({
            "id": id, "kind": "ftp", "address": address, "port": port, "dst_host": "h", "dst_port": 21,
            "target": "t", "relay": false, "state": "listening", "sessions_active": 0, "sessions_total": 0,
            "transfers": {"active": 0, "ok": 0, "failed": 0}, "bytes_up": 0, "bytes_down": 0, "origin": "file",
        });
        serde_json::from_value(listener).unwrap()
    }

    #[test]
    fn listeners_are_found_by_id_before_port() {
        let all = [
            listener(1, "127.0.0.1", 2121),
            listener(2, "::1", 2121),
            listener(3, "127.0.0.1", 1),
            listener(4, "::1", 990),
        ];
        let find = |name: &str| name.parse::<ListenerName>().unwrap().find(&all);
        assert_eq!(find("1"), Ok(1));
        assert_eq!(find(":1"), Ok(3));
        assert_eq!(find("990"), Ok(4));
        assert_eq!(find("[::1]:2121"), Ok(2));
        assert_eq!(find("127.0.0.1:2121"), Ok(1));
        assert!(find("2121").unwrap_err().contains("several"));
        assert!(find("77").unwrap_err().contains("no tunnel listener 77"));
        assert!(find("[::1]:1").unwrap_err().contains("[::1]:1"));
        assert!("nonsense".parse::<ListenerName>().is_err());
    }
}
