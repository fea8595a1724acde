//! Attempts of which the first to succeed counts.

use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::sleep;

/// The failure if there is nothing to try.
pub(crate) const NO_ADDRESS: &str = "there is no address";

/// How long to wait for a candidate before trying the next in parallel. Long enough for a live host (RFC 8305 section 5
/// recommends this), short for one whose packets vanish.
const HEAD_START: Duration = Duration::from_millis(250);

/// The first of these attempts to succeed, or the last failure. Each begins [`HEAD_START`] after the previous one, or as
/// soon as one has failed; the rest are dropped. `nowhere` is the failure if there are none.
pub(crate) async fn first_open<T, E>(
    dials: Vec<impl Future<Output = Result<T, E>>>,
    nowhere: E,
) -> Result<T, E> {
    let mut waiting = dials.into_iter();
    let mut running = FuturesUnordered::new();
    let mut failure = nowhere;
    loop {
        running.extend(waiting.next());
        tokio::select! {
            ended = running.next() => match ended {
                Some(Ok(opened)) => return Ok(opened),
                Some(Err(reason)) => failure = reason,
                None => return Err(failure),
            },
            () = sleep(HEAD_START), if waiting.len() > 0 => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::Instant;

    use super::*;

    /// An attempt that takes this many milliseconds.
    async fn dial(takes: u64, outcome: Result<&'static str, &str>) -> Result<&'static str, String> {
        // tidy: sleeps because the clock is a virtual one
        sleep(Duration::from_millis(takes)).await;
        outcome.map_err(str::to_owned)
    }

    async fn check_race(
        dials: [(u64, Result<&'static str, &str>); 2],
        expected: Result<&'static str, &str>,
        after: u64,
    ) {
        let began = Instant::now();
        let opened = first_open(
            dials.map(|(takes, outcome)| dial(takes, outcome)).into(),
            NO_ADDRESS.to_owned(),
        )
        .await;
        assert_eq!(opened, expected.map_err(str::to_owned));
        assert_eq!(began.elapsed(), Duration::from_millis(after), "{dials:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_does_not_answer_costs_its_head_start() {
        const VANISHED: u64 = 30_000;
        check_race([(VANISHED, Err("a")), (20, Ok("b"))], Ok("b"), 270).await;
        check_race([(100, Ok("a")), (0, Ok("b"))], Ok("a"), 100).await;
        check_race([(300, Ok("a")), (100, Ok("b"))], Ok("a"), 300).await;
        check_race([(10, Err("a")), (20, Ok("b"))], Ok("b"), 30).await;
        check_race([(10, Err("a")), (20, Err("b"))], Err("b"), 30).await;
        check_race([(300, Err("a")), (20, Err("b"))], Err("a"), 300).await;
        let alone = first_open(vec![pending::<Result<(), String>>()], NO_ADDRESS.to_owned());
        assert!(
            tokio::time::timeout(Duration::from_secs(3600), alone)
                .await
                .is_err()
        );
    }
}
