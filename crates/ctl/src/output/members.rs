//! The table of members: list, topology, and what commands show before they ask.

use std::collections::BTreeSet;

use patroni_config::dynamic::SynchronousMode;
use patroni_core::failover::ScheduledAt;
use patroni_core::{Cluster, ConnUrl, Lsn, Member, value};
use serde_json::{Map, Value};

use super::{Align, Column, Format, Table, topology};
use crate::context::dynamic;
use crate::view::{Part, View};
use crate::yaml;

/// Which form of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `list` and the tables before questions.
    List,
    /// `topology`.
    Topology,
}

/// The text of the table in a format, with the lines below it in pretty output.
pub fn members_table(view: &View, format: Format, style: Style, extended: bool) -> String {
    let mut text = table(view, format, style, extended).render(format);
    if format == Format::Pretty {
        for part in &view.parts {
            let below = below(&part.cluster);
            if let Some(group) = part.group
                && !view.chosen
                && !below.is_empty()
            {
                text = text + "Citus group: " + &group.to_string() + "\n";
            }
            text.push_str(&below);
        }
    }
    text
}

fn table(view: &View, format: Format, style: Style, extended: bool) -> Table {
    let pretty = format == Format::Pretty;
    let mut rows = Vec::new();
    for part in &view.parts {
        let mut members: Vec<Row> = part
            .cluster
            .members
            .iter()
            .map(|member| Row::read(part, member))
            .collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        rows.push(members);
    }
    // members that `topology` cannot place count for the columns all the same
    let everybody = || rows.iter().flatten();
    let with_port = needs_port(everybody());
    let shown = |has: fn(&Row) -> bool| {
        extended || everybody().any(|row| row.address.is_some() && has(row))
    };
    let all = [
        (!pretty, Field::Cluster),
        (view.mpp && !(pretty && view.chosen), Field::Group),
        (true, Field::Member),
        (true, Field::Host),
        (true, Field::Role),
        (true, Field::State),
        (true, Field::Timeline),
        (true, Field::ReceiveLsn),
        (true, Field::ReceiveLag),
        (true, Field::ReplayLsn),
        (true, Field::ReplayLag),
        (shown(Row::is_pending), Field::Pending),
        (shown(Row::has_reason), Field::Reason),
        (shown(Row::has_schedule), Field::Schedule),
        (shown(Row::has_tags), Field::Tags),
    ];
    let fields: Vec<Field> = all
        .into_iter()
        .filter_map(|(wanted, field)| wanted.then_some(field))
        .collect();
    if style == Style::Topology {
        rows = rows.into_iter().map(topology::arrange).collect();
    }
    let look = Look {
        scope: view.scope.as_str(),
        format,
        style,
        with_port,
    };
    Table {
        title: Some(title(view)),
        columns: fields.iter().map(|field| field.column()).collect(),
        rows: rows
            .iter()
            .flatten()
            .map(|row| fields.iter().map(|field| field.cell(row, &look)).collect())
            .collect(),
        omit_empty: true,
        delimiter: None,
    }
}

fn title(view: &View) -> String {
    let identity = |part: &Part| match part.cluster.initialize.as_deref() {
        None => "uninitialized".to_owned(),
        Some("") => "initializing".to_owned(),
        Some(id) => id.to_owned(),
    };
    match (view.mpp, view.parts.as_slice()) {
        (false, [part]) => format!("Cluster: {} ({})", view.scope, identity(part)),
        (true, [part]) if view.chosen => format!(
            "Citus cluster: {} (group: {}, {})",
            view.scope,
            part.group.unwrap_or_default(),
            identity(part)
        ),
        _ => format!("Citus cluster: {}", view.scope),
    }
}

/// Ports are shown for all when one is unusual, or when two members share a host.
fn needs_port<'a>(rows: impl Iterator<Item = &'a Row>) -> bool {
    let addresses: Vec<&ConnUrl> = rows.filter_map(|row| row.address.as_ref()).collect();
    let hosts: BTreeSet<&str> = addresses
        .iter()
        .map(|address| address.host.as_str())
        .collect();
    hosts.len() < addresses.len() || addresses.iter().any(|address| address.port != 5432)
}

/// Maintenance mode and the scheduled switchover.
fn below(cluster: &Cluster) -> String {
    let mut text = String::new();
    if dynamic(cluster).pause {
        text.push_str(" Maintenance mode: on\n");
    }
    let request = cluster.failover.as_ref().map(|failover| &failover.request);
    if let Some((request, at)) =
        request.and_then(|request| Some((request, request.scheduled_at.as_ref()?)))
    {
        text = text + " Switchover scheduled at: " + ScheduledAt::text(at) + "\n";
        for (word, name) in [("from", &request.leader), ("to", &request.candidate)] {
            if let Some(name) = name {
                text += format!("{word:>24}: {name}\n").as_str();
            }
        }
    }
    text
}

