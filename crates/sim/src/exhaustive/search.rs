//! The search: depth first, each world once.

use std::collections::HashSet;

use patroni_ha::{Command, Cycle, JobContext, JobRun, JobStep, Outcome, Step};

use super::carry::{self, is_for_the_store, is_visible};
use super::shared::Shared;
use super::small::{Small, Tiny, Waits, name, settings};
use super::{Broken, Question, Search};
use crate::daemon::Lane;
use crate::daemon::act::command_name;

/// What becomes of a request to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is carried out and answered.
    Carried,
    /// It does not arrive.
    Lost,
    /// It is carried out, and the answer does not arrive.
    Unanswered,
}

/// What can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    Begin(usize),
    Go(usize, Lane, Fate),
    Write(usize),
    Receive(usize, usize),
    Kill(usize),
    Pass,
}

/// Looks at every world within the bounds.
pub fn exhaust(question: &Question) -> Search {
    let mut search = Search {
        states: 0,
        steps: 0,
        depth: 0,
        complete: true,
        broken: None,
    };
    let mut seen = HashSet::new();
    let mut way: Vec<Move> = Vec::new();
    let begin = Small::new(question);
    seen.insert(begin.print());
    let mut stack = vec![(moves(&begin), begin)];
    while let Some((left, world)) = stack.last_mut() {
        let Some(step) = left.pop() else {
            stack.pop();
            way.pop();
            continue;
        };
        let mut next = world.clone();
        search.steps += 1;
        let broken = next.happen(question, step);
        if let Some((invariant, message)) = broken {
            way.push(step);
            search.complete = false;
            let told = stack
                .iter()
                .zip(&way)
                .map(|((_, world), step)| world.tell(*step));
            search.broken = Some(Broken {
                invariant,
                message,
                way: told.collect(),
            });
            break;
        }
        if !seen.insert(next.print()) {
            continue;
        }
        search.states = u64::try_from(seen.len()).unwrap_or(u64::MAX);
        if search.states >= question.bounds.states {
            search.complete = false;
            break;
        }
        way.push(step);
        stack.push((moves(&next), next));
        search.depth = search
            .depth
            .max(u64::try_from(way.len()).unwrap_or(u64::MAX));
    }
    search
}

fn moves(world: &Small) -> Vec<Move> {
    let mut moves = Vec::new();
    for (index, member) in world.members.iter().enumerate() {
        if member.cycle.is_none() && !member.loads && member.cycles > 0 {
            moves.push(Move::Begin(index));
        }
        let load = member.loads.then_some((Lane::Cycle, true));
        let cycle = member.cycle.as_ref();
        let cycle = cycle.map(|(_, command)| (Lane::Cycle, is_for_the_store(command)));
        let job = member.job.as_ref();
        let job = job.map(|(_, command)| (Lane::Job, is_for_the_store(command)));
        for (lane, stored) in [load, cycle, job].into_iter().flatten() {
            let waits = match lane {
                Lane::Cycle => member.waits.cycle,
                Lane::Job => member.waits.job,
            };
            if waits {
                continue;
            }
            moves.push(Move::Go(index, lane, Fate::Carried));
            if stored && world.faults > 0 {
                moves.push(Move::Go(index, lane, Fate::Lost));
                moves.push(Move::Go(index, lane, Fate::Unanswered));
            }
        }
        let primary = member.server.is_primary();
        if primary && world.writes > 0 {
            moves.push(Move::Write(index));
        }
        if primary && world.faults > 0 {
            moves.push(Move::Kill(index));
        }
        for (from, source) in world.members.iter().enumerate() {
            let behind = member.server.log != source.server.log
                || member.server.timeline != source.server.timeline;
            if behind && world.streams_from(index, from) {
                moves.push(Move::Receive(index, from));
            }
        }
    }
    if world.spans > 0 {
        moves.push(Move::Pass);
    }
    moves
}

impl Small {
    fn happen(&mut self, question: &Question, step: Move) -> carry::Broken {
        let before = self.shown();
        let broken = self.step(question, step);
        if before != self.shown() {
            for member in &mut self.members {
                if member.waits != Waits::default() {
                    member.waits = Waits::default();
                }
            }
        }
        broken.or_else(|| self.acknowledge(question.scene))
    }

    /// What somebody who waits may be waiting for.
    fn shown(&self) -> impl PartialEq + use<> {
        let server = |member: &Shared<Tiny>| {
            let server = &member.server;
            (
                server.runs,
                server.standby,
                server.timeline,
                server.log.len(),
            )
        };
        let servers: Vec<_> = self.members.iter().map(server).collect();
        (self.model.revision(), self.now(), servers)
    }

