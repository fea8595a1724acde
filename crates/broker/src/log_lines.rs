//! The lines of the daemon's log, for clients that want to see them.
//!
//! Whoever writes a line never waits. A client that does not read in time misses lines, and learns how many.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use broker_ipc::types::LogLine;
use tokio::sync::broadcast;

use crate::sync::lock;

/// Lines that are kept for a client that comes later: a few screens. They take less than 1 MiB.
const KEPT: usize = 200;

/// Lines that wait for the slowest client. A busy daemon writes a few hundred a second.
const WAITING: usize = 1024;

/// A line, and when it was written.
pub(crate) type TimedLine = (SystemTime, Arc<LogLine>);

/// The lines of the log. Clones share them.
#[derive(Debug, Clone)]
pub struct LogLines(Arc<Lines>);

#[derive(Debug)]
struct Lines {
    sender: broadcast::Sender<TimedLine>,
    /// Oldest first.
    kept: Mutex<VecDeque<TimedLine>>,
}

impl Default for LogLines {
    fn default() -> Self {
        Self(Arc::new(Lines {
            sender: broadcast::Sender::new(WAITING),
            kept: Mutex::default(),
        }))
    }
}

impl LogLines {
    /// Adds a line. Never waits, and writes nothing to the log itself.
    pub fn push(&self, line: LogLine) {
        let line = (SystemTime::now(), Arc::new(line));
        // Locked until it is sent, so that a client gets each line once.
        let mut kept = lock(&self.0.kept);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(line.clone());
        // Without a client, nobody has to learn of it.
        let _ = self.0.sender.send(line);
    }

    /// All lines from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<(SystemTime, Arc<LogLine>)> {
        self.0.sender.subscribe()
    }

    /// The lines that are kept, and those from now on.
    pub(crate) fn subscribe_with_kept(&self) -> (Vec<TimedLine>, broadcast::Receiver<TimedLine>) {
        let kept = lock(&self.0.kept);
        (kept.iter().cloned().collect(), self.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use broker_ipc::types::LogLevel;

    use super::*;

    fn line(number: usize) -> LogLine {
        LogLine {
            level: LogLevel::Info,
            message: number.to_string(),
            fields: BTreeMap::new(),
        }
    }

    #[test]
    fn the_last_lines_are_kept_and_none_comes_twice() {
        let lines = LogLines::default();
        (0..KEPT + 5).for_each(|number| lines.push(line(number)));
        let (kept, mut later) = lines.subscribe_with_kept();
        lines.push(line(1000));
        assert_eq!(kept.len(), KEPT);
        assert_eq!(kept[0].1.message, "5");
        assert_eq!(later.try_recv().unwrap().1.message, "1000");
        assert!(later.try_recv().is_err());
    }

    #[test]
    fn a_client_that_does_not_read_delays_no_line() {
        let lines = LogLines::default();
        let _deaf = lines.subscribe();
        (0..10 * WAITING).for_each(|number| lines.push(line(number)));
    }
}
