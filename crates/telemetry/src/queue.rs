//! Between those who log and the one who writes.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Map;

use crate::error::LogError;
use crate::heartbeat::{Heartbeat, HeartbeatRules};
use crate::record::Record;
use crate::settings::{Level, LogSettings};
use crate::sink::Sink;

/// The queue and its end. Until the writer is started records are written at once.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    sink: Mutex<Sink>,
}

#[derive(Debug)]
struct Waiting {
    records: VecDeque<Record>,
    bound: Option<usize>,
    heartbeat: Heartbeat,
    rules: HeartbeatRules,
    /// Dropped and not reported yet.
    unreported: u64,
    lost: u64,
    writer: Writer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    NotStarted,
    Idle,
    Writing,
}

impl Queue {
    pub(crate) fn new(settings: &LogSettings) -> Result<Self, LogError> {
        Ok(Self {
            waiting: Mutex::new(Waiting {
                records: VecDeque::new(),
                bound: settings.max_queue_size,
                heartbeat: Heartbeat::default(),
                rules: rules(settings),
                unreported: 0,
                lost: 0,
                writer: Writer::NotStarted,
            }),
            changed: Condvar::new(),
            sink: Mutex::new(Sink::new(settings)?),
        })
    }

    pub(crate) fn reload(&self, settings: &LogSettings) -> Result<(), LogError> {
        self.sink().reload(settings)?;
        let mut waiting = self.waiting();
        waiting.bound = settings.max_queue_size;
        waiting.rules = rules(settings);
        Ok(())
    }

    /// From now on a thread of its own writes.
    pub(crate) fn start_writer(self: &Arc<Self>) -> Result<(), LogError> {
        let mut waiting = self.waiting();
        if waiting.writer != Writer::NotStarted {
            return Ok(());
        }
        let queue = Arc::downgrade(self);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                while let Some(queue) = queue.upgrade() {
                    queue.write_batch();
                }
            })
            .map_err(LogError::Thread)?;
        waiting.writer = Writer::Idle;
        Ok(())
    }

    /// Takes a record. Never waits for the disk once the writer runs.
    pub(crate) fn push(&self, record: Record) {
        let mut waiting = self.waiting();
        let rules = waiting.rules;
        for record in waiting.heartbeat.pass(record, rules).into_iter().flatten() {
            if waiting.writer == Writer::NotStarted {
                self.sink().write(&record);
            } else {
                waiting.add(record);
            }
        }
        self.changed.notify_all();
    }

    /// How many records wait, and how many were dropped.
    pub(crate) fn state(&self) -> (usize, u64) {
        let waiting = self.waiting();
        (waiting.records.len(), waiting.lost)
    }

    /// Waits until everything is written, at most `limit`. Returns whether it is.
    pub(crate) fn flush(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let mut waiting = self.waiting();
        if let Some(held) = waiting.heartbeat.finish() {
            if waiting.writer == Writer::NotStarted {
                self.sink().write(&held);
            } else {
                waiting.add(held);
                self.changed.notify_all();
            }
        }
        while !waiting.records.is_empty() || waiting.writer == Writer::Writing {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let woken = self.changed.wait_timeout(waiting, left);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Writes what waits. Without anything it returns after a while, so that the writer can see
    /// that everybody else has gone.
    fn write_batch(&self) {
        let mut waiting = self.waiting();
        if waiting.records.is_empty() {
            let woken = self.changed.wait_timeout(waiting, Duration::from_secs(1));
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        let batch = std::mem::take(&mut waiting.records);
        if batch.is_empty() {
            return;
        }
        waiting.writer = Writer::Writing;
        drop(waiting);
        let mut sink = self.sink();
        for record in &batch {
            sink.write(record);
        }
        drop(sink);
        self.waiting().writer = Writer::Idle;
        self.changed.notify_all();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sink(&self) -> MutexGuard<'_, Sink> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn add(&mut self, record: Record) {
        if self.bound.is_some_and(|bound| self.records.len() >= bound) {
            self.unreported += 1;
            self.lost += 1;
            return;
        }
        let since_start = record.since_start;
        self.records.push_back(record);
        if self.unreported > 0 {
            let lost = std::mem::take(&mut self.unreported);
            self.records.push_back(report(lost, since_start));
        }
    }
}

fn report(lost: u64, since_start: Duration) -> Record {
    Record {
        time: Timestamp::now(),
        since_start,
        level: Level::Warning,
        target: "patroni_telemetry::queue".to_owned(),
        message: format!("QueueHandler has lost {lost} log records"),
        error: None,
        fields: Map::new(),
        file: Some(file!().to_owned()),
        line: line!(),
        thread: 0,
        thread_name: "log".to_owned(),
    }
}

fn rules(settings: &LogSettings) -> HeartbeatRules {
    HeartbeatRules {
        hold_owner: settings.level == Level::Info,
        deduplicate: settings.deduplicate_heartbeat_logs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;
    use crate::settings::FileSettings;

    #[test]
    fn what_does_not_fit_is_counted_and_told() {
        let dir = tempfile::tempdir().unwrap();
        let settings = LogSettings {
            max_queue_size: Some(2),
            file: Some(FileSettings::new(dir.path())),
            ..LogSettings::default()
        };
        let queue = Arc::new(Queue::new(&settings).unwrap());
        // A writer that is marked as started and does not come.
        queue.waiting().writer = Writer::Idle;
        for number in 0..5 {
            queue.push(record(Level::Info, &format!("line {number}")));
        }
        assert_eq!(queue.state(), (2, 3));
        queue.write_batch();
        queue.push(record(Level::Info, "fits"));
        queue.write_batch();
        let text = std::fs::read_to_string(dir.path().join("patroni.log")).unwrap();
        let ends: Vec<&str> = text.lines().map(|line| &line[24..]).collect();
        assert_eq!(
            ends,
            [
                "INFO: line 0",
                "INFO: line 1",
                "INFO: fits",
                "WARNING: QueueHandler has lost 3 log records"
            ]
        );
        assert!(queue.flush(Duration::from_secs(1)));
    }
}
