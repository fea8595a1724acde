//! What comes of each handshake, byte by byte.

use tokio::io::AsyncWriteExt;
use tokio::io::{DuplexStream, duplex};

use super::*;

fn login() -> Login {
    Login {
        user: "me".into(),
        password: "right".to_owned().into(),
    }
}

/// What comes of these bytes, what the client reads, and how many bytes are left.
async fn receive_from(
    bytes: &[u8],
    login: Option<&Login>,
) -> (Result<Request, String>, Vec<u8>, usize) {
    let (mut client, mut server) = duplex(4096);
    client.write_all(bytes).await.unwrap();
    client.shutdown().await.unwrap();
    let request = receive(&mut server, login).await;
    let left = drain(&mut server).await.len();
    drop(server);
    let answer = drain(&mut client).await;
    (request.map_err(|fault| fault.to_string()), answer, left)
}

async fn drain(stream: &mut DuplexStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    all
}

fn asked(host: &str, port: u16, version: Version) -> Result<Request, String> {
    Ok(Request {
        host: host.into(),
        port,
        version,
    })
}

#[tokio::test]
async fn a_request_is_read_and_nothing_behind_it() {
    let v4 = |host: &str, port| asked(host, port, Version::V4);
    let v5 = |host: &str, port| asked(host, port, Version::V5);
    for (bytes, expected, answer) in [
        (
            &b"\x04\x01\0\x15\xc0\0\x02\x01\0"[..],
            v4("192.0.2.1", 21),
            &b""[..],
        ),
        (
            b"\x04\x01\0\x15\xc0\0\x02\x01someone\0",
            v4("192.0.2.1", 21),
            b"",
        ),
        (
            b"\x04\x01\0\x15\0\0\0\x01\0ftp.example\0",
            v4("ftp.example", 21),
            b"",
        ),
        (
            b"\x05\x01\0\x05\x01\0\x01\xc0\0\x02\x01\0\x15",
            v5("192.0.2.1", 21),
            b"\x05\0",
        ),
        (
            b"\x05\x02\x02\0\x05\x01\0\x03\x01h\x1f\x90",
            v5("h", 8080),
            b"\x05\0",
        ),
        (
            b"\x05\x01\0\x05\x01\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x15",
            v5("::1", 21),
            b"\x05\0",
        ),
        (
            b"\x05\x01\0\x05\x01\0\x04\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\x01\0\x15",
            v5("127.0.0.1", 21),
            b"\x05\0",
        ),
    ] {
        let with_data = [bytes, b"data"].concat();
        let received = receive_from(&with_data, None).await;
        assert_eq!(received, (expected, answer.to_vec(), 4), "{bytes:?}");
    }
}

#[tokio::test]
async fn what_is_no_request_for_a_connection_is_answered_as_far_as_the_protocol_can() {
    let refused_v4 = b"\0\x5b\0\0\0\0\0\0";
    let long = [b"\x04\x01\0\x15\xc0\0\x02\x01", [b'u'; 300].as_slice()].concat();
    for (bytes, fault, answer) in [
        // BIND and UDP ASSOCIATE.
        (
            &b"\x04\x02\0\x15\xc0\0\x02\x01\0"[..],
            "command 2",
            &refused_v4[..],
        ),
        (
            b"\x05\x01\0\x05\x02\0\x01\xc0\0\x02\x01\0\x15",
            "command 2",
            b"\x05\0\x05\x07\0\x01\0\0\0\0\0\0",
        ),
        (
            b"\x05\x01\0\x05\x03\0\x01\xc0\0\x02\x01\0\x15",
            "command 3",
            b"\x05\0\x05\x07\0\x01\0\0\0\0\0\0",
        ),
        (
            b"\x05\x01\0\x05\x01\0\x03\0\0\x15",
            "no usable destination",
            b"\x05\0\x05\x08\0\x01\0\0\0\0\0\0",
        ),
        (
            b"\x05\x01\0\x05\x01\0\x02\0\0\x15",
            "no usable destination",
            b"\x05\0\x05\x08\0\x01\0\0\0\0\0\0",
        ),
        (
            b"\x05\x01\0\x05\x01\0\x03\x03a b\0\x15",
            "no usable destination",
            b"\x05\0\x05\x08\0\x01\0\0\0\0\0\0",
        ),
        (
            b"\x05\x01\0\x05\x01\0\x01\xc0\0\x02\x01\0\0",
            "no usable destination",
            b"\x05\0\x05\x08\0\x01\0\0\0\0\0\0",
        ),
        (
            b"\x04\x01\0\0\xc0\0\x02\x01\0",
            "no usable destination",
            refused_v4,
        ),
        (&long, "malformed", refused_v4),
        (b"\x05\x01\x01", "only login methods", b"\x05\xff"),
        (b"\x05\x01\0\x04\x01\0", "malformed", b"\x05\0"),
        (b"\x05\x01\0\x05", "ended before", b"\x05\0"),
        (b"", "ended before", b""),
        (b"GET / HTTP/1.1\r\n\r\n", "speaks HTTP", b""),
        (b"CONNECT h:1 HTTP/1.1\r\n\r\n", "speaks HTTP", b""),
        (b"\x16\x03\x01", "speaks TLS", b""),
        (b"Gopher", "first byte is 71", b""),
        (b"\x06", "first byte is 6", b""),
    ] {
        let (request, told, _) = receive_from(bytes, None).await;
        let message = request.unwrap_err();
        assert!(message.contains(fault), "{bytes:?}: {message}");
        assert_eq!(told, answer, "{bytes:?}");
    }
}

