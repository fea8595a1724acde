//! The heartbeats of the daemon's parts, and what follows from them: the watchdog's sign of life and the status text.
//!
//! A service manager with a watchdog restarts a daemon of which it hears nothing. So the daemon gives its sign of life
//! only if the supervisor and every thread that carries data have answered since the last one.

use std::time::Duration;

use broker::{Api, Overview, data_thread_heartbeats};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::FuturesUnordered;
use futures::{Stream, StreamExt};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{error, info};

use crate::notify;

/// How often the parts are asked. People who look at the status text see it at most this old.
const PERIOD: Duration = Duration::from_secs(1);
/// How many times the parts are asked within the watchdog's time, so that one late answer is no failure.
const WITHIN_WATCHDOG: u32 = 4;
/// A part that has not answered for so long is named in the log. Work between two awaits takes milliseconds.
const HUNG: Duration = Duration::from_secs(5);

/// Reports to the service manager, if there is one, until the supervisor ends.
pub(crate) async fn report(api: Api) {
    let watchdog = sd_notify::watchdog_enabled();
    if !notify::is_wanted() {
        return;
    }
    let often = watchdog.map_or(PERIOD, |limit| PERIOD.min(limit / WITHIN_WATCHDOG));
    let mut ticks = interval(often.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reported = None;
    loop {
        ticks.tick().await;
        let answers = all(parts(&api), |hung| {
            error!(parts = %hung.join(", "), "the daemon hangs: no answer for {} s", HUNG.as_secs());
        });
        let Some(overview) = answers.await.into_iter().find_map(Answer::overview) else {
            return;
        };
        if watchdog.is_some() {
            notify::alive();
        }
        if reported != Some(overview) {
            notify::changed(&overview);
            reported = Some(overview);
        }
    }
}

/// What a part of the daemon answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// A thread that carries data has run a task.
    Thread,
    /// The supervisor has answered, or has ended.
    Supervisor(Option<Overview>),
}

impl Answer {
    fn overview(self) -> Option<Overview> {
        match self {
            Self::Supervisor(overview) => overview,
            Self::Thread => None,
        }
    }
}

/// A part's name, and its answer.
type Part = (String, BoxFuture<'static, Answer>);

fn parts(api: &Api) -> Vec<Part> {
    let api = api.clone();
    let supervisor = async move { Answer::Supervisor(api.overview().await) };
    let threads = data_thread_heartbeats().into_iter();
    let threads = threads.map(|(name, beat)| (name, beat.map(|()| Answer::Thread).boxed()));
    threads
        .chain([("supervisor".to_owned(), supervisor.boxed())])
        .collect()
}

/// The answers of all parts. If some hang, `hung` learns their names once, and this continues to wait: asking again would
/// only add to what those parts have to do.
async fn all(parts: Vec<Part>, hung: impl FnOnce(&[String])) -> Vec<Answer> {
    let mut missing: Vec<String> = parts.iter().map(|(name, _)| name.clone()).collect();
    let mut answered = Vec::with_capacity(parts.len());
    let named = parts
        .into_iter()
        .map(|(name, answer)| answer.map(|it| (name, it)));
    let mut waiting: FuturesUnordered<_> = named.collect();
    let in_time = timeout(HUNG, gather(&mut waiting, &mut answered));
    if in_time.await.is_err() {
        missing.retain(|name| answered.iter().all(|(it, _)| it != name));
        hung(&missing);
        gather(&mut waiting, &mut answered).await;
        info!("every part of the daemon answers again");
    }
    answered.into_iter().map(|(_, answer)| answer).collect()
}

async fn gather<T>(from: &mut (impl Stream<Item = T> + Unpin), into: &mut Vec<T>) {
    while let Some(next) = from.next().await {
        into.push(next);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::sync::oneshot;

    use super::*;

    fn part(name: &str, answer: impl Future<Output = Answer> + Send + 'static) -> Part {
        (name.to_owned(), answer.boxed())
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_no_sign_of_life_until_every_part_has_answered() {
        let (wake, asleep) = oneshot::channel::<()>();
        let parts = vec![
            part("supervisor", async {
                Answer::Supervisor(Some(Overview::default()))
            }),
            part("ssh-data-1", async {
                let _ = asleep.await;
                Answer::Thread
            }),
        ];
        let named = RefCell::new(Vec::new());
        let mut answers = Box::pin(all(parts, |hung| {
            named.replace(hung.to_vec());
        }));
        assert!(timeout(2 * HUNG, &mut answers).await.is_err());
        assert_eq!(*named.borrow(), ["ssh-data-1"]);
        wake.send(()).unwrap();
        assert_eq!(answers.await.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_named_if_all_answer() {
        let ended = vec![part("supervisor", async { Answer::Supervisor(None) })];
        let answers = all(ended, |hung| panic!("{hung:?} hang")).await;
        assert_eq!(answers, [Answer::Supervisor(None)]);
    }
}
