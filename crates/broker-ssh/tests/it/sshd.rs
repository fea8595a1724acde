//! The same against OpenSSH's server, one process a connection so that a test can kill it. Where it is not installed,
//! these tests say so and pass.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use broker_ssh::{
    Channel, ChannelError, ChannelRead, ChannelRefusal, ConnectSpec, Forwards, OpenError, Pool,
    SpliceEnd, SpliceProgress, SpliceSignals, splice, splice_layered,
};
use tempfile::TempDir;
use testkit::files::pattern;
use testkit::ports::unused_port;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::peers::{
    LIMIT, converse, converse_with, echo, flood, originator, pinned, read_all, scripted, soon,
    tcp_pair, wait_for,
};

const SSHD: &str = "/usr/sbin/sshd";

/// OpenSSH behind a listener of the test's own: each connection gets an `sshd -i` in a process group of its own.
struct Sshd {
    port: u16,
    directory: TempDir,
    children: Arc<Mutex<Vec<Child>>>,
    accepting: JoinHandle<()>,
}

impl Sshd {
    /// Starts with further lines of sshd_config; `None` where OpenSSH cannot be run.
    async fn start(more: &str) -> Option<Self> {
        if !Path::new(SSHD).exists() {
            eprintln!("skipped: {SSHD} is missing; install openssh-server");
            return None;
        }
        if rustix::process::geteuid().is_root() {
            // OpenSSH insists on this directory when it runs as root.
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        keygen(directory.path(), "host", &["-t", "ed25519"]);
        keygen(directory.path(), "id", &["-t", "ed25519"]);
        std::fs::copy(
            directory.path().join("id.pub"),
            directory.path().join("authorized_keys"),
        )
        .unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let text = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n{more}\n",
            path("host"),
            path("authorized_keys"),
        );
        std::fs::write(directory.path().join("config"), text).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let children = Arc::<Mutex<Vec<Child>>>::default();
        let accepting = tokio::spawn(serve(
            listener,
            directory.path().join("config"),
            Arc::clone(&children),
        ));
        Some(Self {
            port,
            directory,
            children,
            accepting,
        })
    }

    fn spec(&self) -> ConnectSpec {
        let user = std::env::var("USER").unwrap_or_else(|_| "root".into());
        let mut spec = ConnectSpec::new("127.0.0.1", self.port, user);
        spec.identities = vec![self.directory.path().join("id").into()];
        spec.host_key =
            pinned(std::fs::read_to_string(self.directory.path().join("host.pub")).unwrap());
        spec.settings.connect_timeout = Some(LIMIT);
        spec
    }

    fn pool(&self) -> Pool {
        self.pool_of(self.spec())
    }

    fn pool_of(&self, spec: ConnectSpec) -> Pool {
        Pool::new(spec, TaskTracker::new(), CancellationToken::new())
    }

