//! The remote of a standby cluster: a server outside of the members, with an operator who knows
//! what they do.
//!
//! It begins as one more standby of the cluster's primary. When the cluster is demoted to be its
//! standby, the operator waits until that is seen to have happened, promotes the remote, and
//! later promotes the cluster again, having stopped the remote first. Meanwhile it writes, and
//! now and then it cannot be reached.

use patroni_core::server::ControlState;
use patroni_core::{Lsn, Role, State, Upstream};
use patroni_ha::outcome::{InspectFailure, LeaderInspection, RewindOutcome};
use serde_json::{Value, json};

use crate::invariants::Invariant;
use crate::postgres::server::{Checkpoint, Process, Server};
use crate::postgres::wal::{BranchId, FIRST_LSN};
use crate::survey::Phase;
use crate::world::World;

/// In how many seeds there is one.
const EACH: u64 = 4;
/// In how many of all seeds the cluster begins as its standby, and in which.
const BORN: (u64, u64) = (40, 4);
/// What it writes in a second.
const WRITES: u64 = 4096;

/// A server that no member can order about.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    branch: BranchId,
    flushed: Lsn,
    /// It was promoted and takes writes.
    primary: bool,
    /// Members can reach it.
    reachable: bool,
}

impl World {
    /// Whether this seed has people who change the kind of the cluster.
    pub(crate) fn has_remote(&self) -> bool {
        self.seed.is_multiple_of(EACH) && self.options.faults.operators
    }

    /// Some clusters begin as the standby of a server that is there before them.
    pub(crate) fn begin_as_standby(&mut self) {
        let (each, which) = BORN;
        if !self.has_remote() || !self.has_mishaps() || self.seed % each != which {
            return;
        }
        let branch = self.wal.initdb();
        self.wal.get_mut(branch).in_production = true;
        self.witness.newest = Some(branch);
        self.remote = Some(Remote {
            branch,
            flushed: FIRST_LSN,
            primary: true,
            reachable: true,
        });
        self.config
            .insert("standby_cluster".to_owned(), address_of_the_remote());
    }

    /// When it has formed it is promoted, and lives as all others do.
    pub(crate) fn grow_up(&mut self) {
        let Some(remote) = &self.remote else {
            return;
        };
        let streams = |server: &Server| {
            let on = server.data.as_ref().map(|data| data.branch);
            server.process == Process::Standby && server.receiving && on == Some(remote.branch)
        };
        let formed = self.nodes.iter().all(|node| streams(&node.server));
        if formed && self.witness.phase == Phase::Forming {
            self.promote_cluster();
        }
    }

    /// What a copy of the remote gets: its branch up to here.
    pub(crate) fn readable_remote(&self) -> Option<(BranchId, Lsn)> {
        let remote = self.remote.as_ref()?;
        (remote.reachable && remote.primary).then_some((remote.branch, remote.flushed))
    }

    /// The next step of the operator of both clusters.
    pub(crate) fn operate_on_the_remote(&mut self, variant: u64) {
        match &self.remote {
            None => self.demote_cluster(),
            Some(remote) if !remote.primary && variant < 60 => self.promote_remote(),
            Some(_) if variant % 10 < 4 => self.promote_cluster(),
            Some(_) => {
                if let Some(remote) = &mut self.remote {
                    remote.reachable = !remote.reachable;
                }
                self.coverage.count("operator", "remote comes or goes");
            }
        }
    }

    /// A standby that has just what the primary has becomes the remote.
    fn demote_cluster(&mut self) {
        let primary = self.holder().map(|node| &self.nodes[node].server);
        let data = primary.filter(|server| server.is_primary());
        let Some(data) = data.and_then(|server| server.data.as_ref()) else {
            return;
        };
        self.remote = Some(Remote {
            branch: data.branch,
            flushed: data.flushed,
            primary: false,
            reachable: true,
        });
        // The remote is not one of the synchronous standbys.
        self.wal.forget_promises();
        self.change_config("standby_cluster", address_of_the_remote());
    }

    /// Only after the cluster is seen to have been demoted: its leader is a standby leader, and
    /// no member runs as a primary, or could without asking anybody.
    fn promote_remote(&mut self) {
        let demoted = self.holder().is_some_and(|node| {
            let supervised = &self.nodes[node].daemon.supervised;
            supervised.role == Role::StandbyLeader && supervised.state == State::Running
        });
        let quiet = self.nodes.iter().all(|node| {
            let server = &node.server;
            let signal = server.data.as_ref().is_none_or(|data| data.signal);
            matches!(server.process, Process::Absent | Process::Standby) && signal
        });
        if !demoted || !quiet {
            return;
        }
        let Some(remote) = self.remote.clone() else {
            return;
        };
        let branch = self.wal.promote(remote.branch, remote.flushed);
        self.remote = Some(Remote {
            branch,
            primary: true,
            ..remote
        });
        self.wal.get_mut(branch).in_production = true;
        self.coverage.count("promotion", "remote");
        // From now on whatever a member acknowledges is a second history.
        self.witness.newest = Some(branch);
        self.witness.newest_by_request = false;
    }

