//! One server: its data directory, its process, and who is connected.

use std::collections::BTreeMap;

use patroni_core::server::ControlState;
use patroni_core::sync_names::SyncKind;
use patroni_core::{Lsn, Moment, SyncNames, SystemId, Upstream};
use patroni_ha::StandbyWatch;
use patroni_ha::command::StopMode;

use super::slots::Slots;
use super::wal::BranchId;

/// A data directory.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    /// `None` while a copy is not finished: the control file comes last.
    pub(crate) system: Option<SystemId>,
    pub(crate) branch: BranchId,
    /// The end of what was written: in the hands of the operating system.
    pub(crate) written: Lsn,
    /// The end of what is on the disk.
    pub(crate) flushed: Lsn,
    pub(crate) replayed: Lsn,
    pub(crate) control: ControlState,
    /// The latest checkpoint: branch, begin and end of its record.
    pub(crate) checkpoint: Checkpoint,
    /// `standby.signal`
    pub(crate) signal: bool,
    /// `backup_label`
    pub(crate) label: bool,
    /// A rewind was interrupted: nothing can be started on these data.
    pub(crate) torn: bool,
    pub(crate) upstream: Upstream,
    pub(crate) sync_names: SyncNames,
    pub(crate) slots: Slots,
}

/// A checkpoint record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub(crate) branch: BranchId,
    pub(crate) begin: Lsn,
    pub(crate) end: Lsn,
}

/// What the process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Process {
    Absent,
    /// Does not accept connections yet.
    Starting,
    /// In recovery, for readers.
    Standby,
    /// Ends its recovery; becomes primary soon.
    Promoting,
    Primary,
    /// Told to stop in order: no client is served, the shutdown checkpoint is still to come.
    Draining,
    /// The control file says `shut down`; WAL senders deliver the rest.
    Drained,
    /// Told to stop at once.
    Dying,
}

/// A commit that waits for synchronous standbys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) client: usize,
    pub(crate) request: u64,
    pub(crate) lsn: Lsn,
}

/// A standby that streams from here, as this server last heard of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    pub(crate) write: Lsn,
    pub(crate) flush: Lsn,
    pub(crate) replay: Lsn,
    /// It has once had everything: only then PostgreSQL counts it.
    pub(crate) caught_up: bool,
    pub(crate) heard: Moment,
    /// When it last confirmed something new, or everything.
    pub(crate) moved: Moment,
}

/// A server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) data: Option<Data>,
    pub(crate) process: Process,
    /// Changes whenever a process begins or ends, so that late events find nobody.
    pub(crate) generation: u64,
    pub(crate) started: Moment,
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) senders: BTreeMap<usize, Sender>,
    pub(crate) receiving: bool,
    pub(crate) received: Option<Lsn>,
    /// What it had, without what it has lost since because the power went; `None` once it runs again.
    pub(crate) before_power_loss: Option<(BranchId, Lsn)>,
    /// Until then it replays WAL that it had when it started, and shows less than it has.
    pub(crate) replays_until: Option<Moment>,
    /// What a postmaster that hangs was told, for when it goes on.
    pub(crate) told_to_stop: Option<StopMode>,
    /// The look that the daemon beside takes at the senders between two cycles.
    pub(crate) watch: StandbyWatch,
}

impl Server {
    pub(crate) fn empty() -> Self {
        Self {
            data: None,
            process: Process::Absent,
            generation: 0,
            started: Moment::ZERO,
            waiting: Vec::new(),
            senders: BTreeMap::new(),
            receiving: false,
            received: None,
            before_power_loss: None,
            replays_until: None,
            told_to_stop: None,
            watch: StandbyWatch::default(),
        }
    }

    /// `primary_conninfo` names somebody.
    pub(crate) fn may_stream(&self) -> bool {
        let data = self.data.as_ref();
        data.is_some_and(|data| data.upstream != Upstream::None)
    }

    pub(crate) fn runs(&self) -> bool {
        self.process != Process::Absent
    }

    /// Answers queries.
    pub(crate) fn accepts(&self) -> bool {
        match self.process {
            Process::Standby | Process::Promoting | Process::Primary => true,
            Process::Absent
            | Process::Starting
            | Process::Draining
            | Process::Drained
            | Process::Dying => false,
        }
    }

    pub(crate) fn in_recovery(&self) -> bool {
        matches!(self.process, Process::Standby | Process::Promoting)
    }

    pub(crate) fn is_primary(&self) -> bool {
        self.process == Process::Primary
    }

    /// Takes writes, or will by itself.
    pub(crate) fn leads(&self) -> bool {
        match self.process {
            Process::Primary | Process::Promoting => true,
            Process::Starting => self.data.as_ref().is_some_and(|data| !data.signal),
            Process::Absent
            | Process::Standby
            | Process::Draining
            | Process::Drained
            | Process::Dying => false,
        }
    }

    /// Sends WAL to standbys.
    pub(crate) fn sends(&self) -> bool {
        match self.process {
            Process::Standby
            | Process::Promoting
            | Process::Primary
            | Process::Draining
            | Process::Drained => true,
            Process::Absent | Process::Starting | Process::Dying => false,
        }
    }

    /// `sync_state` of each standby. By the rule for `FIRST` it depends on the order of the list:
    /// the first ones that are connected are synchronous. For `ANY` all of them are a quorum.
    pub(crate) fn sync_states(&self, names: &[String]) -> BTreeMap<usize, &'static str> {
        let setting = self.sync_names();
        let mut wanted = if setting.kind == SyncKind::Off {
            0
        } else {
            setting.count
        };
        let mut states = BTreeMap::new();
        let mut listed: Vec<(&str, usize)> = self
            .senders
            .iter()
            .filter(|(_, sender)| sender.caught_up)
            .map(|(node, _)| (names[*node].as_str(), *node))
            .filter(|(name, _)| setting.star || setting.has(name))
            .collect();
        listed.sort_unstable();
        for (_, node) in listed {
            let state = match setting.kind {
                SyncKind::Quorum => "quorum",
                SyncKind::Priority | SyncKind::Off if wanted > 0 => "sync",
                SyncKind::Priority | SyncKind::Off => "potential",
            };
            states.insert(node, state);
            wanted = wanted.saturating_sub(1);
        }
        for node in self.senders.keys() {
            states.entry(*node).or_insert("async");
        }
        states
    }

    pub(crate) fn sync_names(&self) -> SyncNames {
        let data = self.data.as_ref();
        data.map(|data| data.sync_names.clone()).unwrap_or_default()
    }

    /// Up to where commits need wait no longer; `None` when standbys are missing.
    pub(crate) fn confirmed(&self, names: &[String]) -> Option<Lsn> {
        let setting = self.sync_names();
        if setting.kind == SyncKind::Off || setting.count == 0 {
            return Some(Lsn::new(u64::MAX));
        }
        let states = self.sync_states(names);
        let mut answers: Vec<Lsn> = states
            .iter()
            .filter(|(_, state)| matches!(**state, "sync" | "quorum"))
            .filter_map(|(node, _)| Some(self.senders.get(node)?.flush))
            .collect();
        // Everything that as many as needed have, whoever they are.
        answers.sort_unstable_by(|a, b| b.cmp(a));
        answers.get(setting.count - 1).copied()
    }
}

impl Data {
    /// Writes a record; gives its begin and end.
    pub(crate) fn append(&mut self, bytes: u64) -> (Lsn, Lsn) {
        let begin = self.written;
        self.written = begin.saturating_add(bytes);
        (begin, self.written)
    }
}
