//! Single faults at a known place, for questions with a known answer.

use std::time::Duration;

use patroni_dcs::memory::Fault as StoreFault;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::faults::Fault;
use crate::node::Traits;
use crate::world::World;

/// What happens to the primary of a healthy cluster, instead of everything at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scenario {
    /// It does not reach the store for 7 s of its lease of 20 s.
    ShortCut,
    /// It reaches nobody for a minute.
    Isolated,
    /// Its daemon stands still for 40 s.
    DaemonStandsStill,
    /// Its postmaster hangs for a minute, and the policy is to fail over.
    ServerHangs,
}

impl Scenario {
    /// The timings that the reference was measured with.
    pub(crate) fn set_timings(config: &mut Map<String, Value>) {
        for (key, seconds) in [("ttl", 20), ("loop_wait", 2), ("retry_timeout", 3)] {
            config.insert(key.to_owned(), seconds.into());
        }
        config.insert("failsafe_mode".to_owned(), false.into());
    }

    /// Machines without a device, with a guardian.
    pub(crate) fn set_traits(traits: &mut Traits) {
        traits.has_watchdog = false;
        traits.watchdog_required = false;
        traits.has_guardian = true;
        traits.silence_fails_over = true;
        traits.nofailover = false;
        traits.nosync = false;
        traits.priority = 1;
        traits.has_hook = false;
    }
}

impl World {
    /// The one fault of this run begins.
    pub(crate) fn stage(&mut self, scenario: Scenario) {
        let Some(leader) = self.holder() else {
            return;
        };
        let minute = Duration::from_mins(1);
        match scenario {
            Scenario::ShortCut => {
                let fault = Fault::Store(leader, StoreFault::Unreachable);
                self.begin_fault(fault, Duration::from_secs(7));
            }
            Scenario::Isolated => self.begin_fault(Fault::Isolated(leader), minute),
            Scenario::DaemonStandsStill => {
                self.begin_fault(Fault::DaemonFrozen(leader), Duration::from_secs(40));
            }
            Scenario::ServerHangs => {
                self.nodes[leader].silent_since = Some(self.now);
                self.begin_fault(Fault::Silent(leader), minute);
            }
        }
    }
}
