//! The addresses of data connections in commands and replies

use std::net::IpAddr;

use anyhow::{Context, Result, bail};

/// The command that announces a port of the client's.
pub(super) fn announcement(ip: IpAddr, port: u16, extended: bool) -> String {
    match ip {
        IpAddr::V4(v4) if !extended => {
            let host = v4.to_string().replace('.', ",");
            format!("PORT {host},{},{}", port >> 8, port & 255)
        }
        IpAddr::V4(_) => format!("EPRT |1|{ip}|{port}|"),
        IpAddr::V6(_) => format!("EPRT |2|{ip}|{port}|"),
    }
}

/// The port in a reply to PASV or EPSV.
pub(super) fn announced(reply: &str) -> Result<u16> {
    let inside = reply
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'))
        .map(|(inside, _)| inside)
        .with_context(|| format!("no address in {reply}"))?;
    if let Some(port) = inside.strip_prefix("|||") {
        return Ok(port.trim_end_matches('|').parse()?);
    }
    let numbers: Vec<u16> = inside
        .split(',')
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    match numbers.as_slice() {
        [_, _, _, _, high, low] => Ok((high << 8) + low),
        _ => bail!("no address in {reply}"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    #[test]
    fn ports_are_announced_and_understood() {
        let v4 = IpAddr::from(Ipv4Addr::LOCALHOST);
        assert_eq!(announcement(v4, 258, false), "PORT 127,0,0,1,1,2");
        assert_eq!(announcement(v4, 258, true), "EPRT |1|127.0.0.1|258|");
        let v6 = IpAddr::from(Ipv6Addr::LOCALHOST);
        assert_eq!(announcement(v6, 258, false), "EPRT |2|::1|258|");
        assert_eq!(announced("227 Mode (127,0,0,1,1,2).").unwrap(), 258);
        assert_eq!(announced("229 Mode (|||258|)").unwrap(), 258);
        assert!(announced("227 Logout.").is_err());
    }
}
