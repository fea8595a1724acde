//! Proxies that answer in every possible way, correct or not

use std::time::Duration;

use broker_settings::ProxyLogin;
use testkit::scripted::ScriptedListener;

use super::*;

/// A name that only the proxy could resolve.
const HOST: &str = "only-the-proxy.invalid";

/// The proxy's script: it reads this many bytes, then sends these, in turn.
type Script = &'static [(usize, &'static [u8])];

/// A request with the name in it, and the bytes before and after it.
fn request(before: &[u8], after: &[u8]) -> Vec<u8> {
    [before, HOST.as_bytes(), after].concat()
}

/// The outcome, and all bytes that the proxy received.
async fn play(
    kind: ProxyKind,
    login: Option<(&str, &str)>,
    host: &str,
    script: Script,
) -> (Result<TcpStream, RouteError>, Vec<u8>) {
    let listener = ScriptedListener::bind().await.unwrap();
    let proxy = Proxy {
        kind,
        host: listener.addr().ip().to_string(),
        port: listener.addr().port(),
        login: login.map(|(user, password)| ProxyLogin {
            user: user.into(),
            password: password.into(),
        }),
    };
    let spec = ConnectSpec::new(host, 22, "user");
    let limit = TimeLimit::starts_now(Some(Duration::from_millis(500)));
    let act = async {
        let mut client = listener.accept().await.unwrap();
        for (expected, answer) in script {
            client.bytes(*expected).await.unwrap();
            client.send(answer).await.unwrap();
        }
        client
    };
    let (outcome, client) = tokio::join!(connect(&proxy, &spec, limit), act);
    (outcome, client.seen().to_vec())
}

/// The message for a refused connection.
async fn refusal(
    kind: ProxyKind,
    login: Option<(&str, &str)>,
    host: &str,
    script: Script,
) -> String {
    let (outcome, _) = play(kind, login, host, script).await;
    let message = outcome.unwrap_err().to_string();
    assert!(message.starts_with("cannot reach SSH server "), "{message}");
    assert!(message.contains(" proxy 127.0.0.1:"), "{message}");
    assert!(!message.contains("geheim"), "{message}");
    message
}

#[tokio::test]
async fn socks5_is_asked_by_name() {
    let script: Script = &[(3, b"\x05\x00"), (29, b"\x05\x00\x00\x01\0\0\0\0\0\0SSH")];
    let (outcome, seen) = play(ProxyKind::Socks5, None, HOST, script).await;
    let asked = request(b"\x05\x01\x00\x05\x01\x00\x03\x16", b"\x00\x16");
    assert_eq!(seen, asked);
    // The bytes after the answer are the server's.
    let mut first = [0; 3];
    tokio::io::AsyncReadExt::read_exact(&mut outcome.unwrap(), &mut first)
        .await
        .unwrap();
    assert_eq!(&first, b"SSH");
}

#[tokio::test]
async fn socks5_is_given_the_login_and_an_ipv6_address() {
    let script: Script = &[
        (4, b"\x05\x02"),
        (11, b"\x01\x00"),
        (22, b"\x05\x00\x00\x01\0\0\0\0\0\0"),
    ];
    let login = Some(("me", "geheim"));
    let (outcome, seen) = play(ProxyKind::Socks5, login, "::1", script).await;
    outcome.unwrap();
    assert_eq!(
        seen,
        b"\x05\x02\x00\x02\x01\x02me\x06geheim\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x16"
    );
}

#[tokio::test]
async fn socks4_is_asked_by_name_with_the_user() {
    let script: Script = &[(34, b"\x00\x5a\0\0\0\0\0\0")];
    let (outcome, seen) = play(ProxyKind::Socks4, Some(("me", "")), HOST, script).await;
    outcome.unwrap();
    assert_eq!(seen, request(b"\x04\x01\x00\x16\0\0\0\x01me\0", b"\0"));
}

#[tokio::test]
async fn every_refusal_of_socks5_is_told_in_words() {
    const ASKED: (usize, &[u8]) = (3, b"\x05\x00");
    let cases: [(Script, &str); 9] = [
        (
            &[ASKED, (29, b"\x05\x01\x00\x01\0\0\0\0\0\0")],
            "did not say why",
        ),
        (
            &[ASKED, (29, b"\x05\x02\x00\x01\0\0\0\0\0\0")],
            "does not allow connections to this server",
        ),
        (
            &[ASKED, (29, b"\x05\x04\x00\x01\0\0\0\0\0\0")],
            "cannot reach the server",
        ),
        (
            &[ASKED, (29, b"\x05\x05\x00\x01\0\0\0\0\0\0")],
            "the server refused its connection",
        ),
        (
            &[ASKED, (29, b"\x05\x08\x00\x01\0\0\0\0\0\0")],
            "not accept a server address of this kind",
        ),
        (
            &[(3, b"\x05\xff")],
            "requires a login that the rule does not have",
        ),
        (
            &[(3, b"HTTP/1.1 400 Bad Request\r\n\r\n")],
            "not answer like such a proxy",
        ),
        (&[(3, b"\x05\x09")], "not answer like such a proxy"),
        (&[], "did not answer within 1 s"),
    ];
    for (script, expected) in cases {
        let message = refusal(ProxyKind::Socks5, None, HOST, script).await;
        assert!(
            message.contains(expected),
            "{message} instead of {expected}"
        );
    }
    let login = Some(("me", "geheim"));
    let message = refusal(
        ProxyKind::Socks5,
        login,
        HOST,
        &[(4, b"\x05\x02"), (11, b"\x01\x01")],
    )
    .await;
    assert!(
        message.contains("did not accept the rule's user and password"),
        "{message}"
    );
}

#[tokio::test]
async fn every_refusal_of_socks4_is_told_in_words() {
    for (answer, expected) in [
        (&b"\x00\x5b\0\0\0\0\0\0"[..], "did not say why"),
        (b"\x00\x5c\0\0\0\0\0\0", "did not accept the rule's user"),
        (b"\x00\x5d\0\0\0\0\0\0", "did not accept the rule's user"),
        (b"\x00\x63\0\0\0\0\0\0", "did not connect"),
        (b"SSH-2.0-", "not answer like such a proxy"),
    ] {
        let script: Script = Box::leak(Box::new([(32, answer)]));
        let message = refusal(ProxyKind::Socks4, None, HOST, script).await;
        assert!(
            message.contains(expected),
            "{message} instead of {expected}"
        );
    }
    let message = refusal(ProxyKind::Socks4, None, "::1", &[]).await;
    assert!(
        message.contains("SOCKS4 does not support IPv6"),
        "{message}"
    );
}

#[tokio::test]
async fn a_proxy_that_is_silent_or_not_there_is_named() {
    let message = refusal(ProxyKind::HttpConnect, None, HOST, &[]).await;
    assert!(message.contains("HTTP proxy 127.0.0.1:"), "{message}");
    assert!(
        message.ends_with("it did not answer within 1 s"),
        "{message}"
    );
    let proxy = Proxy {
        kind: ProxyKind::Socks5,
        host: HOST.into(),
        port: 1080,
        login: None,
    };
    let spec = ConnectSpec::new("h", 22, "user");
    let outcome = connect(&proxy, &spec, TimeLimit::starts_now(None)).await;
    let message = outcome.unwrap_err().to_string();
    let expected = format!("SSH server h:22 through SOCKS5 proxy {HOST}:1080: no address for it: ");
    assert!(message.contains(&expected), "{message}");
}
