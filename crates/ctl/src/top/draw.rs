//! From what is known to a picture of it.

use std::time::Duration;

use patroni_config::dynamic::SynchronousMode;
use patroni_core::failover::ScheduledAt;
use patroni_core::{Cluster, MemberName};
use unicode_width::UnicodeWidthStr as _;

use super::board::Board;
use super::detail::{details, help, history_lines, history_of};
use super::frame::{Frame, Line, Look, Paint, harmless};
use super::table::{look_of, table};
use crate::context::dynamic;
use crate::output::members::Row;
use crate::view::Part;

/// When and on what a picture is made.
pub(crate) struct Moment {
    /// Columns and rows.
    pub(crate) size: (u16, u16),
    /// Local time in words.
    pub(crate) clock: String,
    /// The monotonic clock.
    pub(crate) now: Duration,
    /// What the terminal can show.
    pub(crate) paint: Paint,
}

/// The picture: what leads, the members, the chosen one, the history, the keys.
pub(crate) fn draw(board: &Board, moment: &Moment) -> Frame {
    let (width, height) = (usize::from(moment.size.0), usize::from(moment.size.1));
    let mut lines = head(board, moment);
    let footer = footer(board, moment.paint);
    let room = height.saturating_sub(lines.len() + 1);
    if board.help {
        lines.extend(help().into_iter().take(room));
    } else {
        lines.extend(body(board, moment, room));
    }
    let mark = if moment.paint.unicode { '…' } else { '~' };
    lines.truncate(height.saturating_sub(1));
    lines.resize(height.saturating_sub(1), Line::default());
    lines.push(footer);
    lines.truncate(height);
    let lines = lines.into_iter().map(|line| line.within(width, mark));
    Frame {
        lines: lines.collect(),
    }
}

fn plain(text: impl Into<String>) -> Line {
    Line::default().with(Look::Plain, text)
}

fn head(board: &Board, moment: &Moment) -> Vec<Line> {
    let right = format!("{}  every {} s ", moment.clock, board.period.as_secs_f64());
    let mut first =
        Line::default().with(Look::Strong, format!(" {}", harmless(board.scope.as_str())));
    let gap = usize::from(moment.size.0).saturating_sub(first.width() + right.width());
    first = first.with(Look::Quiet, format!("{}{right}", " ".repeat(gap.max(2))));
    let mut lines = vec![first];
    let Some(seen) = &board.seen else {
        lines.push(match &board.fault {
            None => Line::default().with(Look::Quiet, " reading the store"),
            Some(why) => {
                Line::default().with(Look::Bad, format!(" not read yet: {}", harmless(why)))
            }
        });
        return lines;
    };
    for part in &seen.view.parts {
        lines.extend(part_lines(part, seen.view.parts.len() > 1));
    }
    let age = moment.now.saturating_sub(seen.at).as_secs();
    if let Some(why) = &board.fault {
        lines.push(Line::default().with(
            Look::Bad,
            format!(" stale: read {age} s ago; {}", harmless(why)),
        ));
    } else if Duration::from_secs(age) > board.period * 2 + Duration::from_secs(2) {
        lines.push(Line::default().with(
            Look::Warn,
            format!(" read {age} s ago; the store does not answer yet"),
        ));
    }
    lines
}

/// Who leads, and the modes of one cluster or group.
fn part_lines(part: &Part, several: bool) -> Vec<Line> {
    let members = part.cluster.members.iter();
    let rows: Vec<Row> = members.map(|member| Row::read(part, member)).collect();
    let mut first = plain(" ");
    if let Some(group) = part.group.filter(|_| several) {
        first = first.with(Look::Quiet, format!("group {group}: "));
    }
    let mut lines = vec![who_leads(first, &rows), modes(&part.cluster, &rows)];
    lines.extend(switchover(&part.cluster));
    lines
}

fn who_leads(line: Line, rows: &[Row]) -> Line {
    let Some(leader) = rows.iter().find(|row| row.leads) else {
        return line.with(
            Look::Bad,
            match rows.len() {
                0 => "no members".to_owned(),
                count => format!("nobody leads; members: {count}"),
            },
        );
    };
    let timeline = leader.timeline;
    let timeline = timeline.map(|timeline| format!(", timeline {timeline}"));
    let line = line.with(look_of(leader), harmless(&leader.name)).with(
        Look::Plain,
        " leads".to_owned() + &timeline.unwrap_or_default(),
    );
    let standbys = || rows.iter().filter(|row| !row.leads);
    let streaming = standbys().filter(|row| look_of(row) == Look::Good).count();
    match standbys().count() {
        0 => line.with(Look::Warn, ", no replicas"),
        all => line.with(
            warn_if(streaming < all),
            format!(", {streaming} of {all} replicas streaming"),
        ),
    }
}

