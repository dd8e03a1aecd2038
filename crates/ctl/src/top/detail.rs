//! The chosen member, the history of its cluster, and the keys.

use patroni_core::{History, MemberData, value};

use super::board::Board;
use super::frame::{Line, Look, harmless};
use super::table::host;
use crate::output::members::{Position, Row};
use crate::yaml;

/// What is known of a member beyond its row.
pub(super) fn details(board: &Board, row: &Row) -> Vec<Line> {
    let mut lines = vec![title(&harmless(&row.name))];
    let mut tell = |word: &str, text: String| {
        if !text.is_empty() {
            let line = Line::default().with(Look::Quiet, format!("   {word:<18}"));
            lines.push(line.with(Look::Plain, harmless(&text)));
        }
    };
    let data = board.seen.iter().flat_map(|seen| seen.view.parts.iter());
    let data = data
        .filter(|part| part.group == row.group)
        .flat_map(|part| &part.cluster.members)
        .find(|member| member.name.as_str() == row.name)
        .map(|member| &member.data);
    let text = |key: &str| {
        let value = data.and_then(|data| data.as_map().get(key));
        value.map(value::text).unwrap_or_default()
    };
    tell("PostgreSQL", host(row));
    tell("REST", text("api_url"));
    tell("daemon", text("version"));
    let position = match (row.receive, row.replay) {
        (Position::At { lsn: receive, .. }, Position::At { lsn: replay, .. }) => {
            format!("received {receive}, replayed {replay}")
        }
        (_, Position::At { lsn, .. }) => format!("replayed {lsn}"),
        (Position::At { lsn, .. }, _) => format!("received {lsn}"),
        _ => data
            .and_then(MemberData::position)
            .map(|lsn| format!("written {lsn}"))
            .unwrap_or_default(),
    };
    tell("position", position);
    tell(
        "restart pending",
        row.reasons()
            .map(|(_, line)| line)
            .collect::<Vec<_>>()
            .join(", "),
    );
    tell("restart scheduled", row.scheduled());
    let tags = row.tags.clone().filter(|tags| !tags.is_empty());
    let tags = tags.map(|tags| yaml::flow(&tags.into()));
    tell("tags", tags.unwrap_or_default());
    lines
}

/// The history of a group, or of the plain cluster.
pub(super) fn history_of(board: &Board, group: Option<u32>) -> Option<&History> {
    let mut parts = board.seen.as_ref()?.view.parts.iter();
    parts
        .find(|part| part.group == group)?
        .cluster
        .history
        .as_ref()
}

/// The newest changes of timeline that fit into so many lines.
pub(super) fn history_lines(history: Option<&History>, most: usize) -> Vec<Line> {
    let changes = history.map(History::lines).unwrap_or_default();
    let mut lines = vec![title("history")];
    if changes.is_empty() {
        lines.push(Line::default().with(Look::Quiet, "   no change of timeline yet"));
    }
    for change in changes.iter().rev().take(most.saturating_sub(1)) {
        let who = harmless(change.new_leader.as_deref().unwrap_or("unknown"));
        let line = Line::default().with(
            Look::Plain,
            format!(
                "   {:>4}  {}  ",
                change.timeline.next().number(),
                change
                    .timestamp
                    .as_deref()
                    .map_or_else(|| "time not kept".to_owned(), harmless)
            ),
        );
        let why = format!("  at {}: {}", change.switchpoint, harmless(&change.reason));
        lines.push(line.with(Look::Strong, who).with(Look::Quiet, why));
    }
    lines
}

/// The keys, in words.
pub(super) fn help() -> Vec<Line> {
    let keys = [
        ("q", "quit"),
        ("up, k", "the member above"),
        ("down, j", "the member below"),
        ("Home, g", "the first member"),
        ("End, G", "the last member"),
        ("s", "sort by tree, name or lag"),
        ("r", "read the store now"),
        ("?", "back to the members"),
    ];
    let mut lines = vec![Line::default(), title("keys")];
    lines.extend(keys.map(|(key, what)| {
        Line::default()
            .with(Look::Strong, format!("   {key:<12}"))
            .with(Look::Plain, what)
    }));
    lines.push(Line::default());
    lines.push(title(
        "Lags are those that the members published last. This view only reads.",
    ));
    lines
}

fn title(text: &str) -> Line {
    Line::default().with(Look::Quiet, format!(" {text}"))
}
