//! What is shown of host keys, and what is asked of the daemon to store one.

use broker_ipc::methods::TrustHost;
use snapbox::str;

use crate::fake::{Daemon, FINGERPRINT, request};

#[test]
fn people_see_pictures_and_what_is_known() {
    let daemon = Daemon::start();
    let shown = str![[r#"
ssh-ed25519 256 SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ
not known
+--[ED25519 256]--+
|o+oO==+ o..      |
+----[SHA256]-----+

ssh-rsa 3072 SHA256:Nh0Me49Zh9fDw/VYUfq43IJmI1T+XrjiYONPND8GzaM
CHANGED: the known key is ssh-rsa SHA256:abc (/home/u/.ssh/known_hosts line 3)
+--[ED25519 256]--+
|o+oO==+ o..      |
+----[SHA256]-----+

"#]];
    let probe = daemon.ctl(&["probe-key", "ssh.example.com#22"]);
    probe.assert().success().stdout_eq(shown);
}

#[test]
fn scripts_see_one_key_a_line() {
    let daemon = Daemon::start();
    let shown = format!(
        "ssh-ed25519\t256\t{FINGERPRINT}\tunknown\t\n\
         ssh-rsa\t3072\tSHA256:Nh0Me49Zh9fDw/VYUfq43IJmI1T+XrjiYONPND8GzaM\tchanged\t\
         ssh-rsa SHA256:abc (/home/u/.ssh/known_hosts line 3)\n"
    );
    let probe = daemon.ctl(&["probe-key", "-s", "work"]);
    probe.assert().success().stdout_eq(shown);
}

#[test]
fn a_fingerprint_is_enough_for_a_script() {
    let daemon = Daemon::start();
    let padded = format!("{FINGERPRINT}=");
    for fingerprint in [FINGERPRINT, &padded] {
        let trust = daemon.ctl(&["trust-host", "work", "--fingerprint", fingerprint]);
        trust.assert().success().stdout_eq(format!(
            "ssh-ed25519 {FINGERPRINT} is known: /home/u/.ssh2/known_hosts line 1\n"
        ));
    }
    let asked = request(&TrustHost {
        target: "work".into(),
        fingerprint: FINGERPRINT.into(),
    });
    assert_eq!(daemon.requests(), [asked.clone(), asked]);
}

#[test]
fn another_key_is_not_stored() {
    let daemon = Daemon::start();
    let other = format!("SHA256:{}", "A".repeat(43));
    let trust = daemon.ctl(&["trust-host", "work", "--fingerprint", &other]);
    let refused = format!("broker-ctl: SSH server ssh.example.com:22 has no host key {other}\n");
    trust.assert().code(5).stdout_eq("").stderr_eq(refused);
}

#[test]
fn what_is_no_fingerprint_is_told_before_the_daemon_is_asked() {
    let daemon = Daemon::start();
    for wrong in [
        "SHA256:short",
        "MD5:00:11",
        "",
        &format!("SHA256:{}", "*".repeat(43)),
    ] {
        let trust = daemon.ctl(&["trust-host", "work", "--fingerprint", wrong]);
        trust.assert().code(2).stdout_eq("");
    }
    assert!(daemon.requests().is_empty());
}

#[test]
fn without_a_terminal_nobody_can_say_yes() {
    let daemon = Daemon::start();
    let refused = str![[r#"
broker-ctl: cannot ask whether to store the key, since standard input is not a terminal: name the key with --fingerprint

"#]];
    let trust = daemon.ctl(&["trust-host", "work"]);
    trust.assert().code(1).stdout_eq("").stderr_eq(refused);
    assert!(daemon.requests().is_empty());
}
