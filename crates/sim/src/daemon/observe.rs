//! What a cycle begins with.

use std::time::Duration;

use jiff::Timestamp;
use patroni_core::{Cluster, Tags};
use patroni_ha::Observation;
use patroni_ha::job::RunningJob;
use patroni_ha::observation::{NodeFacts, ProbeFacts, WatchdogFacts};
use serde_json::{Map, Value};

use crate::world::World;

impl World {
    pub(crate) fn observe(&mut self, node: usize, store: Result<Cluster, String>) -> Observation {
        self.take_settings(node);
        let server = self.look(node);
        let here = &mut self.nodes[node];
        let now = here.clock.read(self.now);
        let daemon = &mut here.daemon;
        if daemon
            .failsafe
            .as_ref()
            .is_some_and(|(_, until)| now >= *until)
        {
            daemon.failsafe = None;
        }
        let finished = std::mem::take(&mut daemon.finished);
        let executor = daemon.job.as_ref().map(|program| RunningJob {
            job: program.run.job().clone(),
            since: daemon.job_since,
            committed: daemon.committed,
        });
        Observation {
            now,
            wall: wall(self.now.since_origin().as_millis()),
            settings: daemon.settings.clone(),
            config_in_memory: daemon.config.clone(),
            store,
            server,
            executor,
            finished,
            scheduled_restart: None,
            failsafe_leader: daemon.failsafe.as_ref().map(|(leader, _)| leader.clone()),
            node: self.facts(node),
            watchdog: self.watchdog_facts(node),
            probe: self.probe_facts(node),
        }
    }

    /// What knocking at the server has told.
    fn probe_facts(&self, node: usize) -> ProbeFacts {
        let here = &self.nodes[node];
        ProbeFacts {
            silent_for: here.silent_since.map(|since| self.now.since(since)),
            fail_over_after: here
                .traits
                .silence_fails_over
                .then_some(Duration::from_secs(10)),
        }
    }

    pub(crate) fn facts(&self, node: usize) -> NodeFacts {
        let here = &self.nodes[node];
        NodeFacts {
            name: here.name.clone(),
            api_url: api_url(here.name.as_str()),
            tags: self.tags(node),
            may_bootstrap: true,
            can_clone_without_leader: false,
            wipe_on_rewind_failure: here.traits.wipe_on_rewind_failure,
            wipe_on_divergence: here.traits.wipe_on_divergence,
            citus_database: None,
            store_is_raft: false,
        }
    }

    pub(crate) fn tags(&self, node: usize) -> Tags {
        let mut tags = Map::new();
        if self.nodes[node].traits.nofailover {
            tags.insert("nofailover".to_owned(), Value::Bool(true));
        }
        if self.nodes[node].traits.nosync {
            tags.insert("nosync".to_owned(), Value::Bool(true));
        }
        Tags::new(tags)
    }

    pub(crate) fn watchdog_facts(&self, node: usize) -> WatchdogFacts {
        let here = &self.nodes[node];
        WatchdogFacts {
            active: here.watchdog.is_some(),
            required: here.traits.watchdog_required,
            usable: here.traits.has_watchdog || !here.traits.watchdog_required,
            timeout: here
                .traits
                .has_watchdog
                .then(|| self.watchdog_timeout(node)),
        }
    }
}

/// Where a member's REST interface is.
pub(crate) fn api_url(name: &str) -> String {
    format!("http://{name}:8008/patroni")
}

/// Where a member's server is.
pub(crate) fn conn_url(name: &str) -> String {
    format!("postgres://{name}:5432/postgres")
}

pub(crate) fn wall(millis: u128) -> Timestamp {
    let since = i64::try_from(millis).unwrap_or(0);
    Timestamp::from_millisecond(1_700_000_000_000 + since).unwrap_or_default()
}
