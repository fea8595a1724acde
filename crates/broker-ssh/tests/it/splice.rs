//! A splice passes an end on as an end and a cut as a cut.

use std::io::ErrorKind;
use std::sync::atomic::Ordering;

use broker_ssh::{Channel, Pool, SpliceEnd, SpliceProgress, SpliceSignals, splice_layered};
use testkit::files::pattern;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::peers::{Bench, originator, read_all, scripted, soon, tcp_pair};

/// A running splice with both of its far ends in the test's hands.
struct Spliced {
    client: TcpStream,
    ftp_server: TcpStream,
    signals: SpliceSignals,
    progress: std::sync::Arc<SpliceProgress>,
    end: tokio::task::JoinHandle<SpliceEnd>,
    /// The last handle's drop would end the connections.
    _pool: Pool,
}

async fn opened(pool: &Pool) -> (Channel, TcpStream) {
    let (target, listener) = scripted().await;
    let (channel, accepted) = tokio::join!(
        soon(pool.open_data(&target, originator())),
        soon(listener.accept())
    );
    (channel.unwrap(), accepted.unwrap().0)
}

async fn spliced(pool: &Pool) -> Spliced {
    let (channel, ftp_server) = opened(pool).await;
    let (near, client) = tcp_pair().await;
    let signals = SpliceSignals::default();
    let progress = std::sync::Arc::<SpliceProgress>::default();
    let end = tokio::spawn({
        let (signals, progress) = (signals.clone(), progress.clone());
        let plain = async |tcp| Ok(tcp);
        async move { splice_layered(near, plain, channel, &progress, signals).await }
    });
    Spliced {
        client,
        ftp_server,
        signals,
        progress,
        end,
        _pool: pool.clone(),
    }
}

fn is_cut(end: &SpliceEnd) -> bool {
    matches!(end, SpliceEnd::ChannelCut(_))
}

#[tokio::test]
async fn a_download_ends_when_the_server_ends() {
    let bench = Bench::start().await;
    let mut spliced = spliced(&bench.pool()).await;
    let file = pattern(1, 3 << 20);
    let send = async {
        spliced.ftp_server.write_all(&file).await.unwrap();
        spliced.ftp_server.shutdown().await.unwrap();
    };
    let (read, ()) = tokio::join!(read_all(&mut spliced.client), soon(send));
    assert!(read.unwrap() == file, "the file differs");
    soon(spliced.progress.channel_done.cancelled()).await;
    assert_eq!(
        spliced.progress.from_channel.load(Ordering::Relaxed),
        file.len() as u64
    );
    drop(spliced.client);
    assert_eq!(soon(spliced.end).await.unwrap(), SpliceEnd::Complete);
    bench.end().await;
}

#[tokio::test]
async fn an_upload_ends_when_the_client_ends() {
    let bench = Bench::start().await;
    let mut spliced = spliced(&bench.pool()).await;
    let file = pattern(2, 3 << 20);
    let send = async {
        spliced.client.write_all(&file).await.unwrap();
        spliced.client.shutdown().await.unwrap();
    };
    let (read, ()) = tokio::join!(read_all(&mut spliced.ftp_server), soon(send));
    assert!(read.unwrap() == file, "the file differs");
    assert!(!spliced.progress.channel_done.is_cancelled());
    drop(spliced.ftp_server);
    assert_eq!(soon(spliced.end).await.unwrap(), SpliceEnd::Complete);
    assert_eq!(
        spliced.progress.to_channel.load(Ordering::Relaxed),
        file.len() as u64
    );
    assert_eq!(read_all(&mut spliced.client).await.unwrap(), b"");
    bench.end().await;
}

/// A client inside TLS waits for the other end of the connection.
#[tokio::test]
async fn a_transfer_that_is_over_ends_in_order_although_the_server_leaves_its_end_open() {
    let bench = Bench::start().await;
    let mut spliced = spliced(&bench.pool()).await;
    spliced.client.write_all(b"a file").await.unwrap();
    spliced.client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut spliced.ftp_server).await.unwrap(), b"a file");
    spliced.signals.over.cancel();
    assert_eq!(read_all(&mut spliced.client).await.unwrap(), b"");
    assert_eq!(soon(spliced.end).await.unwrap(), SpliceEnd::Complete);
    bench.end().await;
}

