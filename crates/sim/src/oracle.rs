//! What the store really holds, read once for each change: the invariants know everything.

use std::time::Duration;

use patroni_config::Dynamic;
use patroni_config::dynamic::SynchronousMode;
use patroni_core::SyncState;
use patroni_dcs::memory::Model;

use crate::world::PREFIX;

/// The objects that invariants ask about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stored {
    config: Option<u64>,
    sync_at: Option<u64>,
    /// `pause` of the configuration.
    pub(crate) pause: bool,
    /// `failsafe_mode` of the configuration.
    pub(crate) failsafe: bool,
    /// `ttl` of the configuration.
    pub(crate) ttl: Duration,
    /// `loop_wait` of the configuration.
    pub(crate) loop_wait: Duration,
    /// `synchronous_mode` of the configuration.
    pub(crate) mode: SynchronousMode,
    /// The synchronous state; empty when there is none.
    pub(crate) sync: SyncState,
}

impl Stored {
    /// Looks at the store again.
    pub(crate) fn refresh(&mut self, model: &Model) {
        let config = model.entry(&format!("{PREFIX}/config"));
        let at = config.map(|entry| entry.revision);
        if self.config != at {
            self.config = at;
            let doc = config.and_then(|entry| patroni_core::json::object(&entry.value));
            let settings = doc.and_then(|doc| Dynamic::read(&doc).ok());
            let settings = settings.map(|(settings, _)| settings).unwrap_or_default();
            self.pause = settings.pause;
            self.failsafe = settings.failsafe_mode;
            self.ttl = settings.ttl;
            self.loop_wait = settings.loop_wait;
            self.mode = settings.synchronous_mode;
        }
        let sync = model.entry(&format!("{PREFIX}/sync"));
        let at = sync.map(|entry| entry.revision);
        if self.sync_at != at {
            self.sync_at = at;
            self.sync = sync.map_or_else(SyncState::default, |entry| {
                SyncState::parse(&entry.value, None)
            });
        }
    }
}
