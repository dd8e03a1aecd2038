//! The comparison of two histories (HA contract 22, PostgreSQL contract 14.4), and what keeps a
//! standby from getting WAL.
//!
//! A timeline has a number and a beginning, and only both together name it: two nodes that were
//! promoted apart from each other give out the same number. So the whole of the two histories is
//! compared, not the number alone.

use std::fmt;

use patroni_core::{Lsn, MemberName, Timeline};
use serde::{Deserialize, Serialize};

use crate::command::{Parting, RewindSource};
use crate::outcome::{LeaderInspection, LocalPosition};

/// What the local data hold that the leader's history does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Divergence {
    /// They are on a later timeline than the leader.
    LaterTimeline {
        /// Of the local data.
        ours: Timeline,
        /// Of the leader.
        theirs: Timeline,
    },
    /// The leader's history does not know their timeline.
    UnknownTimeline {
        /// Of the local data.
        ours: Timeline,
    },
    /// They went beyond the point where the leader's history left their timeline.
    BeyondSwitchpoint {
        /// Of the local data.
        timeline: Timeline,
        /// Their end.
        ours: Lsn,
        /// Where the leader's history went on elsewhere.
        switchpoint: Lsn,
    },
    /// A timeline of their history ended elsewhere than the one with the same number in the
    /// leader's, so the timelines after it are different ones, whatever their numbers.
    Fork {
        /// The timeline with two ends.
        after: Timeline,
        /// Where it ended here.
        ours: Lsn,
        /// Where it ended in the leader's history.
        theirs: Lsn,
        /// Both are now on a timeline of the same number.
        same_number: bool,
    },
    /// They hold more of the leader's present timeline than the leader has written.
    Ahead {
        /// The timeline.
        timeline: Timeline,
        /// The local position.
        ours: Lsn,
        /// The leader's.
        theirs: Lsn,
    },
}

impl Divergence {
    /// Whether `pg_rewind` can find the point where the two histories part.
    pub const fn can_be_rewound(&self) -> bool {
        match self {
            Self::LaterTimeline { .. }
            | Self::UnknownTimeline { .. }
            | Self::BeyondSwitchpoint { .. }
            | Self::Fork { .. } => true,
            // Nothing in the history files tells the two apart.
            Self::Ahead { .. } => false,
        }
    }

    /// Whether this is what was found before, as far as it does not depend on how far this node
    /// has come since.
    pub fn is_again(&self, before: &Self) -> bool {
        match (self, before) {
            (
                Self::BeyondSwitchpoint {
                    timeline,
                    switchpoint,
                    ..
                },
                Self::BeyondSwitchpoint {
                    timeline: then,
                    switchpoint: left,
                    ..
                },
            ) => (timeline, switchpoint) == (then, left),
            (Self::Ahead { timeline, .. }, Self::Ahead { timeline: then, .. }) => timeline == then,
            (one, other) => one == other,
        }
    }

    /// What a rewind has to know of it.
    pub const fn parting(&self) -> Parting {
        match self {
            Self::Fork {
                same_number: true, ..
            } => Parting::SameNumber,
            Self::Fork {
                same_number: false, ..
            } => Parting::Fork,
            Self::LaterTimeline { .. }
            | Self::UnknownTimeline { .. }
            | Self::BeyondSwitchpoint { .. }
            | Self::Ahead { .. } => Parting::Plain,
        }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LaterTimeline { ours, theirs } => {
                write!(f, "they are on timeline {ours}, the leader on {theirs}")
            }
            Self::UnknownTimeline { ours } => {
                write!(
                    f,
                    "the leader's history does not know their timeline {ours}"
                )
            }
            Self::BeyondSwitchpoint {
                timeline,
                ours,
                switchpoint,
            } => write!(
                f,
                "they end at {ours} of timeline {timeline}, which the leader left at {switchpoint}"
            ),
            Self::Fork {
                after,
                ours,
                theirs,
                same_number,
            } => {
                let number = if *same_number {
                    " for a timeline of the same number"
                } else {
                    ""
                };
                write!(
                    f,
                    "they left timeline {after} at {ours}{number}, the leader left it at {theirs}"
                )
            }
            Self::Ahead {
                timeline,
                ours,
                theirs,
            } => write!(
                f,
                "they are at {ours} of timeline {timeline}, the leader only at {theirs} of it"
            ),
        }
    }
}

