//! The SSH connections of one profile: shared by its clients, or separate for each client.

use std::sync::{Arc, Mutex, Weak};

use broker_ssh::{ConnectionInfo, Pool};

use crate::sync::lock;

/// Hands out connections and knows all that are in use.
#[derive(Debug)]
pub(crate) struct Connections {
    shared: Arc<Pool>,
    /// The separate pools, if clients share nothing. At most as many as there are sessions and transfers.
    own: Option<Mutex<Vec<Weak<Pool>>>>,
}

impl Connections {
    pub(crate) fn new(pool: Pool, exclusive: bool) -> Self {
        Self {
            shared: Arc::new(pool),
            own: exclusive.then(Mutex::default),
        }
    }

    /// The pool for everything that is not a client; usually clients use it as well.
    pub(crate) fn shared(&self) -> &Pool {
        &self.shared
    }

    /// The pool for one more client. A separate pool ends when the client drops it.
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

    /// Closes one connection with its channels. Returns false if there is none with this number.
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
