//! What servers have logged, for the message of a test that fails: each hands it in when it ends.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task_local;

/// Lines that are kept of each log, the newest: some load tests log hundreds of thousands.
const MAX_LINES: usize = 2000;

task_local! {
    static HANDED_IN: Arc<Mutex<Vec<String>>>;
}

/// Runs a test, and puts the logs of its servers into its error.
///
/// # Errors
/// When the test fails.
pub async fn shown<T>(test: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let logs = Arc::default();
    let outcome = HANDED_IN.scope(Arc::clone(&logs), test).await;
    outcome.map_err(|error| {
        let logs = logs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .join("\n");
        anyhow::anyhow!("{error:#}\n\n{logs}")
    })
}

/// Takes the log of a server that ends, where a test runs that may show it.
pub(crate) fn hand_in(server: &str, log: &str) {
    let newest = log.lines().rev().take(MAX_LINES).collect::<Vec<_>>();
    let lines: Vec<&str> = newest.into_iter().rev().collect();
    let log = format!("the log of {server}:\n{}", lines.join("\n"));
    // Outside a test nobody asks for it.
    let _ = HANDED_IN.try_with(|logs| {
        logs.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(log);
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