/// Why a running standby gets no WAL, as the member object tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trouble {
    /// Its data have diverged, and nothing that may be done repairs it.
    Diverged {
        /// From whom.
        source: RewindSource,
        /// How.
        why: Divergence,
    },
    /// The histories agree, and still nothing comes.
    NoStream {
        /// From which member, when it is another one than whose history was looked at.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<MemberName>,
        /// Whose history was looked at.
        source: RewindSource,
    },
    /// The leader does not answer the question.
    NotInspected {
        /// The member from which nothing comes, when it is another one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<MemberName>,
        /// Who was asked.
        source: RewindSource,
    },
}

impl Trouble {
    /// The data are not those of the cluster, and a stream does not change that: PostgreSQL takes
    /// WAL of the same timeline number without looking where it comes from, and one record that
    /// happens to fit is replayed.
    pub fn is_divergence(&self) -> bool {
        matches!(self, Self::Diverged { .. })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Diverged { source, why } => {
                write!(f, "the data have diverged from {source}: {why}")
            }
            Self::NoStream { from, source } => {
                nothing_comes(f, from.as_ref())?;
                write!(
                    f,
                    "although the history agrees with that of {source}; the log of PostgreSQL tells why"
                )
            }
            Self::NotInspected { from, source } => {
                nothing_comes(f, from.as_ref())?;
                write!(f, "and {source} does not tell its history")
            }
        }
    }
}

fn nothing_comes(f: &mut fmt::Formatter<'_>, from: Option<&MemberName>) -> fmt::Result {
    match from {
        Some(member) => write!(f, "nothing comes from {member}, "),
        None => f.write_str("nothing comes, "),
    }
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    /// What the local data hold that the leader's history does not.
    pub(crate) found: Option<Divergence>,
    /// The part of the leader's history that decided, for the log.
    pub(crate) lines: Option<String>,
}

/// Compares the local end of history with the leader's history.
pub(crate) fn judge(local: &LocalPosition, leader: &LeaderInspection) -> Judged {
    if let Some(fork) = fork(local, leader) {
        let lines = (!leader.lines.is_empty()).then(|| leader.lines.join("\n"));
        return Judged {
            found: Some(fork),
            lines,
        };
    }
    let plain = |found| Judged { found, lines: None };
    if local.timeline > leader.timeline {
        return plain(Some(Divergence::LaterTimeline {
            ours: local.timeline,
            theirs: leader.timeline,
        }));
    }
    if local.unfinished {
        return plain(None);
    }
    if local.timeline == leader.timeline {
        return plain(ahead(local, leader));
    }
    // A history that was not delivered decides nothing against the local data.
    let Some(history) = &leader.history else {
        return plain(None);
    };
    let decisive = history
        .iter()
        .position(|(timeline, _)| *timeline >= local.timeline);
    let found = match decisive.and_then(|index| history.get(index)) {
        Some((timeline, switchpoint)) if *timeline == local.timeline => {
            let beyond = if local.in_recovery {
                local.lsn > *switchpoint
            } else {
                local.lsn >= *switchpoint || local.checkpoint_end != Some(*switchpoint)
            };
            beyond.then(|| Divergence::BeyondSwitchpoint {
                timeline: *timeline,
                ours: local.checkpoint_end.unwrap_or(local.lsn),
                switchpoint: *switchpoint,
            })
        }
        Some(_) | None => Some(Divergence::UnknownTimeline {
            ours: local.timeline,
        }),
    };
    Judged {
        found,
        lines: Some(excerpt(&leader.lines, decisive)),
    }
}

/// The first timeline that both histories know and left at different points. A timeline that one
/// of them has not left yet is for the comparison of positions.
fn fork(local: &LocalPosition, leader: &LeaderInspection) -> Option<Divergence> {
    let (ours, theirs) = (local.history.as_ref()?, leader.history.as_ref()?);
    ours.iter().zip(theirs).find_map(|(ours, theirs)| {
        (ours.0 == theirs.0 && ours.1 != theirs.1).then(|| Divergence::Fork {
            after: ours.0,
            ours: ours.1,
            theirs: theirs.1,
            same_number: local.timeline == leader.timeline,
        })
    })
}