/// One member, as the cluster document of REST computes it.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(super) replicates_from: Option<String>,
    /// How far below the leader `topology` shows it.
    pub(crate) level: usize,
    pub(crate) leads: bool,
    pub(crate) group: Option<u32>,
    pub(crate) address: Option<ConnUrl>,
    pub(crate) role: &'static str,
    pub(crate) state: String,
    pub(crate) timeline: Option<i64>,
    pub(crate) receive: Position,
    pub(crate) replay: Position,
    pub(crate) pending: bool,
    reason: Option<Map<String, Value>>,
    schedule: Option<Map<String, Value>>,
    pub(crate) tags: Option<Map<String, Value>>,
}

/// How far a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// The leader has none.
    Leader,
    Unknown,
    At {
        lsn: Lsn,
        lag: u64,
    },
}

impl Row {
    pub(crate) fn read(part: &Part, member: &Member) -> Self {
        let cluster = &part.cluster;
        let settings = dynamic(cluster);
        let leads = cluster.leader_name() == Some(&member.name);
        let role = if leads {
            if settings.standby_cluster.is_some() {
                "Standby Leader"
            } else {
                "Leader"
            }
        } else if cluster.sync.has_standby(&member.name) {
            match settings.synchronous_mode {
                SynchronousMode::Priority => "Sync Standby",
                SynchronousMode::Quorum => "Quorum Standby",
                SynchronousMode::Off => "Replica",
            }
        } else {
            "Replica"
        };
        let data = &member.data;
        let text = |field: &str| {
            data.as_map()
                .get(field)
                .map(value::text)
                .unwrap_or_default()
        };
        let state = match data.replication_state() {
            Some(state) if role != "Leader" => state.to_owned(),
            _ => text("state"),
        };
        let position = |lsn: Option<Lsn>| match lsn {
            _ if leads => Position::Leader,
            Some(lsn) => Position::At {
                lsn,
                lag: lsn.lag_behind(cluster.status.optime),
            },
            None => Position::Unknown,
        };
        // zero is how old versions say that they do not know
        let known = |lsn: Option<Lsn>| lsn.filter(|lsn| lsn.bytes() > 0);
        let (mut receive, mut replay) = (known(data.receive_lsn()), known(data.replay_lsn()));
        if receive.is_none() && replay.is_none() {
            // members of old versions publish their main position only
            if state == "streaming" {
                receive = known(data.position());
            } else {
                replay = known(data.position());
            }
        }
        let map = |field: &str| {
            let map = data.as_map().get(field).and_then(Value::as_object);
            map.cloned()
        };
        let filled = |field: &str| map(field).filter(|map| !map.is_empty());
        Self {
            name: member.name.to_string(),
            level: 0,
            replicates_from: data.tags().replicatefrom().map(|name| name.to_string()),
            leads,
            group: part.group,
            address: data.conn_url().as_deref().and_then(ConnUrl::parse),
            role,
            timeline: data.as_map().get("timeline").and_then(value::parse_int),
            receive: position(receive),
            replay: position(replay),
            pending: data.pending_restart(),
            reason: filled("pending_restart_reason"),
            schedule: filled("scheduled_restart"),
            tags: map("tags"),
            state,
        }
    }

    /// The name with its place in the tree of `topology`.
    fn label(&self) -> String {
        match self.level.checked_sub(1) {
            None => self.name.clone(),
            Some(steps) => format!("{}+ {}", "  ".repeat(steps), self.name),
        }
    }

    /// The parameters that wait for a restart: name, and `name: old->new`.
    pub(crate) fn reasons(&self) -> impl Iterator<Item = (&str, String)> {
        self.reason.iter().flatten().map(|(name, change)| {
            let side = |key: &str| change.get(key).map_or_else(|| "?".to_owned(), value::text);
            let line = format!("{name}: {}->{}", side("old_value"), side("new_value"));
            (name.as_str(), line)
        })
    }

    /// The scheduled restart in words, empty without one.
    pub(crate) fn scheduled(&self) -> String {
        let text = |key: &str| {
            let value = self.schedule.as_ref()?.get(key);
            value
                .filter(|value| value::is_truthy(value))
                .map(value::text)
        };
        let mut shown = text("schedule").unwrap_or_default();
        if let Some(version) = text("postgres_version") {
            shown = shown + " if version < " + &version;
        }
        shown
    }

