//! Sentences of the core, into the log.

use patroni_ha::{Level, Sentence};

/// Logs sentences in order, each at its level.
pub(crate) fn all(sentences: &[Sentence]) {
    for sentence in sentences {
        match sentence.level {
            Level::Debug => tracing::debug!("{sentence}"),
            Level::Info => tracing::info!("{sentence}"),
            Level::Warning => tracing::warn!("{sentence}"),
            Level::Error => tracing::error!("{sentence}"),
            Level::Critical => tracing::error!(critical = true, "{sentence}"),
        }
    }
}
