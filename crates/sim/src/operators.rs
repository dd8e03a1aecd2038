//! People who ask for things, preferably at bad moments.

use std::time::Duration;

use patroni_config::dynamic::SynchronousMode;
use patroni_core::failover::ScheduledAt;
use patroni_core::{FailoverRequest, MemberName, RestartConditions, Scope};
use patroni_dcs::Identity;
use patroni_dcs::memory::Session;
use patroni_ha::Job;
use patroni_ha::command::{CloneSource, LeaderAddress};
use patroni_ha::observation::ScheduledRestart;
use serde_json::Value;

use crate::chance::Chance;
use crate::daemon::executor::job_name;
use crate::daemon::observe::{conn_url, wall};
use crate::event::Event;
use crate::world::World;

/// One of the synchronous modes, off least often.
pub(crate) fn random_mode(chance: &mut Chance) -> Value {
    mode_of(chance.below(10))
}

fn mode_of(tenth: u64) -> Value {
    match tenth {
        0..3 => Value::Bool(false),
        3..6 => Value::Bool(true),
        _ => Value::String("quorum".to_owned()),
    }
}

/// The operator with the control tool.
#[derive(Clone, Debug)]
pub(crate) struct Operator {
    session: Session,
}

impl Operator {
    pub(crate) fn new() -> Self {
        let identity = Identity::new("service", &Scope::new("sim"), None);
        Self {
            session: Session::new(&identity, Duration::from_secs(30)),
        }
    }
}

impl World {
    /// One request, and the next is planned.
    pub(crate) fn operate(&mut self) {
        if self.troubles.over {
            return;
        }
        let next = self.fate.millis(5000, 60_000) * self.pace / 100;
        self.schedule(next, Event::Operator);
        let node = self.fate.index(self.nodes.len());
        let (kind, variant) = (self.fate.below(16), self.fate.below(100));
        let with_remote = self.fate.percent(30);
        if !self.disturbed() {
            return;
        }
        if self.is_paused() && variant < 70 {
            self.change_config("pause", Value::Bool(false));
            return;
        }
        if with_remote && self.has_remote() {
            self.operate_on_the_remote(variant);
            return;
        }
        match kind {
            0..4 => self.ask_for_switchover(node, variant),
            4 => self.ask_for_failover(node),
            5 => self.change_config("pause", Value::Bool(true)),
            6..8 => self.change_mode(mode_of(variant / 10)),
            8 => self.ask_for(node, &Job::Restart(RestartConditions::default())),
            9 => self.schedule_restart(node, variant),
            10 => self.ask_for_reinit(node),
            11..14 => self.edit(variant),
            _ => {
                self.coverage.count("operator", "shutdown");
                self.note(node, "operator", || "shutdown".to_owned());
                self.nodes[node].daemon.leaving = self.nodes[node].daemon.alive;
                self.wake(node);
            }
        }
    }

    /// Changes a setting that is not a mode.
    fn edit(&mut self, variant: u64) {
        match variant {
            0..20 => self.change_config("ttl", Value::from(20 + variant % 3 * 10)),
            20..40 => self.change_config("loop_wait", Value::from(5 + variant % 2 * 5)),
            40..55 => self.change_config("failsafe_mode", Value::Bool(variant < 50)),
            55..70 => self.change_config("synchronous_node_count", Value::from(1 + variant % 2)),
            70..80 => self.change_config("check_timeline", Value::Bool(variant < 75)),
            80..90 => self.change_config("synchronous_mode_strict", Value::Bool(variant < 84)),
            _ => self.change_config("primary_start_timeout", Value::from(variant % 2 * 60)),
        }
    }

    fn ask_for_switchover(&mut self, candidate: usize, variant: u64) {
        let Ok(view) = self.operator.session.load(&mut self.model, self.now) else {
            return;
        };
        let Some(leader) = view.leader_name().cloned() else {
            return;
        };
        let name = self.nodes_name(candidate);
        let named = name != leader && variant < 60;
        let synchronous = !view.sync.is_empty();
        if named && synchronous && !view.sync.has_standby(&name) {
            return;
        }
        self.coverage.count("operator", "switchover");
        let request = FailoverRequest {
            leader: Some(leader.clone()),
            candidate: named.then_some(name),
            scheduled_at: variant.is_multiple_of(5).then(|| self.scheduled(variant)),
        };
        self.write_request(&request, &leader);
    }

