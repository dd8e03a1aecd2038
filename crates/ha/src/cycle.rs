//! One cycle as a plain value.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use patroni_core::Moment;

use crate::command::Command;
use crate::context::Cx;
use crate::invariants;
use crate::memory::Memory;
use crate::observation::Observation;
use crate::outcome::Outcome;
use crate::replay::{Halt, Replay};
use crate::rule::Rule;
use crate::rules;
use crate::sentence::{Sentence, Text};
use crate::verdict::{CycleResult, Verdict};

/// One cycle of decisions: what was observed, what was remembered, and every outcome received
/// so far. [`Cycle::step`] runs the rules from the beginning with the recorded outcomes, so a
/// cycle can be copied, compared, stored and replayed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cycle {
    observation: Observation,
    memory: Memory,
    received: Vec<(Outcome, Moment)>,
}

/// What a cycle needs next.
#[expect(clippy::large_enum_variant, reason = "one at a time, consumed at once")]
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// One thing to do, and what to say before.
    Do {
        /// Sentences since the step before.
        say: Vec<Sentence>,
        /// The thing.
        command: Command,
    },
    /// The end.
    Done {
        /// Sentences since the step before.
        say: Vec<Sentence>,
        /// The result.
        verdict: Verdict,
        /// What the next cycle begins with.
        memory: Memory,
    },
}

impl Cycle {
    /// Begins a cycle.
    pub fn begin(observation: Observation, memory: Memory) -> Self {
        Self {
            observation,
            memory,
            received: Vec::new(),
        }
    }

    /// The observation that it judges.
    pub fn observation(&self) -> &Observation {
        &self.observation
    }

    /// What was remembered when it began.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The outcomes so far, each with the moment when it was learnt.
    pub fn received(&self) -> &[(Outcome, Moment)] {
        &self.received
    }

    /// What it needs next. Asking twice gives the same.
    pub fn step(&self) -> Step {
        self.step_by_rule().0
    }

    /// What it needs next, and the rule that asks for it.
    pub fn step_by_rule(&self) -> (Step, Rule) {
        let obs = &self.observation;
        let mut memory = self.memory.clone();
        memory.last_moment = obs.now;
        memory.began.get_or_insert(obs.now);
        let mut cx = Cx {
            replay: Replay::new(obs.now, &self.received),
            node: &obs.node,
            settings: &obs.settings,
            view: Arc::default(),
            server: obs.server.clone(),
            memory,
            refused: Vec::new(),
            rule: Rule::Start,
            again: None,
            watchdog_active: obs.watchdog.active,
            lock_confirmed: false,
            scheduled: None,
            effects: Vec::new(),
        };
        let run = rules::cycle(&mut cx, obs).and_then(|decided| {
            let broken = invariants::hold(&mut cx)?;
            Ok(broken.map_or(decided, |fenced| (fenced, None)))
        });
        let (result, exit) = match run {
            Ok(decided) => decided,
            Err(Halt::Suspended(command)) => {
                let say = cx.replay.into_said();
                let command = *command;
                return (Step::Do { say, command }, cx.rule);
            }
            Err(Halt::StoreFailed) => (CycleResult::StoreDown, None),
            Err(Halt::Bug(what)) => {
                cx.say(Text::Unexpected { what });
                (CycleResult::Unexpected, None)
            }
        };
        if !result.is_heartbeat() {
            cx.replay.flush();
        }
        let rule = cx.rule;
        let done = Step::Done {
            verdict: Verdict {
                paused: cx.paused(),
                result,
                rule,
                exit,
                refused: cx.refused,
                again: cx.again,
            },
            memory: cx.memory,
            say: cx.replay.into_said(),
        };
        (done, rule)
    }

    /// Goes on with what became of the last command, learnt at `now`.
    pub fn resume(&mut self, outcome: Outcome, now: Moment) {
        self.received.push((outcome, now));
    }
}
