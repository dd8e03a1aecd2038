//! `GET /events`: what changes at a member, as server-sent events.
//!
//! Source of the format: the section on server-sent events of the HTML standard.

use std::collections::BTreeSet;
use std::time::Instant;

use jiff::Timestamp;
use patroni_config::dynamic::SynchronousMode;
use patroni_core::{MemberName, Role, Scope, State, Timeline, json};
use serde::{Deserialize, Serialize};

use super::snapshot::Snapshot;

/// The comment that keeps an idle connection alive and finds out dead ones.
pub const HEARTBEAT: &str = ": heartbeat\n\n";

/// A member as subscribers see it: the data of the first event, which is named `snapshot`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Present {
    /// The cluster's name.
    pub scope: Scope,
    /// The member's name.
    pub member: MemberName,
    /// The role in memory; `promoted` until the server accepts writes.
    pub role: Role,
    /// The state of the server.
    pub state: State,
    /// Who holds the lock. This member only while its own claim holds, as `/primary` says.
    pub leader: Option<MemberName>,
    /// The timeline of the server, when known.
    pub timeline: Option<Timeline>,
    /// The cluster is paused.
    pub pause: bool,
    /// Who stands in for whom in synchronous mode.
    pub sync: Sync,
    /// The store was read within `ttl`; if not, `leader` and `sync` are the last ones known.
    pub store: bool,
}

/// The synchronous state of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sync {
    /// Whether and how commits wait.
    pub mode: SyncMode,
    /// The leader that wrote the state.
    pub leader: Option<MemberName>,
    /// How many other nodes must be seen in a race; 0 in priority mode.
    pub quorum: usize,
    /// The synchronous standbys; in quorum mode the voters.
    pub standbys: BTreeSet<MemberName>,
}

/// Whether and how commits wait for standbys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncMode {
    /// They do not.
    #[default]
    Off,
    /// For chosen standbys.
    Priority,
    /// For any of the voters.
    Quorum,
}

/// One part of [`Present`] with its new value. The name of the event is the name of the part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// See [`Present::role`].
    Role(Role),
    /// See [`Present::state`].
    State(State),
    /// See [`Present::leader`].
    Leader(Option<MemberName>),
    /// See [`Present::timeline`].
    Timeline(Option<Timeline>),
    /// See [`Present::pause`].
    Pause(bool),
    /// See [`Present::sync`].
    Sync(Sync),
    /// See [`Present::store`].
    Store(bool),
}

/// The data of an event: when it was seen, and what. Laid over what is known already, each one
/// gives the present state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen<T> {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: T,
}

impl Present {
    /// The member at `now`. `before` is what was last shown of it.
    pub fn of(snapshot: &Snapshot, now: Instant, before: Option<&Self>) -> Self {
        let view = snapshot.view_at(now).map(|view| &view.cluster);
        let noted = match view {
            Some(view) => view.leader_name(),
            None => before.and_then(|before| before.leader.as_ref()),
        };
        let leader = if snapshot.has_lock(now) {
            Some(&snapshot.name)
        } else {
            noted.filter(|name| **name != snapshot.name)
        };
        let mut sync = match view {
            Some(view) => Sync {
                mode: SyncMode::Off,
                leader: view.sync.leader.clone(),
                quorum: view.sync.quorum,
                standbys: view.sync.standbys.clone(),
            },
            None => before.map_or_else(Sync::default, |before| before.sync.clone()),
        };
        sync.mode = snapshot.synchronous_mode.into();
        Self {
            scope: snapshot.scope.clone(),
            member: snapshot.name.clone(),
            role: snapshot.server_role,
            state: snapshot.server_state,
            leader: leader.cloned(),
            timeline: snapshot.timeline,
            pause: snapshot.paused,
            sync,
            store: view.is_some(),
        }
    }

    /// What is new since `before`, in the order of the fields.
    pub fn changes_since(&self, before: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut note = |changed: bool, change: Change| {
            if changed {
                changes.push(change);
            }
        };
        note(self.role != before.role, Change::Role(self.role));
        note(self.state != before.state, Change::State(self.state));
        let leader = self.leader.clone();
        note(leader != before.leader, Change::Leader(leader));
        let timeline = self.timeline;
        note(timeline != before.timeline, Change::Timeline(timeline));
        note(self.pause != before.pause, Change::Pause(self.pause));
        note(self.sync != before.sync, Change::Sync(self.sync.clone()));
        note(self.store != before.store, Change::Store(self.store));
        changes
    }

    /// When this member changes by itself: the next end of a claim after `now`.
    pub fn changes_at(snapshot: &Snapshot, now: Instant) -> Option<Instant> {
        let view = snapshot.view_at(now).map(|view| view.until);
        let lock = snapshot.lock_until.filter(|until| now < *until);
        view.into_iter().chain(lock).min()
    }
}

impl Change {
    /// The name of the event.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Role(_) => "role",
            Self::State(_) => "state",
            Self::Leader(_) => "leader",
            Self::Timeline(_) => "timeline",
            Self::Pause(_) => "pause",
            Self::Sync(_) => "sync",
            Self::Store(_) => "store",
        }
    }
}

