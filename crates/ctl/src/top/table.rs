//! The table of members.

use unicode_width::UnicodeWidthStr as _;

use super::board::{Board, Who, lag};
use super::draw::Moment;
use super::frame::{Line, Look, Paint, cut, harmless};
use super::trend::Direction;
use crate::output::Align;
use crate::output::members::{Position, Row};
use crate::yaml;

/// So many rounds of lag are drawn.
const TREND: usize = 12;

/// Columns in front of the notes give way before the notes are narrower than this.
const NOTES: usize = 16;

/// No name, role or state takes more columns than this.
const WIDEST: usize = 28;

struct Column {
    title: &'static str,
    align: Align,
    /// Those with the highest number give way first; 0 never.
    gives_way: u8,
    cells: Vec<(Look, String)>,
}

impl Column {
    fn width(&self) -> usize {
        let cells = self.cells.iter().map(|(_, text)| text.width());
        cells.chain([self.title.width()]).max().unwrap_or(0)
    }
}

/// The header and one line for each row; nothing without rows.
pub(super) fn table(board: &Board, rows: &[Row], moment: &Moment) -> Vec<Line> {
    if rows.is_empty() {
        return Vec::new();
    }
    let mut columns = columns(board, rows, moment.paint);
    let width = usize::from(moment.size.0);
    let taken = |columns: &[Column]| {
        let columns = columns.iter().map(|column| column.width() + 2);
        2 + columns.sum::<usize>()
    };
    loop {
        let first = columns.iter().map(|column| column.gives_way).max();
        let first = first.unwrap_or(0);
        // The last of them would rather see the notes go.
        let notes = if first > 1 { NOTES } else { 0 };
        if first == 0 || taken(&columns) + notes <= width {
            break;
        }
        columns.retain(|column| column.gives_way != first);
    }
    let mut header = Line::default().with(Look::Plain, "  ");
    for column in &columns {
        header = header.with(Look::Quiet, padded(column.title, column));
    }
    let mut lines = vec![header.with(Look::Quiet, "NOTES")];
    for (index, row) in rows.iter().enumerate() {
        let chosen = index == board.place();
        let mut line = Line::default().with(Look::Plain, if chosen { "> " } else { "  " });
        for column in &columns {
            let (look, text) = &column.cells[index];
            line = line.with(*look, padded(text, column));
        }
        line.chosen = chosen;
        lines.push(line.with(notes_look(row), notes(row)));
    }
    lines
}

fn padded(text: &str, column: &Column) -> String {
    let gap = " ".repeat(column.width().saturating_sub(text.width()));
    match column.align {
        Align::Left => format!("{text}{gap}  "),
        Align::Right => format!("{gap}{text}  "),
    }
}

fn columns(board: &Board, rows: &[Row], paint: Paint) -> Vec<Column> {
    let mark = if paint.unicode { '…' } else { '~' };
    let column = |title, align, gives_way, cell: &dyn Fn(&Row) -> (Look, String)| Column {
        title,
        align,
        gives_way,
        cells: rows
            .iter()
            .map(cell)
            .map(|(look, text)| (look, cut(&harmless(&text), WIDEST, mark)))
            .collect(),
    };
    let plain = |text: String| (Look::Plain, text);
    let mut columns = Vec::new();
    if rows.iter().any(|row| row.group.is_some()) {
        let group = |row: &Row| plain(row.group.map(|group| group.to_string()).unwrap_or_default());
        columns.push(column("GROUP", Align::Right, 0, &group));
    }
    let role = |row: &Row| {
        let look = if row.leads { Look::Accent } else { Look::Plain };
        (look, row.role.to_owned())
    };
    let state = |row: &Row| (look_of(row), state_of(row));
    let timeline = |row: &Row| {
        plain(
            row.timeline
                .map(|number| number.to_string())
                .unwrap_or_default(),
        )
    };
    let replay = |row: &Row| match lag(row) {
        None if row.leads => plain(String::new()),
        None => (Look::Warn, "unknown".to_owned()),
        Some(bytes) => plain(size(bytes)),
    };
    let receive = |row: &Row| plain(lag_text(row.receive));
    columns.extend([
        column("MEMBER", Align::Left, 0, &|row: &Row| {
            (Look::Strong, tree_name(row, paint))
        }),
        column("HOST", Align::Left, 5, &|row: &Row| plain(host(row))),
        column("ROLE", Align::Left, 1, &role),
        column("STATE", Align::Left, 0, &state),
        column("TL", Align::Right, 2, &timeline),
        column("RECEIVE", Align::Right, 4, &receive),
        column("LAG", Align::Right, 0, &replay),
        column("TREND", Align::Left, 3, &|row: &Row| {
            plain(trend(board, row, paint))
        }),
    ]);
    columns
}

