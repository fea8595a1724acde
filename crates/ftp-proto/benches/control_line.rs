//! What the control connection costs: a command with its reply, an announced address, a long reply

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros write undocumented functions, and a conversation that fails should say so"
)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ftp_proto::{
    Action, DataAhead, DataEnd, DataEvent, DataId, DataOpen, ForeignPort, PasvOverIpv6, Peer,
    Session, SessionConfig, TlsPolicy,
};

/// Lines of a long reply.
const LINES: usize = 1000;

fn logged_in() -> Session {
    let mut session = Session::new(SessionConfig {
        client: Ipv4Addr::LOCALHOST.into(),
        also_client: Vec::new(),
        behind_ssh: Peer::Server,
        tls: TlsPolicy::Refuse,
        foreign_port: ForeignPort::Refuse,
        active: true,
        two_families: false,
        pasv_over_ipv6: PasvOverIpv6::Refuse,
        data_open: DataOpen::Auto,
        data_ahead: DataAhead::Never,
    });
    let now = Instant::now();
    session.server_bytes(now, b"220 ready\r\n");
    drain(&mut session);
    exchange(&mut session, b"USER bench\r\n", b"331 password\r\n");
    exchange(&mut session, b"PASS bench\r\n", b"230 welcome\r\n");
    assert!(session.logged_in());
    session
}

/// A command and its reply; returns the channel that an announced address asks for.
fn exchange(session: &mut Session, command: &[u8], reply: &[u8]) -> Option<DataId> {
    let now = Instant::now();
    session.client_bytes(now, command);
    drain(session);
    session.server_bytes(now, reply);
    drain(session)
}

fn drain(session: &mut Session) -> Option<DataId> {
    black_box(session.take_to_client());
    black_box(session.take_to_server());
    let mut offer = None;
    while let Some(action) = session.poll_action() {
        if let Action::Offer { id, .. } = action {
            offer = Some(id);
        }
    }
    black_box(session.next_timeout());
    offer
}

fn announced_address(session: &mut Session) {
    let reply = b"229 Entering Extended Passive Mode (|||40123|)\r\n";
    let id = exchange(session, b"EPSV\r\n", reply).unwrap();
    let now = Instant::now();
    let offered = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50_321);
    session.offered(now, id, Ok(offered));
    drain(session);
    session.data_event(now, id, DataEvent::Ended(DataEnd::Unused));
    drain(session);
}

fn control_line(criterion: &mut Criterion) {
    criterion.bench_function("a command and its reply", |bencher| {
        let mut session = logged_in();
        bencher.iter(|| exchange(&mut session, b"NOOP\r\n", b"200 NOOP ok.\r\n"));
    });
    criterion.bench_function("an announced address", |bencher| {
        let mut session = logged_in();
        bencher.iter(|| announced_address(&mut session));
    });
    let lines = "-rw-r--r--    1 ftp      ftp         10240 Nov 22 17:00 a-file-of-some-name\r\n";
    let listing = format!("213-Status:\r\n{}213 End\r\n", lines.repeat(LINES));
    let mut group = criterion.benchmark_group("a long reply");
    group.throughput(Throughput::Bytes(listing.len() as u64));
    group.bench_function("STAT", |bencher| {
        let mut session = logged_in();
        bencher.iter(|| exchange(&mut session, b"STAT .\r\n", listing.as_bytes()));
    });
    group.finish();
}

criterion_group!(benches, control_line);
criterion_main!(benches);
