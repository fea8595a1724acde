//! What clients asked for and did not get: the last failure of each tunnel, and the recent ones of all.
//!
//! A failure stays after the tunnel has worked again: whoever looks in the morning sees what went wrong at night.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::SystemTime;

use broker_ipc::types::{Failure, RecentFailure};
use broker_ipc::{Party, Reason};

use crate::sync::lock;
use crate::unix_time::unix;

/// How many failures of all tunnels are kept: a screen full.
const RECENT: usize = 20;

/// What clients want from a tunnel, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// A session.
    Session,
    /// The data connections of a session.
    Data,
}

/// Why something failed.
#[derive(Debug, Clone)]
pub(crate) struct Cause {
    pub(crate) part: Part,
    pub(crate) message: String,
    pub(crate) reason: Reason,
    pub(crate) by: Party,
}

impl Cause {
    /// A cause for which there is no session, whose reason also tells whose fault it is.
    pub(crate) fn new(reason: Reason, message: String) -> Self {
        Self {
            part: Part::Session,
            message,
            reason,
            by: reason.party(),
        }
    }

    /// The same cause once more, or a new one.
    fn after(&self, last: Option<&Failure>) -> Failure {
        let again = last.filter(|last| last.reason == self.reason && !last.recovered);
        Failure {
            time: unix(SystemTime::now()),
            message: self.message.clone(),
            reason: self.reason,
            by: self.by,
            count: again.map_or(0, |last| last.count) + 1,
            recovered: false,
        }
    }
}

/// The last failure of one tunnel.
#[derive(Debug, Default)]
pub(crate) struct LastFailure(Mutex<Option<(Part, Failure)>>);

impl LastFailure {
    /// It, if there was one.
    pub(crate) fn get(&self) -> Option<Failure> {
        let last = lock(&self.0);
        last.as_ref().map(|(_, failure)| failure.clone())
    }

    fn note(&self, cause: &Cause) {
        let last = &mut *lock(&self.0);
        let failure = cause.after(last.as_ref().map(|(_, failure)| failure));
        *last = Some((cause.part, failure));
    }

    /// A part of the tunnel works, and so do those before it.
    fn recover(&self, works: Part) {
        let last = &mut *lock(&self.0);
        if let Some((_, failure)) = last.as_mut().filter(|(part, _)| *part <= works) {
            failure.recovered = true;
        }
    }
}

/// The recent failures of all tunnels.
#[derive(Debug, Default)]
pub(super) struct RecentFailures(Mutex<VecDeque<(Part, RecentFailure)>>);

impl RecentFailures {
    /// The failures, newest last.
    pub(super) fn all(&self) -> Vec<RecentFailure> {
        let recent = lock(&self.0);
        recent.iter().map(|(_, failure)| failure.clone()).collect()
    }

    /// Records a failure of a tunnel, and returns it. The same failure again is counted, and becomes the newest.
    pub(super) fn note(
        &self,
        last: &LastFailure,
        tunnel: u64,
        listener: &str,
        cause: &Cause,
    ) -> RecentFailure {
        last.note(cause);
        let recent = &mut *lock(&self.0);
        let same =
            |(_, it): &(_, RecentFailure)| it.tunnel == tunnel && it.failure.reason == cause.reason;
        let at = recent.iter().position(same);
        let former = at.and_then(|at| recent.remove(at));
        if recent.len() >= RECENT {
            recent.pop_front();
        }
        let failure = RecentFailure {
            tunnel,
            listener: listener.to_owned(),
            failure: cause.after(former.map(|(_, former)| former.failure).as_ref()),
        };
        recent.push_back((cause.part, failure.clone()));
        failure
    }

    /// A part of a tunnel works, and so do those before it. Returns the failures that are over.
    pub(super) fn recover(
        &self,
        last: &LastFailure,
        tunnel: u64,
        works: Part,
    ) -> Vec<RecentFailure> {
        last.recover(works);
        let recent = &mut *lock(&self.0);
        let is_over = |(part, it): &&mut (Part, RecentFailure)| {
            it.tunnel == tunnel && *part <= works && !it.failure.recovered
        };
        let over = recent.iter_mut().filter(is_over);
        over.map(|(_, it)| {
            it.failure.recovered = true;
            it.clone()
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(reason: Reason) -> Cause {
        Cause::new(reason, format!("{reason} here"))
    }

    #[test]
    fn a_failure_stays_after_the_tunnel_has_worked_again() {
        let (recent, last) = (RecentFailures::default(), LastFailure::default());
        assert_eq!(recent.recover(&last, 1, Part::Session), []);
        assert_eq!(last.get(), None);
        recent.note(&last, 1, "l", &cause(Reason::Auth));
        recent.note(&last, 1, "l", &cause(Reason::Auth));
        let failure = last.get().unwrap();
        assert_eq!((failure.count, failure.recovered), (2, false));
        assert_eq!(
            (failure.by, failure.message.as_str()),
            (Party::Ssh, "auth here")
        );
        let over = recent.recover(&last, 1, Part::Session);
        assert!(last.get().unwrap().recovered && recent.all()[0].failure.recovered);
        assert_eq!(over, recent.all());
        assert_eq!(recent.recover(&last, 1, Part::Session), []);
        recent.note(&last, 1, "l", &cause(Reason::Auth));
        let failure = last.get().unwrap();
        assert_eq!((failure.count, failure.recovered), (1, false));
        assert_eq!(recent.all().len(), 1);
    }

    #[test]
    fn a_session_does_not_show_that_data_connections_work() {
        let (recent, last) = (RecentFailures::default(), LastFailure::default());
        let refused = Cause {
            part: Part::Data,
            ..cause(Reason::ForwardingDenied)
        };
        recent.note(&last, 1, "l", &refused);
        assert_eq!(recent.recover(&last, 1, Part::Session), []);
        assert!(!recent.all()[0].failure.recovered);
        let over = recent.recover(&last, 1, Part::Data);
        assert_eq!(over, recent.all());
        assert!(over[0].failure.recovered && last.get().unwrap().recovered);
        assert_eq!(recent.recover(&last, 1, Part::Data), []);
    }

    #[test]
    fn one_cause_is_summed_up_and_few_are_kept() {
        let (recent, last) = (RecentFailures::default(), LastFailure::default());
        for tunnel in 0..1000 {
            recent.note(&last, tunnel, "l", &cause(Reason::Dns));
        }
        recent.note(&last, 990, "l", &cause(Reason::Dns));
        let all = recent.all();
        assert_eq!(all.len(), RECENT);
        let newest = all.last().unwrap();
        assert_eq!((newest.tunnel, newest.failure.count), (990, 2));
    }
}
