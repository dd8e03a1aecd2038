//! How one operation's budget of time is spent: over nodes, attempts and pauses.
//!
//! Source: store contract, sections 7 and 8. Nothing here reads a clock or makes chance of its
//! own: what is left and the jitter are handed in.

use std::time::Duration;

#[cfg(feature = "remote")]
use tokio::time::Instant;

/// No attempt is worth making with less.
pub const SHORTEST_ATTEMPT: Duration = Duration::from_secs(1);

/// The random part of a pause is below this.
pub const MAX_JITTER: Duration = Duration::from_millis(800);

/// How much is done for a request.
#[cfg(feature = "remote")]
#[derive(Clone, Copy, Debug)]
pub(crate) enum Effort {
    /// On all nodes, again and again until this moment.
    Until(Instant),
    /// One attempt on the current node.
    Once,
}

/// How a budget is spread over the nodes of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// How many nodes are tried, at least one.
    pub nodes: usize,
    /// How often each of them, at least once.
    pub attempts: u32,
    /// How long each attempt may take.
    pub per_attempt: Duration,
}

impl Split {
    /// Spreads `left` over `nodes`; `None` when not even one attempt fits.
    ///
    /// One node gets three attempts and two nodes get two each, when such an attempt has a
    /// second or more; otherwise every node gets one, and nodes are left out until it fits.
    pub fn of(nodes: usize, left: Duration) -> Option<Self> {
        if nodes == 0 || left < SHORTEST_ATTEMPT {
            return None;
        }
        let fitting = usize::try_from(left.as_secs()).unwrap_or(usize::MAX);
        let (nodes, attempts) = match nodes {
            1 => (1, u32::try_from(fitting.min(3)).unwrap_or(3)),
            2 if fitting >= 4 => (2, 2),
            many => (many.min(fitting), 1),
        };
        Some(Self::parts(nodes, attempts, left))
    }

    /// The same for the servers of the Kubernetes API (store contract, section 13): one server
    /// gets two attempts, of several each gets one.
    pub fn of_api_servers(servers: usize, left: Duration) -> Option<Self> {
        if servers == 0 || left < SHORTEST_ATTEMPT {
            return None;
        }
        let fitting = usize::try_from(left.as_secs()).unwrap_or(usize::MAX);
        Some(match servers {
            1 if fitting >= 2 => Self::parts(1, 2, left),
            many => Self::parts(many.min(fitting), 1, left),
        })
    }

    fn parts(nodes: usize, attempts: u32, whole: Duration) -> Self {
        let parts = u32::try_from(nodes)
            .unwrap_or(u32::MAX)
            .saturating_mul(attempts);
        Self {
            nodes,
            attempts,
            per_attempt: whole / parts,
        }
    }

    /// How long one attempt may spend on making the connection.
    pub fn connect_timeout(&self) -> Duration {
        (self.per_attempt / 2).max(SHORTEST_ATTEMPT)
    }
}

/// The pauses between rounds of one operation: 0.1 s, doubled up to 1 s, each with a jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            next: Duration::from_millis(100),
        }
    }
}

impl Backoff {
    const LONGEST: Duration = Duration::from_secs(1);

    /// The next pause, `None` when it would use up what is left. `chance` is uniform over all
    /// 32-bit numbers and makes the jitter.
    pub fn pause(&mut self, left: Duration, chance: u32) -> Option<Duration> {
        let pause = self.next + MAX_JITTER.mul_f64(f64::from(chance) / f64::from(u32::MAX));
        self.next = (self.next * 2).min(Self::LONGEST);
        (pause < left).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_second_and_stay_inside_the_budget() {
        let mut backoff = Backoff::default();
        let long = Duration::from_mins(1);
        let pauses: Vec<u128> = (0..6)
            .filter_map(|_| backoff.pause(long, 0))
            .map(|pause| pause.as_millis())
            .collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(backoff.pause(Duration::from_secs(1), 0), None);
        let most = Backoff::default().pause(long, u32::MAX);
        assert_eq!(most, Some(Duration::from_millis(900)));
    }

    #[test]
    fn the_parts_never_exceed_the_whole() {
        for nodes in 1..9 {
            for millis in (0..20_000).step_by(77) {
                let left = Duration::from_millis(millis);
                for split in [Split::of(nodes, left), Split::of_api_servers(nodes, left)] {
                    let Some(split) = split else {
                        assert!(left < SHORTEST_ATTEMPT);
                        continue;
                    };
                    let parts = u32::try_from(split.nodes).unwrap() * split.attempts;
                    assert!(split.per_attempt * parts <= left);
                    assert!(split.per_attempt >= SHORTEST_ATTEMPT, "{nodes} {left:?}");
                }
            }
        }
    }
}
