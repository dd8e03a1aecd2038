//! What the view knows, and what its reader chose.

use std::collections::BTreeMap;
use std::time::Duration;

use patroni_core::Scope;

use super::trend::Trend;
use crate::output::members::{Position, Row};
use crate::output::topology;
use crate::screen::{Input, Key};
use crate::view::{Part, View};

/// A member: its group and its name.
pub(super) type Who = (Option<u32>, String);

/// What is known and chosen.
pub(crate) struct Board {
    pub(super) scope: Scope,
    pub(super) period: Duration,
    pub(super) seen: Option<Seen>,
    /// Why nothing was read since.
    pub(super) fault: Option<String>,
    pub(super) trends: BTreeMap<Who, Trend>,
    pub(super) order: Order,
    pub(super) help: bool,
    chosen: Option<Who>,
}

/// What was read last.
pub(super) struct Seen {
    pub(super) view: View,
    /// When its reading ended, on the monotonic clock.
    pub(super) at: Duration,
}

/// The order of the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Below whom they replicate from.
    Tree,
    Name,
    /// The one that lags most first.
    Lag,
}

/// What an input asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// To go on; the picture may be another one.
    Go,
    /// To read the store now.
    Read,
    /// To end with this exit status.
    End(u8),
}

impl Order {
    const fn next(self) -> Self {
        match self {
            Self::Tree => Self::Name,
            Self::Name => Self::Lag,
            Self::Lag => Self::Tree,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tree => "tree",
            Self::Name => "name",
            Self::Lag => "lag",
        }
    }
}

impl Board {
    /// An empty board that is to be filled once in `period`.
    pub(crate) const fn new(scope: Scope, period: Duration) -> Self {
        Self {
            scope,
            period,
            seen: None,
            fault: None,
            trends: BTreeMap::new(),
            order: Order::Tree,
            help: false,
            chosen: None,
        }
    }

    /// Takes what was read. Members that are gone are forgotten.
    pub(crate) fn saw(&mut self, view: View, at: Duration) {
        let mut before = std::mem::take(&mut self.trends);
        for part in &view.parts {
            for member in &part.cluster.members {
                let row = Row::read(part, member);
                let who = (row.group, row.name.clone());
                let mut trend = before.remove(&who).unwrap_or_default();
                trend.note(lag(&row));
                self.trends.insert(who, trend);
            }
        }
        self.seen = Some(Seen { view, at });
        self.fault = None;
    }

    /// Nothing could be read. What was read before stays, and is told to be old.
    pub(crate) fn failed(&mut self, why: String) {
        self.fault = Some(why);
    }

    /// Takes an input.
    pub(crate) fn take(&mut self, input: Input) -> Step {
        let key = match input {
            Input::Key(key) => key,
            Input::Resized => return Step::Go,
            Input::End(status) => return Step::End(status),
        };
        let last = self.rows().len().saturating_sub(1);
        let place = self.place();
        match key {
            Key::Interrupt | Key::Char('q') => return Step::End(0),
            Key::Char('r') => return Step::Read,
            Key::Char('s') => self.order = self.order.next(),
            Key::Char('?' | 'h') => self.help = !self.help,
            Key::Up | Key::Char('k') => self.choose(place.saturating_sub(1)),
            Key::Down | Key::Char('j') => self.choose((place + 1).min(last)),
            Key::Home | Key::Char('g') => self.choose(0),
            Key::End | Key::Char('G') => self.choose(last),
            Key::Char(_) => {}
        }
        Step::Go
    }

    /// The members in their order, groups ascending.
    pub(super) fn rows(&self) -> Vec<Row> {
        let parts = self.seen.iter().flat_map(|seen| &seen.view.parts);
        parts.flat_map(|part| self.rows_of(part)).collect()
    }

    fn rows_of(&self, part: &Part) -> Vec<Row> {
        let read = |member| Row::read(part, member);
        let by_name = || {
            let mut rows: Vec<Row> = part.cluster.members.iter().map(read).collect();
            rows.sort_by(|a, b| a.name.cmp(&b.name));
            rows
        };
        let mut rows = by_name();
        match self.order {
            Order::Name => {}
            Order::Lag => rows.sort_by_key(|row| std::cmp::Reverse(lag(row))),
            Order::Tree => {
                rows = topology::arrange(rows);
                // Those who replicate in a circle have no place in it, and must be seen.
                let known: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
                let lost = by_name()
                    .into_iter()
                    .filter(|row| !known.contains(&row.name));
                rows.extend(lost);
            }
        }
        rows
    }

    /// Which of the rows is the chosen one; the first when that is gone.
    pub(super) fn place(&self) -> usize {
        let rows = self.rows();
        let found = self.chosen.as_ref().and_then(|(group, name)| {
            let mut places = rows.iter();
            places.position(|row| row.group == *group && row.name == *name)
        });
        found.unwrap_or(0)
    }

    fn choose(&mut self, place: usize) {
        self.chosen = self
            .rows()
            .get(place)
            .map(|row| (row.group, row.name.clone()));
    }
}

/// The replay lag in bytes; the leader has none.
pub(super) fn lag(row: &Row) -> Option<u64> {
    [row.replay, row.receive]
        .into_iter()
        .find_map(|position| match position {
            Position::At { lag, .. } => Some(lag),
            Position::Leader | Position::Unknown => None,
        })
}
