//! Pools of targets that requests name and no file configures: given up when nobody uses them.

use std::sync::Arc;

use crate::supervisor::{ProfilePool, Supervisor};

/// Pools that may stand unused until they are looked for again: each keeps what is known of a server that could not be
/// reached, which spares it the next dial. A script may name a new target with each request.
const MAX_UNUSED: usize = 64;

impl Supervisor {
    /// Gives up those that nobody uses and whose server need not be left alone any longer.
    pub(crate) fn give_up_unused_pools(&mut self) {
        self.pools
            .retain(|_, pool| !pool.adhoc || is_used(pool) || is_paused(pool));
    }

    /// Makes room for one more: with too many, all that nobody uses are given up.
    pub(crate) fn make_room_for_pool(&mut self) {
        let unused = |pool: &&ProfilePool| pool.adhoc && !is_used(pool);
        if self.pools.values().filter(unused).count() >= MAX_UNUSED {
            self.pools.retain(|_, pool| !pool.adhoc || is_used(pool));
        }
    }
}

/// Whether a tunnel, a session or a request has it, or a connection of it stands.
fn is_used(pool: &ProfilePool) -> bool {
    Arc::strong_count(&pool.connections) > 1 || !pool.connections.list().is_empty()
}

fn is_paused(pool: &ProfilePool) -> bool {
    pool.connections.shared().snapshot().retry_in.is_some()
}

#[cfg(test)]
mod tests {
    use broker_config::Config;
    use tokio::sync::mpsc;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::shutdown::Shutdown;
    use crate::supervisor::Identity;

    fn supervisor() -> Supervisor {
        let identity = Identity {
            home: "/nonexistent".into(),
            user: "user".into(),
        };
        let (stop, _) = mpsc::channel(1);
        Supervisor::new(
            Config::default(),
            Vec::new(),
            identity,
            TaskTracker::new(),
            Shutdown::default(),
            stop,
        )
    }

    fn used(supervisor: &mut Supervisor, user: &str) -> Arc<crate::profiles::Connections> {
        let profile = supervisor.config.adhoc(Some(user), "host", None);
        supervisor.connections(&profile)
    }

    #[tokio::test]
    async fn what_nobody_uses_is_given_up() {
        let mut supervisor = supervisor();
        let kept = used(&mut supervisor, "kept");
        drop(used(&mut supervisor, "left"));
        supervisor.give_up_unused_pools();
        let left: Vec<_> = supervisor.pools.keys().map(String::as_str).collect();
        assert_eq!(left, ["kept@host#22"]);
        drop(kept);
        supervisor.give_up_unused_pools();
        assert!(supervisor.pools.is_empty());
    }

    #[tokio::test]
    async fn however_many_targets_are_named_few_are_kept() {
        let mut supervisor = supervisor();
        let kept = used(&mut supervisor, "kept");
        for number in 0..2000 {
            drop(used(&mut supervisor, &format!("user{number}")));
            assert!(supervisor.pools.len() <= MAX_UNUSED + 1);
        }
        assert!(supervisor.pools.contains_key("kept@host#22"));
        drop(kept);
    }
}
