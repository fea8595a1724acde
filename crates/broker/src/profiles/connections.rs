//! The SSH connections of one profile: shared by its clients, or each client's own.

use std::sync::{Arc, Mutex, Weak};

use broker_ssh::{ConnectionInfo, Pool};

use crate::sync::lock;

/// Hands out connections and knows all that are in use.
#[derive(Debug)]
pub(crate) struct Connections {
    shared: Arc<Pool>,
    /// Where clients share nothing: what each of them has. At most as many as there are sessions and transfers.
    own: Option<Mutex<Vec<Weak<Pool>>>>,
}

impl Connections {
    pub(crate) fn new(pool: Pool, exclusive: bool) -> Self {
        Self {
            shared: Arc::new(pool),
            own: exclusive.then(Mutex::default),
        }
    }

    /// What everything that is no client uses; most often what clients use as well.
    pub(crate) fn shared(&self) -> &Pool {
        &self.shared
    }

    /// What one more client uses. Connections of its own end when it lets go.
    pub(crate) fn for_client(&self) -> Arc<Pool> {
        let Some(own) = &self.own else {
            return self.shared.clone();
        };
        let pool = Arc::new(self.shared.sibling());
        let mut own = lock(own);
        own.retain(|pool| pool.strong_count() > 0);
        own.push(Arc::downgrade(&pool));
        pool
    }

    /// All connections at this moment.
    pub(crate) fn list(&self) -> Vec<ConnectionInfo> {
        let snapshots = self.pools().into_iter().map(|pool| pool.snapshot());
        snapshots.flat_map(|seen| seen.connections).collect()
    }

    /// Closes one connection with its channels. Returns false where there is none of that number.
    pub(crate) async fn close(&self, id: u64) -> bool {
        for pool in self.pools() {
            if pool.close_connection(id).await {
                return true;
            }
        }
        false
    }

    fn pools(&self) -> Vec<Arc<Pool>> {
        let mut pools = vec![self.shared.clone()];
        if let Some(own) = &self.own {
            let own = lock(own);
            pools.extend(own.iter().filter_map(Weak::upgrade));
        }
        pools
    }
}
