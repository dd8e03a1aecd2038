//! The loop: when to look, how a cycle goes from step to step, and what follows its end.

use std::sync::Arc;
use std::time::Duration;

use patroni_config::Dynamic;
use patroni_core::Moment;
use patroni_ha::eligibility::Refusal;
use patroni_ha::{Command, Cycle, Outcome, Step, Verdict};

use super::{Lane, Pending, Program, Round, Shown};
use crate::event::Event;
use crate::world::World;

/// So soon a sleeping loop notices a reason to run.
const LOOK_MILLIS: u64 = 200;
const LOOK: Duration = Duration::from_millis(LOOK_MILLIS);

impl World {
    /// The loop runs when its time has come, when something woke it, or when the store changed.
    pub(crate) fn loop_event(&mut self, node: usize) {
        self.nodes[node].daemon.loop_at = None;
        let revision = self.model.revision();
        let now = self.now;
        let daemon = &mut self.nodes[node].daemon;
        if daemon.cycle.is_some() || (daemon.leaving && daemon.busy()) {
            return;
        }
        if daemon.leaving {
            self.begin_shutdown(node);
            return;
        }
        if now < daemon.next_run {
            let left = daemon.next_run.since(now);
            self.loop_within(node, left);
        }
        let daemon = &mut self.nodes[node].daemon;
        let mut due = now >= daemon.next_run || std::mem::take(&mut daemon.woken);
        if !due && daemon.seen_revision != revision {
            daemon.seen_revision = revision;
            due = daemon.session.wakes(&self.model);
        }
        if !due {
            return;
        }
        let wait = daemon.settings.loop_wait;
        let on_time = daemon.next_run + wait > now && now >= daemon.next_run;
        daemon.next_run = if on_time { daemon.next_run } else { now } + wait;
        daemon.cycle = Some(Program {
            run: Round::Loading,
            pending: None,
            shown: Shown::default(),
            asked: Vec::new(),
        });
        self.begin(node, Lane::Cycle, Command::LoadCluster);
    }

    /// Makes the loop run soon.
    pub(crate) fn wake(&mut self, node: usize) {
        self.nodes[node].daemon.woken = true;
        self.loop_soon(node);
    }

    /// The store has changed: whoever sleeps and watches it may have to wake.
    pub(crate) fn watch_store(&mut self) {
        for node in 0..self.nodes.len() {
            self.loop_soon(node);
        }
    }

    fn loop_soon(&mut self, node: usize) {
        let daemon = &self.nodes[node].daemon;
        let soon = daemon
            .loop_at
            .is_some_and(|at| at >= self.now && at <= self.now + LOOK);
        if daemon.alive && daemon.cycle.is_none() && !soon {
            let after = self.chance.millis(1, LOOK_MILLIS);
            self.loop_within(node, after);
        }
    }

    /// Gives the loop an event after this time, if it has none before.
    pub(crate) fn loop_within(&mut self, node: usize, after: Duration) {
        let at = self.now + after;
        let daemon = &mut self.nodes[node].daemon;
        if daemon
            .loop_at
            .is_some_and(|planned| planned >= self.now && planned <= at)
        {
            return;
        }
        daemon.loop_at = Some(at);
        let life = daemon.life;
        self.schedule(after, Event::Loop { node, life });
    }

    /// Notes a command as pending; gives its number.
    pub(crate) fn pend(&mut self, node: usize, lane: Lane, command: Command) -> u64 {
        self.ops += 1;
        let pending = Pending {
            op: self.ops,
            command,
            since: self.now,
            sent_at: self.nodes[node].clock.read(self.now),
        };
        if let Some(slot) = self.nodes[node].daemon.pending_mut(lane) {
            *slot = Some(pending);
        }
        self.ops
    }