#[tokio::test]
async fn only_the_right_login_is_served_if_one_is_required() {
    let login = login();
    let ask = |login: &[u8]| {
        let request = b"\x05\x01\0\x03\x01h\0\x50";
        [b"\x05\x02\0\x02", login, request].concat()
    };
    let right = receive_from(&ask(b"\x01\x02me\x05right"), Some(&login)).await;
    let expected = asked("h", 80, Version::V5);
    assert_eq!(right, (expected, b"\x05\x02\x01\0".to_vec(), 0));
    for wrong in [
        &b"\x01\x02me\x05wrong"[..],
        b"\x01\x02me\x04righ",
        b"\x01\x02me\x06rightx",
        b"\x01\x02Me\x05right",
        b"\x01\x02me\0",
        b"\x01\0\0",
    ] {
        let (request, told, _) = receive_from(&ask(wrong), Some(&login)).await;
        assert!(request.unwrap_err().contains("wrong user or password"));
        assert_eq!(told, b"\x05\x02\x01\x01", "{wrong:?}");
    }
    let (request, told, _) = receive_from(b"\x05\x01\0", Some(&login)).await;
    assert!(request.unwrap_err().contains("requires"));
    assert_eq!(told, b"\x05\xff");
    let v4 = b"\x04\x01\0\x15\xc0\0\x02\x01me\0";
    let (request, told, _) = receive_from(v4, Some(&login)).await;
    assert!(request.unwrap_err().contains("SOCKS 4"));
    assert_eq!(told, b"\0\x5b\0\0\0\0\0\0");
}

#[tokio::test(start_paused = true)]
async fn a_client_has_a_limited_time_for_its_request() {
    for begun in [
        &b""[..],
        b"\x05",
        b"\x05\x01\0\x05\x01\0\x03\xff",
        b"\x04\x01\0\x15",
        b"G",
    ] {
        let (mut client, mut server) = duplex(4096);
        client.write_all(begun).await.unwrap();
        let message = receive(&mut server, None).await.unwrap_err().to_string();
        assert!(message.contains("within 10 seconds"), "{message}");
    }
}

#[tokio::test]
async fn the_answer_is_in_the_version_of_the_request() {
    for (version, reason, bytes) in [
        (Version::V4, None, &b"\0\x5a\0\0\0\0\0\0"[..]),
        (Version::V4, Some(Reason::Refused), b"\0\x5b\0\0\0\0\0\0"),
        (Version::V5, None, b"\x05\0\0\x01\0\0\0\0\0\0"),
        (
            Version::V5,
            Some(Reason::Refused),
            b"\x05\x05\0\x01\0\0\0\0\0\0",
        ),
    ] {
        let mut told = Vec::new();
        match reason {
            None => version.grant(&mut told).await.unwrap(),
            Some(reason) => version.refuse(&mut told, reason).await.unwrap(),
        }
        assert_eq!(told, bytes);
    }
}
