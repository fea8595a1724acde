//! One test: a runtime of its own, what it needs, and a time limit.

use std::future::Future;
use std::time::Duration;

use anyhow::anyhow;
use libtest_mimic::{Failed, Trial};
use testkit::server_logs;
use tokio::runtime::{Builder, Runtime};

use super::Need;

/// How long a test may take unless it says more: one that hangs must not hold up the rest.
const LIMIT: Duration = Duration::from_secs(120);

/// How long a test's own threads may take to end after it.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A test, ignored where something it needs is missing. `test` runs only if the test is chosen.
pub(crate) fn trial<F>(
    name: impl Into<String>,
    needs: &[Need],
    test: impl FnOnce() -> F + Send + 'static,
) -> Trial
where
    F: Future<Output = anyhow::Result<()>>,
{
    trial_within(LIMIT, name, needs, test)
}

/// As [`trial`], with a time limit of its own.
pub(crate) fn trial_within<F>(
    limit: Duration,
    name: impl Into<String>,
    needs: &[Need],
    test: impl FnOnce() -> F + Send + 'static,
) -> Trial
where
    F: Future<Output = anyhow::Result<()>>,
{
    let name = name.into();
    let title = name.clone();
    let trial = Trial::test(name, move || run(&title, limit, test()));
    match needs.iter().find(|need| !need.is_met()) {
        Some(missing) => trial
            .with_kind(format!("needs {missing}"))
            .with_ignored_flag(true),
        None => trial,
    }
}

/// Runs a test to its end or its limit. A failure shows the logs of its servers, and a panic of one is a failure. What it
/// started ends with it, since everything is dropped.
fn run(
    title: &str,
    limit: Duration,
    test: impl Future<Output = anyhow::Result<()>>,
) -> Result<(), Failed> {
    let runtime = runtime()?;
    // Some tests hold much, and each of the futures around one would hold it again, on the stack of the test's thread.
    let test = Box::pin(test);
    let outcome = runtime.block_on(async {
        server_logs::shown(async {
            let ended = tokio::time::timeout(limit, test).await;
            ended.unwrap_or_else(|_| Err(anyhow!("{title} did not end within {limit:?}")))
        })
        .await
    });
    runtime.shutdown_timeout(LAST_WORDS);
    outcome.map_err(|error| Failed::from(format!("{error:#}")))
}

fn runtime() -> Result<Runtime, Failed> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.map_err(|error| Failed::from(format!("cannot start the test's runtime: {error}")))
}