    /// The outcome of a command reaches its program.
    pub(crate) fn resume(&mut self, node: usize, lane: Lane, outcome: Outcome) {
        let moment = self.nodes[node].clock.read(self.now);
        if let Some(slot) = self.nodes[node].daemon.pending_mut(lane) {
            *slot = None;
        }
        self.note_outcome(node, lane, &outcome);
        let outcome = self.learn(node, lane, outcome);
        match lane {
            Lane::Job => self.resume_job(node, outcome, moment),
            Lane::Cycle => self.resume_cycle(node, outcome, moment),
        }
    }

    fn resume_cycle(&mut self, node: usize, outcome: Outcome, moment: Moment) {
        let program = self.nodes[node].daemon.cycle.as_mut();
        let round = program.map(|program| std::mem::replace(&mut program.run, Round::Loading));
        let cycle = match (round, outcome) {
            (Some(Round::Loading), Outcome::Cluster(store)) => {
                let observation = self.observe(node, store);
                let memory = self.nodes[node].daemon.memory.clone();
                Box::new(Cycle::begin(observation, memory))
            }
            (Some(Round::Running(mut cycle)), outcome) => {
                cycle.resume(outcome, moment);
                cycle
            }
            (Some(Round::Loading) | None, _) => return,
        };
        self.step_cycle(node, cycle);
    }

    fn step_cycle(&mut self, node: usize, cycle: Box<Cycle>) {
        let (step, rule) = cycle.step_by_rule();
        if let Some(program) = self.nodes[node].daemon.cycle.as_mut() {
            program.run = Round::Running(cycle);
        }
        self.record_cycle(node, rule, &step);
        match step {
            Step::Do { say, command } => {
                self.say(node, &say);
                self.begin(node, Lane::Cycle, command);
            }
            Step::Done {
                say,
                verdict,
                memory,
            } => {
                self.say(node, &say);
                self.nodes[node].daemon.memory = memory;
                self.end_cycle(node, &verdict);
            }
        }
    }

    fn end_cycle(&mut self, node: usize, verdict: &Verdict) {
        for Refusal { name, reason } in &verdict.refused {
            self.note(node, "refused", || format!("{name}: {reason}"));
        }
        self.note(node, "verdict", || verdict.to_string());
        self.count_verdict(verdict);
        crate::invariants::own_check::decided(self, node, verdict);
        let daemon = &mut self.nodes[node].daemon;
        daemon.cycle = None;
        let life = daemon.life;
        daemon.store_until = verdict.again.and_then(|again| again.store_until);
        if let Some(again) = verdict.again {
            daemon.next_run = self.now + again.after;
        }
        if let Some(exit) = verdict.exit.clone() {
            self.coverage.count("exit", "ordered by the rules");
            self.note(node, "daemon", || format!("exits: {}", exit.message));
            self.exit_daemon(node, exit.leave_server);
            return;
        }
        if daemon.ordered.is_some() {
            self.schedule(Duration::from_millis(1), Event::StartJob { node, life });
        }
        self.follow_lease(node);
        // The store hears of a new ttl after the cycle that already decided by it.
        let daemon = &mut self.nodes[node].daemon;
        daemon.session.set_ttl(daemon.settings.ttl);
        let daemon = &self.nodes[node].daemon;
        if daemon.woken || daemon.leaving || daemon.seen_revision != self.model.revision() {
            self.loop_soon(node);
        }
        let left = self.nodes[node].daemon.next_run.since(self.now);
        self.loop_within(node, left);
    }

    /// The settings of the newest valid document.
    pub(crate) fn take_settings(&mut self, node: usize) {
        let daemon = &mut self.nodes[node].daemon;
        let Some(doc) = daemon.view.as_ref().and_then(|view| view.config.as_ref()) else {
            return;
        };
        if !doc.is_valid() || doc.data == daemon.config {
            return;
        }
        if let Ok((settings, _)) = Dynamic::read(&doc.data) {
            daemon.settings = Arc::new(settings);
            daemon.config = Arc::clone(&doc.data);
        }
    }
}
