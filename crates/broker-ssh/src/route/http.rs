//! The request to an HTTP proxy (CONNECT, RFC 9110 section 9.3.6), and its answer

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use broker_settings::ProxyLogin;
use plain_text::printable_start;
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

use super::error::ProxyFault;
use crate::spec::Target;

/// Longest header that is read: proxies answer with a few hundred bytes, and only the status line matters here.
const MAX_HEADER: usize = 16 << 10;

/// How much of a status line a message shows.
const MAX_SHOWN: usize = 80;

/// Makes an HTTP proxy connect to the target. The bytes after its answer are the target's.
///
/// # Errors
/// Why it does not.
pub(super) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    target: &Target,
    login: Option<&ProxyLogin>,
) -> Result<(), ProxyFault> {
    let request = request(target, login);
    stream.write_all(request.as_bytes()).await?;
    let mut budget = MAX_HEADER;
    let status = read_line(stream, &mut budget).await?;
    judge(&status, login.is_some())?;
    while !read_line(stream, &mut budget).await?.is_empty() {}
    Ok(())
}

fn request(target: &Target, login: Option<&ProxyLogin>) -> Zeroizing<String> {
    let authorization = login.map(authorization);
    let authorization = authorization.as_ref().map_or("", |line| line.as_str());
    Zeroizing::new(format!(
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n"
    ))
}

/// RFC 7617 section 2.
fn authorization(login: &ProxyLogin) -> Zeroizing<String> {
    let password = login.password.expose_secret();
    let plain = Zeroizing::new(format!("{}:{password}", login.user));
    let encoded = Zeroizing::new(STANDARD.encode(plain.as_bytes()));
    Zeroizing::new(format!("Proxy-Authorization: Basic {}\r\n", *encoded))
}

/// A line of the header without its end. It is read byte by byte, so nothing after the header is consumed.
async fn read_line<S: AsyncRead + Unpin>(
    stream: &mut S,
    budget: &mut usize,
) -> Result<String, ProxyFault> {
    let mut line = Vec::new();
    loop {
        *budget = budget
            .checked_sub(1)
            .ok_or(ProxyFault::LongAnswer(MAX_HEADER))?;
        match stream.read_u8().await? {
            b'\n' => break,
            byte => line.push(byte),
        }
    }
    Ok(String::from_utf8_lossy(&line)
        .trim_end_matches('\r')
        .to_owned())
}

/// Any status from 200 to 299 means success.
fn judge(status: &str, logged_in: bool) -> Result<(), ProxyFault> {
    let shown = printable_start(status, MAX_SHOWN);
    let answer = status
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split_once(' '));
    let Some((_, answer)) = answer else {
        return Err(ProxyFault::NotHttp(shown));
    };
    match (answer.get(..3).unwrap_or_default(), logged_in) {
        ("407", true) => Err(ProxyFault::LoginRefused(Some(shown))),
        ("407", false) => Err(ProxyFault::LoginWanted(Some(shown))),
        (code, _) if code.starts_with('2') => Ok(()),
        _ => Err(ProxyFault::NotConnected(shown)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result of an answer, the request that the proxy received, and the bytes that are left for SSH.
    async fn ask(
        answer: &[u8],
        login: Option<&ProxyLogin>,
    ) -> (Result<(), ProxyFault>, String, Vec<u8>) {
        let (mut near, mut far) = tokio::io::duplex(1 << 21);
        far.write_all(answer).await.unwrap();
        let result = connect(&mut near, &Target::new("::1", 22), login).await;
        let mut sent = vec![0; 4096];
        let count = far.read(&mut sent).await.unwrap();
        sent.truncate(count);
        drop(far);
        let mut left = Vec::new();
        near.read_to_end(&mut left).await.unwrap();
        (result, String::from_utf8(sent).unwrap(), left)
    }

    fn login() -> ProxyLogin {
        ProxyLogin {
            user: "Aladdin".into(),
            password: "open sesame".into(),
        }
    }

    #[tokio::test]
    async fn what_follows_the_header_is_the_servers() {
        let answer = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nSSH-2.0-x\r\n";
        let (result, sent, left) = ask(answer, None).await;
        assert_eq!(result, Ok(()));
        assert_eq!(sent, "CONNECT [::1]:22 HTTP/1.1\r\nHost: [::1]:22\r\n\r\n");
        assert_eq!(left, b"SSH-2.0-x\r\n");
        let (result, _, left) = ask(b"HTTP/1.0 204 x\n\nSSH", None).await;
        assert_eq!((result, left.as_slice()), (Ok(()), &b"SSH"[..]));
    }

    #[tokio::test]
    async fn the_login_is_sent_as_the_standard_says() {
        // The example of RFC 7617 section 2.
        let (_, sent, _) = ask(b"HTTP/1.1 200 OK\r\n\r\n", Some(&login())).await;
        let line = "\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n";
        assert!(sent.ends_with(line), "{sent}");
    }

    #[tokio::test]
    async fn refusals_are_told_in_words() {
        for (answer, login, expected) in [
            (
                "HTTP/1.1 407 Who?\r\n\r\n",
                None,
                "requires a login that the rule does not have (HTTP/1.1 407 Who?)",
            ),
            (
                "HTTP/1.1 407 Who?\r\n\r\n",
                Some(login()),
                "did not accept the rule's user and password",
            ),
            (
                "HTTP/1.1 403 Forbidden\r\n\r\n<html>No",
                None,
                "(HTTP/1.1 403 Forbidden); it may allow only other ports",
            ),
            (
                "SSH-2.0-OpenSSH_9.2\r\n",
                None,
                "does not speak HTTP (it said “SSH-2.0-OpenSSH_9.2”)",
            ),
            ("HTTP/1.1\r\n\r\n", None, "does not speak HTTP"),
            (
                "HTTP/1.1 \u{e9}\r\n\r\n",
                None,
                "does not connect to the server",
            ),
            ("\x1b[31mred\r\n", None, "(it said “\\u{1b}[31mred”)"),
        ] {
            let (result, _, _) = ask(answer.as_bytes(), login.as_ref()).await;
            let refusal = result.unwrap_err();
            assert_eq!(refusal.is_login(), answer.contains("407"), "{answer:?}");
            let error = refusal.to_string();
            assert!(error.contains(expected), "{answer:?}: {error}");
            assert!(!error.contains("sesame"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_header_without_end_is_given_up() {
        let endless = [b"HTTP/1.1 200 OK\r\n".to_vec(), vec![b'x'; 1 << 20]].concat();
        let (result, _, _) = ask(&endless, None).await;
        assert_eq!(result.unwrap_err(), ProxyFault::LongAnswer(MAX_HEADER));
    }

    #[tokio::test]
    async fn an_end_instead_of_an_answer_is_told() {
        let (mut near, far) = tokio::io::duplex(4096);
        drop(far);
        let result = connect(&mut near, &Target::new("h", 22), None).await;
        assert!(result.is_err());
    }
}
