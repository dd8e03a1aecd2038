//! The comparison of two histories (HA contract 22, PostgreSQL contract 14.4).

use crate::outcome::{LeaderInspection, LocalPosition};

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    /// The local data hold something that the leader's history does not.
    pub(crate) diverged: bool,
    /// The part of the leader's history that decided, for the log.
    pub(crate) lines: Option<String>,
}

/// Compares the local end of history with the leader's history.
pub(crate) fn judge(local: &LocalPosition, leader: &LeaderInspection) -> Judged {
    let plain = |diverged| Judged {
        diverged,
        lines: None,
    };
    if local.timeline > leader.timeline {
        return plain(true);
    }
    if local.timeline == leader.timeline {
        return plain(false);
    }
    // A history that was not delivered decides nothing against the local data.
    let Some(history) = &leader.history else {
        return plain(false);
    };
    let decisive = history
        .iter()
        .position(|(timeline, _)| *timeline >= local.timeline);
    let diverged = match decisive.and_then(|index| history.get(index)) {
        Some((timeline, switchpoint)) if *timeline == local.timeline => {
            if local.in_recovery {
                local.lsn > *switchpoint
            } else {
                local.lsn >= *switchpoint || local.checkpoint_end != Some(*switchpoint)
            }
        }
        Some(_) | None => true,
    };
    Judged {
        diverged,
        lines: Some(excerpt(&leader.lines, decisive)),
    }
}

/// Up to three lines before the decisive one, it, one after, and the last.
fn excerpt(lines: &[String], decisive: Option<usize>) -> String {
    let Some(at) = decisive else {
        return lines.join("\n");
    };
    let from = at.saturating_sub(3);
    let to = (at + 2).min(lines.len());
    let mut shown: Vec<&str> = lines
        .get(from..to)
        .unwrap_or_default()
        .iter()
        .map(String::as_str)
        .collect();
    if to + 1 < lines.len() {
        shown.push("...");
    }
    if let Some(last) = lines.last().filter(|_| to < lines.len()) {
        shown.push(last);
    }
    shown.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use patroni_core::{Lsn, Timeline};

    fn tl(number: u32) -> Timeline {
        Timeline::new(number).unwrap()
    }

    fn leader(timeline: u32, ends: &[(u32, u64)]) -> LeaderInspection {
        LeaderInspection {
            timeline: tl(timeline),
            history: Some(ends.iter().map(|(t, l)| (tl(*t), Lsn::new(*l))).collect()),
            lines: ends.iter().map(|(t, l)| format!("{t}\t{l}")).collect(),
        }
    }

    fn local(in_recovery: bool, timeline: u32, lsn: u64, end: Option<u64>) -> LocalPosition {
        LocalPosition {
            in_recovery,
            timeline: tl(timeline),
            lsn: Lsn::new(lsn),
            checkpoint_end: end.map(Lsn::new),
        }
    }

    #[test]
    fn the_switchpoint_decides() {
        let history = leader(3, &[(1, 100), (2, 200)]);
        for (case, position, diverged) in [
            ("replica before it", local(true, 2, 150, None), false),
            ("replica exactly there", local(true, 2, 200, None), false),
            ("replica beyond it", local(true, 2, 201, None), true),
            (
                "primary ended there",
                local(false, 2, 150, Some(200)),
                false,
            ),
            (
                "primary ended elsewhere",
                local(false, 2, 150, Some(250)),
                true,
            ),
            ("primary beyond it", local(false, 2, 200, Some(200)), true),
            ("primary unreadable", local(false, 2, 150, None), true),
            ("same timeline", local(false, 3, 999, None), false),
            ("later timeline", local(true, 4, 1, None), true),
        ] {
            assert_eq!(judge(&position, &history).diverged, diverged, "{case}");
        }
    }

    #[test]
    fn a_timeline_that_is_not_in_the_history_has_diverged() {
        let history = leader(4, &[(1, 100), (3, 300)]);
        assert!(judge(&local(true, 2, 150, None), &history).diverged);
        let short = leader(4, &[(1, 100)]);
        assert!(judge(&local(true, 2, 150, None), &short).diverged);
    }

    #[test]
    fn a_history_not_delivered_decides_nothing() {
        let silent = LeaderInspection {
            timeline: tl(3),
            history: None,
            lines: Vec::new(),
        };
        assert!(!judge(&local(false, 1, 150, None), &silent).diverged);
    }

    #[test]
    fn the_log_shows_the_lines_around_the_decisive_one() {
        let lines: Vec<String> = (1..=9).map(|n| n.to_string()).collect();
        assert_eq!(excerpt(&lines, Some(4)), "2\n3\n4\n5\n6\n...\n9");
        assert_eq!(excerpt(&lines, Some(8)), "6\n7\n8\n9");
        assert_eq!(excerpt(&lines, Some(6)), "4\n5\n6\n7\n8\n9");
    }
}
