//! Lets the consensus library speak through our log, a level quieter than it means to.

use slog::{Drain, Level, Logger, Never, OwnedKVList, Record, o};

/// A logger for the consensus library.
pub(crate) fn logger() -> Logger {
    Logger::root(ToTracing, o!())
}

struct ToTracing;

impl Drain for ToTracing {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, _values: &OwnedKVList) -> Result<(), Never> {
        match record.level() {
            Level::Critical => tracing::error!("raft: {}", record.msg()),
            Level::Error => tracing::warn!("raft: {}", record.msg()),
            Level::Warning | Level::Info | Level::Debug => {
                tracing::debug!("raft: {}", record.msg());
            }
            Level::Trace => tracing::trace!("raft: {}", record.msg()),
        }
        Ok(())
    }
}
