//! The addresses between which a client's connection runs: those of the socket, or those that a proxy names.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use plain_text::canonical;
use proxy_header::{Error, ParseConfig, Protocol, ProxiedAddress, ProxyHeader};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a proxy may take to send its header, which it sends before anything else.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest header. Addresses take 52 bytes at most; the rest is for what proxies add, such as a client's certificate.
const MAX_HEADER: usize = 4096;

/// Both versions. What a proxy adds to the addresses is not used.
const FORMS: ParseConfig = ParseConfig {
    include_tlvs: false,
    allow_v1: true,
    allow_v2: true,
};

/// Both ends of a connection as its client sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddresses {
    /// The client's own address.
    pub(crate) client: SocketAddr,
    /// The address that it connected to.
    pub(crate) reached: SocketAddr,
}

/// Why a connection has no PROXY protocol header that could be used.
#[derive(Debug)]
pub(crate) enum HeaderFault {
    /// None came in time.
    Late,
    /// What came is something else.
    Invalid,
    /// The header names an address that no client can have.
    NoClient(IpAddr),
    /// The connection ended or failed before.
    Lost(io::Error),
}

impl fmt::Display for HeaderFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => {
                let limit = HEADER_TIMEOUT.as_secs();
                write!(f, "no PROXY protocol header came within {limit} seconds")
            }
            Self::Invalid => {
                f.write_str("the connection does not begin with a PROXY protocol header")
            }
            Self::NoClient(ip) => write!(f, "the PROXY protocol header names {ip} as the client"),
            Self::Lost(error) => write!(
                f,
                "the connection failed before a PROXY protocol header came: {error}"
            ),
        }
    }
}

impl ClientAddresses {
    /// Those of the socket that accepted a connection from `client`.
    ///
    /// # Errors
    /// If the client has left.
    pub(crate) fn of_socket(tcp: &TcpStream, client: SocketAddr) -> io::Result<Self> {
        let reached = tcp.local_addr().map(canonical)?;
        Ok(Self { client, reached })
    }

    /// Those that a proxy names in the header with which the connection begins. `None` if the proxy connects for itself,
    /// to see whether somebody listens. Nothing behind the header is read.
    ///
    /// # Errors
    /// If no valid header comes in time.
    pub(crate) async fn named_by_proxy(tcp: &mut TcpStream) -> Result<Option<Self>, HeaderFault> {
        let read = timeout(HEADER_TIMEOUT, read_header(tcp)).await;
        read.unwrap_or(Err(HeaderFault::Late))
    }

    fn named(addresses: &ProxiedAddress) -> Result<Self, HeaderFault> {
        if addresses.protocol != Protocol::Stream {
            return Err(HeaderFault::Invalid);
        }
        let client = canonical(addresses.source);
        let ip = client.ip();
        if ip.is_unspecified() || ip.is_multicast() {
            return Err(HeaderFault::NoClient(ip));
        }
        let reached = canonical(addresses.destination);
        Ok(Self { client, reached })
    }
}

/// Takes from the connection what belongs to the header, part by part.
async fn read_header(tcp: &mut TcpStream) -> Result<Option<ClientAddresses>, HeaderFault> {
    let mut header = Vec::new();
    let mut waiting = vec![0; MAX_HEADER];
    loop {
        let known = header.len();
        let length = tcp.peek(&mut waiting).await.map_err(HeaderFault::Lost)?;
        if length == 0 {
            return Err(HeaderFault::Lost(io::ErrorKind::UnexpectedEof.into()));
        }
        header.extend(waiting.iter().take(length));
        match ProxyHeader::parse(&header, FORMS) {
            Ok((parsed, whole)) => {
                consume(tcp, whole.saturating_sub(known)).await?;
                let addresses = parsed.proxied_address();
                return addresses.map(ClientAddresses::named).transpose();
            }
            Err(Error::BufferTooShort) if header.len() < MAX_HEADER => consume(tcp, length).await?,
            Err(_) => return Err(HeaderFault::Invalid),
        }
    }
}

