//! Several requests at once, several clients at once, and clients that leave.

use super::*;

#[tokio::test]
async fn a_client_that_vanishes_or_waits_is_nobody_elses_problem() {
    let daemon = Daemon::start();
    let mut leaving = daemon.greeted().await;
    leaving
        .send(r#"{"jsonrpc":"2.0","id":1,"method":"close-channel","params":{"id":1}}"#)
        .await;
    daemon.handler.waiting.notified().await;
    drop(leaving);
    let mut halfway = daemon.raw().await;
    halfway.0.write_all(b"{\"jsonrpc\":").await.unwrap();
    drop(halfway);
    assert_eq!(
        daemon.client().await.call(&Status {}).await.unwrap().pid,
        42
    );
    daemon.end().await;
}

#[tokio::test]
async fn one_client_too_many_is_told_so() {
    let daemon = Daemon::start();
    let mut admitted = Vec::new();
    for _ in 0..broker_ipc::server::MAX_CLIENTS {
        admitted.push(daemon.client().await);
    }
    let refused = Client::connect(&daemon.socket(), Patience::default())
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, ClientError::Failed(e) if e.code == ErrorCode::TooManyClients),
        "{refused}"
    );
    let last = admitted.pop().unwrap();
    assert_eq!(last.call(&Status {}).await.unwrap().pid, 42);
    daemon.end().await;
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_is_noticed() {
    let daemon = Daemon::start();
    let mut client = daemon.greeted().await;
    client.send(NEXT_PROMPT).await;
    daemon.handler.waiting.notified().await;
    drop(client);
    daemon.handler.left.notified().await;
    daemon.end().await;
}

#[tokio::test]
async fn a_request_does_not_wait_for_those_before_it() {
    let daemon = Daemon::start();
    let mut client = daemon.greeted().await;
    client.send(NEXT_PROMPT).await;
    client.send(STATUS).await;
    assert_eq!(client.answer().await.unwrap()["id"], "status");
    daemon.handler.prompt.notify_one();
    assert_eq!(client.answer().await.unwrap()["id"], "next-prompt");
    daemon.end().await;
}

#[tokio::test]
async fn one_client_makes_several_calls_at_once() {
    let daemon = Daemon::start();
    let client = daemon.client().await;
    let wait = client.wait(&NextPrompt { shown: None });
    let meanwhile = async {
        daemon.handler.waiting.notified().await;
        let status = client.call(&Status {}).await;
        daemon.handler.prompt.notify_one();
        status
    };
    let (prompt, status) = tokio::join!(wait, meanwhile);
    assert_eq!(prompt.unwrap(), CurrentPrompt { prompt: None });
    assert_eq!(status.unwrap().pid, 42);
    daemon.end().await;
}

#[tokio::test]
async fn one_request_too_many_is_refused_and_the_others_go_on() {
    let daemon = Daemon::start();
    let mut client = daemon.greeted().await;
    for _ in 0..broker_ipc::server::MAX_CALLS {
        client.send(NEXT_PROMPT).await;
    }
    client.send(STATUS).await;
    let refused = client.answer().await.unwrap();
    assert_eq!(refused["id"], "status");
    assert_eq!(code(&refused), ErrorCode::LimitReached);
    daemon.handler.prompt.notify_one();
    assert_eq!(client.answer().await.unwrap()["id"], "next-prompt");
    client.send(STATUS).await;
    assert_eq!(client.answer().await.unwrap()["result"]["pid"], 42);
    daemon.end().await;
}

#[tokio::test]
async fn who_sends_no_more_still_gets_answers_and_waits_no_longer() {
    let daemon = Daemon::start();
    let mut client = daemon.greeted().await;
    client.send(NEXT_PROMPT).await;
    client.send(STATUS).await;
    client.0.shutdown().await.unwrap();
    assert_eq!(client.answer().await.unwrap()["id"], "status");
    assert_eq!(client.answer().await.unwrap()["id"], "next-prompt");
    assert_eq!(client.answer().await, None);
    daemon.end().await;
}
