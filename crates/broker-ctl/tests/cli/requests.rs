//! What the commands that change something ask of the daemon, and how they fail.

use std::collections::BTreeMap;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::{io, thread};

use broker_ipc::methods::{
    CloseChannel, CloseConnection, CloseTunnelListener, OpenTunnelListener, Reload, Stop, Subscribe,
};
use broker_ipc::types::{EventKind, ReloadReport, TunnelKind, TunnelSide};
use snapbox::str;

use crate::broker_ctl;
use crate::fake::{Daemon, request};

/// The tunnel that all spellings below ask for.
fn ftp_tunnel() -> OpenTunnelListener {
    OpenTunnelListener {
        kind: TunnelKind::Ftp,
        side: TunnelSide::Local,
        listen_address: None,
        listen_port: 1234,
        dst_host: "localhost".into(),
        dst_port: 21,
        relay: false,
        options: BTreeMap::new(),
        target: "username@sshserver".into(),
        while_connected: false,
    }
}

#[test]
fn both_spellings_open_the_same_tunnel() {
    let spellings: [&[&str]; 3] = [
        &[
            "open-tunnel-listener",
            "-L",
            "ftp/1234:localhost:21",
            "username@sshserver",
        ],
        &[
            "open-tunnel-listener",
            "--type",
            "ftp",
            "1234",
            "username@sshserver",
        ],
        &[
            "open-tunnel-listener",
            "--type",
            "FTP",
            "1234",
            "username@sshserver",
            "localhost",
            "21",
        ],
    ];
    for spelling in spellings {
        let daemon = Daemon::start();
        let said = str![[r#"
Opened ftp tunnel 7: 127.0.0.1:1234 to localhost:21 through username@sshserver

"#]];
        daemon.ctl(spelling).assert().success().stdout_eq(said);
        assert_eq!(daemon.requests(), [request(&ftp_tunnel())]);
    }
}

#[test]
fn relay_address_and_free_port_reach_the_daemon() {
    let daemon = Daemon::start();
    let args = [
        "open-tunnel-listener",
        "-s",
        "-g",
        "-L",
        "ftp/[::]:0:localhost:21",
        "username@sshserver",
    ];
    daemon
        .ctl(&args)
        .assert()
        .success()
        .stdout_eq("7\t::\t45678\n");
    let asked = OpenTunnelListener {
        listen_address: Some("::".into()),
        listen_port: 0,
        relay: true,
        ..ftp_tunnel()
    };
    assert_eq!(daemon.requests(), [request(&asked)]);
}

#[test]
fn options_reach_the_daemon_by_name() {
    let daemon = Daemon::start();
    let args = [
        "open-tunnel-listener",
        "-L",
        "ftp/1234:localhost:21",
        "--option",
        "tls=pass",
        "--option",
        "allow-from=192.0.2.0/24, 2001:db8::/32",
        "username@sshserver",
    ];
    daemon.ctl(&args).assert().success();
    let options = [
        ("tls", "pass"),
        ("allow-from", "192.0.2.0/24, 2001:db8::/32"),
    ];
    let asked = OpenTunnelListener {
        options: options
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
        ..ftp_tunnel()
    };
    assert_eq!(daemon.requests(), [request(&asked)]);
}

#[test]
fn what_was_opened_is_told_to_programs() {
    let args = [
        "open-tunnel-listener",
        "--json",
        "-L",
        "ftp/0:localhost:21",
        "work",
    ];
    let daemon = Daemon::start();
    daemon.ctl(&args).assert().success().stdout_eq(str![[r#"
{"id":7,"kind":"ftp","side":"local","address":"127.0.0.1","port":45678,"dst_host":"localhost","dst_port":21,"profile":null,"target":"work","relay":false,"tls":null,"state":"listening","reason":null,"failed_since":null,"retry_in":null,"sessions_active":0,"sessions_total":0,"transfers":{"active":0,"ok":0,"failed":0},"bytes_up":0,"bytes_down":0,"origin":"command","sessions_refused":0,"last_failure":null,"max_sessions":8}

"#]]);
}

#[test]
fn a_tunnel_that_fails_spares_the_others() {
    let daemon = Daemon::start();
    let args = [
        "open-tunnel-listener",
        "-L",
        "99:h:1",
        "-L",
        "100:h:1",
        "work",
    ];
    daemon
        .ctl(&args)
        .assert()
        .code(1)
        .stdout_eq(str![[r#"
Opened tcp tunnel 7: 127.0.0.1:100 to h:1 through work

"#]])
        .stderr_eq(str![[r#"
broker-ctl: cannot listen on port 99: address in use

"#]]);
}

#[test]
fn a_tunnel_that_fails_takes_the_others_with_it_where_asked_to() {
    let daemon = Daemon::start();
    let args = [
        "open-tunnel-listener",
        "--abort-on-failing-tunnel",
        "-L",
        "100:h:1",
        "-L",
        "99:h:1",
        "-L",
        "101:h:1",
        "work",
    ];
    daemon
        .ctl(&args)
        .assert()
        .code(1)
        .stdout_eq("")
        .stderr_eq(str![[r#"
broker-ctl: cannot listen on port 99: address in use

"#]]);
    let last = daemon.requests().pop();
    assert_eq!(last, Some(request(&CloseTunnelListener { id: 7 })));
    assert_eq!(daemon.requests().len(), 3);
}

#[test]
fn listeners_are_closed_by_id_port_and_address() {
    let daemon = Daemon::start();
    daemon
        .ctl(&["close-tunnel-listener", "2", ":1234", "[::1]:80"])
        .assert()
        .success()
        .stdout_eq("");
    let closed = [2, 1, 2].map(|id| request(&CloseTunnelListener { id }));
    assert_eq!(daemon.requests(), closed);
}

#[test]
fn an_unknown_listener_is_named_and_the_others_are_closed() {
    let daemon = Daemon::start();
    let unknown = daemon
        .ctl(&["close-tunnel-listener", "4711", "1"])
        .assert()
        .code(1);
    unknown.stderr_eq(str![[r#"
broker-ctl: there is no tunnel listener 4711: run broker-ctl list-tunnel-listeners to see all

"#]]);
    assert_eq!(daemon.requests(), [request(&CloseTunnelListener { id: 1 })]);
}

#[test]
fn every_connection_named_is_closed_whatever_becomes_of_the_others() {
    let daemon = Daemon::start();
    daemon
        .ctl(&["close-connection", "77", "2"])
        .assert()
        .code(1)
        .stderr_eq(str![[r#"
broker-ctl: there is no connection 77

"#]]);
    let asked = [77, 2].map(|id| request(&CloseConnection { id }));
    assert_eq!(daemon.requests(), asked);
}

#[test]
fn channels_are_closed() {
    let daemon = Daemon::start();
    daemon
        .ctl(&["close-channel", "5", "6"])
        .assert()
        .success()
        .stdout_eq("")
        .stderr_eq("");
    let asked = [5, 6].map(|id| request(&CloseChannel { id }));
    assert_eq!(daemon.requests(), asked);
}

#[test]
fn programs_learn_what_was_done() {
    let daemon = Daemon::start();
    let check = |args: &[&str], code, stdout: &str, stderr: &str| {
        let done = daemon.ctl(args).arg("--json").assert().code(code);
        done.stdout_eq(format!("{stdout}\n"))
            .stderr_eq(stderr.to_owned());
    };
    check(&["close-channel", "5", "6"], 0, r#"{"closed":[5,6]}"#, "");
    let unknown = r#"{"error":{"code":5,"message":"there is no connection 77","data":{"reason":"not-found","retry":false}}}
"#;
    check(
        &["close-connection", "77", "2"],
        1,
        r#"{"closed":[2]}"#,
        unknown,
    );
    check(&["close-tunnel-listener", "1"], 0, r#"{"closed":[1]}"#, "");
    check(&["start"], 0, r#"{"pid":4242}"#, "");
    let critical = r#"{"state":"CRITICAL","line":"CRITICAL - [..]","findings":[{"state":"CRITICAL","text":"[..]"}[..]]}"#;
    check(&["health"], 2, critical, "");
    check(&["stop"], 0, r#"{"state":"stopped"}"#, "");
}

#[test]
fn stop_returns_when_the_socket_is_free() {
    let daemon = Daemon::start();
    daemon
        .ctl(&["stop", "--grace", "5"])
        .assert()
        .success()
        .stdout_eq(str![[r#"
The daemon has stopped

"#]]);
    assert!(daemon.is_gone());
    assert_eq!(
        daemon.requests(),
        [request(&Stop {
            grace: Some(5),
            when_idle: false
        })]
    );
}

#[test]
fn a_refused_configuration_has_status_1_and_its_faults_are_shown() {
    Daemon::start()
        .ctl(&["reload"])
        .assert()
        .code(1)
        .stdout_eq("")
        .stderr_eq(str![[r#"
error: a fault
 --> file:1:2
broker-ctl: nothing has changed, since the configuration has faults: correct them

"#]]);
}

#[test]
fn debug_shows_and_sets_the_level() {
    let daemon = Daemon::start();
    for (arguments, shown) in [
        (
            &["debug"][..],
            "The daemon logs info (as on its command line)\n",
        ),
        (
            &["debug", "debug"],
            "The daemon logs debug (info on its command line)\n",
        ),
        (&["debug", "trace", "--short"], "trace\tinfo\n"),
        (
            &["debug", "--json"],
            "{\"level\":\"info\",\"default\":\"info\"}\n",
        ),
    ] {
        daemon.ctl(arguments).assert().success().stdout_eq(shown);
    }
}

#[test]
fn a_reload_says_what_has_changed() {
    let daemon = Daemon::start();
    daemon
        .ctl(&["reload", "--dry-run"])
        .assert()
        .success()
        .stdout_eq(str![[r#"
CHANGE   KIND     NAME
added    tunnel   127.0.0.1:2121
removed  tunnel   127.0.0.1:2122
    it accepts no more clients
changed  setting  the log files
changed  setting  another setting
    needs a restart
Nothing has changed yet: this is what a reload would do; kept as they are: 2 profiles, 1 tunnel

"#]])
        .stderr_eq(str![[r#"
warning: file:3:4: something odd

"#]]);
    assert_eq!(daemon.requests(), [request(&Reload { dry_run: true })]);
    daemon
        .ctl(&["reload", "--dry-run", "--short"])
        .assert()
        .success()
        .stdout_eq(str![[r#"
kept	profile	one	
kept	profile	two	
added	tunnel	127.0.0.1:2121	
removed	tunnel	127.0.0.1:2122	it accepts no more clients
kept	tunnel	127.0.0.1:2123	
changed	setting	the log files	
changed	setting	another setting	needs a restart

"#]]);
    let json = daemon
        .ctl(&["reload", "--dry-run", "--json"])
        .assert()
        .success();
    let report: ReloadReport = serde_json::from_slice(&json.get_output().stdout).unwrap();
    assert!(report.dry_run && report.tunnels.added == ["127.0.0.1:2121"]);
}

#[test]
fn no_daemon_has_status_3() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let absent = broker_ctl()
        .env("SSH_BROKER_SOCKET", &socket)
        .arg("status")
        .assert()
        .code(3);
    absent.stdout_eq("").stderr_eq(str![[r#"
broker-ctl: no daemon answers on [..]: run broker-ctl start, or start brokerd as a service

"#]]);
}

#[test]
fn a_hung_daemon_is_critical_and_named_by_its_process() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    std::fs::write(directory.path().join("s.lock"), "4242\n").unwrap();
    // The kernel lets a client in, and nobody attends to it.
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let silent = broker_ctl()
        .env("SSH_BROKER_SOCKET", &socket)
        .args(["health", "--timeout", "1"])
        .assert()
        .code(2);
    silent.stderr_eq("").stdout_eq(str![[r#"
CRITICAL - the daemon (process 4242) did not answer hello within 1 s: it can be busy or hang. Look at its log, and try again with a longer --timeout

"#]]);
}

#[test]
fn no_daemon_is_critical() {
    let directory = tempfile::tempdir().unwrap();
    let absent = broker_ctl()
        .env("SSH_BROKER_SOCKET", directory.path().join("s"))
        .arg("health")
        .assert()
        .code(2);
    absent.stdout_eq(str![[r#"
CRITICAL - no daemon answers on [..]

"#]]);
}

#[test]
fn a_daemon_that_does_not_answer_is_not_waited_for_without_end() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    // The kernel lets a client in, and nobody attends to it.
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let silent = broker_ctl()
        .env("SSH_BROKER_SOCKET", &socket)
        .args(["status", "--timeout", "1"])
        .assert()
        .code(4);
    silent.stdout_eq("").stderr_eq(str![[r#"
broker-ctl: the daemon did not answer hello within 1 s: it can be busy or hang. Look at its log, and try again with a longer --timeout

"#]]);
}

#[test]
fn the_time_to_wait_limits_the_whole_command() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let silent = broker_ctl()
        .env("SSH_BROKER_SOCKET", &socket)
        .args(["status", "--wait", "1"])
        .assert()
        .code(4);
    silent.stdout_eq("").stderr_eq(str![[r#"
broker-ctl: the daemon did not answer hello within 1 s: it can be busy or hang. Look at its log, and try again with a longer --timeout

"#]]);
}

#[test]
fn a_command_line_that_makes_no_sense_has_status_2_and_needs_no_daemon() {
    let open = "open-tunnel-listener";
    let nonsense: [&[&str]; 10] = [
        &[open, "-L", "ftp/0:h:21", "--option", "tls", "work"],
        &[
            open,
            "-L",
            "ftp/0:h:21",
            "--option",
            "a=1",
            "--option",
            "a=2",
            "work",
        ],
        &["fly"],
        &["status", "--timeout", "0"],
        &["status", "--timeout", "soon"],
        &["open-tunnel-listener", "-L", "ftp/1234:localhost", "work"],
        &[
            "open-tunnel-listener",
            "-L",
            "ftp/1234:localhost:21",
            "work",
            "more",
        ],
        &["open-tunnel-listener", "1234"],
        &["open-tunnel-listener", "1234", "work"],
        &["close-tunnel-listener", "here"],
    ];
    for args in nonsense {
        broker_ctl()
            .args(["--socket", "/nonexistent/s"])
            .args(args)
            .assert()
            .code(2)
            .stdout_eq("");
    }
}

#[test]
fn what_is_wrong_with_a_tunnel_is_said() {
    let wrong = broker_ctl().args(["open-tunnel-listener", "-L", "ftp/::1:0:host:21", "work"]);
    wrong.assert().code(2).stderr_eq(str![[r#"
error: invalid value 'ftp/::1:0:host:21' for '--local <SPEC>': too many parts (put IPv6 addresses in brackets): expected [tcp/|ftp/][listen-address:]listen-port:dst-host:dst-port or socks/[listen-address:]listen-port

For more information, try '--help'.

"#]]);
    broker_ctl()
        .args(["open-tunnel-listener", "1234", "work"])
        .assert()
        .code(2)
        .stderr_eq(str![[r#"
error: a tcp tunnel needs a dst-host and a dst-port

Usage: broker-ctl open-tunnel-listener [OPTIONS] -L <SPEC>... <TARGET>
       broker-ctl open-tunnel-listener [OPTIONS] -R <SPEC>... <TARGET>
       broker-ctl open-tunnel-listener [OPTIONS] [ADDRESS:]<LISTEN-PORT> <TARGET> [DST-HOST] [DST-PORT]

For more information, try '--help'.

"#]]);
}

#[test]
fn verbose_says_which_daemon_answers() {
    let daemon = Daemon::start();
    daemon
        .ctl(&["-v", "close-channel", "5"])
        .assert()
        .success()
        .stderr_eq(str![[r#"
brokerd 0.1.0 (process [..]) on [..]

"#]]);
}

#[test]
fn events_are_filtered_by_the_daemon() {
    let daemon = Daemon::start();
    let args =
        "events --count 1 --profile one --kind connected --kind transfer-ended --after 5 --state";
    let args: Vec<_> = args.split(' ').collect();
    daemon.ctl(&args).assert().success();
    let asked = Subscribe {
        kinds: vec![EventKind::Connected, EventKind::TransferEnded],
        profile: Some("one".into()),
        after: Some(5),
        state: true,
    };
    assert_eq!(daemon.requests(), [request(&asked)]);
}

#[test]
fn a_kind_of_events_that_does_not_exist_is_refused() {
    let refused = broker_ctl().args(["events", "--kind", "x"]).assert();
    refused.code(2).stderr_eq(str![[r#"
error: invalid value 'x' for '--kind <KIND>': the kinds are connected, disconnected, [..]

For more information, try '--help'.

"#]]);
}

/// As during an upgrade, when the former daemon ends with a connection that it has not answered.
#[test]
fn a_daemon_that_ends_before_its_first_answer_is_asked_again() {
    let daemon = Daemon::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let behind = daemon.socket();
    let handover = thread::spawn(move || {
        drop(listener.accept().unwrap());
        let client = listener.accept().unwrap().0;
        let server = UnixStream::connect(behind).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let requests = thread::spawn(move || {
            // Either end may close first.
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
        let _ = io::copy(&mut &server, &mut &client);
        let _ = client.shutdown(Shutdown::Both);
        requests.join().unwrap();
    });
    let asked = broker_ctl().arg("--socket").arg(&path).arg("list-profiles");
    asked.assert().success();
    handover.join().unwrap();
}
