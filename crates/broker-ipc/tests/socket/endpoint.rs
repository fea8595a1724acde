//! Where the socket is, who owns it, and what is left of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use broker_ipc::BindError;

use super::*;

#[tokio::test]
async fn only_the_owner_can_open_the_socket() {
    let outer = TempDir::new().unwrap();
    let directory = outer.path().join("made");
    let endpoint = bind(&directory.join("s")).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(endpoint.path()), 0o600);
    assert_eq!(mode(&directory.join("s.lock")), 0o600);
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_the_first_goes_on() {
    let daemon = Daemon::start();
    let refused = bind(&daemon.socket()).unwrap_err();
    let own = std::process::id();
    assert!(matches!(refused, BindError::AlreadyRunning { pid: Some(pid), .. } if pid == own));
    assert!(
        refused.to_string().contains(&format!("as process {own}")),
        "{refused}"
    );
    assert_eq!(
        daemon.client().await.call(&Status {}).await.unwrap().pid,
        42
    );
    daemon.end().await;
}

#[tokio::test]
async fn what_a_dead_daemon_left_is_no_obstacle() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    fs::write(directory.path().join("s.lock"), "99999999\n").unwrap();
    let absent = Client::connect(&path, Patience::default())
        .await
        .unwrap_err();
    assert!(matches!(absent, ClientError::NotRunning { .. }), "{absent}");
    bind(&path).unwrap();
}

#[tokio::test]
async fn a_file_in_the_sockets_place_is_kept() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s");
    fs::write(&path, "precious").unwrap();
    assert!(matches!(
        bind(&path).unwrap_err(),
        BindError::NotASocket { .. }
    ));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    assert!(!directory.path().join("s.lock").exists());
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_is_named_with_its_limit() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s".repeat(110));
    let refused = bind(&path).unwrap_err().to_string();
    assert!(
        refused.contains("--socket") && refused.contains("bytes"),
        "{refused}"
    );
    let refused = Client::connect(&path, Patience::default())
        .await
        .unwrap_err();
    assert_eq!(refused.reason(), broker_ipc::Reason::NoDaemon);
    assert!(refused.to_string().contains("bytes"), "{refused}");
}

#[tokio::test]
async fn a_directory_that_others_may_write_to_is_refused() {
    let outer = TempDir::new().unwrap();
    let directory = outer.path().join("open");
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(
        bind(&directory.join("s")).unwrap_err(),
        BindError::UnsafeDirectory { .. }
    ));
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o1777)).unwrap();
    bind(&directory.join("s")).unwrap();
}

#[tokio::test]
async fn the_end_leaves_nothing_behind() {
    let daemon = Daemon::start();
    let client = daemon.client().await;
    assert_eq!(client.call(&Stop::default()).await.unwrap(), Done {});
    daemon.tracker.close();
    daemon.tracker.wait().await;
    assert_eq!(fs::read_dir(daemon.directory.path()).unwrap().count(), 0);
    let gone = client.call(&Status {}).await.unwrap_err();
    assert!(
        matches!(gone, ClientError::Vanished { method: "status" }),
        "{gone}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn once_a_client_sees_the_end_the_socket_is_free() {
    let daemon = Daemon::start();
    for _ in 0..50 {
        let stop = CancellationToken::new();
        let path = daemon.directory.path().join("again");
        let endpoint = bind(&path).unwrap();
        let served = serve(
            endpoint,
            Arc::clone(&daemon.handler),
            daemon.tracker.clone(),
            stop.clone(),
        );
        daemon.tracker.spawn(served);
        let client = Client::connect(&path, Patience::default()).await.unwrap();
        stop.cancel();
        client.closed().await;
    }
    daemon.end().await;
}

#[tokio::test]
async fn without_a_daemon_the_message_says_how_to_start_one() {
    let directory = TempDir::new().unwrap();
    let absent = Client::connect(&directory.path().join("s"), Patience::default())
        .await
        .unwrap_err();
    assert_eq!(absent.reason(), broker_ipc::Reason::NoDaemon);
    assert!(absent.to_string().contains("broker-ctl start"), "{absent}");
}
