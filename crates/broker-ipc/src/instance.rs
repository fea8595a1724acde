//! The name of this process among all daemons, by which a client sees that another one answers.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// A name that no other daemon has: the system may give the same process id again, but not at the same moment.
pub fn instance() -> &'static str {
    static INSTANCE: OnceLock<String> = OnceLock::new();
    INSTANCE.get_or_init(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let moment = since.map_or(0, |since| since.as_nanos());
        format!("{:x}-{moment:x}", std::process::id())
    })
}
