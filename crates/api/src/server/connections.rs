//! The book of open connections: who may stay, and who makes room.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::task::AbortHandle;

/// The mark of a connection that works on a request.
const BUSY: u64 = u64::MAX;

/// All open connections, at most as many as the configuration allows.
#[derive(Debug)]
pub(super) struct Connections {
    book: Mutex<HashMap<u64, Entry>>,
    begin: Instant,
}

#[derive(Debug)]
struct Entry {
    activity: Arc<Activity>,
    task: Option<AbortHandle>,
}

/// Since when a connection has been idle, in milliseconds; [`BUSY`] while it is not.
#[derive(Debug)]
pub(super) struct Activity {
    idle_since: AtomicU64,
    begin: Instant,
}

/// A place in the book, given back when the connection ends.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    connections: Arc<Connections>,
    /// To note work on requests.
    pub activity: Arc<Activity>,
}

/// A request is being worked on.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

/// Ends one connection.
#[derive(Debug)]
pub(super) struct Ender {
    number: u64,
    connections: Arc<Connections>,
}

impl Connections {
    pub(super) fn new() -> Self {
        Self {
            book: Mutex::default(),
            begin: Instant::now(),
        }
    }

    /// Takes a place. When all are taken the longest idle connection is ended; `None` when every
    /// connection is busy with a request.
    pub(super) fn enter(self: &Arc<Self>, number: u64, limit: usize) -> Option<Place> {
        let mut book = self.book();
        if book.len() >= limit {
            let (&oldest, entry) = book
                .iter()
                .filter(|(_, entry)| entry.activity.idle_since() != BUSY)
                .min_by_key(|(_, entry)| entry.activity.idle_since())?;
            if let Some(task) = &entry.task {
                task.abort();
            }
            book.remove(&oldest);
        }
        let activity = Arc::new(Activity {
            idle_since: AtomicU64::new(millis_since(self.begin)),
            begin: self.begin,
        });
        book.insert(
            number,
            Entry {
                activity: activity.clone(),
                task: None,
            },
        );
        Some(Place {
            number,
            connections: self.clone(),
            activity,
        })
    }

    /// Notes the task that serves a connection, so that it can be ended.
    pub(super) fn attach(&self, number: u64, task: AbortHandle) {
        if let Some(entry) = self.book().get_mut(&number) {
            entry.task = Some(task);
        }
    }

    fn end(&self, number: u64) {
        if let Some(entry) = self.book().get(&number)
            && let Some(task) = &entry.task
        {
            task.abort();
        }
    }

    /// Ends connections that work on nothing.
    pub(super) fn end_idle(&self) {
        for entry in self.book().values() {
            if entry.activity.idle_since() != BUSY
                && let Some(task) = &entry.task
            {
                task.abort();
            }
        }
    }

    fn book(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.book().remove(&self.number);
    }
}

impl Place {
    /// Something that can end this connection.
    pub(super) fn ender(&self) -> Ender {
        Ender {
            number: self.number,
            connections: self.connections.clone(),
        }
    }
}

impl Ender {
    /// Ends the connection at once, in the middle of an answer or not.
    pub(super) fn end(&self) {
        self.connections.end(self.number);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let activity = &self.0;
        activity
            .idle_since
            .store(millis_since(activity.begin), Ordering::Relaxed);
    }
}

impl Activity {
    /// A request begins. It is over when the returned value is dropped.
    pub(super) fn begin_request(self: &Arc<Self>) -> Busy {
        self.idle_since.store(BUSY, Ordering::Relaxed);
        Busy(self.clone())
    }

    fn idle_since(&self) -> u64 {
        self.idle_since.load(Ordering::Relaxed)
    }
}

fn millis_since(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_millis()).unwrap_or(BUSY - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_idle_makes_room_and_busy_ones_stay() {
        let connections = Arc::new(Connections::new());
        let first = connections.enter(1, 2).unwrap();
        let second = connections.enter(2, 2).unwrap();
        let _busy = first.activity.begin_request();
        let third = connections.enter(3, 2).unwrap();
        assert!(!connections.book().contains_key(&2));
        let _busy_too = third.activity.begin_request();
        assert!(connections.enter(4, 2).is_none());
        drop(second);
        drop(first);
        assert!(connections.enter(5, 2).is_some());
    }
}
