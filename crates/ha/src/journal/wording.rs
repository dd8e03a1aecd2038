//! Commands and outcomes in a few words.

use crate::command::Command;
use crate::outcome::{
    FetchFailure, HookOutcome, InspectFailure, LockOutcome, Outcome, RecoveryChange, RewindOutcome,
    SlotChanged, StartOutcome, Written,
};

/// A command: its name as words, and what it is about where that is short.
pub(super) fn command(command: &Command) -> String {
    let name = words(&name(command));
    if let Command::Schedule(job) = command {
        return format!("{name}: {job}");
    }
    let about = match serde_json::to_value(command) {
        Ok(serde_json::Value::Object(fields)) => fields.into_iter().next().map(|(_, about)| about),
        Ok(_) | Err(_) => None,
    };
    match about {
        Some(serde_json::Value::String(about)) => format!("{name}: {about}"),
        Some(_) | None => name,
    }
}

/// The name of the variant.
fn name(command: &Command) -> String {
    let debug = format!("{command:?}");
    let end = debug.find(|c: char| !c.is_alphanumeric());
    debug[..end.unwrap_or(debug.len())].to_owned()
}

/// `UpdateLeader` as `update leader`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// What became of it.
pub(super) fn outcome(outcome: &Outcome) -> String {
    let done = |good: bool| if good { "done" } else { "not done" }.to_owned();
    match outcome {
        Outcome::Done | Outcome::Rewound(RewindOutcome::Success) => "done".to_owned(),
        Outcome::Success(good) => done(*good),
        Outcome::Cluster(Ok(view)) => match view.leader_name() {
            Some(leader) => format!("read: {leader} leads"),
            None => "read: nobody leads".to_owned(),
        },
        Outcome::Cluster(Err(why)) | Outcome::TimelineHistory(Err(why)) => {
            format!("not read: {why}")
        }
        Outcome::Write(written) | Outcome::SyncWritten(Err(written)) => write(written),
        Outcome::Lock(LockOutcome::Held { .. }) => "the lock is ours".to_owned(),
        Outcome::Lock(LockOutcome::Refused) => "the lock is not ours".to_owned(),
        Outcome::Lock(LockOutcome::Unreachable(why))
        | Outcome::LeaderInspected(Err(InspectFailure::Failed(why)))
        | Outcome::Feedback(Err(why))
        | Outcome::WalStart(Err(why))
        | Outcome::LeaderSlots(Err(why))
        | Outcome::SlotsFetched(Err(FetchFailure::Connect(why) | FetchFailure::Query(why))) => {
            format!("no answer: {why}")
        }
        Outcome::SyncWritten(Ok(revision)) => format!("written at revision {revision}"),
        Outcome::Peers(answers) => {
            let answered = answers.iter().filter(|answer| answer.reply.is_ok()).count();
            format!("{answered} of {} answered", answers.len())
        }
        Outcome::Failsafe(answers) => {
            let accepted = answers.iter().filter(|(_, answer)| answer.is_ok()).count();
            format!("{accepted} of {} accepted", answers.len())
        }
        Outcome::Server(server) => format!("the server is {} as {}", server.state, server.role),
        Outcome::Hook(HookOutcome::NotConfigured) => "none is configured".to_owned(),
        Outcome::Hook(HookOutcome::Exited(Some(code))) => format!("exit status {code}"),
        Outcome::Hook(HookOutcome::Exited(None)) => "it could not be started".to_owned(),
        Outcome::Hook(HookOutcome::Cancelled) => "cancelled".to_owned(),
        Outcome::Stopped(stop) => done(stop.stopped),
        Outcome::Started(StartOutcome::Running) => "it runs".to_owned(),
        Outcome::Started(StartOutcome::Unfinished) => "it is still starting".to_owned(),
        Outcome::Started(StartOutcome::Failed(why)) => format!("it does not run: {why}"),
        Outcome::Recovery(RecoveryChange::Same) => "no change".to_owned(),
        Outcome::Recovery(RecoveryChange::Reload) => "a reload is needed".to_owned(),
        Outcome::Recovery(RecoveryChange::Restart) => "a restart is needed".to_owned(),
        Outcome::LeaderInspected(Ok(leader)) => format!("it is on timeline {}", leader.timeline),
        Outcome::LeaderInspected(Err(InspectFailure::InRecovery)) => "it is in recovery".to_owned(),
        Outcome::LocalPosition(Some(at)) => format!("{} on timeline {}", at.lsn, at.timeline),
        Outcome::LocalPosition(None) => "not known".to_owned(),
        Outcome::TimelineHistory(Ok(lines)) => format!("{} lines", lines.len()),
        Outcome::Rewound(RewindOutcome::ServerRuns) => "the server could not be stopped".to_owned(),
        Outcome::Rewound(RewindOutcome::Failed) => "it failed".to_owned(),
        Outcome::Rewound(RewindOutcome::LeaderGone { .. }) => "the leader is gone".to_owned(),
        Outcome::SlotChanged(changed) => slot_change(changed),
        Outcome::SlotsGivenUp(slots) => format!("{} slots cannot move", slots.len()),
        Outcome::Feedback(Ok(true)) => "it is on".to_owned(),
        Outcome::Feedback(Ok(false)) => "it is off".to_owned(),
        Outcome::WalStart(Ok(from)) => format!("from {from} on"),
        Outcome::LeaderSlots(Ok(found)) => format!("{} logical slots", found.logical.len()),
        Outcome::SlotsFetched(Ok(slots)) => format!("{} slots", slots.len()),
        Outcome::Scheduled(Ok(())) => "begun".to_owned(),
        Outcome::Scheduled(Err(other)) => format!("{other} is running"),
        Outcome::Waited(true) => "it came".to_owned(),
        Outcome::Waited(false) => "the time was over".to_owned(),
    }
}

fn slot_change(changed: &SlotChanged) -> String {
    match changed {
        SlotChanged::Done => "done".to_owned(),
        SlotChanged::InUse => "somebody uses it".to_owned(),
        SlotChanged::Nothing => "nothing to do".to_owned(),
        SlotChanged::Refused(why) => format!("refused: {why}"),
        SlotChanged::Lost(why) => format!("no answer: {why}"),
    }
}

fn write(written: &Written) -> String {
    match written {
        Written::Yes => "written".to_owned(),
        Written::LostRace => "somebody else was first".to_owned(),
        Written::Failed(why) => format!("not written: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use patroni_core::State;

    #[test]
    fn commands_are_words() {
        assert_eq!(command(&Command::LoadCluster), "load cluster");
        assert_eq!(
            command(&Command::Schedule(crate::Job::Promote)),
            "schedule: promote"
        );
        assert_eq!(
            command(&Command::SetState(State::Crashed)),
            "set state: crashed"
        );
    }
}