impl<T: Serialize> Seen<T> {
    /// The event on the wire.
    pub fn frame(&self, number: u64, name: &str) -> String {
        format!(
            "id: {number}\nevent: {name}\ndata: {}\n\n",
            json::spaced(self)
        )
    }
}

impl From<SynchronousMode> for SyncMode {
    fn from(mode: SynchronousMode) -> Self {
        match mode {
            SynchronousMode::Off => Self::Off,
            SynchronousMode::Priority => Self::Priority,
            SynchronousMode::Quorum => Self::Quorum,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use patroni_core::{Cluster, Leader, Revision, SyncState};

    use super::super::snapshot::CachedView;
    use super::*;

    fn named(name: &str) -> MemberName {
        MemberName::new(name)
    }

    fn view(leader: Option<&str>, until: Instant) -> CachedView {
        let mut cluster = Cluster {
            sync: SyncState::new(leader.map(named), 0, [named("c")].into()),
            ..Cluster::default()
        };
        cluster.leader = leader.map(|name| Leader {
            name: named(name),
            revision: Revision::new(1),
            session: None,
        });
        CachedView {
            cluster: Arc::new(cluster),
            asked_at: until,
            until,
            other_groups: Arc::new([]),
        }
    }

    #[test]
    fn each_changed_part_is_one_event_under_its_own_name() {
        let now = Instant::now();
        let mut snapshot = Snapshot::new(Scope::new("demo"), named("a"));
        let before = Present::of(&snapshot, now, None);
        snapshot.server_role = Role::Promoted;
        snapshot.server_state = State::Running;
        snapshot.timeline = Timeline::new(3);
        snapshot.paused = true;
        snapshot.synchronous_mode = SynchronousMode::Quorum;
        snapshot.view = Some(view(Some("b"), now + Duration::from_secs(1)));
        let after = Present::of(&snapshot, now, Some(&before));
        let at = Timestamp::from_second(1_767_268_800).unwrap();
        let changes = after.changes_since(&before).into_iter();
        let frames: Vec<String> = changes
            .zip(7..)
            .map(|(change, number)| {
                let name = change.name();
                Seen { at, what: change }.frame(number, name)
            })
            .collect();
        let expected = [
            r#"role|"role": "promoted""#,
            r#"state|"state": "running""#,
            r#"leader|"leader": "b""#,
            r#"timeline|"timeline": 3"#,
            r#"pause|"pause": true"#,
            r#"sync|"sync": {"mode": "quorum", "leader": "b", "quorum": 0, "standbys": ["c"]}"#,
            r#"store|"store": true"#,
        ];
        for ((frame, expected), number) in frames.iter().zip(expected).zip(7..) {
            let (name, data) = expected.split_once('|').unwrap();
            assert_eq!(
                *frame,
                format!(
                    "id: {number}\nevent: {name}\ndata: {{\"at\": \"2026-01-01T12:00:00Z\", {data}}}\n\n"
                )
            );
        }
        assert_eq!(frames.len(), expected.len());
        assert_eq!(after.changes_since(&after), []);
    }

    #[test]
    fn every_event_laid_over_the_first_gives_the_present() {
        let now = Instant::now();
        let mut snapshot = Snapshot::new(Scope::new("demo"), named("a"));
        let before = Present::of(&snapshot, now, None);
        snapshot.server_role = Role::StandbyLeader;
        snapshot.lock_until = Some(now + Duration::from_secs(1));
        let after = Present::of(&snapshot, now, Some(&before));
        let mut known = serde_json::to_value(&before).unwrap();
        for change in after.changes_since(&before) {
            let part = serde_json::to_value(change).unwrap();
            let known = known.as_object_mut().unwrap();
            known.extend(part.as_object().unwrap().clone());
        }
        assert_eq!(known, serde_json::to_value(&after).unwrap());
    }

    #[test]
    fn claims_end_by_themselves_and_a_silent_store_changes_no_leader() {
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        let mut snapshot = Snapshot::new(Scope::new("demo"), named("a"));
        snapshot.view = Some(view(Some("b"), later(5)));
        let with_view = Present::of(&snapshot, now, None);
        assert_eq!(with_view.leader, Some(named("b")));
        assert_eq!(Present::changes_at(&snapshot, now), Some(later(5)));
        let silent = Present::of(&snapshot, later(6), Some(&with_view));
        assert_eq!(silent.changes_since(&with_view), [Change::Store(false)]);
        assert_eq!(Present::changes_at(&snapshot, later(6)), None);

        // The lock as the view shows it is not enough for this member itself.
        snapshot.view = Some(view(Some("a"), later(5)));
        snapshot.lock_until = Some(later(2));
        assert_eq!(Present::changes_at(&snapshot, now), Some(later(2)));
        let leads = Present::of(&snapshot, now, None);
        assert_eq!(leads.leader, Some(named("a")));
        for moment in [later(2), later(6)] {
            let ended = Present::of(&snapshot, moment, Some(&leads));
            assert_eq!(ended.leader, None);
        }
    }
}