fn modes(cluster: &Cluster, rows: &[Row]) -> Line {
    let settings = dynamic(cluster);
    let synchronous = synchronous(cluster, settings.synchronous_mode);
    let maintenance = if settings.pause {
        "on: nobody fails over"
    } else {
        "off"
    };
    let pending = rows.iter().filter(|row| row.pending).count();
    Line::default()
        .with(Look::Quiet, " synchronous ")
        .with(Look::Plain, harmless(&synchronous))
        .with(Look::Quiet, "   maintenance ")
        .with(warn_if(settings.pause), maintenance)
        .with(Look::Quiet, "   pending restarts ")
        .with(warn_if(pending > 0), pending.to_string())
}

const fn warn_if(odd: bool) -> Look {
    if odd { Look::Warn } else { Look::Plain }
}

fn synchronous(cluster: &Cluster, mode: SynchronousMode) -> String {
    let word = match mode {
        SynchronousMode::Off => return "off".to_owned(),
        SynchronousMode::Priority => "priority",
        SynchronousMode::Quorum => "quorum",
    };
    let standbys = cluster.sync.standbys.iter().map(MemberName::as_str);
    let standbys: Vec<&str> = standbys.collect();
    if standbys.is_empty() {
        format!("{word}, no standby")
    } else {
        format!("{word}: {}", standbys.join(", "))
    }
}

fn switchover(cluster: &Cluster) -> Option<Line> {
    let request = &cluster.failover.as_ref()?.request;
    let at = ScheduledAt::text(request.scheduled_at.as_ref()?);
    let mut text = format!(" switchover scheduled at {at}");
    for (word, name) in [("from", &request.leader), ("to", &request.candidate)] {
        if let Some(name) = name {
            text.extend([" ", word, " ", name.as_str()]);
        }
    }
    Some(Line::default().with(Look::Accent, harmless(&text)))
}

/// Everything between the head and the keys, within `room` lines: the members first, then the
/// chosen one, then the history.
fn body(board: &Board, moment: &Moment, room: usize) -> Vec<Line> {
    let rows = board.rows();
    let place = board.place();
    let mut lines = vec![Line::default()];
    let table = table(board, &rows, moment);
    let details = rows
        .get(place)
        .map(|row| details(board, row))
        .unwrap_or_default();
    // The members may have what the details leave, or half of it all when they are many.
    let most = room.saturating_sub(details.len() + 3).max(room / 2).max(2);
    lines.extend(window(table, place, most));
    lines.push(Line::default());
    lines.extend(details);
    let left = room.saturating_sub(lines.len() + 1);
    if left > 1 {
        let part = rows.get(place).map(|row| row.group);
        let history = part.and_then(|group| history_of(board, group));
        lines.push(Line::default());
        lines.extend(history_lines(history, left));
    }
    lines.truncate(room);
    lines
}

/// The header and those rows that are around the chosen one.
fn window(mut table: Vec<Line>, place: usize, most: usize) -> Vec<Line> {
    let shown = most.saturating_sub(1).max(1);
    let rows = table.len().saturating_sub(1);
    let first = place
        .saturating_sub(shown / 2)
        .min(rows.saturating_sub(shown));
    let mut lines: Vec<Line> = table.drain(..1.min(table.len())).collect();
    lines.extend(table.into_iter().skip(first).take(shown));
    lines
}

/// The keys that matter most.
fn footer(board: &Board, paint: Paint) -> Line {
    let arrows = if paint.unicode { "↑↓" } else { "j k" };
    let order = format!("sort: {}", board.order.name());
    let mut line = plain(" ");
    for (key, what) in [
        ("q", "quit"),
        (arrows, "select"),
        ("s", order.as_str()),
        ("r", "read now"),
        ("?", "help"),
    ] {
        line = line
            .with(Look::Strong, key)
            .with(Look::Quiet, format!(" {what}   "));
    }
    line
}

#[cfg(test)]
mod tests;
