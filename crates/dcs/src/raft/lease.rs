//! When keys expire: the leader's view of time.
//!
//! Only the leader measures, on its monotonic clock, and only what its own loop has lived through:
//! when the process was stopped for a while that while counts as one beat, because renewals that
//! arrived meanwhile have not been looked at. A new leader gives every key its whole time again.
//! So a key may live longer than its time to live, but never shorter.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::machine::Machine;

/// The longest pause between two looks that counts in full.
const LONGEST_BEAT: Duration = Duration::from_millis(500);
/// A proposed expiry that has had no effect for so long is proposed again.
const REPEAT: Duration = Duration::from_secs(1);

/// Running times of the keys.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    clock: Duration,
    last_look: Option<Instant>,
    running: BTreeMap<String, Lease>,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    index: u64,
    due: Duration,
}

impl Leases {
    /// Forgets everything: we do not lead.
    pub(crate) fn stop(&mut self) {
        self.running.clear();
        self.last_look = None;
    }

    /// Looks at the keys and gives those whose time is over, each with the index of its last set.
    pub(crate) fn due(&mut self, machine: &Machine, now: Instant) -> Vec<(String, u64)> {
        let lived = self
            .last_look
            .map_or(Duration::ZERO, |last| now.duration_since(last));
        self.clock += lived.min(LONGEST_BEAT);
        self.last_look = Some(now);
        let clock = self.clock;
        let mut next = BTreeMap::new();
        let mut due = Vec::new();
        for (key, item) in &machine.items {
            let Some(ttl) = item.ttl_ms.map(Duration::from_millis) else {
                continue;
            };
            let fresh = Lease {
                index: item.index,
                due: clock + ttl,
            };
            let mut lease = match self.running.get(key) {
                Some(lease) if lease.index == item.index => *lease,
                Some(_) | None => fresh,
            };
            if lease.due <= clock {
                due.push((key.clone(), item.index));
                lease.due = clock + REPEAT;
            }
            next.insert(key.clone(), lease);
        }
        self.running = next;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::machine::Item;

    fn machine(index: u64) -> Machine {
        let item = Item {
            value: "a".to_owned(),
            index,
            ttl_ms: Some(1000),
        };
        let mut machine = Machine::default();
        machine.items.insert("/leader".to_owned(), item);
        machine
    }

    fn beat(leases: &mut Leases, machine: &Machine, now: &mut Instant, beats: u32) -> usize {
        let mut due = 0;
        for _ in 0..beats {
            *now += Duration::from_millis(100);
            due += leases.due(machine, *now).len();
        }
        due
    }

    #[test]
    fn a_key_is_due_once_its_time_is_over_and_not_before() {
        let (mut leases, mut now) = (Leases::default(), Instant::now());
        assert_eq!(beat(&mut leases, &machine(2), &mut now, 10), 0);
        assert_eq!(beat(&mut leases, &machine(2), &mut now, 2), 1);
        assert_eq!(beat(&mut leases, &machine(2), &mut now, 8), 0);
        assert_eq!(beat(&mut leases, &machine(2), &mut now, 4), 1);
    }

    #[test]
    fn a_renewal_starts_again() {
        let (mut leases, mut now) = (Leases::default(), Instant::now());
        for index in 2..20 {
            assert_eq!(beat(&mut leases, &machine(index), &mut now, 9), 0);
        }
    }

    #[test]
    fn a_frozen_leader_expires_nothing_when_it_thaws() {
        let (mut leases, mut now) = (Leases::default(), Instant::now());
        beat(&mut leases, &machine(2), &mut now, 3);
        now += Duration::from_mins(1);
        assert!(leases.due(&machine(2), now).is_empty());
    }
}
