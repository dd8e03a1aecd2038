//! New data directories, copies, rewinds, and recovery in single-user mode.

use patroni_core::server::ControlState;
use patroni_core::{Lsn, MemberName, SyncNames, Upstream};
use patroni_ha::command::RewindSource;
use patroni_ha::outcome::RewindOutcome;

use super::life;
use super::server::{Checkpoint, Data};
use super::slots::Slots;
use super::wal::{BranchId, FIRST_LSN};
use crate::invariants::data_dir::{self, Touch};
use crate::network::Traffic;
use crate::world::World;

impl World {
    /// initdb. False when there is no disk to make it on.
    pub(crate) fn create_cluster(&mut self, node: usize) -> bool {
        if self.nodes[node].disk_away {
            return false;
        }
        data_dir::touched(self, node, Touch::Create);
        let branch = self.wal.initdb();
        let data = fresh(
            branch,
            FIRST_LSN,
            self.wal.get(branch).system.clone().into(),
        );
        self.nodes[node].server.data = Some(Data {
            control: ControlState::ShutDown,
            ..data
        });
        true
    }

    /// Whether `node` can read from this member's server now.
    pub(crate) fn can_read_from(&self, node: usize, source: &MemberName) -> Option<usize> {
        let there = self.node_named(source)?;
        let reached = self.network.reaches(Traffic::Postgres, node, there)
            && self.nodes[there].server.accepts()
            && !self.nodes[there].stands_still();
        reached.then_some(there)
    }

    /// A copy begins: what is there is replaced by something that is no database cluster yet.
    pub(crate) fn begin_copy(&mut self, node: usize) {
        if self.nodes[node].disk_away {
            return;
        }
        data_dir::touched(self, node, Touch::Copy);
        let branch = self.any_branch();
        self.nodes[node].server.data = Some(fresh(branch, Lsn::ZERO, None));
    }

    /// A copy ends: whatever the source has now.
    pub(crate) fn end_copy(&mut self, node: usize, source: usize) -> bool {
        let Some(theirs) = self.nodes[source].server.data.clone() else {
            return false;
        };
        if self.nodes[node].disk_away {
            return false;
        }
        data_dir::touched(self, node, Touch::Copy);
        self.nodes[node].server.data = Some(Data {
            written: theirs.flushed,
            replayed: theirs.flushed,
            control: ControlState::InProduction,
            signal: false,
            label: true,
            upstream: Upstream::None,
            sync_names: SyncNames::off(),
            slots: Slots::new(),
            ..theirs
        });
        true
    }

    /// A copy of the remote ends.
    pub(crate) fn copy_the_remote(&mut self, node: usize) -> bool {
        let Some((branch, end)) = self.readable_remote() else {
            return false;
        };
        if self.nodes[node].disk_away {
            return false;
        }
        data_dir::touched(self, node, Touch::Copy);
        let system = self.wal.get(branch).system.clone();
        self.nodes[node].server.data = Some(Data {
            control: ControlState::InProduction,
            label: true,
            ..fresh(branch, end, Some(system))
        });
        true
    }

    /// `pg_rewind` ends: the local data take the source's history, up to its present end.
    pub(crate) fn rewind(&mut self, node: usize, source: &RewindSource) -> RewindOutcome {
        if self.nodes[node].server.runs() {
            return RewindOutcome::ServerRuns;
        }
        data_dir::touched(self, node, Touch::Rewind);
        let source = match source {
            RewindSource::Member(leader) => &leader.name,
            RewindSource::Remote { .. } => return self.rewind_to_the_remote(node),
        };
        // Only where the settings know a way out of it.
        let unlucky = self.nodes[node].traits.wipe_on_rewind_failure && self.chance.percent(10);
        let Some(there) = self.can_read_from(node, source) else {
            return RewindOutcome::LeaderGone { retry: true };
        };
        let theirs = self.nodes[there].server.data.clone();
        let primary = self.nodes[there].server.is_primary();
        let (Some(theirs), Some(mine)) = (theirs, self.nodes[node].server.data.as_mut()) else {
            return RewindOutcome::Failed;
        };
        if !primary {
            return RewindOutcome::LeaderGone { retry: true };
        }
        if theirs.system != mine.system || unlucky {
            return RewindOutcome::Failed;
        }
        mine.branch = theirs.branch;
        mine.written = theirs.flushed;
        mine.flushed = theirs.flushed;
        mine.replayed = theirs.checkpoint.begin;
        mine.checkpoint = theirs.checkpoint;
        mine.control = ControlState::InArchiveRecovery;
        mine.signal = true;
        mine.torn = false;
        // Since version 11 the tool clears the slots away.
        mine.slots.clear();
        self.note(node, "pg", || "rewound".to_owned());
        RewindOutcome::Success
    }

    /// Single-user mode finishes a crash and ends recovery where it stands.
    pub(crate) fn recover_alone(&mut self, node: usize) -> bool {
        data_dir::touched(self, node, Touch::SingleUser);
        let server = &mut self.nodes[node].server;
        let usable = server
            .data
            .as_mut()
            .filter(|data| !data.torn && data.system.is_some());
        let Some(data) = usable else {
            return false;
        };
        data.signal = false;
        data.label = false;
        let (branch, flushed) = (data.branch, data.flushed);
        if self.wal.get(branch).extent > flushed {
            data.branch = self.wal.fork(branch, flushed);
        }
        life::checkpoint(data);
        data.control = ControlState::ShutDown;
        let (branch, flushed) = (data.branch, data.flushed);
        self.wal.flushed(branch, flushed);
        true
    }

    /// The data directory goes away, if it can be reached.
    pub(crate) fn remove_data(&mut self, node: usize) -> bool {
        if self.nodes[node].disk_away {
            return false;
        }
        self.nodes[node].server.data = None;
        self.note(node, "pg", || "data directory removed".to_owned());
        true
    }

    fn any_branch(&self) -> BranchId {
        let first = self.wal.iter().next().map(|(id, _)| id);
        first.unwrap_or_else(|| unreachable!("a copy has a source, and a source has a branch"))
    }
}

fn fresh(branch: BranchId, at: Lsn, system: Option<patroni_core::SystemId>) -> Data {
    Data {
        system,
        branch,
        written: at,
        flushed: at,
        replayed: at,
        control: ControlState::ShutDown,
        checkpoint: Checkpoint {
            branch,
            begin: at,
            end: at,
        },
        signal: false,
        label: false,
        torn: false,
        upstream: Upstream::None,
        sync_names: SyncNames::off(),
        slots: Slots::new(),
    }
}
