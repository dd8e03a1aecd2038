//! What makes two decisions alike, so that only one of many is kept whole.

use std::mem::{Discriminant, discriminant};

use super::record::Asked;
use crate::command::Command;
use crate::cycle::Cycle;
use crate::job::JobEnd;
use crate::outcome::{LockOutcome, Outcome, SlotChanged, StartOutcome, Written};
use crate::sentence::{Sentence, Text};
use crate::verdict::Verdict;

/// The outline of a run: the verdict whole, of commands, outcomes and sentences only their kinds,
/// because positions and revisions move on in every heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    verdict: Verdict,
    asked: Vec<Discriminant<Command>>,
    failed: Vec<bool>,
    said: Vec<Discriminant<Text>>,
}

impl Shape {
    /// The outline of a cycle that came to its verdict.
    pub fn of(cycle: &Cycle, asked: &[Asked], say: &[Sentence], verdict: &Verdict) -> Self {
        let before = asked.iter().flat_map(|asked| &asked.say);
        Self {
            verdict: verdict.clone(),
            asked: asked.iter().map(|a| discriminant(&a.command)).collect(),
            failed: cycle.received().iter().map(|(o, _)| failed(o)).collect(),
            said: before.chain(say).map(kind).collect(),
        }
    }
}

fn kind(sentence: &Sentence) -> Discriminant<Text> {
    discriminant(&sentence.text)
}

/// Whether an outcome is not what was hoped for.
pub(super) fn failed(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Success(done) => !done,
        Outcome::Cluster(view) => view.is_err(),
        Outcome::Write(written) => *written != Written::Yes,
        Outcome::Lock(lock) => !matches!(lock, LockOutcome::Held { .. }),
        Outcome::SyncWritten(written) => written.is_err(),
        Outcome::Peers(answers) => answers.iter().any(|answer| answer.reply.is_err()),
        Outcome::Failsafe(answers) => answers.iter().any(|(_, answer)| answer.is_err()),
        Outcome::Stopped(stop) => !stop.stopped,
        Outcome::Started(start) => matches!(start, StartOutcome::Failed(_)),
        Outcome::LeaderInspected(found) => found.is_err(),
        Outcome::LocalPosition(found) => found.is_none(),
        Outcome::TimelineHistory(lines) => lines.is_err(),
        Outcome::SlotChanged(changed) => {
            matches!(changed, SlotChanged::Refused(_) | SlotChanged::Lost(_))
        }
        Outcome::SlotsGivenUp(slots) => !slots.is_empty(),
        Outcome::Feedback(on) => on.is_err(),
        Outcome::WalStart(from) => from.is_err(),
        Outcome::LeaderSlots(found) => found.is_err(),
        Outcome::SlotsFetched(slots) => slots.is_err(),
        Outcome::Rewound(rewound) => *rewound != crate::outcome::RewindOutcome::Success,
        Outcome::Scheduled(taken) => taken.is_err(),
        Outcome::Hook(hook) => match hook {
            crate::outcome::HookOutcome::NotConfigured
            | crate::outcome::HookOutcome::Exited(Some(0)) => false,
            crate::outcome::HookOutcome::Exited(_) | crate::outcome::HookOutcome::Cancelled => true,
        },
        Outcome::Done | Outcome::Server(_) | Outcome::Recovery(_) | Outcome::Waited(_) => false,
    }
}

/// Whether a task ended as it should.
pub(super) fn task_failed(end: JobEnd) -> bool {
    match end {
        JobEnd::Success | JobEnd::Unfinished => false,
        JobEnd::Failure | JobEnd::Cancelled => true,
    }
}