#[tokio::test]
async fn after_one_side_ended_the_other_may_go_on() {
    let bench = Bench::start().await;
    let pool = bench.pool();
    for client_first in [true, false] {
        let mut spliced = spliced(&pool).await;
        let (first, second) = if client_first {
            (&mut spliced.client, &mut spliced.ftp_server)
        } else {
            (&mut spliced.ftp_server, &mut spliced.client)
        };
        first.shutdown().await.unwrap();
        assert_eq!(read_all(second).await.unwrap(), b"");
        second.write_all(b"still here").await.unwrap();
        second.shutdown().await.unwrap();
        assert_eq!(read_all(first).await.unwrap(), b"still here");
        assert_eq!(soon(spliced.end).await.unwrap(), SpliceEnd::Complete);
    }
    bench.end().await;
}

/// Only OpenSSH is known to keep its direction open when the other one ends long before.
#[tokio::test]
async fn a_channel_of_another_server_is_not_half_closed() {
    let bench = Bench::start().await;
    let mut spliced = spliced(&bench.pool()).await;
    spliced.signals.half_close.cancel();
    spliced.ftp_server.write_all(b"down").await.unwrap();
    spliced.client.read_exact(&mut [0; 4]).await.unwrap();
    spliced.client.write_all(b"up").await.unwrap();
    spliced.ftp_server.read_exact(&mut [0; 2]).await.unwrap();
    drop(spliced.client);
    drop(spliced.ftp_server);
    soon(spliced.end).await.unwrap();
    bench.end().await;
}

