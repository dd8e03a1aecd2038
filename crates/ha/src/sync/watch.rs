//! What is worth a cycle before its time: a standby that came, went, or fell silent.

use std::collections::BTreeMap;

use patroni_core::server::WalSender;

use super::standbys::is_stalled;

/// Compares one look at the WAL senders of a primary with the next. A body in synchronous mode
/// looks a few times per `loop_wait`, so that commits do not wait for a lost standby until the
/// next planned cycle, nor a strict mode for one that came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StandbyWatch {
    /// Who streams, and whether it leaves WAL unanswered.
    seen: Option<BTreeMap<String, bool>>,
}

impl StandbyWatch {
    /// Takes a look. True when a cycle would decide otherwise than at the look before.
    pub fn look(&mut self, senders: &[WalSender]) -> bool {
        let now: BTreeMap<String, bool> = senders
            .iter()
            .map(|sender| (sender.application_name.to_lowercase(), is_stalled(sender)))
            .collect();
        let before = self.seen.replace(now);
        before.is_some_and(|before| self.seen.as_ref() != Some(&before))
    }

    /// Forgets the last look: the server is no primary now, or the mode is off.
    pub fn forget(&mut self) {
        self.seen = None;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::support::sender;

    #[test]
    fn comings_goings_and_silence_are_worth_a_cycle() {
        let mut watch = StandbyWatch::default();
        let (b, c) = (sender("b", "sync", 100), sender("C", "async", 100));
        assert!(!watch.look(&[b.clone(), c.clone()]), "the first look");
        assert!(!watch.look(&[c.clone(), b.clone()]), "another order");
        let mut silent = b.clone();
        silent.unanswered = Some(Duration::from_millis(900));
        assert!(!watch.look(&[silent.clone(), c.clone()]), "a short silence");
        silent.unanswered = Some(Duration::from_secs(1));
        assert!(watch.look(&[silent.clone(), c.clone()]), "a long one");
        assert!(!watch.look(&[silent, c.clone()]), "nothing new");
        assert!(watch.look(&[c]), "gone");
        watch.forget();
        assert!(!watch.look(&[]));
    }
}
