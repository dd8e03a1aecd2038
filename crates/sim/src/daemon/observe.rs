//! What a cycle begins with.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use patroni_core::{Cluster, Moment, Tags};
use patroni_dcs::memory::Discipline;
use patroni_ha::Observation;
use patroni_ha::job::RunningJob;
use patroni_ha::observation::{NodeFacts, ProbeFacts, WatchdogFacts};
use serde_json::{Map, Value};

use crate::world::World;

impl World {
    pub(crate) fn observe(
        &mut self,
        node: usize,
        store: Result<Arc<Cluster>, String>,
    ) -> Observation {
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
        let ahead = here.wall_ahead_millis;
        let executor = daemon.job.as_ref().map(|program| RunningJob {
            job: program.run.job().clone(),
            since: daemon.job_since,
            committed: daemon.committed,
        });
        Observation {
            now,
            wall: wall(self.now, ahead),
            settings: daemon.settings.clone(),
            config_in_memory: daemon.config.clone(),
            store,
            server,
            executor,
            finished,
            scheduled_restart: daemon.scheduled_restart.clone(),
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
            keeps_data: false,
            wipe_on_rewind_failure: here.traits.wipe_on_rewind_failure,
            wipe_on_divergence: here.traits.wipe_on_divergence,
            citus_database: None,
            citus_group: None,
            guarded: here.traits.has_guardian || here.traits.watchdog_required,
            store_is_raft: matches!(self.model.discipline(), Discipline::Ticks { .. }),
        }
    }

    pub(crate) fn tags(&self, node: usize) -> Tags {
        let mut tags = Map::new();
        let traits = &self.nodes[node].traits;
        if traits.nofailover {
            tags.insert("nofailover".to_owned(), Value::Bool(true));
        }
        if traits.nosync {
            tags.insert("nosync".to_owned(), Value::Bool(true));
        }
        if traits.priority != 1 && !traits.nofailover {
            // Zero would mean the same as nofailover.
            tags.insert("failover_priority".to_owned(), (traits.priority + 1).into());
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

/// What a wall clock shows that is ahead (or, negative, behind) of the true time.
pub(crate) fn wall(now: Moment, ahead_millis: i64) -> Timestamp {
    let since = i64::try_from(now.since_origin().as_millis()).unwrap_or(0);
    let millis = 1_700_000_000_000 + since + ahead_millis;
    Timestamp::from_millisecond(millis).unwrap_or_default()
}
