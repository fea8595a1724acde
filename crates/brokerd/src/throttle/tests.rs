//! The layer's effect on the log: which lines pass, which do not, and the report.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tracing::subscriber::with_default;
use tracing::{info, info_span, warn};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;

use super::{OF_A_CLIENT, USUAL};

/// A log in memory.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn count(&self, part: &str) -> usize {
        self.text().matches(part).count()
    }
}

/// Runs something that logs. Returns the log, which ends with the report of the lines left out.
fn logged(work: impl FnOnce()) -> Log {
    let log = Log::default();
    let (throttle, reporter) = super::new();
    let writer = log.clone();
    let lines = fmt::layer()
        .with_ansi(false)
        .with_writer(move || writer.clone());
    let subscriber = tracing_subscriber::registry().with(lines).with(throttle);
    with_default(subscriber, || {
        work();
        reporter.tell();
    });
    log
}

const BURST: usize = USUAL.burst as usize;

#[test]
fn a_flood_is_cut_and_counted() {
    let log = logged(|| {
        for _ in 0..3 * BURST {
            info!(server = "h:22", "banner");
        }
    });
    // On a slow machine the budget grows by a few lines meanwhile.
    let passed = log.count("banner") - 1;
    assert!((BURST..BURST + 100).contains(&passed), "{passed}");
    let told = format!(
        "{} more like \"banner\" from server h:22 left out within 1 s",
        3 * BURST - passed
    );
    assert_eq!(log.count(&told), 1, "{told}");
}

#[test]
fn a_single_line_is_never_lost_in_a_flood() {
    let log = logged(|| {
        for number in 0..5 * BURST {
            info!(server = "h:22", "flood");
            if number == 4 * BURST {
                warn!(server = "h:22", "the one that matters");
                info!(server = "other:22", "flood");
            }
        }
    });
    assert_eq!(log.count("the one that matters"), 1);
    assert_eq!(log.count("other:22"), 1);
}

#[test]
fn a_session_in_a_loop_leaves_its_clients_other_sessions_their_lines() {
    let log = logged(|| {
        let client = SocketAddr::from(([127, 0, 0, 1], 5000));
        info_span!("session", id = 1u64, tunnel = 9, %client).in_scope(|| {
            for _ in 0..3 * BURST {
                transfer("loop");
            }
        });
        info_span!("session", id = 2u64, tunnel = 9, %client).in_scope(|| {
            transfer("other");
        });
    });
    assert_eq!(log.count("what=\"other\""), 1);
    assert_eq!(log.count("from session 1 left out"), 1);
}

#[test]
fn a_client_that_comes_again_and_again_is_bounded() {
    let clients = 3 * OF_A_CLIENT.burst as usize;
    let log = logged(|| {
        for id in 0..clients as u64 {
            let client = SocketAddr::from(([127, 0, 0, 1], 5000));
            info_span!("session", id, tunnel = 9, %client).in_scope(|| transfer("knock"));
        }
    });
    let passed = log.count("what=\"knock\"");
    assert!(passed < clients / 2, "{passed}");
    assert_eq!(log.count("from client 127.0.0.1 left out"), 1);
}

/// A client of a tunnel is refused.
fn refuse(tunnel: u64, id: u64, reason: &str) {
    let client = SocketAddr::from(([127, 0, 0, 1], 5000));
    info_span!("session", id, tunnel, %client).in_scope(|| warn!(%reason, "session refused"));
}

#[test]
fn one_cause_is_told_once_and_then_summed_up() {
    let log = logged(|| {
        for id in 0..50 {
            refuse(1, id, "no server; next try in 2 s");
        }
        refuse(2, 50, "no server; next try in 2 s");
        refuse(1, 51, "another reason");
    });
    assert_eq!(log.count("session refused reason="), 3);
    let told = "49 more of tunnel 1 within 1 s: session refused: no server\n";
    assert_eq!(log.count(told), 1, "{}", log.text());
}

#[test]
fn a_cause_is_news_after_its_tunnel_has_worked() {
    let log = logged(|| {
        refuse(1, 0, "no server");
        refuse(2, 0, "no server");
        info!(target: "broker::works", tunnel = 1, "tunnel works again");
        refuse(1, 1, "no server");
        refuse(2, 1, "no server");
    });
    assert_eq!(log.count("session refused reason="), 3);
    assert_eq!(log.count("1 more of tunnel 2"), 1);
}

#[test]
fn each_transfer_that_fails_has_its_line() {
    let log = logged(|| {
        for _ in 0..3 {
            warn!(
                result = "failed",
                by = "ssh",
                reason = "cut",
                "transfer failed"
            );
        }
    });
    assert_eq!(log.count("transfer failed"), 3);
}

#[test]
fn long_lines_cost_more() {
    let banner = "x".repeat(2048);
    let log = logged(|| {
        for _ in 0..BURST {
            info!(server = "h:22", %banner, "banner");
        }
    });
    let length = log.text().len();
    assert!((100 * 1024..512 * 1024).contains(&length), "{length}");
}

/// One place in the source code for all callers.
fn transfer(what: &str) {
    info!(what, "transfer ended");
}
