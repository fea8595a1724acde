//! One step and its outcome.

use std::time::Duration;

use broker_ipc::LoginAttempt;
use broker_ipc::checks::{Outcome, Step};

/// One step and its outcome.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) step: Step,
    pub(super) outcome: Outcome,
    pub(super) text: String,
    pub(super) tried: Vec<LoginAttempt>,
    pub(super) remedy: Option<String>,
    pub(super) took: Option<Duration>,
}

impl Finding {
    pub(super) fn new(step: Step, outcome: Outcome, text: impl Into<String>) -> Self {
        Self {
            step,
            outcome,
            text: text.into(),
            tried: Vec::new(),
            remedy: None,
            took: None,
        }
    }

    pub(super) fn ok(step: Step, text: impl Into<String>) -> Self {
        Self::new(step, Outcome::Ok, text)
    }

    /// A failure. If its text ends with what to do, as the broker's errors do, that becomes the remedy.
    pub(super) fn failed(step: Step, text: impl Into<String>) -> Self {
        let (text, remedy) = parted(&text.into());
        Self {
            remedy,
            ..Self::new(step, Outcome::Failed, text)
        }
    }

    /// What to do, unless the failure itself says it.
    pub(super) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy.get_or_insert_with(|| remedy.into());
        self
    }

    /// What was tried in the login that failed.
    pub(super) fn tried(self, tried: Vec<LoginAttempt>) -> Self {
        Self { tried, ..self }
    }

    pub(super) fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }

    pub(super) fn took(mut self, took: Duration) -> Self {
        self.took = Some(took);
        self
    }
}

/// Between what failed and what to do, in the broker's errors.
const PAUSE: &str = "; ";

/// The two parts of an error's text: what failed, and what to do.
fn parted(text: &str) -> (String, Option<String>) {
    match text.split_once(PAUSE) {
        Some((fault, remedy)) => (fault.to_owned(), Some(remedy.to_owned())),
        None => (text.to_owned(), None),
    }
}
