//! What the table of nodes should say about a group.

use std::fmt;
use std::time::Duration;

use patroni_core::{Cluster, ConnUrl, Member, MemberName, Role, State};
use serde::{Deserialize, Serialize};

/// How long backends that hold a row's lock are left alone, unless an event says otherwise.
pub const COOLDOWN: Duration = Duration::from_secs(10);

/// Where a node is. It tells nodes of a group apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Address {
    /// In lower case.
    pub host: String,
    /// The port of PostgreSQL.
    pub port: u16,
}

impl Address {
    fn of(url: &ConnUrl) -> Option<Self> {
        let host = url.host.to_ascii_lowercase();
        let port = url.port;
        (!host.is_empty()).then_some(Self { host, port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What a node is in its group, as the table knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NodeRole {
    /// Its address is the group's.
    Primary,
    /// The group's address while its primary steps down: nobody must reach it, so the host has
    /// the suffix [`DEMOTED`](NodeRole::SUFFIX) in the table.
    Demoted,
    /// For reads.
    Secondary,
}

impl NodeRole {
    /// Appended to the host of a primary that steps down.
    pub const SUFFIX: &'static str = "-demoted";

    /// The row that stands for the group.
    pub const fn leads(self) -> bool {
        matches!(self, Self::Primary | Self::Demoted)
    }

    /// The word of the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Primary | Self::Demoted => "primary",
            Self::Secondary => "secondary",
        }
    }
}

/// A node as the table has it, or should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Where it is.
    pub address: Address,
    /// What it is.
    pub role: NodeRole,
}

impl Row {
    /// The host as it stands in the table.
    pub fn host(&self) -> String {
        match self.role {
            NodeRole::Demoted => format!("{}{}", self.address.host, NodeRole::SUFFIX),
            NodeRole::Primary | NodeRole::Secondary => self.address.host.clone(),
        }
    }

    /// From the columns `nodename`, `nodeport` and `noderole`.
    pub fn from_table(host: &str, port: u16, role: &str) -> Self {
        let (host, role) = match (role, host.strip_suffix(NodeRole::SUFFIX)) {
            ("primary", Some(host)) => (host, NodeRole::Demoted),
            ("primary", None) => (host, NodeRole::Primary),
            _ => (host, NodeRole::Secondary),
        };
        let host = host.to_owned();
        Self {
            address: Address { host, port },
            role,
        }
    }
}

/// What happened, or seems to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The leader of a worker group is about to stop.
    BeforeDemote,
    /// A new one is about to be promoted.
    BeforePromote,
    /// It has been, or was seen as primary.
    AfterPromote,
}

impl Event {
    /// Its name in requests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BeforeDemote => "before_demote",
            Self::BeforePromote => "before_promote",
            Self::AfterPromote => "after_promote",
        }
    }
}

/// The number of a group.
pub type Group = u32;

/// The group of the coordinator.
pub const COORDINATOR: Group = 0;

/// What a group should look like, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Which group.
    pub group: Group,
    /// Why.
    pub event: Event,
    /// All its rows, the primary first.
    pub rows: Vec<Row>,
    /// For how long a transaction that it opens may stay open; `None` for the periodic look.
    pub timeout: Option<Duration>,
    /// For how long backends that hold the locks are left alone.
    pub cooldown: Duration,
}

/// An address that a member published and nobody can read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Failed to parse connection url {url}: it is not postgres://HOST[:PORT]/DATABASE")]
pub struct BadUrl {
    /// The address.
    pub url: String,
}

impl Task {
    /// What the periodic look finds, if the leader of the group is a running primary. Addresses
    /// that cannot be read are added to `bad`: a secondary is left out, a leader leaves no task.
    pub fn periodic(group: Group, view: &Cluster, bad: &mut Vec<BadUrl>) -> Option<Self> {
        let leader = view.leader_member()?;
        let runs = leader.data.role() == Some(Role::Primary) && is_running(leader);
        runs.then(|| Self::with(group, view, leader, Event::AfterPromote, bad))?
    }

    /// The coordinator's own group, by its own word: the store may not show it yet.
    pub fn own(view: &Cluster, me: &MemberName, bad: &mut Vec<BadUrl>) -> Option<Self> {
        Self::with(
            COORDINATOR,
            view,
            view.member(me)?,
            Event::AfterPromote,
            bad,
        )
    }

