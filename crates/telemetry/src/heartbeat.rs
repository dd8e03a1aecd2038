//! The lines of a quiet cluster, of which one per cycle is enough.

use crate::record::Record;
use crate::settings::Level;

/// Holds back `Lock owner: ...` until it is known whether anything happened in that cycle, and
/// drops repeated heartbeats if told so.
#[derive(Debug, Default)]
pub(crate) struct Heartbeat {
    held: Option<Record>,
    last: Option<String>,
}

/// How the gate works at present.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeartbeatRules {
    /// The level is INFO: the rule about the lock owner applies.
    pub(crate) hold_owner: bool,
    /// Identical successive heartbeats are written once.
    pub(crate) deduplicate: bool,
}

impl Heartbeat {
    /// What is to be written now, in order: at most the held line and this one.
    pub(crate) fn pass(&mut self, record: Record, rules: HeartbeatRules) -> [Option<Record>; 2] {
        if record.target.starts_with("patroni_api") {
            // Requests of clients come in between and say nothing about the cycle.
            return [None, Some(record)];
        }
        let beats = is_heartbeat(&record);
        let held = self.held.take().filter(|_| !beats);
        if rules.hold_owner
            && record.level == Level::Info
            && record.message.starts_with("Lock owner: ")
        {
            self.held = Some(record);
            return [held, None];
        }
        if !beats {
            self.last = None;
            return [held, Some(record)];
        }
        let repeated = self.last.as_ref() == Some(&record.message);
        if rules.deduplicate && repeated {
            return [held, None];
        }
        self.last = Some(record.message.clone());
        [held, Some(record)]
    }

    /// The line that is held back, at the end of the log.
    pub(crate) fn finish(&mut self) -> Option<Record> {
        self.held.take()
    }
}

fn is_heartbeat(record: &Record) -> bool {
    record.message.starts_with("no action. ") || record.message.starts_with("PAUSE: no action")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    fn written(messages: &[&str], deduplicate: bool) -> Vec<String> {
        let mut gate = Heartbeat::default();
        let rules = HeartbeatRules {
            hold_owner: true,
            deduplicate,
        };
        messages
            .iter()
            .flat_map(|message| gate.pass(record(Level::Info, message), rules))
            .flatten()
            .map(|record| record.message)
            .collect()
    }

    #[test]
    fn the_owner_is_named_only_when_something_happened() {
        let beat = "no action. I am (a), the leader with the lock";
        assert_eq!(written(&["Lock owner: a; I am a", beat], false), [beat]);
        let busy = ["Lock owner: a; I am b", "starting as a secondary"];
        assert_eq!(written(&busy, false), busy);
    }

    #[test]
    fn repeated_heartbeats_are_written_once_if_told_so() {
        let owner = "Lock owner: a; I am a";
        let beat = "no action. I am (a), the leader with the lock";
        let cycle = [owner, beat, owner, beat, "odd", owner, beat];
        assert_eq!(written(&cycle, true), [beat, "odd", beat]);
        assert_eq!(written(&cycle, false), [beat, beat, "odd", beat]);
    }
}