    /// The remote is stopped first: its writes end, and nobody can follow it any more. As the
    /// control tool does, the operator waits for a leader before.
    pub(crate) fn promote_cluster(&mut self) {
        if self.holder().is_some() && self.remote.take().is_some() {
            self.change_config("standby_cluster", Value::Null);
        }
    }

    /// A second of the remote's life.
    pub(crate) fn remote_goes_on(&mut self) {
        let Some(remote) = self.remote.clone() else {
            return;
        };
        let flushed = if remote.primary {
            remote.flushed.saturating_add(WRITES)
        } else {
            self.shown_to_the_remote(&remote)
        };
        self.wal.flushed(remote.branch, flushed);
        self.remote = Some(Remote { flushed, ..remote });
        self.no_primary_beside_the_remote();
    }

    /// How far the holder of the lock lets the remote come on its branch.
    fn shown_to_the_remote(&self, remote: &Remote) -> Lsn {
        let holder = self.holder().map(|node| &self.nodes[node].server);
        let data = holder.filter(|server| server.sends());
        let data = data.and_then(|server| server.data.as_ref());
        match data.filter(|data| data.branch == remote.branch && remote.reachable) {
            Some(data) => remote.flushed.max(data.flushed),
            None => remote.flushed,
        }
    }

    /// Once the remote takes writes no member is promoted as long as the cluster is its standby.
    fn no_primary_beside_the_remote(&mut self) {
        let takes_writes = self.remote.as_ref().is_some_and(|remote| remote.primary);
        let beside = self.nodes.iter().position(|node| node.server.is_primary());
        if let Some(node) = beside.filter(|_| takes_writes) {
            let name = &self.names[node];
            let message = format!("{name} is a primary beside the remote of its cluster");
            self.broken(Invariant::OnePrimary, message);
        }
    }

    /// One step of a WAL receiver that follows the remote. False when it gets nothing.
    pub(crate) fn receive_from_the_remote(&mut self, node: usize) -> bool {
        let remote = self.remote.as_ref().filter(|remote| remote.reachable);
        let (Some(remote), Some(mine)) = (remote, self.nodes[node].server.data.as_ref()) else {
            return false;
        };
        let follows = matches!(mine.upstream, Upstream::Remote { .. });
        let Some(limit) = self.wal.shared(mine.branch, remote.branch) else {
            return false;
        };
        let limit = limit.min(remote.flushed);
        if !follows || mine.written > limit {
            return false;
        }
        let next = self.wal.towards(mine.branch, remote.branch);
        let received = self.nodes[node].server.data.as_mut().map(|data| {
            match next.filter(|_| data.written == limit) {
                Some(next) => data.branch = next,
                None => data.written = limit,
            }
            data.written
        });
        self.nodes[node].server.received = received;
        true
    }

    /// What the remote tells of its history.
    pub(crate) fn inspect_the_remote(&self) -> Result<LeaderInspection, InspectFailure> {
        let remote = self.remote.as_ref().filter(|remote| remote.reachable);
        let remote =
            remote.ok_or_else(|| InspectFailure::Failed("connection refused".to_owned()))?;
        if !remote.primary {
            return Err(InspectFailure::InRecovery);
        }
        let history = self.wal.history(remote.branch);
        Ok(LeaderInspection {
            timeline: self.wal.get(remote.branch).number,
            lines: history.iter().map(|(t, at)| format!("{t}\t{at}")).collect(),
            history: Some(history),
            flushed: Some(remote.flushed),
        })
    }

    /// `pg_rewind` against the remote ends.
    pub(crate) fn rewind_to_the_remote(&mut self, node: usize) -> RewindOutcome {
        let remote = self.remote.clone();
        let remote = remote.filter(|remote| remote.reachable && remote.primary);
        let (Some(remote), Some(mine)) = (remote, self.nodes[node].server.data.as_mut()) else {
            return RewindOutcome::LeaderGone { retry: true };
        };
        mine.branch = remote.branch;
        mine.written = remote.flushed;
        mine.flushed = remote.flushed;
        mine.replayed = remote.flushed;
        mine.checkpoint = Checkpoint {
            branch: remote.branch,
            begin: remote.flushed,
            end: remote.flushed,
        };
        mine.control = ControlState::InArchiveRecovery;
        mine.signal = true;
        mine.torn = false;
        self.note(node, "pg", || "rewound to the remote".to_owned());
        RewindOutcome::Success
    }
}

/// `standby_cluster`
fn address_of_the_remote() -> Value {
    json!({"host": "remote", "port": "5432"})
}