fn tree_name(row: &Row, paint: Paint) -> String {
    match row.level.checked_sub(1) {
        None => row.name.clone(),
        Some(steps) => {
            let branch = if paint.unicode { "└" } else { "+" };
            format!("{}{branch} {}", "  ".repeat(steps), row.name)
        }
    }
}

pub(super) fn host(row: &Row) -> String {
    row.address
        .as_ref()
        .map(|address| format!("{}:{}", address.host, address.port))
        .unwrap_or_default()
}

fn state_of(row: &Row) -> String {
    match row.state.as_str() {
        "" => "unknown".to_owned(),
        "running" if !row.leads => "running, no stream".to_owned(),
        state => state.to_owned(),
    }
}

/// How well a member is.
pub(super) fn look_of(row: &Row) -> Look {
    let follows = row.role == "Standby Leader" && row.state == "in archive recovery";
    match row.state.as_str() {
        "streaming" => Look::Good,
        "running" if row.leads => Look::Good,
        _ if follows => Look::Good,
        "" | "stopped" | "unknown" => Look::Bad,
        state if state.contains("failed") || state.contains("crashed") => Look::Bad,
        _ => Look::Warn,
    }
}

fn lag_text(position: Position) -> String {
    match position {
        Position::Leader => String::new(),
        Position::Unknown => "unknown".to_owned(),
        Position::At { lag, .. } => size(lag),
    }
}

fn trend(board: &Board, row: &Row, paint: Paint) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const ASCII: [char; 8] = ['_', '.', '-', ':', '=', '+', '*', '#'];
    let who: Who = (row.group, row.name.clone());
    let Some(trend) = board.trends.get(&who).filter(|_| !row.leads) else {
        return String::new();
    };
    let (levels, gap, arrows) = if paint.unicode {
        (BARS, '·', ["↗", "→", "↘", "?"])
    } else {
        (ASCII, ' ', ["^", "=", "v", "?"])
    };
    let arrow = match trend.direction() {
        Direction::Rising => arrows[0],
        Direction::Steady => arrows[1],
        Direction::Falling => arrows[2],
        Direction::Unknown => arrows[3],
    };
    format!("{} {arrow}", trend.line(TREND, levels, gap))
}

fn notes(row: &Row) -> String {
    let mut notes = Vec::new();
    if row.pending {
        notes.push("restart pending".to_owned());
    }
    if !row.scheduled().is_empty() {
        notes.push("restart scheduled".to_owned());
    }
    for (key, value) in row.tags.iter().flatten() {
        notes.push(match value {
            serde_json::Value::Bool(true) => key.clone(),
            value => format!("{key}: {}", yaml::flow(value)),
        });
    }
    harmless(&notes.join(", "))
}

const fn notes_look(row: &Row) -> Look {
    if row.pending { Look::Warn } else { Look::Plain }
}

/// Bytes in the largest unit that leaves a number above one, with one decimal below ten.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut shown = format!("{bytes} B");
    for (unit, shift) in UNITS.into_iter().zip((10..).step_by(10)) {
        if bytes >> shift == 0 {
            break;
        }
        let tenths = (u128::from(bytes) * 10) >> shift;
        shown = if tenths < 100 {
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        } else {
            format!("{} {unit}", tenths / 10)
        };
    }
    shown
}
