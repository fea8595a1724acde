//! Whether the SSH server delays small packets, and what the setting `low-latency` does about it.

use std::time::Duration;

use broker_ipc::checks::{Outcome, Step};
use broker_ssh::{Pool, SmallPackets};

use super::finding::Finding;
use super::report::Reporter;

/// The round trip from which the delay is worth a word. Below it, a burst of small files takes its time elsewhere.
const WORTH_A_WORD: Duration = Duration::from_millis(5);

/// Reports how the server treats small packets, if the configuration matters for that.
pub(super) async fn small_packets(pool: &Pool, round_trip: Duration, reporter: &Reporter) {
    let server = pool.spec().server();
    let step = Step::SmallPackets;
    let finding = match pool.small_packets().await {
        Ok(SmallPackets::UpToServer) => return,
        Ok(SmallPackets::Late) if round_trip < WORTH_A_WORD => return,
        Ok(SmallPackets::Late) => hint(&server),
        Ok(SmallPackets::AtOnce) => {
            let text = format!("{server} sends them at once, since low-latency is on");
            Finding::ok(step, text)
        }
        Ok(SmallPackets::Refused(refusal)) => Finding {
            outcome: Outcome::Warning,
            ..Finding::failed(step, refusal.to_string())
        },
        Err(error) => Finding::failed(step, error.to_string()),
    };
    reporter.report(finding);
}

/// What the setting would gain, and the condition for it.
fn hint(server: &str) -> Finding {
    let text = format!("{server} delays each by a round trip, as OpenSSH before 10.1 does");
    let remedy = "to transfer many small files in about a quarter less time, write <low-latency enable=\"yes\"/> in the \
                  profile, unless the account has a forced command at the server: that command would run on each connection";
    Finding::ok(Step::SmallPackets, text).remedy(remedy)
}