/// The leader writes its timeline first, so that nobody can have more of it. Asked after the
/// local position was read, its answer is the later one.
fn ahead(local: &LocalPosition, leader: &LeaderInspection) -> Option<Divergence> {
    let theirs = leader.flushed.filter(|theirs| local.lsn > *theirs)?;
    Some(Divergence::Ahead {
        timeline: local.timeline,
        ours: local.lsn,
        theirs,
    })
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
            flushed: None,
        }
    }

    fn local(in_recovery: bool, timeline: u32, lsn: u64, end: Option<u64>) -> LocalPosition {
        LocalPosition {
            in_recovery,
            timeline: tl(timeline),
            lsn: Lsn::new(lsn),
            checkpoint_end: end.map(Lsn::new),
            history: None,
            unfinished: false,
        }
    }

    fn diverged(local: &LocalPosition, leader: &LeaderInspection) -> bool {
        judge(local, leader).found.is_some()
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
            assert_eq!(
                judge(&position, &history).found.is_some(),
                diverged,
                "{case}"
            );
        }
    }

    #[test]
    fn a_timeline_that_is_not_in_the_history_has_diverged() {
        let history = leader(4, &[(1, 100), (3, 300)]);
        assert!(diverged(&local(true, 2, 150, None), &history));
        let short = leader(4, &[(1, 100)]);
        assert!(diverged(&local(true, 2, 150, None), &short));
    }

    #[test]
    fn a_history_not_delivered_decides_nothing() {
        let silent = LeaderInspection {
            timeline: tl(3),
            history: None,
            lines: Vec::new(),
            flushed: None,
        };
        assert!(!diverged(&local(false, 1, 150, None), &silent));
    }

    #[test]
    fn the_same_number_with_another_beginning_is_another_timeline() {
        let here = |timeline, lsn, ends: &[(u32, u64)]| LocalPosition {
            history: Some(ends.iter().map(|(t, l)| (tl(*t), Lsn::new(*l))).collect()),
            ..local(true, timeline, lsn, None)
        };
        let forked = |ours, theirs, same_number| Divergence::Fork {
            after: tl(1),
            ours: Lsn::new(ours),
            theirs: Lsn::new(theirs),
            same_number,
        };
        let two = leader(2, &[(1, 100)]);
        let three = leader(3, &[(1, 100), (2, 200)]);
        for (case, position, there, found) in [
            ("same history", here(2, 150, &[(1, 100)]), &two, None),
            (
                "promoted apart, earlier",
                here(2, 150, &[(1, 90)]),
                &two,
                Some(forked(90, 100, true)),
            ),
            (
                "promoted apart, later",
                here(2, 150, &[(1, 110)]),
                &two,
                Some(forked(110, 100, true)),
            ),
            // Its number is in the leader's history and its position before the switch there.
            (
                "promoted apart, and the leader went on",
                here(2, 150, &[(1, 90)]),
                &three,
                Some(forked(90, 100, false)),
            ),
            (
                "went on further than the leader",
                here(3, 150, &[(1, 90), (2, 120)]),
                &two,
                Some(forked(90, 100, false)),
            ),
            ("not promoted yet", here(1, 95, &[]), &three, None),
        ] {
            assert_eq!(judge(&position, there).found, found, "{case}");
        }
    }

    #[test]
    fn nobody_has_more_of_a_timeline_than_its_leader() {
        let mut there = leader(2, &[(1, 100)]);
        there.flushed = Some(Lsn::new(150));
        assert!(!diverged(&local(true, 2, 150, None), &there));
        let found = judge(&local(true, 2, 151, None), &there).found.unwrap();
        assert!(matches!(found, Divergence::Ahead { .. }) && !found.can_be_rewound());
    }

    #[test]
    fn the_log_shows_the_lines_around_the_decisive_one() {
        let lines: Vec<String> = (1..=9).map(|n| n.to_string()).collect();
        assert_eq!(excerpt(&lines, Some(4)), "2\n3\n4\n5\n6\n...\n9");
        assert_eq!(excerpt(&lines, Some(8)), "6\n7\n8\n9");
        assert_eq!(excerpt(&lines, Some(6)), "4\n5\n6\n7\n8\n9");
    }
}
