//! A record, run through the core again.

use std::fmt;

use patroni_core::Moment;
use serde_json::Value;

use super::record::{Asked, End, Record, Run, changes};
use crate::command::Command;
use crate::cycle::{Cycle, Step};
use crate::job::JobReport;
use crate::job_run::{JobRun, JobStep};
use crate::outcome::Outcome;
use crate::rule::Rule;
use crate::verdict::Verdict;

/// Where a replay left the record.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The step, counted from 1; the end is a step, too.
    pub step: usize,
    /// What the record says.
    pub recorded: Answer,
    /// What the core says now.
    pub found: Answer,
}

/// What a program came to at one step.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A rule asked for a command.
    Asked(Rule, Box<Command>),
    /// A cycle ended.
    Ended(Box<Verdict>),
    /// A long task ended.
    Reported(Box<JobReport>),
    /// A field of the memory got a value; `None` when it stayed as it was.
    Remembered(String, Option<Value>),
    /// The record ends here.
    Nothing,
}

/// Runs the recorded beginning and outcomes through the core, and compares every command, the
/// verdict or report, and what is remembered. Sentences are not compared: their wording is no
/// decision.
///
/// # Errors
/// The first difference.
pub fn replay(record: &Record) -> Result<(), Box<Difference>> {
    match &record.run {
        Run::Cycle(cycle) => run(record, Again::new(cycle)),
        Run::Job(job) => run(record, job.again()),
    }
}

/// A program that starts anew with what the recorded one began with.
trait Program {
    /// What it needs now.
    fn next(&self) -> Next;
    /// Goes on.
    fn learn(&mut self, outcome: Outcome, at: Moment);
}

/// What a program needs, with everything that is compared.
enum Next {
    Do(Rule, Command),
    Ended(Verdict, serde_json::Map<String, Value>),
    Reported(JobReport),
}

/// A cycle beside its beginning.
struct Again(Cycle);

impl Again {
    fn new(cycle: &Cycle) -> Self {
        Self(Cycle::begin(
            cycle.observation().clone(),
            cycle.memory().clone(),
        ))
    }
}

impl JobRun {
    fn again(&self) -> Self {
        Self::begin(self.job().clone(), self.context().clone(), self.begun())
    }
}

impl Program for Again {
    fn next(&self) -> Next {
        let (step, rule) = self.0.step_by_rule();
        match step {
            Step::Do { command, .. } => Next::Do(rule, command),
            Step::Done {
                verdict, memory, ..
            } => Next::Ended(verdict, changes(self.0.memory(), &memory)),
        }
    }

    fn learn(&mut self, outcome: Outcome, at: Moment) {
        self.0.resume(outcome, at);
    }
}

impl Program for JobRun {
    fn next(&self) -> Next {
        match self.step() {
            JobStep::Do { command, .. } => Next::Do(Rule::J, command),
            JobStep::Done { report, .. } => Next::Reported(report),
        }
    }

    fn learn(&mut self, outcome: Outcome, at: Moment) {
        self.resume(outcome, at);
    }
}

fn run(record: &Record, mut program: impl Program) -> Result<(), Box<Difference>> {
    let mut outcomes = record.received().iter();
    let mut asked = record.asked.iter();
    for step in 1.. {
        let recorded = asked.next();
        match (program.next(), recorded) {
            (Next::Do(_, command), Some(then)) if command == then.command => {}
            (Next::Do(rule, command), then) => {
                let recorded = then.map_or_else(|| Answer::of_end(&record.end), Answer::of_step);
                let found = Answer::Asked(rule, Box::new(command));
                return differs(step, recorded, found);
            }
            (Next::Ended(verdict, remembered), None) => {
                return compare_end(step, &record.end, verdict, &remembered);
            }
            (Next::Ended(verdict, _), Some(then)) => {
                return differs(step, Answer::of_step(then), Answer::Ended(verdict.into()));
            }
            (Next::Reported(report), None) => {
                return match &record.end {
                    End::Report { report: then, .. } if *then == report => Ok(()),
                    end @ (End::Report { .. } | End::Verdict { .. } | End::BrokenOff) => {
                        differs(step, Answer::of_end(end), Answer::Reported(report.into()))
                    }
                };
            }
            (Next::Reported(report), Some(then)) => {
                return differs(step, Answer::of_step(then), Answer::Reported(report.into()));
            }
        }
        let Some((outcome, at)) = outcomes.next() else {
            // Nobody learnt what became of the last command.
            return match &record.end {
                End::BrokenOff => Ok(()),
                end @ (End::Report { .. } | End::Verdict { .. }) => {
                    differs(step + 1, Answer::of_end(end), Answer::Nothing)
                }
            };
        };
        program.learn(outcome.clone(), *at);
        if matches!(record.end, End::BrokenOff) && asked.len() == 0 {
            return Ok(());
        }
    }
    Ok(())
}

fn compare_end(
    step: usize,
    end: &End,
    verdict: Verdict,
    remembered: &serde_json::Map<String, Value>,
) -> Result<(), Box<Difference>> {
    let End::Verdict {
        verdict: then,
        remembered: before,
        ..
    } = end
    else {
        return differs(step, Answer::of_end(end), Answer::Ended(verdict.into()));
    };
    if *then != verdict {
        return differs(step, Answer::of_end(end), Answer::Ended(verdict.into()));
    }
    let mut names = before.keys().chain(remembered.keys());
    let Some(name) = names.find(|name| before.get(*name) != remembered.get(*name)) else {
        return Ok(());
    };
    let field = |values: &serde_json::Map<String, Value>| {
        Answer::Remembered(name.clone(), values.get(name).cloned())
    };
    differs(step, field(before), field(remembered))
}

fn differs(step: usize, recorded: Answer, found: Answer) -> Result<(), Box<Difference>> {
    Err(Box::new(Difference {
        step,
        recorded,
        found,
    }))
}

impl Answer {
    fn of_step(asked: &Asked) -> Self {
        Self::Asked(asked.rule, Box::new(asked.command.clone()))
    }

    fn of_end(end: &End) -> Self {
        match end {
            End::Verdict { verdict, .. } => Self::Ended(Box::new(verdict.clone())),
            End::Report { report, .. } => Self::Reported(Box::new(report.clone())),
            End::BrokenOff => Self::Nothing,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked(rule, command) => write!(f, "{rule} asks for {}", shown(command)),
            Self::Ended(verdict) => {
                write!(f, "{} ends the cycle: {verdict}", verdict.rule)?;
                if !verdict.refused.is_empty() {
                    write!(f, ", refused {}", shown(&verdict.refused))?;
                }
                Ok(())
            }
            Self::Reported(report) => {
                let effects = shown(&report.effects);
                let job = &report.job;
                write!(
                    f,
                    "the task {job} ends: {:?}, effects {effects}",
                    report.end
                )
            }
            Self::Remembered(field, Some(value)) => {
                write!(f, "{field} is remembered as {}", shown(value))
            }
            Self::Remembered(field, None) => write!(f, "{field} is remembered as before"),
            Self::Nothing => f.write_str("nothing more"),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            step,
            recorded,
            found,
        } = self;
        write!(f, "step {step}: recorded {recorded}; now {found}")
    }
}

/// The most of a value that one difference shows.
const MOST_SHOWN: usize = 400;

fn shown(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string(value).unwrap_or_default();
    if let Some((cut, _)) = text.char_indices().nth(MOST_SHOWN) {
        text.truncate(cut);
        text.push_str("...");
    }
    text
}
