//! The round trip to a pool's server, measured on an open connection for the windows of later connections
//!
//! The time of the TCP handshake shows the same, unless something on the route accepts connections in the server's place.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// How long an attempt waits for a measurement in progress. With a longer round trip the window soon grows to the
/// largest.
const MEASURING_LIMIT: Duration = Duration::from_secs(1);

/// What is known of the round trip.
#[derive(Debug, Default)]
pub(crate) struct RoundTrip(watch::Sender<Measurement>);

#[derive(Debug, Default, Clone, Copy)]
enum Measurement {
    #[default]
    Unknown,
    Measuring,
    /// The shortest measurement: longer ones had delays.
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
    /// Announces that [`RoundTrip::measure`] is about to be called.
    pub(crate) fn announce(&self) {
        self.0.send_if_modified(|state| {
            let unknown = matches!(state, Measurement::Unknown);
            if unknown {
                *state = Measurement::Measuring;
            }
            unknown
        });
    }

    /// Measures how long a server takes to answer.
    pub(crate) async fn measure(&self, answered: impl Future<Output = bool>) {
        let began = Instant::now();
        let answered = answered.await;
        let took = began.elapsed();
        // One that took longer was first sent a request that it does not know.
        self.note((answered && took < MEASURING_LIMIT).then_some(took));
    }

    fn note(&self, measured: Option<Duration>) {
        self.0.send_modify(|state| {
            let shortest = state.known().into_iter().chain(measured).min();
            *state = shortest.map_or(Measurement::Unknown, Measurement::Known);
        });
    }

    /// What is known by now.
    pub(crate) fn shortest(&self) -> Option<Duration> {
        self.0.borrow().known()
    }

    /// What is known, or will be known soon.
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
        assert_eq!((known, line.shortest()), (Some(SHORT), Some(SHORT)));
        line.announce();
        line.note(Some(SHORT * 2));
        line.note(None);
        assert_eq!(line.known().await, Some(SHORT));
    }
}