    const fn is_pending(&self) -> bool {
        self.pending
    }

    const fn has_reason(&self) -> bool {
        self.reason.is_some()
    }

    const fn has_schedule(&self) -> bool {
        self.schedule.is_some()
    }

    fn has_tags(&self) -> bool {
        self.tags.as_ref().is_some_and(|tags| !tags.is_empty())
    }
}

struct Look<'a> {
    scope: &'a str,
    format: Format,
    style: Style,
    with_port: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Cluster,
    Group,
    Member,
    Host,
    Role,
    State,
    Timeline,
    ReceiveLsn,
    ReceiveLag,
    ReplayLsn,
    ReplayLag,
    Pending,
    Reason,
    Schedule,
    Tags,
}

impl Field {
    fn column(self) -> Column {
        let (key, align) = match self {
            Self::Cluster => ("Cluster", Align::Left),
            Self::Group => ("Group", Align::Right),
            Self::Member => ("Member", Align::Left),
            Self::Host => ("Host", Align::Left),
            Self::Role => ("Role", Align::Left),
            Self::State => ("State", Align::Left),
            Self::Timeline => ("TL", Align::Right),
            Self::ReceiveLsn => ("Receive LSN", Align::Right),
            Self::ReceiveLag => ("Receive Lag", Align::Right),
            Self::ReplayLsn => ("Replay LSN", Align::Right),
            Self::ReplayLag => ("Replay Lag", Align::Right),
            Self::Pending => ("Pending restart", Align::Left),
            Self::Reason => ("Pending restart reason", Align::Left),
            Self::Schedule => ("Scheduled restart", Align::Left),
            Self::Tags => ("Tags", Align::Left),
        };
        let mut column = Column::new(key, align);
        if matches!(self, Self::ReceiveLag | Self::ReplayLag) {
            "Lag".clone_into(&mut column.title);
        }
        column
    }

    fn cell(self, row: &Row, look: &Look<'_>) -> Value {
        match self {
            Self::Cluster => look.scope.into(),
            Self::Group => row.group.map_or_else(empty, Value::from),
            Self::Member => row.label().into(),
            Self::Host => host(row, look.with_port).into(),
            Self::Role => row.role.into(),
            Self::State => row.state.as_str().into(),
            Self::Timeline => row.timeline.map_or_else(empty, Value::from),
            Self::ReceiveLsn => lsn(row.receive),
            Self::ReceiveLag => lag(row.receive),
            Self::ReplayLsn => lsn(row.replay),
            Self::ReplayLag => lag(row.replay),
            Self::Pending => if row.pending { "*" } else { "" }.into(),
            Self::Reason => reason(row, look).into(),
            Self::Schedule => row.scheduled().into(),
            Self::Tags => tags(row, look),
        }
    }
}

fn empty() -> Value {
    "".into()
}

fn host(row: &Row, with_port: bool) -> String {
    match &row.address {
        None => String::new(),
        Some(address) if with_port => format!("{}:{}", address.host, address.port),
        Some(address) => address.host.clone(),
    }
}

fn lsn(position: Position) -> Value {
    match position {
        Position::Leader => empty(),
        Position::Unknown => "unknown".into(),
        Position::At { lsn, .. } => lsn.to_string().into(),
    }
}

/// MiB, rounded half to even.
fn lag(position: Position) -> Value {
    const MIB: u64 = 1 << 20;
    match position {
        Position::Leader | Position::Unknown => empty(),
        Position::At { lag, .. } => {
            let (whole, rest) = (lag / MIB, lag % MIB);
            let up = rest > MIB / 2 || (rest == MIB / 2 && whole % 2 == 1);
            (whole + u64::from(up)).into()
        }
    }
}

fn reason(row: &Row, look: &Look<'_>) -> String {
    const WIDEST: usize = 50;
    let lines: Vec<String> = row
        .reasons()
        .map(|(name, line)| {
            if look.format == Format::Pretty && line.chars().count() > WIDEST {
                format!("{name}: [hidden - too long]")
            } else {
                line
            }
        })
        .collect();
    lines.join("\n")
}

fn tags(row: &Row, look: &Look<'_>) -> Value {
    let Some(tags) = &row.tags else {
        return empty();
    };
    let tags = Value::Object(tags.clone());
    match (look.format, look.style) {
        (Format::Json | Format::Yaml | Format::Yml, _) => tags,
        (Format::Tsv, _) | (Format::Pretty, Style::Topology) => yaml::flow(&tags).into(),
        (Format::Pretty, Style::List) => yaml::block(&tags).trim_end().into(),
    }
}
