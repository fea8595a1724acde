//! Events as notifications: after the answer, beside other answers, and for clients that do not read them.

use super::*;

const SUBSCRIBE: &str = r#"{"jsonrpc":"2.0","id":"s","method":"subscribe","params":{"after":41}}"#;

#[tokio::test]
async fn events_follow_the_answer() {
    let daemon = Daemon::start();
    let mut raw = daemon.greeted().await;
    raw.send(SUBSCRIBE).await;
    let answer = raw.answer().await.unwrap();
    assert_eq!(
        (&answer["id"], &answer["result"]["last"]),
        (&json!("s"), &json!(41))
    );
    for number in 42..45 {
        let line = raw.answer().await.unwrap();
        assert_eq!(line["method"], "event");
        assert_eq!(line.get("id"), None);
        assert_eq!(line["params"]["number"], number);
        assert_eq!(line["params"]["kind"], "disconnected");
        assert_eq!(line["params"].get("transfer"), None);
    }
    daemon.end().await;
}

#[tokio::test]
async fn a_subscriber_can_still_ask() {
    let daemon = Daemon::start();
    let mut raw = daemon.greeted().await;
    raw.send(SUBSCRIBE).await;
    raw.send(STATUS).await;
    let mut line = raw.answer().await.unwrap();
    while line["id"] != "status" {
        line = raw.answer().await.unwrap();
    }
    assert_eq!(line["result"]["pid"], 42);
    daemon.end().await;
}

#[tokio::test]
async fn the_client_gets_events_and_refusals() {
    let daemon = Daemon::start();
    let client = daemon.client().await;
    let unknown = Subscribe {
        profile: Some("x".into()),
        ..Subscribe::default()
    };
    assert!(matches!(
        client.call(&unknown).await,
        Err(ClientError::Failed(_))
    ));
    let subscribed = client.call(&Subscribe::default()).await.unwrap();
    assert_eq!(subscribed.last, 0);
    assert_eq!(client.next_event().await.unwrap(), event(1));
    assert_eq!(client.next_event().await.unwrap(), event(2));
    daemon.end().await;
    while client.next_event().await.is_some() {}
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_holds_up_nobody() {
    let daemon = Daemon::start();
    let mut deaf = daemon.greeted().await;
    deaf.send(SUBSCRIBE).await;
    assert_eq!(
        daemon.client().await.call(&Status {}).await.unwrap(),
        status()
    );
    daemon.end().await;
}

#[tokio::test]
async fn a_subscriber_that_reads_nothing_for_30_seconds_is_disconnected() {
    let daemon = Daemon::start();
    let mut deaf = daemon.greeted().await;
    deaf.send(SUBSCRIBE).await;
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    daemon.handler.left.notified().await;
    assert_eq!(began.elapsed().as_secs(), 30);
    tokio::time::resume();
    let mut last = 41;
    while let Some(line) = deaf.line().await {
        // The last line can be cut.
        let Ok(line) = serde_json::from_str::<Value>(&line) else {
            break;
        };
        last = line["params"]["number"].as_u64().unwrap_or(last);
    }
    assert!(last > 41, "it has received nothing");
    daemon.end().await;
}

#[tokio::test]
async fn a_subscription_ends_with_the_clients_sending_side() {
    let daemon = Daemon::start();
    let mut raw = daemon.greeted().await;
    raw.send(SUBSCRIBE).await;
    raw.0.shutdown().await.unwrap();
    while raw.answer().await.is_some() {}
    daemon.end().await;
}