    /// What the leader of a worker group tells, if the store knows it as that: else the event is
    /// discarded, and the periodic look will see what became of it.
    pub fn told(
        group: Group,
        view: &Cluster,
        told: &Told<'_>,
        bad: &mut Vec<BadUrl>,
    ) -> Option<Self> {
        let leader = view.leader_member().filter(|l| l.name == *told.leader)?;
        let task = Self::with(group, view, leader, told.event, bad)?;
        Some(Self {
            timeout: Some(told.timeout),
            cooldown: told.cooldown,
            ..task
        })
    }

    fn with(
        group: Group,
        view: &Cluster,
        leader: &Member,
        event: Event,
        bad: &mut Vec<BadUrl>,
    ) -> Option<Self> {
        let role = match event {
            Event::BeforeDemote => NodeRole::Demoted,
            Event::BeforePromote | Event::AfterPromote => NodeRole::Primary,
        };
        let mut rows = vec![row(leader, role, bad)?];
        let others = view
            .members
            .iter()
            .filter(|member| member.name != leader.name && is_running(member))
            .filter(|member| !member.data.tags().noloadbalance());
        rows.extend(others.filter_map(|member| row(member, NodeRole::Secondary, bad)));
        Some(Self {
            group,
            event,
            rows,
            timeout: None,
            cooldown: COOLDOWN,
        })
    }
}

/// `before_demote of group 1: a:5432 demoted, b:5432 secondary`
impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of group {}:", self.event.as_str(), self.group)?;
        for (at, row) in self.rows.iter().enumerate() {
            let gap = if at == 0 { " " } else { ", " };
            let role = match row.role {
                NodeRole::Demoted => "demoted",
                NodeRole::Primary | NodeRole::Secondary => row.role.as_str(),
            };
            write!(f, "{gap}{} {role}", row.address)?;
        }
        Ok(())
    }
}

/// What an event says.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// What happens.
    pub event: Event,
    /// To whom.
    pub leader: &'a MemberName,
    /// For how long a transaction may stay open for it.
    pub timeout: Duration,
    /// For how long backends that hold the locks are left alone.
    pub cooldown: Duration,
}

fn is_running(member: &Member) -> bool {
    member.data.state() == State::Running.as_str()
}

fn row(member: &Member, role: NodeRole, bad: &mut Vec<BadUrl>) -> Option<Row> {
    let url = member.data.conn_url()?;
    let Some(parsed) = ConnUrl::parse(&url) else {
        bad.push(BadUrl { url });
        return None;
    };
    Address::of(&parsed).map(|address| Row { address, role })
}

#[cfg(test)]
mod tests {
    use super::*;
    use patroni_core::MemberData;
    use serde_json::{Value, json};

    fn member(name: &str, url: &str, state: &str, tags: &Value) -> Member {
        let data = json!({"conn_url": url, "role": "replica", "state": state, "tags": tags});
        Member {
            name: MemberName::new(name),
            session: None,
            data: MemberData::parse(&data.to_string()),
        }
    }

    #[test]
    fn rows_are_the_leader_and_who_may_be_read_from() {
        let view = Cluster {
            members: vec![
                member("a", "postgres://A.Host/citus", "running", &json!({})),
                member("b", "postgres://b:5433/citus", "running", &json!({})),
                member("c", "postgres://c/citus", "starting", &json!({})),
                member(
                    "d",
                    "postgres://d/x",
                    "running",
                    &json!({"noloadbalance": true}),
                ),
                member("e", "nonsense", "running", &json!({})),
                member("f", "postgres:///citus", "running", &json!({})),
            ],
            ..Cluster::default()
        };
        let mut bad = Vec::new();
        let task = Task::own(&view, &MemberName::new("a"), &mut bad).unwrap();
        let shown: Vec<String> = task
            .rows
            .iter()
            .map(|row| format!("{} {}", row.address, row.role.as_str()))
            .collect();
        assert_eq!(shown, ["a.host:5432 primary", "b:5433 secondary"]);
        assert_eq!(
            task.to_string(),
            "after_promote of group 0: a.host:5432 primary, b:5433 secondary"
        );
        let urls: Vec<&str> = bad.iter().map(|bad| bad.url.as_str()).collect();
        assert_eq!(urls, ["nonsense"]);
        assert_eq!(Task::periodic(1, &view, &mut bad), None, "nobody leads");
    }

    #[test]
    fn the_table_and_rows_mean_the_same() {
        for (host, role) in [
            ("a", "primary"),
            ("a-demoted", "primary"),
            ("a-demoted", "secondary"),
        ] {
            let row = Row::from_table(host, 5432, role);
            assert_eq!((row.host().as_str(), row.role.as_str()), (host, role));
        }
    }
}
