//! What the lists look like, to people, to scripts and to programs.

use std::io::{BufRead, BufReader};

use snapbox::{file, str};

use crate::fake::Daemon;

#[track_caller]
fn check(args: &[&str], expected: impl snapbox::IntoData) {
    Daemon::start()
        .ctl(args)
        .assert()
        .success()
        .stderr_eq("")
        .stdout_eq(expected);
}

#[test]
fn metrics_are_printed_as_the_daemon_sends_them() {
    let daemon = Daemon::start();
    daemon
        .ctl(&["metrics"])
        .assert()
        .success()
        .stdout_eq(str![[r#"
# HELP up Whether it works.
# TYPE up gauge
up 1

"#]]);
}

#[test]
fn status() {
    check(
        &["status"],
        str![[r#"
state               running
process             4242
version             0.1.0
started             1 d 1 h ago
configuration       /etc/ssh2/ssh-broker-config.xml, /home/u/.ssh2/ssh-broker-config.xml
profiles            2
tunnels             3
sessions            1
connections         2
channels            2
transfers active    1
transfers complete  20
transfers failed    3
sent                1.5 KiB
received            64.0 MiB

"#]],
    );
}

#[test]
fn status_for_scripts() {
    check(
        &["status", "--short"],
        str![[r#"
state	running
pid	4242
version	0.1.0
started	[..]
config	/etc/ssh2/ssh-broker-config.xml, /home/u/.ssh2/ssh-broker-config.xml
profiles	2
tunnels	3
sessions	1
connections	2
channels	2
transfers.active	1
transfers.ok	20
transfers.failed	3
bytes_up	1536
bytes_down	67108864

"#]],
    );
}

#[test]
fn status_for_programs() {
    check(
        &["status", "--json"],
        str![[r#"
{"pid":4242,"instance":"1092-18a5b1c2d3e4f506","version":"0.1.0","started":[..],"config":["/etc/ssh2/ssh-broker-config.xml","/home/u/.ssh2/ssh-broker-config.xml"],"profiles":2,"tunnels":3,"sessions":1,"connections":2,"channels":2,"transfers":{"active":1,"ok":20,"failed":3},"bytes_up":1536,"bytes_down":67108864,"stopping":false,"on_demand":false,"prompts":0,"failures":[]}

"#]],
    );
}

#[test]
fn the_process_id_alone() {
    check(
        &["status", "--pid"],
        str![[r#"
4242

"#]],
    );
}

#[test]
fn profiles() {
    check(
        &["list-profiles"],
        str![[r#"
ID   NAME  USER      HOST             PORT  CONNECTIONS  TUNNELS  NEXT TRY
id1  work  username  ssh.example.com    22            2        1         -
    1 d 1 h ago  by ssh: cannot connect (3 times); it works again
id2  -     -         2001:db8::7      2222            0        0    in 7 s
    connection refused

"#]],
    );
}

#[test]
fn profiles_for_programs() {
    check(
        &["list-profiles", "--json"],
        str![[r#"
[{"id":"id1","name":"work","host":"ssh.example.com","port":22,"user":"username","connections":2,"tunnels":1,"last_error":null,"retry_in":null,"no_answer":null},{"id":"id2","name":null,"host":"2001:db8::7","port":2222,"user":null,"connections":0,"tunnels":0,"last_error":"connection refused","retry_in":7,"no_answer":null}]

"#]],
    );
}

#[test]
fn connections() {
    check(
        &["list-connections"],
        str![[r#"
ID  KIND     STATE   SERVER  CHANNELS   SENT  RECEIVED    SINCE
 1  control  active  work           1  300 B     700 B  1 d 1 h
 2  data     active  work           1    0 B  64.0 MiB  1 d 1 h

"#]],
    );
}

#[test]
fn connections_with_their_channels() {
    check(
        &["list-connections", "-c"],
        str![[r#"
ID  KIND     STATE   SERVER  CHANNELS   SENT  RECEIVED    SINCE
 1  control  active  work           1  300 B     700 B  1 d 1 h
 2  data     active  work           1    0 B  64.0 MiB  1 d 1 h

ID  SESSION  KIND     STATE   SENT  RECEIVED        RATE  COMMAND
 5        3  control  open   300 B     700 B       0 B/s  -
 6        3  data     open     0 B  64.0 MiB  12.0 MiB/s  RETR report 1.txt

"#]],
    );
}

#[test]
fn connections_for_scripts() {
    check(
        &["list-connections", "-s"],
        str![[r#"
1	control	active	username@ssh.example.com#22	1	300	700	[..]	
2	data	active	username@ssh.example.com#22	1	0	67108864	[..]	

"#]],
    );
}

#[test]
fn connections_with_their_channels_for_programs() {
    check(
        &["list-connections", "-c", "--json"],
        str![[r#"
[{"id":1,"profile":"id1","target":"ssh.example.com#22","user":"username","kind":"control","state":"active","since":[..],"peer":"192.0.2.1:22","route":null,"server_version":"SSH-2.0-OpenSSH_9.2","kex":"curve25519-sha256","cipher":"aes256-gcm@openssh.com","mac":null,"host_key":"ssh-ed25519 SHA256:abc","channels":1,"bytes_in":700,"bytes_out":300,"last_error":null,"channel_list":[{"id":5,"connection":1,"tunnel":1,"session":3,"kind":"control","mode":null,"direction":null,"command":null,"state":"open","bytes_up":300,"bytes_down":700,"rate":0,"since":[..],"target":"localhost:21","client":"127.0.0.1:50000","tls":null}]},{"id":2,"profile":"id1","target":"ssh.example.com#22","user":"username","kind":"data","state":"active","since":[..],"peer":"192.0.2.1:22","route":null,"server_version":"SSH-2.0-OpenSSH_9.2","kex":"curve25519-sha256","cipher":"aes256-gcm@openssh.com","mac":null,"host_key":"ssh-ed25519 SHA256:abc","channels":1,"bytes_in":67108864,"bytes_out":0,"last_error":null,"channel_list":[{"id":6,"connection":2,"tunnel":1,"session":3,"kind":"data","mode":"passive","direction":"download","command":"RETR report 1.txt","state":"open","bytes_up":0,"bytes_down":67108864,"rate":12582912,"since":[..],"target":"localhost:40000","client":"127.0.0.1:50001","tls":null}]}]

"#]],
    );
}

const CONNECTION: &str = "\
id              2
profile         id1
target          ssh.example.com#22
user            username
kind            data
state           active
opened          1 d 1 h ago
peer            192.0.2.1:22
through         -
server version  SSH-2.0-OpenSSH_9.2
host key        ssh-ed25519 SHA256:abc
key exchange    curve25519-sha256
cipher          aes256-gcm@openssh.com
mac             -
channels        1
sent            0 B
received        64.0 MiB
last error      -
";

#[test]
fn one_connection() {
    check(&["connection-status", "2"], CONNECTION);
}

#[test]
fn one_connection_with_its_channels() {
    let channels = "\
ID  SESSION  KIND  STATE  SENT  RECEIVED        RATE  COMMAND
 6        3  data  open    0 B  64.0 MiB  12.0 MiB/s  RETR report 1.txt
";
    let shown = format!("{CONNECTION}\n{channels}");
    check(&["connection-status", "2", "--show-channels"], shown);
}

#[test]
fn channels() {
    check(
        &["list-channels"],
        str![[r#"
ID  SESSION  KIND     STATE   SENT  RECEIVED        RATE  COMMAND
 5        3  control  open   300 B     700 B       0 B/s  -
 6        3  data     open     0 B  64.0 MiB  12.0 MiB/s  RETR report 1.txt

"#]],
    );
}

#[test]
fn channels_for_programs() {
    check(
        &["list-channels", "--json"],
        str![[r#"
[{"id":5,"connection":1,"tunnel":1,"session":3,"kind":"control","mode":null,"direction":null,"command":null,"state":"open","bytes_up":300,"bytes_down":700,"rate":0,"since":[..],"target":"localhost:21","client":"127.0.0.1:50000","tls":null},{"id":6,"connection":2,"tunnel":1,"session":3,"kind":"data","mode":"passive","direction":"download","command":"RETR report 1.txt","state":"open","bytes_up":0,"bytes_down":67108864,"rate":12582912,"since":[..],"target":"localhost:40000","client":"127.0.0.1:50001","tls":null}]

"#]],
    );
}

#[test]
fn listeners() {
    check(
        &["list-tunnel-listeners"],
        str![[r#"
ID  TYPE  LISTEN          DESTINATION   SERVER  STATE      SESSIONS  FAILED
 1  ftp   127.0.0.1:1234  localhost:21  work    listening       1/8       3
 2  ftp   [::1]:80        localhost:21  work    failed          0/8       0
    address in use (failed for 1 d 1 h, next try in 16 s)
    1 d 1 h ago  by ssh: cannot connect (3 times); it works again

"#]],
    );
}

#[test]
fn listeners_for_scripts_by_an_abbreviation() {
    check(
        &["list-t", "-s"],
        str![[r#"
1	ftp	127.0.0.1:1234	localhost:21	username@ssh.example.com#22	listening	1	1	20	3	1536	67108864	file		0	
2	ftp	[::1]:80	localhost:21	username@ssh.example.com#22	failed	0	0	0	0	0	0	static	address in use	4	[..] by ssh: cannot connect (3 times)

"#]],
    );
}

#[test]
fn listeners_for_programs() {
    check(
        &["list-tunnel-listeners", "--json"],
        str![[r#"
[{"id":1,"kind":"ftp","side":"local","address":"127.0.0.1","port":1234,"dst_host":"localhost","dst_port":21,"profile":"id1","target":"username@ssh.example.com#22","relay":false,"tls":null,"state":"listening","reason":null,"failed_since":null,"retry_in":null,"sessions_active":1,"sessions_total":9,"transfers":{"active":1,"ok":20,"failed":3},"bytes_up":1536,"bytes_down":67108864,"origin":"file","sessions_refused":0,"last_failure":null,"max_sessions":8},{"id":2,"kind":"ftp","side":"local","address":"::1","port":80,"dst_host":"localhost","dst_port":21,"profile":"id1","target":"username@ssh.example.com#22","relay":false,"tls":null,"state":"failed","reason":"address in use","failed_since":[..],"retry_in":16,"sessions_active":0,"sessions_total":0,"transfers":{"active":0,"ok":0,"failed":0},"bytes_up":0,"bytes_down":0,"origin":"static","sessions_refused":4,"last_failure":{"time":[..],"message":"cannot connect","reason":"refused","by":"ssh","count":3,"recovered":true},"max_sessions":8}]

"#]],
    );
}

#[test]
fn everything_in_one_line_for_those_who_ask() {
    check(
        &["list-tunnel-listeners", "--wide"],
        str![[r#"
ID  TYPE  LISTEN          DESTINATION   TARGET                       STATE      SESSIONS  ACTIVE  COMPLETE  FAILED     SENT  RECEIVED  ORIGIN  REASON                                                 REFUSED  LAST FAILURE
 1  ftp   127.0.0.1:1234  localhost:21  username@ssh.example.com#22  listening       1/8       1        20       3  1.5 KiB  64.0 MiB  file    -                                                            0  -
 2  ftp   [::1]:80        localhost:21  username@ssh.example.com#22  failed          0/8       0         0       0      0 B       0 B  static  address in use (failed for 1 d 1 h, next try in 16 s)        4  1 d 1 h ago  by ssh: cannot connect (3 times); it works again

"#]],
    );
    check(
        &["-w", "list-channels"],
        str![[r#"
ID  CONNECTION  SESSION  KIND     MODE     STATE   SENT  RECEIVED        RATE  CLIENT           TARGET           COMMAND
 5           1        3  control  -        open   300 B     700 B       0 B/s  127.0.0.1:50000  localhost:21     -
 6           2        3  data     passive  open     0 B  64.0 MiB  12.0 MiB/s  127.0.0.1:50001  localhost:40000  RETR report 1.txt

"#]],
    );
    check(
        &["-w", "list-transfers"],
        str![[r#"
ID  PROFILE  DIRECTION  STATE                            BYTES      SIZE   %       RATE  TIME  LEFT  CLIENT           USER   FILE                  RESULT
20  one      download   cut                            3.0 MiB         -   -  1.0 MiB/s   3 s     -  127.0.0.1:50000  alice  RETR /u{1b}[2Jx       426 The SSH connection was lost; the server does not answer
21  one      upload     running                        3.0 MiB  12.0 MiB  25  1.0 MiB/s   3 s   9 s  127.0.0.1:50000  alice  /home/alice/big file  -
22  one      upload     running (no byte for 1 d 1 h)  3.0 MiB  12.0 MiB  25      0 B/s   3 s     -  127.0.0.1:50000  alice  /home/alice/big file  -

"#]],
    );
}

#[test]
fn tables_fit_terminals_of_each_width() {
    check_width(40, file!["snapshots/width-40.txt"]);
    check_width(80, file!["snapshots/width-80.txt"]);
    check_width(120, file!["snapshots/width-120.txt"]);
    check_width(200, file!["snapshots/width-200.txt"]);
}

/// All lists of a daemon with long names, on a terminal of this width.
#[track_caller]
fn check_width(width: usize, expected: snapbox::Data) {
    let daemon = Daemon::with_long_names();
    let mut shown = String::new();
    for command in [
        &["status"][..],
        &["list-profiles"],
        &["list-connections"],
        &["connection-status", "2"],
        &["list-channels"],
        &["list-sessions"],
        &["list-transfers"],
        &["list-tunnel-listeners"],
    ] {
        let columns = width.to_string();
        let output = daemon.ctl(command).env("COLUMNS", columns).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        for line in text.lines() {
            assert!(line.chars().count() <= width, "{width}: {line}");
        }
        shown.push_str(&format!("$ {}\n{text}\n", command.join(" ")));
    }
    snapbox::assert_data_eq!(shown, expected.raw());
}

#[test]
fn an_answer_comes_again_and_again() {
    let daemon = Daemon::start();
    let mut command = std::process::Command::new(snapbox::cmd::cargo_bin!("broker-ctl"));
    command.arg("--socket").arg(daemon.socket());
    command.args(["list-channels", "--watch=0.1", "--json"]);
    let mut running = command
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(running.stdout.take().unwrap()).lines();
    let lines: Vec<String> = lines.take(3).map(Result::unwrap).collect();
    running.kill().unwrap();
    running.wait().unwrap();
    let is_list = |line: &String| line.starts_with("[{") && line.ends_with("}]");
    assert!(lines.iter().all(is_list), "{lines:?}");
}

#[test]
fn times_as_people_want_them() {
    let events = |format: &str, expected: &str| {
        let daemon = Daemon::start();
        let mut command = daemon.ctl(&["events", "--count=1", "--time-format", format]);
        command = command.env("TZ", "XXX-2");
        command
            .assert()
            .success()
            .stdout_eq(format!("{expected} 7 lost 3 events\n"));
    };
    events("iso", "2023-11-14T22:13:20Z");
    events("utc", "2023-11-14 22:13:20Z");
    events("local", "2023-11-15 00:13:20");
    events("%H.%M", "00.13");
    events("unix", "1700000000");
    let daemon = Daemon::start();
    let shown = daemon.ctl(&["--time-format=unix", "list-connections"]);
    shown.assert().stdout_eq(str![[r#"
ID  KIND     STATE   SERVER  CHANNELS   SENT  RECEIVED       SINCE
 1  control  active  work           1  300 B     700 B  [..]
 2  data     active  work           1    0 B  64.0 MiB  [..]

"#]]);
    let unknown = daemon.ctl(&["list-connections", "--time-format", "sundial"]);
    unknown.assert().code(2);
}

#[test]
fn nothing_where_nothing_is_wanted() {
    check(&["--quiet", "list-profiles"], "");
}

#[test]
fn no_colours_in_a_pipe() {
    let output = Daemon::start()
        .ctl(&["list-tunnel-listeners"])
        .output()
        .unwrap();
    assert!(!output.stdout.contains(&0x1b));
}

#[test]
fn colours_in_a_pipe_for_those_who_ask() {
    let daemon = Daemon::start();
    let shown = |args: &[&str]| daemon.ctl(args).output().unwrap().stdout;
    assert!(shown(&["list-profiles", "--color", "always"]).contains(&0x1b));
    assert!(!shown(&["--color=never", "list-profiles"]).contains(&0x1b));
}

#[test]
fn general_options_stand_before_and_after_the_command() {
    let daemon = Daemon::start();
    let shown = |args: &[&str]| daemon.ctl(args).output().unwrap();
    let after = shown(&["list-profiles", "--json"]);
    assert!(after.stdout.starts_with(b"[{"), "{after:?}");
    assert_eq!(shown(&["--json", "list-profiles"]).stdout, after.stdout);
    let both = shown(&["list-profiles", "--json", "--short"]);
    assert_eq!(both.status.code(), Some(2), "{both:?}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_fault() {
    let daemon = Daemon::start();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = std::process::Command::new(snapbox::cmd::cargo_bin!("broker-ctl"));
    command
        .arg("--socket")
        .arg(daemon.socket())
        .arg("status")
        .stdout(writer);
    let output = command.output().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stderr, b"");
}

#[test]
fn sessions() {
    check(
        &["list-sessions"],
        str![[r#"
ID  PROFILE  TYPE  CLIENT           USER   DESTINATION     SINCE  LAST COMMAND
11  one      ftp   127.0.0.1:50000  alice  localhost:21  1 d 1 h  STOR big file
12  -        tcp   127.0.0.1:50000  -      localhost:21  1 d 1 h  -

"#]],
    );
}

#[test]
fn sessions_for_programs() {
    check(
        &["list-sessions", "--json"],
        str![[r#"
[{"id":11,"tunnel":7,"profile":"one","ftp":true,"client":"127.0.0.1:50000","destination":"localhost:21","ftp_user":"alice","tls":null,"since":[..],"command":"STOR big file","transfer":21},{"id":12,"tunnel":7,"profile":null,"ftp":false,"client":"127.0.0.1:50000","destination":"localhost:21","ftp_user":null,"tls":null,"since":[..],"command":null,"transfer":null}]

"#]],
    );
}

#[test]
fn transfers() {
    check(
        &["list-transfers"],
        str![[r#"
ID  PROFILE  DIRECTION  STATE      BYTES      SIZE   %       RATE  LEFT  USER   FILE
20  one      download   cut      3.0 MiB         -   -  1.0 MiB/s     -  alice  RETR /u{1b}[2Jx
    426 The SSH connection was lost; the server does not answer
21  one      upload     running  3.0 MiB  12.0 MiB  25  1.0 MiB/s   9 s  alice  /home/alice/big file
22  one      upload     stalled  3.0 MiB  12.0 MiB  25      0 B/s     -  alice  /home/alice/big file
    no byte for 1 d 1 h

"#]],
    );
}

#[test]
fn transfers_for_scripts() {
    check(
        &["list-transfers", "--short", "--running"],
        str![[r#"
21	one	upload	running	3145728	12582912	25	1048576	3	9	127.0.0.1:50000	alice	/home/alice/big file	
22	one	upload	running	3145728	12582912	25	0	3		127.0.0.1:50000	alice	/home/alice/big file	

"#]],
    );
}

#[test]
fn transfers_for_programs() {
    check(
        &["list-transfers", "--json", "--running"],
        str![[r#"
[{"id":21,"session":11,"tunnel":7,"profile":"one","server":"localhost:21","client":"127.0.0.1:50000","client_uid":1000,"ftp_user":"alice","command":"STOR big file","path":"/home/alice/big file","direction":"upload","state":"running","bytes":3145728,"size":12582912,"rate":1048576,"started":[..],"duration_ms":3100,"stalled_since":null,"time_left":9,"reply":null,"reason":null,"by":null},{"id":22,"session":11,"tunnel":7,"profile":"one","server":"localhost:21","client":"127.0.0.1:50000","client_uid":1000,"ftp_user":"alice","command":"STOR big file","path":"/home/alice/big file","direction":"upload","state":"running","bytes":3145728,"size":12582912,"rate":0,"started":[..],"duration_ms":3100,"stalled_since":[..],"time_left":null,"reply":null,"reason":null,"by":null}]

"#]],
    );
}

#[test]
fn events() {
    check(
        &["events", "--count", "3"],
        str![[r#"
22:13:20Z 7 lost 3 events
22:13:20Z 8 session-opened one session 11: 127.0.0.1:50000 to localhost:21 through tunnel 7
22:13:20Z 9 transfer-ended one download RETR /u{1b}[2Jx for 127.0.0.1:50000: cut, 3.0 MiB, 1.0 MiB/s: 426 The SSH connection was lost

"#]],
    );
}

#[test]
fn events_for_programs() {
    check(
        &["events", "--count", "2", "--json"],
        str![[r#"
{"number":7,"at":1700000000,"kind":"lost","lost":3}
{"number":8,"at":1700000000,"kind":"session-opened","profile":"one","session":{"id":11,"tunnel":7,"ftp":true,"client":"127.0.0.1:50000","destination":"localhost:21"}}

"#]],
    );
}
