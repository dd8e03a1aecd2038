//! A standby that runs with the right settings and gets no WAL, or gets what it cannot replay.
//! Most of the time it ends by itself; what never does is a fork, which PostgreSQL reports only
//! in its own log ("requested starting point is ahead of the WAL flush position", "new timeline
//! forked off", "record with incorrect prev-link"). So the histories are compared when it lasts,
//! and what was found is repaired or told.

use std::time::Duration;

use patroni_core::{MemberName, Moment, Upstream};

use crate::command::RewindSource;
use crate::context::Cx;
use crate::divergence::Trouble;
use crate::lease::Again;
use crate::memory::Stall;
use crate::replay::Asked;
use crate::rules::rewind::{self, Comparison};
use crate::sentence::Text;
use crate::verdict::CycleResult;

/// The WAL receiver tries again every five seconds (`wal_retrieve_retry_interval`): fewer than
/// two tries tell nothing.
const LEAST: Duration = Duration::from_secs(10);

/// A standby that begins to stream does so within this time: long enough for a second try.
const BEGINNING: Duration = Duration::from_secs(7);

/// Looks whether WAL comes from `upstream`, whose settings are in effect. Some result replaces
/// that of the cycle.
pub(crate) fn watch(cx: &mut Cx<'_>, upstream: &Upstream) -> Asked<Option<CycleResult>> {
    let Some(status) = cx.status().filter(|status| status.in_recovery()) else {
        return Ok(None);
    };
    // A delay, a conflict with a query or an archive explain a silence as well.
    let streaming = status.replication_state() == Some("streaming");
    let explained = streaming || status.restore_command.is_some();
    let (received, replayed) = (status.received, status.replayed);
    let diverged = cx.memory.has_diverged();
    let fine = !streams(upstream) || (streaming && received <= replayed);
    if fine && !diverged {
        forget(cx);
        cx.memory.rewound = None;
    }
    if !streams(upstream) || (fine && !diverged) {
        return Ok(None);
    }
    let now = cx.now();
    let moved = |stall: &Stall| streaming && stall.replayed != replayed;
    if !diverged && cx.memory.stall.as_ref().is_none_or(moved) {
        forget(cx);
    }
    let stall = *cx.memory.stall.get_or_insert(Stall {
        since: now,
        compared: None,
        replayed,
    });
    if !explained && now.since(stall.since) < BEGINNING {
        // Others learn at once when it streams, instead of a whole cycle later.
        cx.again = Some(Again::SOON);
    }
    if !is_due(cx, stall, now) {
        return Ok(None);
    }
    let Some(source) = rewind::source(cx) else {
        return Ok(None);
    };
    cx.memory.stall = Some(Stall {
        compared: Some(now),
        ..stall
    });
    let why = match rewind::compare(cx, &source)? {
        Comparison::Diverged(why) => why,
        Comparison::Agrees if explained => {
            // A fork whose end the leader has passed shows no more. Whoever replays what comes
            // after its own end is past it.
            if !diverged || moved(&stall) {
                forget(cx);
            }
            return Ok(None);
        }
        Comparison::NothingLocal | Comparison::Unknown if explained => return Ok(None),
        Comparison::Agrees => {
            // A fork whose end the leader has passed shows no more, and is there all the same.
            if !has_diverged(cx, &source) {
                let from = another_member(upstream, &source);
                tell(cx, Trouble::NoStream { from, source });
            }
            return Ok(None);
        }
        Comparison::NothingLocal | Comparison::Unknown => {
            let from = another_member(upstream, &source);
            tell(cx, Trouble::NotInspected { from, source });
            return Ok(None);
        }
    };
    if !cx.can_rewind_or_wipe() {
        rewind::report(cx, source, why);
        return Ok(None);
    }
    rewind::note(cx, why);
    rewind::rewind_or_reinit(cx)
}

/// Known of this source, and nothing has streamed since.
fn has_diverged(cx: &Cx<'_>, from: &RewindSource) -> bool {
    let trouble = cx.memory.trouble.as_ref();
    trouble.is_some_and(
        |trouble| matches!(trouble, Trouble::Diverged { source, .. } if source == from),
    )
}

fn forget(cx: &mut Cx<'_>) {
    (cx.memory.stall, cx.memory.trouble) = (None, None);
}

fn tell(cx: &mut Cx<'_>, trouble: Trouble) {
    cx.say(Text::GetsNoWal {
        trouble: trouble.clone(),
    });
    cx.memory.trouble = Some(trouble);
}

/// The member to stream from when it is not the one whose history is looked at: in a cascade, and
/// below the leader of a standby cluster.
fn another_member(upstream: &Upstream, source: &RewindSource) -> Option<MemberName> {
    let Upstream::Member { name, .. } = upstream else {
        return None;
    };
    let is_source = matches!(source, RewindSource::Member(leader) if leader.name == *name);
    (!is_source).then(|| name.clone())
}

/// Whether this upstream is one to stream from.
fn streams(upstream: &Upstream) -> bool {
    match upstream {
        Upstream::None => false,
        Upstream::Member { .. } => true,
        Upstream::Remote { host, .. } => host.is_some(),
    }
}

/// First after two rounds, and then once in a `ttl`.
fn is_due(cx: &Cx<'_>, stall: Stall, now: Moment) -> bool {
    let first = (cx.settings.loop_wait * 2).max(LEAST);
    match stall.compared {
        None => now.since(stall.since) >= first,
        Some(then) => now.since(then) >= cx.settings.ttl,
    }
}
