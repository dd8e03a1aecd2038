//! The phases of a run: a cluster forms, faults happen, everything heals.

use std::time::Duration;

use patroni_core::{FailoverRequest, MemberName, Moment};
use serde_json::Value;

use crate::event::Event;
use crate::invariants::healing;
use crate::node::Node;
use crate::postgres::server::Process;
use crate::world::{PREFIX, World};

/// Where a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// From empty machines to a working cluster; nothing breaks.
    #[default]
    Forming,
    /// Faults happen until this time.
    Troubled(Moment),
    /// They are over since then.
    Healing(Moment),
}

const PAUSE: Duration = Duration::from_secs(1);
/// A healthy cluster must stay so for a while.
const STABLE: Duration = Duration::from_secs(12);

impl World {
    /// Looks at the whole world once a second.
    pub(crate) fn survey(&mut self) {
        self.schedule(PAUSE, Event::Survey);
        self.note_pause();
        self.remote_goes_on();
        if !self.is_asked_for_health() {
            return;
        }
        self.grow_up();
        let complaint = self.complaint();
        if complaint.is_some() {
            self.witness.healthy_since = None;
        } else if self.witness.healthy_since.is_none() {
            self.witness.healthy_since = Some(self.now);
        }
        let since = self.witness.healthy_since;
        let stable = since.is_some_and(|since| self.now.since(since) >= STABLE);
        match self.witness.phase {
            Phase::Forming if stable => self.begin_troubles(),
            Phase::Forming => healing::overdue(self, Moment::ZERO, complaint),
            Phase::Troubled(until) if self.now >= until => {
                self.end_troubles();
                self.promote_cluster();
                self.change_config("pause", Value::Bool(false));
                self.witness.healthy_since = None;
                self.witness.phase = Phase::Healing(self.now);
            }
            Phase::Troubled(_) => {}
            Phase::Healing(_) if stable => self.over = true,
            Phase::Healing(since) => {
                self.promote_cluster();
                self.help(since);
                healing::overdue(self, since, complaint);
            }
        }
    }

    /// In the middle of the troubles nobody expects health.
    fn is_asked_for_health(&self) -> bool {
        match self.witness.phase {
            Phase::Troubled(until) => self.now >= until,
            Phase::Forming | Phase::Healing(_) => true,
        }
    }

    fn begin_troubles(&mut self) {
        self.trace("-", "faults", || "begin".to_owned());
        self.witness.phase = Phase::Troubled(self.now + self.options.time);
        if let Some(scenario) = self.options.scenario {
            self.stage(scenario);
            return;
        }
        self.schedule(PAUSE, Event::Break);
        if self.has_mishaps() {
            self.schedule(PAUSE, Event::Mishap);
        }
        if self.has_drills() {
            self.schedule(PAUSE, Event::Drill);
        }
        if self.options.faults.operators {
            self.schedule(PAUSE, Event::Operator);
        }
    }

    /// What a person does when the log says that only a person can help: an identity that nobody
    /// may announce is written back; data that are no
    /// database cluster, or were left half rewound, are copied anew; a member that may not race
    /// is asked to take over.
    fn help(&mut self, since: Moment) {
        if self.now.since(since) < Duration::from_secs(40) {
            return;
        }
        self.remember_identity();
        for node in 0..self.nodes.len() {
            self.remove_foreign_data(node);
            let data = self.nodes[node].server.data.as_ref();
            if data.is_some_and(|data| data.system.is_none() || data.torn) {
                self.ask_for_reinit(node);
            }
        }
        if self.holder().is_none()
            && let Some(outsider) = self.outsider()
            && !self.is_asked_to_take_over(outsider)
        {
            self.ask_for_failover(outsider);
        }
    }

    fn is_asked_to_take_over(&self, node: usize) -> bool {
        let entry = self.model.entry(&format!("{PREFIX}/failover"));
        let asked = entry.and_then(|entry| FailoverRequest::parse(&entry.value).candidate);
        asked.as_ref() == Some(&self.nodes[node].name)
    }

    /// A member that the failsafe topology does not name. It takes over only when a person asks
    /// for that (rule `outside_failsafe` of the race). In a standby cluster it may be the one with
    /// the most WAL, for which the others wait.
    fn outsider(&self) -> Option<usize> {
        let entry = self.model.entry(&format!("{PREFIX}/failsafe"))?;
        let topology = patroni_core::json::object(&entry.value)?;
        // Nobody asks one that has nothing to lead with.
        let can_lead = |node: &Node| {
            let data = node.server.data.as_ref();
            node.daemon.alive && data.is_some_and(|data| data.system.is_some() && !data.torn)
        };
        self.nodes
            .iter()
            .position(|node| can_lead(node) && !topology.contains_key(node.name.as_str()))
    }

    /// The holder of the lock, seen from outside.
    pub(crate) fn holder(&self) -> Option<usize> {
        let entry = self.model.entry(&format!("{PREFIX}/leader"))?;
        self.node_named(&MemberName::new(entry.value.clone()))
    }

    /// What keeps the cluster from being healthy.
    pub(crate) fn complaint(&self) -> Option<String> {
        let Some(leader) = self.holder() else {
            return Some("nobody holds the lock".to_owned());
        };
        let there = &self.nodes[leader].server;
        let branch = there.data.as_ref().map(|data| data.branch);
        let (Some(branch), true) = (branch, there.is_primary()) else {
            return Some(format!(
                "{} holds the lock and is no primary",
                self.names[leader]
            ));
        };
        for (index, node) in self.nodes.iter().enumerate() {
            if !node.daemon.alive {
                return Some(format!("the daemon of {} does not run", node.name));
            }
            let on = node.server.data.as_ref().map(|data| data.branch);
            let follows = node.server.process == Process::Standby
                && node.server.receiving
                && on == Some(branch);
            if index != leader && !follows {
                return Some(format!("{} does not stream", node.name));
            }
        }
        let silent = self.now.since(self.witness.last_acknowledged);
        (silent > Duration::from_secs(5)).then(|| "writes do not succeed".to_owned())
    }
}
