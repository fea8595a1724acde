//! What is answered to each line, line by line.

use super::*;

#[tokio::test]
async fn a_typed_request_gets_a_typed_result() {
    let daemon = Daemon::start();
    let client = daemon.client().await;
    assert_eq!(client.server().pid, std::process::id());
    assert_eq!(client.call(&Status {}).await.unwrap(), status());
    daemon.end().await;
}

#[tokio::test]
async fn a_refused_request_gives_its_code_and_message_and_the_next_one_works() {
    let daemon = Daemon::start();
    let client = daemon.client().await;
    match client.call(&ConnectionStatus { id: 7 }).await {
        Err(ClientError::Failed(error)) => {
            assert_eq!(
                error,
                RpcError::new(ErrorCode::NotFound, "there is no connection 7")
            );
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
    let refused = client.call(&ListProfiles {}).await.unwrap_err();
    assert!(matches!(refused, ClientError::Failed(error) if error.code == ErrorCode::NotSupported));
    assert_eq!(client.call(&Status {}).await.unwrap().pid, 42);
    daemon.end().await;
}

#[tokio::test]
async fn hello_comes_first() {
    let daemon = Daemon::start();
    let mut raw = daemon.raw().await;
    raw.send(r#"{"jsonrpc":"2.0","id":1,"method":"status"}"#)
        .await;
    assert_eq!(code(&raw.answer().await.unwrap()), ErrorCode::HelloRequired);
    assert_eq!(raw.answer().await, None);
    daemon.end().await;
}

#[tokio::test]
async fn another_version_is_refused_with_both_named() {
    let daemon = Daemon::start();
    let mut raw = daemon.raw().await;
    raw.send(r#"{"jsonrpc":"2.0","id":1,"method":"hello","params":{"protocol":9}}"#)
        .await;
    let answer = raw.answer().await.unwrap();
    assert_eq!(code(&answer), ErrorCode::ProtocolMismatch);
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("version 9") && message.contains("version 1"),
        "{message}"
    );
    assert_eq!(raw.answer().await, None);
    daemon.end().await;
}

#[tokio::test]
async fn each_bad_line_gets_its_code_and_the_conversation_goes_on() {
    let daemon = Daemon::start();
    let mut raw = daemon.greeted().await;
    let cases = [
        ("rubbish", ErrorCode::Parse, Value::Null),
        ("", ErrorCode::Parse, Value::Null),
        ("[]", ErrorCode::InvalidRequest, Value::Null),
        (
            r#"{"jsonrpc":"1.0","id":1,"method":"status"}"#,
            ErrorCode::InvalidRequest,
            Value::Null,
        ),
        (
            r#"{"jsonrpc":"2.0","id":{},"method":"status"}"#,
            ErrorCode::InvalidRequest,
            Value::Null,
        ),
        (
            r#"{"jsonrpc":"2.0","id":null,"method":"status"}"#,
            ErrorCode::InvalidRequest,
            Value::Null,
        ),
        (
            r#"{"jsonrpc":"2.0","id":2,"method":"fly"}"#,
            ErrorCode::MethodNotFound,
            json!(2),
        ),
        (
            r#"{"jsonrpc":"2.0","id":3,"method":"close-channel"}"#,
            ErrorCode::InvalidParams,
            json!(3),
        ),
        (
            r#"{"jsonrpc":"2.0","id":"four","method":"close-channel","params":{"id":-1}}"#,
            ErrorCode::InvalidParams,
            json!("four"),
        ),
    ];
    for (line, expected, id) in cases {
        raw.send(line).await;
        let answer = raw.answer().await.unwrap();
        assert_eq!(code(&answer), expected, "{line}");
        assert_eq!(answer["id"], id, "{line}");
    }
    raw.send(r#"{"jsonrpc":"2.0","id":5,"method":"status","params":{},"more":1}"#)
        .await;
    assert_eq!(raw.answer().await.unwrap()["result"]["pid"], 42);
    daemon.end().await;
}

#[tokio::test]
async fn wrong_parameters_are_refused_in_a_sentence() {
    let daemon = Daemon::start();
    let mut raw = daemon.greeted().await;
    for (method, params, expected) in [
        (
            "stop",
            r#"{"grce":1}"#,
            "stop: there is no parameter \"grce\": did you mean \"grace\"?",
        ),
        (
            "close-channel",
            r#"{"id":"x"}"#,
            "close-channel: the parameter \"id\" must be a whole number, 0 or more",
        ),
        (
            "subscribe",
            r#"{"kind":["log"]}"#,
            "subscribe: there is no parameter \"kind\": did you mean \"kinds\"?",
        ),
    ] {
        let line = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        raw.send(&line).await;
        let error = &raw.answer().await.unwrap()["error"];
        assert_eq!(error["message"], expected);
        assert_eq!(error["code"], -32602);
        assert_eq!(error["data"]["reason"], "invalid-request");
    }
    daemon.end().await;
}

#[tokio::test]
async fn a_notification_gets_no_answer() {
    let daemon = Daemon::start();
    let mut raw = daemon.greeted().await;
    raw.send(r#"{"jsonrpc":"2.0","method":"status"}"#).await;
    raw.send(r#"{"jsonrpc":"2.0","method":"fly"}"#).await;
    raw.send(r#"{"jsonrpc":"2.0","id":1,"method":"status"}"#)
        .await;
    assert_eq!(raw.answer().await.unwrap()["id"], 1);
    daemon.end().await;
}

#[tokio::test]
async fn an_endless_line_is_cut_off() {
    let daemon = Daemon::start();
    let mut raw = daemon.greeted().await;
    let chunk = vec![b'x'; 64 * 1024];
    // The daemon stops reading at its limit, so a write past it fails.
    while raw.0.write_all(&chunk).await.is_ok() {}
    let answer = raw.answer().await.unwrap();
    assert_eq!(code(&answer), ErrorCode::Parse);
    assert!(
        answer["error"]["message"]
            .as_str()
            .unwrap()
            .contains("1048576")
    );
    daemon.end().await;
}

#[tokio::test]
async fn bytes_that_are_no_text_end_the_conversation() {
    let daemon = Daemon::start();
    let mut raw = daemon.greeted().await;
    raw.0.write_all(b"\xff\xfe\n").await.unwrap();
    assert_eq!(code(&raw.answer().await.unwrap()), ErrorCode::Parse);
    assert_eq!(raw.answer().await, None);
    daemon.end().await;
}

#[tokio::test]
async fn a_wrong_answer_to_a_prompt_is_not_repeated() {
    let daemon = Daemon::start();
    let mut client = daemon.greeted().await;
    for wrong in [
        r#"{"id":1,"texts":"hunter2"}"#,
        r#"{"id":"hunter2"}"#,
        r#"{"id":1,"texts":[{"hunter2":1}]}"#,
    ] {
        let line =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"answer-prompt","params":{wrong}}}"#);
        client.send(&line).await;
        let refused = client.answer().await.unwrap();
        assert_eq!(refused["error"]["code"], -32602);
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }
    daemon.end().await;
}
