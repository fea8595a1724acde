//! OpenSSH's client in this crate's own tests: `ssh -N` with forwards, against either server.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::ports::unused_port;
use crate::process::Process;
use crate::programs::SSH;

const LIMIT: Duration = Duration::from_secs(20);

/// A running `ssh -N`, and the directory with its known hosts.
pub(crate) struct Forwarding {
    pub(crate) process: Process,
    _directory: TempDir,
}

/// Logs in with the key in `identity`, and returns once the forwards stand.
pub(crate) async fn forward(
    server: SocketAddr,
    host_key: &str,
    user: &str,
    identity: &Path,
    forwards: &[&str],
) -> Forwarding {
    let directory = tempfile::tempdir().unwrap();
    let known_hosts = directory.path().join("known_hosts");
    let line = format!("[{}]:{} {host_key}\n", server.ip(), server.port());
    std::fs::write(&known_hosts, line).unwrap();
    let mut command = Command::new(SSH.find().unwrap());
    command
        .args(["-v", "-N", "-F", "none", "-o", "BatchMode=yes"])
        .args(["-o", "ExitOnForwardFailure=yes"])
        .args(["-o", "IdentitiesOnly=yes"])
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", known_hosts.display()))
        .arg("-i")
        .arg(identity)
        .args(["-p", &server.port().to_string(), "-l", user])
        .args(forwards)
        .arg(server.ip().to_string());
    let process = Process::spawn(command, None).unwrap();
    process
        .wait_log("Entering interactive session", LIMIT)
        .await
        .unwrap();
    Forwarding {
        process,
        _directory: directory,
    }
}

/// A port for `ssh -L`, which takes no zero.
pub(crate) fn free_port() -> u16 {
    unused_port().unwrap()
}
