//! People who ask for things, preferably at bad moments.

use std::time::Duration;

use patroni_config::dynamic::SynchronousMode;
use patroni_core::{FailoverRequest, MemberName, Scope, SlotName, Upstream};
use patroni_dcs::Identity;
use patroni_dcs::memory::Session;
use patroni_ha::Job;
use patroni_ha::command::{CloneSource, LeaderAddress};
use patroni_ha::observation::RestartConditions;
use serde_json::Value;

use crate::chance::Chance;
use crate::daemon::observe::conn_url;
use crate::event::Event;
use crate::world::World;

/// One of the synchronous modes, off least often.
pub(crate) fn random_mode(chance: &mut Chance) -> Value {
    match chance.below(10) {
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
        let next = self.chance.millis(5000, 60_000);
        self.schedule(next, Event::Operator);
        if self.is_paused() && self.chance.percent(70) {
            self.change_config("pause", Value::Bool(false));
            return;
        }
        if self.has_remote() && self.chance.percent(30) {
            self.operate_on_the_remote();
            return;
        }
        let node = self.chance.index(self.nodes.len());
        match self.chance.below(12) {
            0..4 => self.ask_for_switchover(node),
            4 => self.ask_for_failover(node),
            5 => self.change_config("pause", Value::Bool(true)),
            6..8 => {
                let mode = random_mode(&mut self.chance);
                self.change_config("synchronous_mode", mode);
                if self.stored_mode() == SynchronousMode::Off {
                    self.wal.forget_promises();
                }
            }
            8..10 => self.ask_for(node, &Job::Restart(RestartConditions::default())),
            10 => self.ask_for_reinit(node),
            _ => {
                self.coverage.count("operator", "shutdown");
                self.note(node, "operator", || "shutdown".to_owned());
                self.nodes[node].daemon.leaving = self.nodes[node].daemon.alive;
            }
        }
    }

    fn ask_for_switchover(&mut self, candidate: usize) {
        let Ok(view) = self.operator.session.load(&mut self.model, self.now) else {
            return;
        };
        let Some(leader) = view.leader_name().cloned() else {
            return;
        };
        let name = self.nodes_name(candidate);
        let named = name != leader && self.chance.percent(60);
        let synchronous = !view.sync.is_empty();
        if named && synchronous && !view.sync.has_standby(&name) {
            return;
        }
        self.coverage.count("operator", "switchover");
        let request = FailoverRequest {
            leader: Some(leader.clone()),
            candidate: named.then_some(name),
            scheduled_at: None,
        };
        self.write_request(&request, &leader);
    }

    fn ask_for_failover(&mut self, candidate: usize) {
        let name = self.nodes_name(candidate);
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

    /// Changes one setting of the cluster.
    pub(crate) fn change_config(&mut self, key: &str, value: Value) {
        let Ok(view) = self.operator.session.load(&mut self.model, self.now) else {
            return;
        };
        let Some(doc) = view.config else { return };
        let mut data = doc.data.as_ref().clone();
        self.coverage.count("operator", &format!("{key}: {value}"));
        self.trace("-", "operator", || format!("{key}: {value}"));
        data.insert(key.to_owned(), value);
        let (session, model) = (&mut self.operator.session, &mut self.model);
        let _written = session.write_config(model, self.now, &data, Some(&doc.revision));
    }

    /// Gives a task to the executor of a daemon between two cycles.
    fn ask_for(&mut self, node: usize, job: &Job) {
        let daemon = &self.nodes[node].daemon;
        let ready = daemon.alive
            && daemon.cycle.is_none()
            && !daemon.busy()
            && !self.nodes[node].daemon_stands_still()
            && self.nodes[node].server.data.is_some();
        if !ready {
            return;
        }
        self.coverage.count("operator", &job.to_string());
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
        let address = conn_url(leader.as_str());
        let job = Job::Reinitialize {
            source: CloneSource::Member {
                from: LeaderAddress {
                    name: leader.clone(),
                    conn_url: address.clone(),
                },
                basebackup_only: true,
            },
            upstream: Upstream::Member {
                name: leader.clone(),
                conn_url: address,
                slot: Some(SlotName::of_member(&self.nodes[node].name)),
            },
            diverged: false,
        };
        self.ask_for(node, &job);
    }
}
