//! Findings on their way to whoever shows them, each with the time since the one before it.

use std::fmt;
use std::sync::{Arc, Mutex};

use broker_ipc::checks::{Check, Outcome, Step};
use broker_ssh::{Observer, Passed};
use plain_text::printable_start;
use tokio::time::Instant;

use super::finding::Finding;
use super::wording;
use crate::sync::lock;

/// Where findings go.
pub type Sink = Arc<dyn Fn(Check) + Send + Sync>;

/// The longest text of a finding, in characters: an error that names sixteen addresses fits.
const MAX_TEXT: usize = 2048;

/// Reports the findings about one target.
pub(super) struct Reporter {
    target: Option<String>,
    sink: Sink,
    /// When the last step ended.
    last: Mutex<Instant>,
    /// How far the connection attempt has come.
    attempt: Mutex<Attempt>,
}

/// How far the connection attempt has come.
#[derive(Debug, Default)]
struct Attempt {
    /// The last step that has succeeded.
    passed: Option<Step>,
    /// Whether it has ended. Further connections to the same servers pass the same steps.
    over: bool,
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl Reporter {
    pub(super) fn new(target: Option<&str>, sink: &Sink) -> Self {
        Self {
            target: target.map(str::to_owned),
            sink: Arc::clone(sink),
            last: Mutex::new(Instant::now()),
            attempt: Mutex::default(),
        }
    }

    /// Reports a finding. If it does not say how long it took, that is the time since the one before it.
    pub(super) fn report(&self, finding: Finding) {
        let now = Instant::now();
        let before = std::mem::replace(&mut *lock(&self.last), now);
        let took = finding.took.unwrap_or(now - before);
        let timed = finding.outcome != Outcome::Skipped;
        (self.sink)(Check {
            target: self.target.clone(),
            step: finding.step,
            outcome: finding.outcome,
            text: printable_start(&finding.text, MAX_TEXT),
            tried: finding.tried,
            remedy: finding.remedy,
            microseconds: timed.then(|| u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
        });
    }

    /// The connection attempt has ended. Returns the last step that has succeeded.
    pub(super) fn attempt_over(&self) -> Option<Step> {
        let mut attempt = lock(&self.attempt);
        attempt.over = true;
        attempt.passed
    }
}

impl Observer for Reporter {
    fn passed(&self, server: &str, step: Passed) {
        let finding = wording::passed(server, step);
        {
            let mut attempt = lock(&self.attempt);
            if attempt.over {
                return;
            }
            attempt.passed = Some(finding.step);
        }
        self.report(finding);
    }
}
