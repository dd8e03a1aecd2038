//! The history of timeline switches that the leader keeps in the store (HA contract 28).

use patroni_core::{History, HistoryLine, Timeline};

use crate::context::Cx;
use crate::replay::Asked;
use crate::sentence::Text;

/// Writes the history when it does not end with the switch to the present timeline. The local
/// file is looked at once for each timeline: another node may have been promoted from the same one
/// and have left its switch there (the reference leaves it, too).
pub(crate) fn publish(cx: &mut Cx<'_>) -> Asked<()> {
    let Some(timeline) = cx.status().and_then(|status| status.primary_timeline) else {
        return Ok(());
    };
    let Some(previous) = timeline.previous() else {
        let stored = cx.view.history.as_ref();
        if stored.is_some_and(|history| !history.raw.is_empty()) {
            cx.write_history(History::default())?;
        }
        return Ok(());
    };
    let complete = is_complete(cx.view.history.as_ref(), previous);
    if complete && cx.memory.history_of == Some(timeline) {
        return Ok(());
    }
    let read = cx.read_timeline_history()?;
    if let Ok(lines) = &read
        && !lines.is_empty()
        && (!complete || other_switch(cx, lines).is_some())
    {
        let merged = merge(cx, lines.clone());
        return cx.write_history(merged);
    }
    if let Err(what) = read {
        cx.say(Text::HistoryUnreadable { what });
    }
    cx.memory.history_of = complete.then_some(timeline);
    Ok(())
}

/// Why the local history cannot be that of the cluster, although both have come as far: two nodes
/// were promoted from the same timeline, and the other one led last.
pub(crate) fn fork(cx: &mut Cx<'_>) -> Asked<Option<String>> {
    let told = cx.view.history.as_ref();
    if told.is_none_or(|history| history.raw.is_empty()) {
        return Ok(None);
    }
    // A file that cannot be read says nothing: the number of the timeline is right.
    let lines = cx.read_timeline_history()?.unwrap_or_default();
    Ok(other_switch(cx, &lines))
}

/// The last line of the store and that of the same timeline in `lines`, when they differ.
fn other_switch(cx: &Cx<'_>, lines: &[HistoryLine]) -> Option<String> {
    let stored = cx.view.history.as_ref()?.lines().pop()?;
    let mine = lines.iter().find(|line| line.timeline == stored.timeline)?;
    let (theirs, mine) = (stored.switchpoint, mine.switchpoint);
    (theirs != mine).then(|| {
        let timeline = stored.timeline;
        format!(
            "timeline {timeline} ends at {theirs} in the history of the cluster, at {mine} in mine"
        )
    })
}

/// The last stored line is that of the previous timeline, with all five elements.
fn is_complete(stored: Option<&History>, previous: Timeline) -> bool {
    let last = stored.and_then(|history| history.raw.last());
    let full = last
        .and_then(|line| line.as_array())
        .is_some_and(|line| line.len() == 5);
    let switch = stored.and_then(|history| history.lines().pop());
    full && switch.is_some_and(|line| line.timeline == previous)
}

/// The lines of the local file; what the store knew about older ones is kept when the switch is
/// the same. The last line came with its own time from the file.
fn merge(cx: &Cx<'_>, mut lines: Vec<HistoryLine>) -> History {
    let stored = cx.view.history.as_ref().map(History::lines);
    let stored = stored.unwrap_or_default();
    let newest = lines.len().saturating_sub(1);
    for (index, line) in lines.iter_mut().enumerate() {
        if index == newest {
            line.new_leader = Some(cx.me().to_string());
            continue;
        }
        let known = stored.iter().find(|old| old.timeline == line.timeline);
        if let Some(known) = known.filter(|old| old.switchpoint == line.switchpoint) {
            line.timestamp.clone_from(&known.timestamp);
            line.new_leader.clone_from(&known.new_leader);
        } else {
            (line.timestamp, line.new_leader) = (None, None);
        }
    }
    let keep = cx.settings.max_timelines_history;
    if keep > 0 && lines.len() > keep {
        lines.drain(..lines.len() - keep);
    }
    History::new(&lines)
}