    fn step(&mut self, question: &Question, step: Move) -> carry::Broken {
        match step {
            Move::Begin(member) => {
                self.members[member].cycles -= 1;
                self.members[member].loads = true;
                None
            }
            Move::Go(member, lane, fate) => {
                self.faults -= u8::from(fate != Fate::Carried);
                self.go(question, member, lane, fate)
            }
            Move::Write(member) => {
                self.writes -= 1;
                self.last_write += 1;
                let write = self.last_write;
                self.members[member].server.log.push(write);
                None
            }
            Move::Receive(member, from) => {
                let source = self.members[from].server.clone();
                let server = &mut self.members[member].server;
                server.log = source.log;
                server.timeline = source.timeline;
                None
            }
            Move::Kill(member) => {
                self.faults -= 1;
                let server = &mut self.members[member].server;
                server.runs = false;
                server.clean = false;
                None
            }
            Move::Pass => {
                self.spans -= 1;
                self.pass(question);
                None
            }
        }
    }

    fn go(&mut self, question: &Question, member: usize, lane: Lane, fate: Fate) -> carry::Broken {
        if lane == Lane::Cycle && std::mem::take(&mut self.members[member].loads) {
            let (outcome, broken) = self.carry(question, member, &Command::LoadCluster, fate);
            let Outcome::Cluster(store) = outcome else {
                unreachable!("a load gives a view");
            };
            let observation = self.observe(question.scene, member, store);
            let memory = self.members[member].memory.clone();
            let cycle = Cycle::begin(observation, memory);
            return broken.or_else(|| self.run_cycle(question, member, cycle));
        }
        let taken = match lane {
            Lane::Cycle => self.members[member].cycle.take().map(|(cycle, command)| {
                let (outcome, broken) = self.carry(question, member, &command, fate);
                let mut cycle = cycle;
                cycle.resume(outcome, self.now());
                broken.or_else(|| self.run_cycle(question, member, cycle))
            }),
            Lane::Job => self.members[member].job.take().map(|(run, command)| {
                let (outcome, broken) = self.carry(question, member, &command, fate);
                let mut run = run;
                run.resume(outcome, self.now());
                broken.or_else(|| self.run_job(question, member, run))
            }),
        };
        taken.flatten()
    }

    /// Up to the next command that others can notice, or to the end.
    fn run_cycle(&mut self, question: &Question, member: usize, mut cycle: Cycle) -> carry::Broken {
        loop {
            match cycle.step() {
                Step::Do { command, .. } if is_visible(&command, Lane::Cycle) => {
                    self.members[member].waits.cycle = matches!(command, Command::Wait(_));
                    self.members[member].cycle = Some((cycle, command));
                    return None;
                }
                Step::Do { command, .. } => {
                    let (outcome, broken) = self.carry(question, member, &command, Fate::Carried);
                    if broken.is_some() {
                        return broken;
                    }
                    cycle.resume(outcome, self.now());
                }
                Step::Done { memory, .. } => {
                    self.members[member].memory = memory;
                    return self.begin_job(question, member);
                }
            }
        }
    }

    fn begin_job(&mut self, question: &Question, member: usize) -> carry::Broken {
        let job = self.members[member].ordered.take()?;
        let now = self.now();
        let cluster = self.members[member].memory.old_view.clone();
        let context = JobContext {
            node: Self::facts(member),
            settings: settings(question.scene).into(),
            cluster,
            server: self.look(member),
            watchdog: patroni_ha::observation::WatchdogFacts::default(),
            memory: self.members[member].memory.clone(),
        };
        self.members[member].since = now;
        self.members[member].committed = false;
        self.run_job(question, member, JobRun::begin(job, context, now))
    }

    fn run_job(&mut self, question: &Question, member: usize, mut run: JobRun) -> carry::Broken {
        loop {
            match run.step() {
                JobStep::Do { command, .. } if is_visible(&command, Lane::Job) => {
                    self.members[member].waits.job = matches!(command, Command::Wait(_));
                    self.members[member].job = Some((run, command));
                    return None;
                }
                JobStep::Do { command, .. } => {
                    let (outcome, broken) = self.carry(question, member, &command, Fate::Carried);
                    if broken.is_some() {
                        return broken;
                    }
                    run.resume(outcome, self.now());
                }
                JobStep::Done { report, .. } => {
                    self.members[member].finished.push(report);
                    return None;
                }
            }
        }
    }

    /// A move in words, before it happens.
    fn tell(&self, step: Move) -> String {
        match step {
            Move::Begin(member) => format!("{} begins a cycle", name(member)),
            Move::Go(member, lane, fate) => {
                let here = &self.members[member];
                let command = match lane {
                    Lane::Cycle => here.cycle.as_ref().map(|(_, command)| command),
                    Lane::Job => here.job.as_ref().map(|(_, command)| command),
                };
                let command = command.map_or("load cluster", command_name);
                format!("{}: {command} ({fate:?})", name(member))
            }
            Move::Write(member) => format!("a client writes to {}", name(member)),
            Move::Receive(member, from) => format!("{} receives from {}", name(member), name(from)),
            Move::Kill(member) => format!("the server of {} dies", name(member)),
            Move::Pass => "ten seconds pass".to_owned(),
        }
    }
}
