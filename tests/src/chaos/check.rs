//! What the clients were promised.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::writer::Ack;

/// What one timeline took.
struct Taken {
    machine: usize,
    first: Ack,
    last_sent: Instant,
}

/// Checks that no two members took writes at once: a timeline has one primary, and once a later
/// timeline has acknowledged a write, an earlier one acknowledges none that is sent afterwards.
/// `acks` are those of the clients on each machine, which write to their own server alone. Gives
/// the number of timelines.
pub(super) fn one_primary_at_a_time(acks: &[Vec<Ack>]) -> Result<usize> {
    let mut timelines: BTreeMap<u32, Taken> = BTreeMap::new();
    for (machine, ack) in acks.iter().enumerate().flat_map(each) {
        let taken = timelines.entry(ack.timeline).or_insert(Taken {
            machine,
            first: ack,
            last_sent: ack.sent,
        });
        ensure!(
            taken.machine == machine,
            "timeline {} took writes on machines {} and {machine}",
            ack.timeline,
            taken.machine
        );
        taken.last_sent = taken.last_sent.max(ack.sent);
        if ack.at < taken.first.at {
            taken.first = ack;
        }
    }
    let all: Vec<(&u32, &Taken)> = timelines.iter().collect();
    for (index, (older, before)) in all.iter().enumerate() {
        for (newer, after) in &all[index + 1..] {
            ensure!(
                before.last_sent <= after.first.at,
                "machine {} took a write on timeline {older} that was sent {:?} after machine {} had \
                 acknowledged one on timeline {newer}",
                before.machine,
                before.last_sent - after.first.at,
                after.machine
            );
        }
    }
    Ok(timelines.len())
}

fn each((machine, acks): (usize, &Vec<Ack>)) -> impl Iterator<Item = (usize, Ack)> {
    acks.iter().map(move |ack| (machine, *ack))
}

/// The longest time without an acknowledgement from anybody, and when it began.
pub(super) fn longest_gap(acks: &[Vec<Ack>]) -> Option<(Duration, Instant)> {
    let mut times: Vec<Instant> = acks.iter().flatten().map(|ack| ack.at).collect();
    times.sort_unstable();
    let gaps = times.windows(2).map(|pair| (pair[1] - pair[0], pair[0]));
    gaps.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(begun: Instant, timeline: u32, sent: u64, at: u64) -> Ack {
        Ack {
            number: 0,
            sent: begun + Duration::from_millis(sent),
            at: begun + Duration::from_millis(at),
            timeline,
        }
    }

    #[test]
    fn two_primaries_are_seen() {
        let now = Instant::now();
        let one = vec![ack(now, 1, 0, 1), ack(now, 1, 5, 12)];
        let after = vec![ack(now, 2, 6, 7)];
        assert_eq!(one_primary_at_a_time(&[one.clone(), after]).unwrap(), 2);
        let beside = vec![ack(now, 2, 2, 3)];
        let error = one_primary_at_a_time(&[one.clone(), beside]).unwrap_err();
        assert!(
            error.to_string().contains("sent 2ms after machine 1"),
            "{error}"
        );
        let same = vec![ack(now, 1, 20, 21)];
        let error = one_primary_at_a_time(&[one.clone(), same]).unwrap_err();
        assert!(error.to_string().contains("on machines 0 and 1"), "{error}");
        let gap = (Duration::from_millis(11), now + Duration::from_millis(1));
        assert_eq!(longest_gap(&[one]), Some(gap));
    }
}
