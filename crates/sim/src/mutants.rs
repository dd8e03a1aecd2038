//! Known faults of the body, put back on purpose.

use std::time::Duration;

use patroni_core::{Revision, SyncState};
use patroni_dcs::memory::{Condition, Request};
use patroni_ha::Outcome;

use crate::event::Event;
use crate::world::{PREFIX, World};

impl World {
    /// [`Mutant::ReleaseBeforeStop`](crate::Mutant): the lock goes before the server does.
    pub(crate) fn release_early(&mut self, node: usize) {
        let request = Request::Delete {
            key: format!("{PREFIX}/leader"),
            condition: Condition::Value(self.names[node].clone()),
        };
        // An unreachable store keeps the lock.
        let _answer = self.model.call(&self.names[node], self.now, request);
    }

    /// [`Mutant::SyncKeyLate`](crate::Mutant): success is reported, the write comes later.
    pub(crate) fn write_sync_later(&mut self, state: SyncState) -> Outcome {
        // Later than the longest time to live, or the key would be right again in any election.
        self.schedule(Duration::from_mins(2), Event::LateSync { state });
        let revision = Revision::new(self.model.revision());
        Outcome::SyncWritten(Ok(revision))
    }

    pub(crate) fn late_sync(&mut self, state: &SyncState) {
        let request = Request::Put {
            key: format!("{PREFIX}/sync"),
            value: state.to_json(),
            lease: None,
            condition: Condition::Always,
        };
        let _answer = self.model.call("late", self.now, request);
    }
}