#[tokio::test]
async fn a_connection_lost_in_a_download_resets_the_client() {
    let bench = Bench::start().await;
    let mut spliced = spliced(&bench.pool()).await;
    spliced.ftp_server.write_all(b"half of it").await.unwrap();
    spliced.client.read_exact(&mut [0; 10]).await.unwrap();
    bench.server.kill_all();
    assert!(is_cut(&soon(spliced.end).await.unwrap()));
    assert_eq!(
        read_all(&mut spliced.client).await.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    assert!(!spliced.progress.channel_done.is_cancelled());
    bench.end().await;
}

#[tokio::test]
async fn a_connection_lost_in_an_idle_upload_resets_the_client() {
    let bench = Bench::start().await;
    let mut spliced = spliced(&bench.pool()).await;
    spliced.client.write_all(b"half of it").await.unwrap();
    spliced.ftp_server.read_exact(&mut [0; 10]).await.unwrap();
    bench.server.kill_all();
    assert!(is_cut(&soon(spliced.end).await.unwrap()));
    assert_eq!(
        read_all(&mut spliced.client).await.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    bench.end().await;
}

#[tokio::test]
async fn an_upload_sent_but_not_confirmed_is_a_cut_when_the_connection_is_lost() {
    let bench = Bench::start().await;
    let mut spliced = spliced(&bench.pool()).await;
    spliced.client.write_all(b"all of it").await.unwrap();
    spliced.client.shutdown().await.unwrap();
    assert_eq!(
        read_all(&mut spliced.ftp_server).await.unwrap(),
        b"all of it"
    );
    bench.server.kill_all();
    assert!(is_cut(&soon(spliced.end).await.unwrap()));
    bench.end().await;
}

/// A server that has nothing to send may end its direction at once, and be cut off later.
#[tokio::test]
async fn an_upload_whose_server_ended_first_is_complete_once_it_was_taken() {
    for lost in [false, true] {
        let bench = Bench::start().await;
        let mut spliced = spliced(&bench.pool()).await;
        spliced.ftp_server.shutdown().await.unwrap();
        soon(spliced.progress.channel_done.cancelled()).await;
        spliced.client.write_all(b"all of it").await.unwrap();
        if lost {
            // Taken by the channel, and the client has not ended.
            let mut taken = [0; 9];
            spliced.ftp_server.read_exact(&mut taken).await.unwrap();
            bench.server.kill_all();
            assert!(is_cut(&soon(spliced.end).await.unwrap()));
        } else {
            spliced.client.shutdown().await.unwrap();
            let received = read_all(&mut spliced.ftp_server).await.unwrap();
            assert_eq!(received, b"all of it");
            assert_eq!(soon(spliced.end).await.unwrap(), SpliceEnd::Complete);
            assert!(spliced.progress.tcp_done.is_cancelled());
        }
        bench.end().await;
    }
}

#[tokio::test]
async fn a_cut_is_noticed_while_the_client_reads_nothing() {
    let bench = Bench::start().await;
    let mut spliced = spliced(&bench.pool()).await;
    // More than the client's TCP takes, less than what is drained on its behalf.
    let held = spliced.client.local_addr().unwrap();
    spliced
        .ftp_server
        .write_all(&vec![7; 700 << 10])
        .await
        .unwrap();
    soon(spliced.client.readable()).await.unwrap();
    bench.server.kill_all();
    assert!(is_cut(&soon(spliced.end).await.unwrap()), "{held}");
    assert_eq!(
        read_all(&mut spliced.client).await.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    bench.end().await;
}

#[tokio::test]
async fn a_client_that_resets_ends_the_channel() {
    let bench = Bench::start().await;
    let pool = bench.pool();
    let mut spliced = spliced(&pool).await;
    spliced.client.write_all(b"half of it").await.unwrap();
    spliced.ftp_server.read_exact(&mut [0; 10]).await.unwrap();
    spliced.client.set_zero_linger().unwrap();
    drop(spliced.client);
    assert!(matches!(
        soon(spliced.end).await.unwrap(),
        SpliceEnd::TcpGone(_)
    ));
    assert!(matches!(
        soon(spliced.ftp_server.read(&mut [0; 1])).await,
        Ok(0) | Err(_)
    ));
    bench.end().await;
}

#[tokio::test]
async fn cancelling_resets_the_client_even_while_it_stalls() {
    let bench = Bench::start().await;
    let pool = bench.pool();
    let Spliced {
        mut client,
        mut ftp_server,
        signals,
        progress,
        end,
        ..
    } = spliced(&pool).await;
    let flood =
        tokio::spawn(async move { while ftp_server.write_all(&[7; 65536]).await.is_ok() {} });
    soon(client.readable()).await.unwrap();
    signals.cancel.cancel();
    assert!(is_cut(&soon(end).await.unwrap()));
    assert_eq!(
        read_all(&mut client).await.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    assert!(!progress.channel_done.is_cancelled());
    soon(flood).await.unwrap();
    crate::peers::wait_for(&pool, |seen| {
        seen.connections.iter().all(|found| found.channels == 0)
    })
    .await;
    bench.end().await;
}

#[tokio::test]
async fn cancelling_takes_nothing_from_a_client_that_was_given_everything() {
    let bench = Bench::start().await;
    let mut spliced = spliced(&bench.pool()).await;
    spliced.ftp_server.write_all(b"all of it").await.unwrap();
    spliced.ftp_server.shutdown().await.unwrap();
    soon(spliced.progress.channel_done.cancelled()).await;
    spliced.signals.cancel.cancel();
    assert!(is_cut(&soon(spliced.end).await.unwrap()));
    assert_eq!(read_all(&mut spliced.client).await.unwrap(), b"all of it");
    bench.end().await;
}

#[tokio::test]
async fn keys_are_exchanged_anew_in_the_middle_of_transfers() {
    let bench = Bench::start().await;
    let mut spec = bench.spec();
    spec.settings.rekey_bytes = Some(1 << 20);
    let pool = bench.pool_of(spec);
    let Spliced {
        client,
        ftp_server,
        end,
        ..
    } = spliced(&pool).await;
    let file = pattern(3, 16 << 20);
    let both = [client, ftp_server].map(|tcp| {
        let file = file.clone();
        tokio::spawn(async move {
            let (mut read, mut write) = tcp.into_split();
            let send = async {
                write.write_all(&file).await.unwrap();
                write.shutdown().await.unwrap();
            };
            let mut received = Vec::new();
            let (read, ()) = tokio::join!(read.read_to_end(&mut received), send);
            read.unwrap();
            assert!(received == file, "the file differs");
        })
    });
    for side in both {
        tokio::time::timeout(crate::peers::LIMIT * 3, side)
            .await
            .unwrap()
            .unwrap();
    }
    assert_eq!(soon(end).await.unwrap(), SpliceEnd::Complete);
    bench.end().await;
}
