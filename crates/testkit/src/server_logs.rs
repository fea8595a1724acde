//! What servers have logged, for the message of a test that fails: each hands it in when it ends. A test in which one has
//! panicked fails.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task_local;

/// Lines that are kept of each log, the newest: some load tests log hundreds of thousands.
const MAX_LINES: usize = 2000;

/// How a Rust program reports a panic.
const PANIC: &str = " panicked at ";

/// What was handed in.
#[derive(Default)]
struct Logs {
    /// The newest lines of each log.
    newest: Vec<String>,
    /// Every line about a panic.
    panics: Vec<String>,
}

task_local! {
    static HANDED_IN: Arc<Mutex<Logs>>;
}

/// Runs a test, and puts the logs of its servers into its error.
///
/// # Errors
/// When the test fails, or a server has panicked: a task of a daemon can end without anyone noticing.
pub async fn shown<T>(test: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let logs = Arc::<Mutex<Logs>>::default();
    let outcome = HANDED_IN.scope(Arc::clone(&logs), test).await;
    let logs = logs.lock().unwrap_or_else(PoisonError::into_inner);
    let outcome = outcome.and_then(|done| {
        let panics = logs.panics.join("\n");
        anyhow::ensure!(panics.is_empty(), "a server has panicked:\n{panics}");
        Ok(done)
    });
    outcome.map_err(|error| anyhow::anyhow!("{error:#}\n\n{}", logs.newest.join("\n")))
}

/// Takes the log of a server that ends, where a test runs that may show it.
pub(crate) fn hand_in(server: &str, log: &str) {
    let newest = log.lines().rev().take(MAX_LINES).collect::<Vec<_>>();
    let lines: Vec<&str> = newest.into_iter().rev().collect();
    let newest = format!("the log of {server}:\n{}", lines.join("\n"));
    let panics = log.lines().filter(|line| line.contains(PANIC));
    // Outside a test nobody asks for it.
    let _ = HANDED_IN.try_with(|logs| {
        let mut logs = logs.lock().unwrap_or_else(PoisonError::into_inner);
        logs.newest.push(newest);
        logs.panics.extend(panics.map(str::to_owned));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Server;

    impl Drop for Server {
        fn drop(&mut self) {
            hand_in("the server", "ready\nbroken");
        }
    }

    #[tokio::test]
    async fn a_failure_shows_what_its_servers_logged() {
        let fails = shown(async {
            let _server = Server;
            anyhow::ensure!(false, "no reply");
            Ok(())
        });
        let message = fails.await.unwrap_err().to_string();
        assert_eq!(message, "no reply\n\nthe log of the server:\nready\nbroken");
    }

    #[tokio::test]
    async fn a_test_fails_if_a_server_has_panicked() {
        let passes = shown(async {
            let rest = "line\n".repeat(MAX_LINES * 2);
            hand_in(
                "it",
                &format!("thread 'main' panicked at it.rs:1:1:\n{rest}"),
            );
            Ok(())
        });
        let message = passes.await.unwrap_err().to_string();
        let expected = "a server has panicked:\nthread 'main' panicked at it.rs:1:1:\n";
        assert!(message.starts_with(expected), "{message}");
    }

    #[tokio::test]
    async fn a_log_is_shown_from_its_end() {
        let fails = shown(async {
            hand_in("it", &"line\n".repeat(MAX_LINES * 2));
            anyhow::ensure!(false, "failed");
            Ok(())
        });
        let message = fails.await.unwrap_err().to_string();
        assert_eq!(message.matches("line").count(), MAX_LINES);
    }
}