    /// A restart in some seconds, by the wall clock of the node.
    fn schedule_restart(&mut self, node: usize, variant: u64) {
        self.coverage.count("operator", "scheduled restart");
        self.note(node, "operator", || "restart later".to_owned());
        let seconds = i64::try_from(variant).unwrap_or_default();
        let started = self.nodes[node].server.started;
        self.nodes[node].daemon.scheduled_restart = Some(ScheduledRestart {
            at: wall(self.now, seconds * 1000),
            conditions: RestartConditions::default(),
            postmaster_start_time: Some(format!("{started:?}")),
            published: serde_json::Map::new(),
        });
    }

    /// A time a little later, or (by wall clocks that differ) a little earlier.
    fn scheduled(&mut self, variant: u64) -> ScheduledAt {
        self.coverage.count("operator", "scheduled switchover");
        let seconds = i64::try_from(variant).unwrap_or_default() - 10;
        let time = wall(self.now, seconds * 1000);
        ScheduledAt::At {
            time,
            text: time.to_string(),
        }
    }

    pub(crate) fn ask_for_failover(&mut self, candidate: usize) {
        let name = self.nodes_name(candidate);
        // The tools know members alone.
        let Ok(view) = self.operator.session.load(&mut self.model, self.now) else {
            return;
        };
        if view.member(&name).is_none() {
            return;
        }
        self.coverage.count("operator", "failover");
        let request = FailoverRequest {
            leader: None,
            candidate: Some(name.clone()),
            scheduled_at: None,
        };
        self.write_request(&request, &name);
    }

    fn write_request(&mut self, request: &FailoverRequest, asked: &MemberName) {
        self.trace("-", "operator", || format!("{request:?}"));
        let (session, model) = (&mut self.operator.session, &mut self.model);
        // Operators are never cut off from the store here.
        let _written = session.write_failover(model, self.now, request, None);
        if let Some(node) = self.node_named(asked) {
            self.wake(node);
        }
    }

    /// Who switches synchronous mode off gives up what it promised.
    pub(crate) fn change_mode(&mut self, mode: Value) {
        self.change_config("synchronous_mode", mode);
        self.stored.refresh(&self.model);
        if self.stored.mode == SynchronousMode::Off {
            self.wal.forget_promises();
        }
    }

    /// Changes one setting of the cluster.
    pub(crate) fn change_config(&mut self, key: &'static str, value: Value) {
        let Ok(view) = self.operator.session.load(&mut self.model, self.now) else {
            return;
        };
        let Some(doc) = view.config.as_ref() else {
            return;
        };
        let mut data = doc.data.as_ref().clone();
        self.coverage.count("operator", key);
        self.trace("-", "operator", || format!("{key}: {value}"));
        data.insert(key.to_owned(), value);
        let (session, model) = (&mut self.operator.session, &mut self.model);
        let _written = session.write_config(model, self.now, &data, Some(&doc.revision));
    }

    /// Gives a task to the executor of a daemon between two cycles.
    pub(crate) fn ask_for(&mut self, node: usize, job: &Job) {
        let daemon = &self.nodes[node].daemon;
        let ready = daemon.alive
            && daemon.cycle.is_none()
            && !daemon.busy()
            && !self.nodes[node].daemon_stands_still()
            && self.nodes[node].server.data.is_some();
        if !ready {
            return;
        }
        self.coverage.count("operator", job_name(job));
        self.note(node, "operator", || job.to_string());
        if self.order_job(node, job).is_ok() {
            self.witness.asked_for_copy.insert(node);
            self.start_job(node);
        }
    }

    /// A new copy from the leader.
    pub(crate) fn ask_for_reinit(&mut self, node: usize) {
        let Ok(view) = self.operator.session.load(&mut self.model, self.now) else {
            return;
        };
        let Some(leader) = view
            .leader_name()
            .filter(|name| **name != self.nodes[node].name)
        else {
            return;
        };
        let job = Job::Reinitialize {
            source: CloneSource::Member {
                from: LeaderAddress {
                    name: leader.clone(),
                    conn_url: conn_url(leader.as_str()),
                },
                basebackup_only: true,
            },
            diverged: false,
        };
        self.ask_for(node, &job);
    }
}
