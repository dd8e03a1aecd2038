//! Setting up the log and changing it live.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::Dispatch;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::{Registry, reload};

use crate::error::LogError;
use crate::layer::QueueLayer;
use crate::names;
use crate::queue::Queue;
use crate::settings::LogSettings;

/// A log that is ready: the subscriber, and the handle to change it.
#[derive(Debug)]
pub struct Telemetry {
    /// The subscriber.
    pub dispatch: Dispatch,
    /// The handle.
    pub handle: Handle,
}

/// The way to a log that is in use. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    queue: Arc<Queue>,
    filter: reload::Handle<Targets, Registry>,
}

/// How full the queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueState {
    /// Records that wait to be written.
    pub waiting: usize,
    /// Records that were dropped since the start.
    pub lost: u64,
}

impl Telemetry {
    /// Builds a log without making it that of the process.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn build(settings: &LogSettings) -> Result<Self, LogError> {
        let queue = Arc::new(Queue::new(settings)?);
        let (filter, filter_handle) = reload::Layer::new(names::targets(settings));
        let layer = QueueLayer {
            queue: queue.clone(),
            start: Instant::now(),
        };
        let subscriber = Registry::default().with(layer.with_filter(filter));
        Ok(Self {
            dispatch: Dispatch::new(subscriber),
            handle: Handle {
                queue,
                filter: filter_handle,
            },
        })
    }

    /// Makes a log that of the process. Records are written at once until
    /// [`Handle::start_writer`].
    ///
    /// # Errors
    /// The file cannot be opened, or there is a subscriber already.
    pub fn init(settings: &LogSettings) -> Result<Handle, LogError> {
        let built = Self::build(settings)?;
        tracing::dispatcher::set_global_default(built.dispatch)
            .map_err(|_| LogError::AlreadySet)?;
        Ok(built.handle)
    }
}

impl Handle {
    /// Writes through the queue from now on, by a thread of its own. The daemon calls it when
    /// its start is over; a second call does nothing.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start_writer(&self) -> Result<(), LogError> {
        self.queue.start_writer()
    }

    /// Changes to other settings: level, form, place, bounds.
    ///
    /// # Errors
    /// The new file cannot be opened. Everything stays as it was.
    pub fn reload(&self, settings: &LogSettings) -> Result<(), LogError> {
        self.queue.reload(settings)?;
        self.filter
            .reload(names::targets(settings))
            .map_err(|_| LogError::Gone)
    }

    /// Waits until everything logged so far is written, at most `limit`. Blocks; returns
    /// whether all is written.
    pub fn flush(&self, limit: Duration) -> bool {
        self.queue.flush(limit)
    }

    /// How full the queue is.
    pub fn queue_state(&self) -> QueueState {
        let (waiting, lost) = self.queue.state();
        QueueState { waiting, lost }
    }
}
