//! The transfers in xferlog files, which tools for FTP servers read. Written from the stream of events, so no transfer
//! waits for a disk.

mod file;
mod line;

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use broker::{Event, Events, Numbered};
use chrono::Local;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use self::file::Xferlog;

/// Lines that go to the files at once. More wait in the stream.
const BATCH: usize = 256;

/// How long the last lines may take at the end of the daemon. A file system that does not answer takes for ever.
const LAST_LINES: Duration = Duration::from_secs(2);

/// The open files.
type Files = Arc<Mutex<Vec<Xferlog<File>>>>;

/// The xferlogs that are written now. A reload replaces them.
#[derive(Clone, Default)]
pub(crate) struct Xferlogs(Arc<Mutex<Files>>);

/// Open files for [`Xferlogs::replace`].
#[derive(Default)]
pub(crate) struct OpenXferlogs(Vec<Xferlog<File>>);

impl OpenXferlogs {
    pub(crate) fn add(&mut self, path: &Path, file: File) {
        let name = path.display().to_string();
        self.0.push(Xferlog::new(name, file));
    }
}

impl Xferlogs {
    /// Writes to these files from now on.
    pub(crate) fn replace(&self, files: OpenXferlogs) {
        *lock(&self.0) = Arc::new(Mutex::new(files.0));
    }

    /// Writes a line for each transfer from now on.
    pub(crate) fn start(&self, events: &Events) -> Writing {
        let (tasks, end) = (TaskTracker::new(), CancellationToken::new());
        let writer = Writer {
            logs: self.clone(),
            events: events.subscribe(),
            end: end.clone(),
        };
        tasks.spawn(writer.run());
        Writing { tasks, end }
    }

    /// The current files. Whoever writes to them does not hold up a reload.
    fn files(&self) -> Files {
        lock(&self.0).clone()
    }
}

/// The task that writes the lines. It outlives the sessions, whose last transfers it has to log.
pub(crate) struct Writing {
    tasks: TaskTracker,
    end: CancellationToken,
}

impl Writing {
    /// Ends once all transfers so far are written.
    pub(crate) async fn finish(self) {
        self.end.cancel();
        self.tasks.close();
        if timeout(LAST_LINES, self.tasks.wait()).await.is_err() {
            warn!("the xferlogs cannot be written in time: the last transfers are left out");
        }
    }
}

struct Writer {
    logs: Xferlogs,
    events: Receiver<Numbered>,
    end: CancellationToken,
}

impl Writer {
    async fn run(mut self) {
        let end = self.end.clone();
        while let Some(first) = end.run_until_cancelled(self.events.recv()).await {
            let lines = match first {
                Ok(event) => line(&event).into_iter().collect(),
                Err(RecvError::Lagged(lost)) => {
                    tell_lost(lost);
                    Vec::new()
                }
                Err(RecvError::Closed) => break,
            };
            self.write_with_next(lines).await;
        }
        while !self.events.is_empty() {
            self.write_with_next(Vec::new()).await;
        }
    }

    /// Writes these lines, and those of the events that are there already.
    async fn write_with_next(&mut self, mut lines: Vec<String>) {
        while lines.len() < BATCH {
            match self.events.try_recv() {
                Ok(event) => lines.extend(line(&event)),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
                Err(TryRecvError::Lagged(lost)) => tell_lost(lost),
            }
        }
        if lines.is_empty() {
            return;
        }
        let files = self.logs.files();
        // A write that panics loses its lines and nothing else.
        let _ = tokio::task::spawn_blocking(move || {
            for file in &mut *lock(&files) {
                lines.iter().for_each(|line| file.write(line));
            }
        })
        .await;
    }
}

fn tell_lost(events: u64) {
    warn!(
        events,
        "the xferlogs are written too slowly: transfers are left out"
    );
}

/// The line of an event, if it is the end of a transfer.
fn line(event: &Numbered) -> Option<String> {
    let Event::TransferEnded(record) = &event.event else {
        return None;
    };
    line::line(record, &Local)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