    /// Kills every process of every connection.
    fn kill(&self) {
        for child in self.children.lock().unwrap().iter_mut() {
            let group = rustix::process::Pid::from_child(child);
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            let _ = child.wait();
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.accepting.abort();
        self.kill();
    }
}

async fn serve(listener: TcpListener, config: PathBuf, children: Arc<Mutex<Vec<Child>>>) {
    while let Ok((tcp, _)) = listener.accept().await {
        let tcp = tcp.into_std().unwrap();
        tcp.set_nonblocking(false).unwrap();
        let (input, output) = (OwnedFd::from(tcp.try_clone().unwrap()), OwnedFd::from(tcp));
        let mut command = Command::new(SSHD);
        command.args(["-i", "-e", "-f"]).arg(&config);
        command.stdin(input).stdout(output).stderr(Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        children.lock().unwrap().push(command.spawn().unwrap());
    }
}

fn keygen(directory: &Path, name: &str, options: &[&str]) {
    let mut command = Command::new("ssh-keygen");
    command
        .args(["-q", "-f"])
        .arg(directory.join(name))
        .args(options);
    if !options.contains(&"-N") {
        command.args(["-N", ""]);
    }
    assert!(command.status().unwrap().success());
}

#[tokio::test]
async fn control_data_and_forward() {
    let Some(sshd) = Sshd::start("").await else {
        return;
    };
    let (pool, echo) = (sshd.pool(), echo().await);
    let mut control = soon(pool.open_control(&echo, originator())).await.unwrap();
    converse(&mut control, "control").await;
    let mut data = soon(pool.open_data(&echo, originator())).await.unwrap();
    converse(&mut data, "data").await;

    let mut forward = soon(pool.forward("127.0.0.1", None)).await.unwrap();
    let mut ftp_server = TcpStream::connect(("127.0.0.1", forward.port()))
        .await
        .unwrap();
    let mut active = soon(soon(forward.accept()).await.unwrap().accept()).await;
    let port = forward.port();
    soon(forward.cancel()).await;
    converse_with(&mut active, &mut ftp_server).await;
    let refused = TcpStream::connect(("127.0.0.1", port)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let snapshot = pool.snapshot();
    assert_eq!(snapshot.connections.len(), 3);
    assert!(
        snapshot.connections[0]
            .server_version
            .as_ref()
            .unwrap()
            .contains("OpenSSH")
    );
}

#[tokio::test]
async fn transfers_end_in_both_directions_and_the_connection_is_used_again() {
    let Some(sshd) = Sshd::start("").await else {
        return;
    };
    let pool = sshd.pool();
    let file = pattern(4, 5 << 20);
    for download in [true, false, true, false] {
        let (target, listener) = scripted().await;
        let (channel, accepted) = tokio::join!(
            soon(pool.open_data(&target, originator())),
            listener.accept()
        );
        let (near, client) = tcp_pair().await;
        let (mut sender, mut receiver) = if download {
            (accepted.unwrap().0, client)
        } else {
            (client, accepted.unwrap().0)
        };
        let progress = Arc::<SpliceProgress>::default();
        let running = splice(near, channel.unwrap(), &progress, CancellationToken::new());
        let transfer = async {
            let send = async {
                sender.write_all(&file).await.unwrap();
                sender.shutdown().await.unwrap();
            };
            let (read, ()) = tokio::join!(read_all(&mut receiver), send);
            assert!(read.unwrap() == file, "the file differs");
            drop((sender, receiver));
        };
        let (end, ()) = soon(async { tokio::join!(running, transfer) }).await;
        assert_eq!(end, SpliceEnd::Complete);
        wait_for(&pool, |seen| {
            seen.connections.iter().all(|found| found.channels == 0)
        })
        .await;
    }
    assert_eq!(sshd.children.lock().unwrap().len(), 1);
}

/// A copy whose channel has ended its direction to the server for a download.
fn half_closed_splice(
    near: TcpStream,
    channel: Channel,
    progress: &Arc<SpliceProgress>,
) -> JoinHandle<SpliceEnd> {
    let signals = SpliceSignals::default();
    signals.half_close.cancel();
    let progress = progress.clone();
    let plain = async |tcp| Ok(tcp);
    tokio::spawn(async move { splice_layered(near, plain, channel, &progress, signals).await })
}

#[tokio::test]
async fn a_half_closed_download_goes_on_until_its_client_has_ended() {
    let Some(sshd) = Sshd::start("").await else {
        return;
    };
    let pool = sshd.pool();
    let file = pattern(5, 5 << 20);
    let (target, listener) = scripted().await;
    let (channel, accepted) = tokio::join!(
        soon(pool.open_data(&target, originator())),
        listener.accept()
    );
    let (mut ftp_server, (near, mut client)) = (accepted.unwrap().0, tcp_pair().await);
    let progress = Arc::<SpliceProgress>::default();
    let running = half_closed_splice(near, channel.unwrap(), &progress);
    assert_eq!(read_all(&mut ftp_server).await.unwrap(), b"");
    let send = async {
        ftp_server.write_all(&file).await.unwrap();
        drop(ftp_server);
        // The SSH server closes the channel, since both directions have ended.
        wait_for(&pool, |seen| {
            seen.connections.iter().all(|found| found.channels == 0)
        })
        .await;
    };
    let (read, ()) = soon(async { tokio::join!(read_all(&mut client), send) }).await;
    assert!(read.unwrap() == file, "the file differs");
    assert!(progress.channel_done.is_cancelled());
    assert!(!running.is_finished());
    drop(client);
    assert_eq!(soon(running).await.unwrap(), SpliceEnd::Complete);
    assert_eq!(sshd.children.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_killed_server_in_the_middle_of_a_download_resets_the_client() {
    for half_closed in [false, true] {
        let Some(sshd) = Sshd::start("").await else {
            return;
        };
        let pool = sshd.pool();
        let (near, mut client) = tcp_pair().await;
        let channel = soon(pool.open_data(&flood().await, originator()))
            .await
            .unwrap();
        let progress = Arc::<SpliceProgress>::default();
        let running = async {
            match half_closed {
                true => half_closed_splice(near, channel, &progress).await.unwrap(),
                false => splice(near, channel, &progress, CancellationToken::new()).await,
            }
        };
        let download = async {
            client.read_exact(&mut vec![0; 4 << 20]).await.unwrap();
            sshd.kill();
            read_all(&mut client).await
        };
        let (end, read) = soon(async { tokio::join!(running, download) }).await;
        assert!(matches!(end, SpliceEnd::ChannelCut(_)), "{end:?}");
        assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert!(!progress.channel_done.is_cancelled());
    }
}

#[tokio::test]
async fn a_killed_server_in_the_middle_of_an_upload_is_a_cut() {
    let Some(sshd) = Sshd::start("").await else {
        return;
    };
    let pool = sshd.pool();
    let (near, mut client) = tcp_pair().await;
    let (target, listener) = scripted().await;
    let (channel, accepted) = tokio::join!(
        soon(pool.open_data(&target, originator())),
        listener.accept()
    );
    let mut ftp_server = accepted.unwrap().0;
    let progress = Arc::<SpliceProgress>::default();
    let running = splice(near, channel.unwrap(), &progress, CancellationToken::new());
    let upload = async {
        client.write_all(b"half of it").await.unwrap();
        ftp_server.read_exact(&mut [0; 10]).await.unwrap();
        sshd.kill();
        read_all(&mut client).await
    };
    let (end, read) = soon(async { tokio::join!(running, upload) }).await;
    assert!(matches!(end, SpliceEnd::ChannelCut(_)), "{end:?}");
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_refused_channel_has_the_servers_own_words() {
    let Some(sshd) = Sshd::start("").await else {
        return;
    };
    let port = unused_port().unwrap();
    let (pool, target) = (sshd.pool(), broker_ssh::Target::new("127.0.0.1", port));
    for opened in [
        soon(pool.open_control(&target, originator())).await,
        soon(pool.open_data(&target, originator())).await,
    ] {
        let refused = opened.unwrap_err().to_string();
        assert!(
            refused.contains("it could not connect (it says: Connection refused); check"),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn refusals_say_what_to_set() {
    let Some(sshd) = Sshd::start("AllowTcpForwarding no").await else {
        return;
    };
    let pool = sshd.pool();
    let refused = soon(pool.open_data(&echo().await, originator()))
        .await
        .unwrap_err();
    assert!(
        matches!(
            &refused,
            OpenError::Channel(ChannelError::Refused {
                reason: ChannelRefusal::Prohibited,
                ..
            })
        ),
        "{refused}"
    );
    let refused = soon(pool.forward("127.0.0.1", None)).await.unwrap_err();
    assert!(
        matches!(
            refused,
            OpenError::Channel(ChannelError::ForwardRefused { .. })
        ),
        "{refused}"
    );
}

#[tokio::test]
async fn a_stalled_download_is_cancelled_and_leaves_the_connection_usable() {
    let Some(sshd) = Sshd::start("").await else {
        return;
    };
    let (pool, echo) = (sshd.pool(), echo().await);
    let (near, client) = tcp_pair().await;
    let channel = soon(pool.open_data(&flood().await, originator()))
        .await
        .unwrap();
    let (cancel, progress) = (CancellationToken::new(), Arc::<SpliceProgress>::default());
    let running = splice(near, channel, &progress, cancel.clone());
    let stall = async {
        client.readable().await.unwrap();
        converse(
            &mut soon(pool.open_data(&echo, originator())).await.unwrap(),
            "belongs to another key",
        )
        .await;
        cancel.cancel();
    };
    let (end, ()) = soon(async { tokio::join!(running, stall) }).await;
    assert!(matches!(end, SpliceEnd::ChannelCut(_)), "{end:?}");
    wait_for(&pool, |seen| {
        seen.connections.iter().all(|found| found.channels == 0)
    })
    .await;
    converse(
        &mut soon(pool.open_data(&echo, originator())).await.unwrap(),
        "after it",
    )
    .await;
}

#[tokio::test]
async fn an_rsa_key_signs_with_sha2() {
    let Some(sshd) = Sshd::start("").await else {
        return;
    };
    keygen(
        sshd.directory.path(),
        "rsa",
        &["-t", "rsa", "-b", "2048", "-m", "PEM"],
    );
    std::fs::copy(
        sshd.directory.path().join("rsa.pub"),
        sshd.directory.path().join("authorized_keys"),
    )
    .unwrap();
    let pool = sshd.pool_of(ConnectSpec {
        identities: vec![sshd.directory.path().join("rsa").into()],
        ..sshd.spec()
    });
    converse(
        &mut soon(pool.open_control(&echo().await, originator()))
            .await
            .unwrap(),
        "rsa",
    )
    .await;
}

#[tokio::test]
async fn an_encrypted_key_asks_for_the_agent() {
    let Some(sshd) = Sshd::start("").await else {
        return;
    };
    for (name, format) in [("openssh", "RFC4716"), ("pkcs8", "PKCS8")] {
        keygen(
            sshd.directory.path(),
            name,
            &["-t", "ecdsa", "-m", format, "-N", "a passphrase"],
        );
        std::fs::copy(
            sshd.directory.path().join(format!("{name}.pub")),
            sshd.directory.path().join("authorized_keys"),
        )
        .unwrap();
        let pool = sshd.pool_of(ConnectSpec {
            identities: vec![sshd.directory.path().join(name).into()],
            ..sshd.spec()
        });
        let refused = soon(pool.open_control(&echo().await, originator()))
            .await
            .unwrap_err();
        assert!(refused.to_string().contains("ssh-add"), "{name}: {refused}");
    }
}

#[tokio::test]
async fn a_server_that_closes_after_its_end_does_not_cut_what_it_sent() {
    let Some(sshd) = Sshd::start("").await else {
        return;
    };
    let pool = sshd.pool();
    let (target, listener) = scripted().await;
    let (channel, accepted) = tokio::join!(
        soon(pool.open_data(&target, originator())),
        listener.accept()
    );
    let mut channel = channel.unwrap();
    let mut ftp_server = accepted.unwrap().0;
    ftp_server.write_all(b"all of it").await.unwrap();
    drop(ftp_server);
    assert!(matches!(soon(channel.read()).await, ChannelRead::Data(_)));
    assert_eq!(soon(channel.read()).await, ChannelRead::Eof);
}

#[tokio::test]
async fn the_agent_signs_for_encrypted_keys_and_where_no_key_is_named() {
    let Some(sshd) = Sshd::start("").await else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("agent");
    let mut agent = Command::new("ssh-agent")
        .args(["-D", "-a"])
        .arg(&socket)
        .stdout(Stdio::null())
        .spawn()
        .expect("ssh-agent comes with sshd's client");
    with_agent(&sshd, &socket).await;
    agent.kill().unwrap();
    agent.wait().unwrap();
}

async fn with_agent(sshd: &Sshd, socket: &Path) {
    let key = sshd.directory.path().join("id");
    let run = |command: &mut Command| {
        let command = command.env("SSH_AUTH_SOCK", socket);
        command.stderr(Stdio::null()).status().unwrap().success()
    };
    // The agent may still be starting.
    soon(async { while !run(Command::new("ssh-add").arg(&key)) {} }).await;
    assert!(run(Command::new("ssh-keygen")
        .args(["-q", "-p", "-N", "a passphrase", "-f"])
        .arg(&key)));
    for identities in [vec![key.into()], Vec::new()] {
        let pool = sshd.pool_of(ConnectSpec {
            identities,
            agent: Some(socket.to_owned()),
            ..sshd.spec()
        });
        converse(
            &mut soon(pool.open_control(&echo().await, originator()))
                .await
                .unwrap(),
            "agent",
        )
        .await;
    }
}

#[tokio::test]
async fn a_loopback_address_is_spelled_as_the_server_permits_it() {
    let Some(sshd) = Sshd::start("PermitListen localhost:*").await else {
        return;
    };
    let forwards = Forwards::new(Arc::new(sshd.pool()));
    for _ in 0..2 {
        let mut forward = soon(forwards.open("127.0.0.1", None)).await.unwrap();
        assert_eq!(forward.bind_address(), "127.0.0.1");
        let server = TcpStream::connect(("127.0.0.1", forward.port()));
        let (server, came) = tokio::join!(server, soon(forward.accept()));
        drop((server.unwrap(), came.unwrap()));
        forwards.follow(forward);
    }
}
