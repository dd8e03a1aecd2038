//! One run of a program, whole.

use jiff::Timestamp;
use patroni_core::Moment;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::command::Command;
use crate::cycle::Cycle;
use crate::job::JobReport;
use crate::job_run::JobRun;
use crate::memory::Memory;
use crate::outcome::Outcome;
use crate::rule::Rule;
use crate::sentence::Sentence;
use crate::verdict::Verdict;

/// One run: its beginning and every outcome (both in the program), what it asked for, its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Wall time of the beginning.
    pub wall: Timestamp,
    /// The program with everything that went into it.
    pub run: Run,
    /// What it asked for, in order. All but perhaps the last have an outcome in the program.
    pub asked: Vec<Asked>,
    /// How it ended.
    pub end: End,
}

/// The two kinds of programs.
#[expect(
    clippy::large_enum_variant,
    reason = "records are made one at a time, and both kinds carry a whole view"
)]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Run {
    /// A cycle of the loop.
    Cycle(Cycle),
    /// A long task.
    Job(JobRun),
}

/// One command of a program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// The rule that asked.
    pub rule: Rule,
    /// What was said before.
    pub say: Vec<Sentence>,
    /// The command.
    pub command: Command,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum End {
    /// A cycle came to its verdict.
    Verdict {
        /// What was said last.
        say: Vec<Sentence>,
        /// The verdict.
        verdict: Verdict,
        /// The parts of the memory that are not as before, with their new values.
        remembered: Map<String, Value>,
    },
    /// A long task came to its report.
    Report {
        /// What was said last.
        say: Vec<Sentence>,
        /// The report.
        report: JobReport,
    },
    /// It was broken off: the daemon ended.
    BrokenOff,
}

impl Record {
    /// A cycle that came to its verdict; `memory` is what the next one begins with.
    pub fn of_cycle(
        cycle: Cycle,
        asked: Vec<Asked>,
        say: Vec<Sentence>,
        verdict: Verdict,
        memory: &Memory,
    ) -> Self {
        let end = End::Verdict {
            say,
            verdict,
            remembered: changes(cycle.memory(), memory),
        };
        Self::new(cycle.observation().wall, Run::Cycle(cycle), asked, end)
    }

    /// A cycle that was broken off.
    pub fn of_broken_cycle(cycle: Cycle, asked: Vec<Asked>) -> Self {
        let wall = cycle.observation().wall;
        Self::new(wall, Run::Cycle(cycle), asked, End::BrokenOff)
    }

    /// A long task that came to its report, begun at `wall`.
    pub fn of_job(
        wall: Timestamp,
        run: JobRun,
        asked: Vec<Asked>,
        say: Vec<Sentence>,
        report: JobReport,
    ) -> Self {
        Self::new(wall, Run::Job(run), asked, End::Report { say, report })
    }

    fn new(wall: Timestamp, run: Run, asked: Vec<Asked>, end: End) -> Self {
        Self {
            wall,
            run,
            asked,
            end,
        }
    }

    /// The verdict, of a cycle that came to one.
    pub fn verdict(&self) -> Option<&Verdict> {
        match &self.end {
            End::Verdict { verdict, .. } => Some(verdict),
            End::Report { .. } | End::BrokenOff => None,
        }
    }

    /// When the program began, on the clock of its daemon.
    pub fn begun(&self) -> Moment {
        match &self.run {
            Run::Cycle(cycle) => cycle.observation().now,
            Run::Job(job) => job.begun(),
        }
    }

    /// The outcomes, each with the moment when it was learnt.
    pub fn received(&self) -> &[(Outcome, Moment)] {
        match &self.run {
            Run::Cycle(cycle) => cycle.received(),
            Run::Job(job) => job.received(),
        }
    }

    /// What it remembered when it began.
    pub fn memory(&self) -> &Memory {
        match &self.run {
            Run::Cycle(cycle) => cycle.memory(),
            Run::Job(job) => &job.context().memory,
        }
    }
}

/// The fields of the memory that differ, with their values in `after`. The moment of the last
/// outcome is no decision, and stands in the outcomes already.
pub(super) fn changes(before: &Memory, after: &Memory) -> Map<String, Value> {
    let fields = |memory: &Memory| match serde_json::to_value(memory) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => Map::new(),
    };
    let before = fields(before);
    let mut after = fields(after);
    after.retain(|name, value| name != "last_moment" && before.get(name) != Some(value));
    after
}
