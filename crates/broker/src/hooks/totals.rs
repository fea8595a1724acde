//! What has become of hooks.

use std::sync::atomic::AtomicU64;

use crate::measures::Tally;

/// Totals of all hooks since the start of the daemon.
#[derive(Debug, Default)]
pub(crate) struct HookTotals {
    /// Hooks that are over.
    pub(super) over: Tally<HookResult>,
    /// Events for which no hook ran.
    pub(crate) dropped: AtomicU64,
}

/// How a hook ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HookResult {
    Succeeded,
    Failed,
    TooLong,
    NotRun,
}

impl HookTotals {
    /// How many hooks have ended in each way.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.over.counts();
        let count = move |result| counts.get(&result).copied().unwrap_or_default();
        HookResult::ALL
            .map(|it| (it.as_str(), count(it)))
            .into_iter()
    }
}

impl HookResult {
    const ALL: [Self; 4] = [Self::Succeeded, Self::Failed, Self::TooLong, Self::NotRun];

    fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "ok",
            Self::Failed => "failed",
            Self::TooLong => "timeout",
            Self::NotRun => "not-run",
        }
    }
}
