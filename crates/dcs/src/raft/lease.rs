//! When keys expire: a member's view of time.
//!
//! Every member measures, on its own monotonic clock, from the moment it applied the last set of a
//! key, which is never before that set was asked for. Only the leader acts on it; since a new leader
//! has measured before, the death of the old one prolongs a key by the vote alone.
//!
//! What is not counted: time in which the process was stopped (a stop counts as one beat, because
//! renewals that arrived meanwhile have not been looked at), and time without a leader, when
//! nobody could renew. So a key may live longer than its time to live, but never shorter.

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
    /// Time stands still until the next look: there is no leader.
    pub(crate) fn pause(&mut self) {
        self.last_look = None;
    }

    /// Looks at the keys and at the clock.
    pub(crate) fn look(&mut self, machine: &Machine, now: Instant) {
        let lived = self
            .last_look
            .map_or(Duration::ZERO, |last| now.duration_since(last));
        self.clock += lived.min(LONGEST_BEAT);
        self.last_look = Some(now);
        self.running
            .retain(|key, _| machine.items.get(key).is_some_and(|i| i.ttl_ms.is_some()));
        for (key, item) in &machine.items {
            let Some(ttl) = item.ttl_ms.map(Duration::from_millis) else {
                continue;
            };
            if self.running.get(key).is_none_or(|l| l.index != item.index) {
                let lease = Lease {
                    index: item.index,
                    due: self.clock + ttl,
                };
                self.running.insert(key.clone(), lease);
            }
        }
    }

    /// The keys whose time is over, each with the index of its last set. They are given again
    /// when that has had no effect for a while.
    pub(crate) fn take_due(&mut self) -> Vec<(String, u64)> {
        let clock = self.clock;
        let over = self.running.iter_mut().filter(|(_, l)| l.due <= clock);
        over.map(|(key, lease)| {
            lease.due = clock + REPEAT;
            (key.clone(), lease.index)
        })
        .collect()
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
            leases.look(machine, *now);
            due += leases.take_due().len();
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
        leases.look(&machine(2), now);
        assert!(leases.take_due().is_empty());
    }

    #[test]
    fn a_member_that_becomes_the_leader_has_measured_before() {
        let (mut leases, mut now) = (Leases::default(), Instant::now());
        for _ in 0..9 {
            leases.look(&machine(2), now);
            now += Duration::from_millis(100);
        }
        assert_eq!(beat(&mut leases, &machine(2), &mut now, 1), 1);
    }

    #[test]
    fn time_without_a_leader_does_not_count() {
        let (mut leases, mut now) = (Leases::default(), Instant::now());
        beat(&mut leases, &machine(2), &mut now, 9);
        for _ in 0..20 {
            leases.pause();
            now += Duration::from_millis(100);
        }
        assert_eq!(beat(&mut leases, &machine(2), &mut now, 2), 0);
        assert_eq!(beat(&mut leases, &machine(2), &mut now, 1), 1);
    }
}