/// Reads bytes that have already arrived.
async fn consume(tcp: &mut TcpStream, length: usize) -> Result<(), HeaderFault> {
    let mut bytes = vec![0; length];
    let read = tcp.read_exact(&mut bytes).await;
    read.map(drop).map_err(HeaderFault::Lost)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

    /// A header of version 2 with this command, family, and content.
    fn v2(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [V2, &[command, family], &length, content].concat()
    }

    async fn connected() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        (client.unwrap(), server.unwrap().0)
    }

    /// What is read from a connection that begins with these parts, each of which arrives alone.
    async fn read(parts: &[&[u8]]) -> Result<Option<ClientAddresses>, String> {
        let (mut proxy, mut tcp) = connected().await;
        proxy.set_nodelay(true).unwrap();
        let reading = async {
            let named = ClientAddresses::named_by_proxy(&mut tcp).await;
            if named.is_ok() {
                let mut rest = Vec::new();
                tcp.read_to_end(&mut rest).await.unwrap();
                assert_eq!(rest, b"USER x\r\n", "what comes after the header");
            }
            named.map_err(|fault| fault.to_string())
        };
        let writing = async {
            for part in parts {
                proxy.write_all(part).await.unwrap();
                tokio::task::yield_now().await;
            }
            let _ = proxy.write_all(b"USER x\r\n").await;
            let _ = proxy.shutdown().await;
        };
        tokio::join!(reading, writing).0
    }

    fn between(client: &str, reached: &str) -> Option<ClientAddresses> {
        let [client, reached] = [client, reached].map(|address| address.parse().unwrap());
        Some(ClientAddresses { client, reached })
    }

    #[tokio::test]
    async fn both_versions_name_the_client_and_the_address_it_reached() {
        let ipv4 = [192, 0, 2, 1, 198, 51, 100, 2, 0x9c, 0x40, 0, 21];
        let expected = between("192.0.2.1:40000", "198.51.100.2:21");
        let text = b"PROXY TCP4 192.0.2.1 198.51.100.2 40000 21\r\n";
        assert_eq!(read(&[text]).await, Ok(expected));
        assert_eq!(read(&[&v2(0x21, 0x11, &ipv4)]).await, Ok(expected));
        let with_more = [&ipv4[..], b"\x04\0\x03abc"].concat();
        assert_eq!(read(&[&v2(0x21, 0x11, &with_more)]).await, Ok(expected));
        let text = b"PROXY TCP6 2001:db8::1 2001:db8::2 40000 21\r\n";
        let expected = between("[2001:db8::1]:40000", "[2001:db8::2]:21");
        assert_eq!(read(&[text]).await, Ok(expected));
        let mapped = b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 40000 21\r\n";
        let expected = between("192.0.2.1:40000", "198.51.100.2:21");
        assert_eq!(read(&[mapped]).await, Ok(expected));
    }

    #[tokio::test]
    async fn a_header_may_arrive_in_parts() {
        let expected = between("192.0.2.1:40000", "198.51.100.2:21");
        let text = b"PROXY TCP4 192.0.2.1 198.51.100.2 40000 21\r\n";
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(read(&bytes).await, Ok(expected));
    }

    #[tokio::test]
    async fn a_proxy_that_connects_for_itself_names_nobody() {
        assert_eq!(read(&[b"PROXY UNKNOWN\r\n"]).await, Ok(None));
        assert_eq!(read(&[&v2(0x20, 0, b"")]).await, Ok(None));
        assert_eq!(read(&[&v2(0x20, 0x11, &[0; 12])]).await, Ok(None));
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let invalid = "the connection does not begin with a PROXY protocol header";
        let endless = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
        for bytes in [
            b"USER x\r\n".as_slice(),
            b"PROXY TCP4 192.0.2.1 198.51.100.2 70000 21\r\n",
            b"PROXY TCP4 here there 40000 21\r\n",
            &v2(0x21, 0x12, &[1; 12]),
            &v2(0x31, 0x11, &[1; 12]),
            &v2(0x21, 0x11, &[0; 5000]),
            &endless,
        ] {
            assert_eq!(read(&[bytes]).await, Err(invalid.to_owned()));
        }
        let nowhere = b"PROXY TCP4 0.0.0.0 198.51.100.2 40000 21\r\n";
        let refused = "the PROXY protocol header names 0.0.0.0 as the client";
        assert_eq!(read(&[nowhere]).await, Err(refused.to_owned()));
    }

    #[tokio::test]
    async fn a_proxy_must_send_its_header_at_once() {
        let (mut proxy, mut tcp) = connected().await;
        proxy.write_all(b"PROXY TCP4 ").await.unwrap();
        tokio::time::pause();
        let late = ClientAddresses::named_by_proxy(&mut tcp).await;
        let late = late.unwrap_err().to_string();
        assert_eq!(late, "no PROXY protocol header came within 5 seconds");
    }

    #[tokio::test]
    async fn a_connection_that_ends_within_the_header_is_refused() {
        let (mut proxy, mut tcp) = connected().await;
        proxy.write_all(b"PROXY TCP4 ").await.unwrap();
        drop(proxy);
        let ended = ClientAddresses::named_by_proxy(&mut tcp).await;
        assert!(matches!(ended, Err(HeaderFault::Lost(_))), "{ended:?}");
    }
}
