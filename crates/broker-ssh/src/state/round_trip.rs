//! How long the line to a pool's server is: measured once a connection is up, for the windows of those that follow
//!
//! The time that a TCP connection took tells as much, but not where something on the way accepts it in the server's place.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// How long a dial waits for a measurement under way: lines that take longer are given the largest window soon enough.
const MEASURING_LIMIT: Duration = Duration::from_secs(1);

/// What is known of the line.
#[derive(Debug, Default)]
pub(crate) struct RoundTrip(watch::Sender<Measurement>);

#[derive(Debug, Default, Clone, Copy)]
enum Measurement {
    #[default]
    Unknown,
    Measuring,
    /// The shortest that was measured: others were longer since somebody was busy.
    Known(Duration),
}

impl Measurement {
    fn known(self) -> Option<Duration> {
        match self {
            Self::Known(shortest) => Some(shortest),
            Self::Unknown | Self::Measuring => None,
        }
    }
}

impl RoundTrip {
    /// Says that [`RoundTrip::measure`] is about to be called.
    pub(crate) fn announce(&self) {
        self.0.send_if_modified(|state| {
            let unknown = matches!(state, Measurement::Unknown);
            if unknown {
                *state = Measurement::Measuring;
            }
            unknown
        });
    }

    /// Notes how long a server takes for its answer to what it is asked now.
    pub(crate) async fn measure(&self, answered: impl Future<Output = bool>) {
        let began = Instant::now();
        let answered = answered.await;
        let took = began.elapsed();
        // One that took longer was first asked something that it does not know.
        self.note((answered && took < MEASURING_LIMIT).then_some(took));
    }

    fn note(&self, measured: Option<Duration>) {
        self.0.send_modify(|state| {
            let shortest = state.known().into_iter().chain(measured).min();
            *state = shortest.map_or(Measurement::Unknown, Measurement::Known);
        });
    }

    /// What is known, or known soon.
    pub(crate) async fn known(&self) -> Option<Duration> {
        let mut state = self.0.subscribe();
        let measured = state.wait_for(|state| !matches!(state, Measurement::Measuring));
        match timeout(MEASURING_LIMIT, measured).await {
            Ok(Ok(state)) => state.known(),
            Ok(Err(_)) | Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(10);

    #[tokio::test(start_paused = true)]
    async fn the_shortest_counts_and_a_measurement_is_waited_for_a_while() {
        let line = RoundTrip::default();
        assert_eq!(line.known().await, None);
        line.announce();
        assert_eq!(line.known().await, None, "it takes too long");
        let (known, ()) = tokio::join!(line.known(), async { line.note(Some(SHORT)) });
        assert_eq!(known, Some(SHORT));
        line.announce();
        line.note(Some(SHORT * 2));
        line.note(None);
        assert_eq!(line.known().await, Some(SHORT));
    }
}
