//! A long task as a plain value, driven by the same verbs as a cycle.

use std::sync::Arc;

use patroni_config::Dynamic;
use patroni_core::server::LocalServer;
use patroni_core::{Cluster, Moment};
use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::context::Cx;
use crate::job::{Job, JobEnd, JobReport};
use crate::jobs;
use crate::memory::Memory;
use crate::observation::{NodeFacts, WatchdogFacts};
use crate::outcome::Outcome;
use crate::replay::{Halt, Replay};
use crate::rule::Rule;
use crate::sentence::{Sentence, Text};

/// What a long task is begun with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobContext {
    /// Who this node is.
    pub node: NodeFacts,
    /// Cluster-wide settings in effect.
    pub settings: Arc<Dynamic>,
    /// The view at the time of scheduling, if there was one.
    pub cluster: Option<Arc<Cluster>>,
    /// The local server now.
    pub server: LocalServer,
    /// The watchdog now.
    pub watchdog: WatchdogFacts,
    /// The memory of the core; the task reads it and reports changes as effects.
    pub memory: Memory,
}

/// One run of a long task: its beginning and every outcome received since.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRun {
    job: Job,
    context: JobContext,
    begun: Moment,
    received: Vec<(Outcome, Moment)>,
}

/// What a long task needs next.
#[derive(Clone, Debug, PartialEq)]
pub enum JobStep {
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
        /// What the next cycle has to know.
        report: JobReport,
    },
}

impl JobRun {
    /// Begins a long task.
    pub fn begin(job: Job, context: JobContext, now: Moment) -> Self {
        Self {
            job,
            context,
            begun: now,
            received: Vec::new(),
        }
    }

    /// Which task.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// What it began with.
    pub fn context(&self) -> &JobContext {
        &self.context
    }

    /// When it began.
    pub fn begun(&self) -> Moment {
        self.begun
    }

    /// The outcomes so far, each with the moment when it was learnt.
    pub fn received(&self) -> &[(Outcome, Moment)] {
        &self.received
    }

    /// What it needs next. Asking twice gives the same.
    pub fn step(&self) -> JobStep {
        let context = &self.context;
        let mut cx = Cx {
            replay: Replay::new(self.begun, &self.received),
            node: &context.node,
            settings: &context.settings,
            view: context.cluster.clone().unwrap_or_default(),
            server: context.server.clone(),
            memory: context.memory.clone(),
            refused: Vec::new(),
            rule: Rule::J,
            again: None,
            watchdog_active: context.watchdog.active,
            lock_confirmed: false,
            scheduled: None,
            effects: Vec::new(),
        };
        let end = match jobs::run(&mut cx, &self.job) {
            Ok(end) => end,
            Err(Halt::Suspended(command)) => {
                let say = cx.replay.into_said();
                return JobStep::Do {
                    say,
                    command: *command,
                };
            }
            Err(Halt::StoreFailed) => JobEnd::Failure,
            Err(Halt::Bug(what)) => {
                cx.say(Text::Unexpected { what });
                JobEnd::Failure
            }
        };
        cx.replay.flush();
        JobStep::Done {
            report: JobReport {
                job: self.job.clone(),
                end,
                effects: cx.effects,
            },
            say: cx.replay.into_said(),
        }
    }

    /// Goes on with what became of the last command, learnt at `now`.
    pub fn resume(&mut self, outcome: Outcome, now: Moment) {
        self.received.push((outcome, now));
    }
}
