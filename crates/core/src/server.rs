//! What a node sees of its own PostgreSQL server: facts, without judgement.
//!
//! "Known to be absent", "not known" and "known" are kept apart: a query that timed out says
//! nothing about the server's role.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::lsn::Lsn;
use crate::name::SlotName;
use crate::role::Role;
use crate::state::State;
use crate::system_id::SystemId;
use crate::time::Moment;
use crate::timeline::Timeline;
use crate::xid::Xid;

/// One look at the local server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalServer {
    /// What it is doing, as the supervisor knows it.
    pub state: State,
    /// When it got into that state.
    pub state_since: Moment,
    /// What it is in the cluster, as last set by the decision core or read at adoption.
    pub role: Role,
    /// Whether a postmaster lives.
    pub process: Process,
    /// The data directory.
    pub data_dir: DataDir,
    /// The identity in the control file, when it can be read.
    pub system_id: Option<SystemId>,
    /// The server's major version as an integer (15 is 150000), when known.
    pub major_version: Option<u32>,
    /// The answer to the monitoring query.
    pub status: Answer<ServerStatus>,
    /// The control file, read when no query answered.
    pub control: Option<ControlData>,
    /// A signal file (or `recovery.conf`) says that the data belong to a standby.
    pub has_recovery_signal: bool,
    /// `backup_label` lies in the data directory.
    pub has_backup_label: bool,
    /// The disk of the data, or of their WAL, is full: nothing that writes comes to an end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disk_is_full: bool,
    /// A rewind of the data began and did not end: they are no whole.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub half_rewound: bool,
    /// Whether `pg_rewind` could be used here, with the reason when not.
    pub rewind: RewindAbility,
    /// Parameters that wait for a restart.
    pub pending_restart: BTreeMap<String, PendingParameter>,
    /// When the postmaster started, as the server prints it.
    pub postmaster_start_time: Option<String>,
    /// Whether any callback has run since the daemon started.
    pub callback_ran: bool,
    /// The checkpoint that follows a promotion.
    pub checkpoint: CheckpointTask,
}

/// Whether a postmaster lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Process {
    /// It does.
    Running,
    /// It is known not to.
    Absent,
}

/// What is known of the data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataDir {
    /// It holds a database cluster.
    Present,
    /// It is absent, or holds nothing that matters.
    Empty,
    /// It cannot be read; the text is the system's reason.
    Inaccessible(String),
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer<T> {
    /// Nobody asked, because the state makes it pointless.
    NotAsked,
    /// It was asked, and nothing can be concluded from the failure.
    Unknown(String),
    /// The answer.
    Known(T),
}

impl<T> Answer<T> {
    /// The answer, when there is one.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::NotAsked | Self::Unknown(_) => None,
        }
    }
}

/// Whether `pg_rewind` could be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RewindAbility {
    /// Switched off by `use_pg_rewind`.
    Disabled,
    /// Switched on, but something is missing: the reason.
    Impossible(String),
    /// Possible.
    Possible,
}

/// The checkpoint that a new primary takes so that others can rewind to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CheckpointTask {
    /// None was started.
    Idle,
    /// It runs.
    Running,
    /// It succeeded since the last promotion or start.
    Done,
    /// It failed.
    Failed,
}

/// A parameter that waits for a restart: values in human units, `""` when unset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingParameter {
    /// In effect now.
    pub old_value: String,
    /// In effect after the restart, `?` when unknown.
    pub new_value: String,
}

/// The row of the monitoring query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    /// The timeline of a running primary, `None` in recovery.
    pub primary_timeline: Option<Timeline>,
    /// Flushed position of a primary, zero in recovery.
    pub position: Lsn,
    /// Last replayed position.
    pub replayed: Option<Lsn>,
    /// Last received position: the greater of received and written.
    pub received: Option<Lsn>,
    /// Replay is paused.
    pub replay_paused: bool,
    /// Timeline in the control file; asked for only as standby leader.
    pub control_timeline: Option<Timeline>,
    /// Timeline that the WAL receiver reports; without a receiver that of a replication
    /// connection, where somebody asked for it.
    pub receiver_timeline: Option<Timeline>,
    /// The WAL receiver.
    pub receiver: Option<WalReceiver>,
    /// `restore_command` in effect, when set.
    pub restore_command: Option<String>,
    /// Replication slots, when they were asked for.
    pub slots: Option<Vec<SlotRow>>,
    /// `synchronous_commit` in effect.
    pub synchronous_commit: String,
    /// `synchronous_standby_names` in effect, as the server prints it.
    pub synchronous_standby_names: String,
    /// Streaming WAL senders, empty when not asked for.
    pub wal_senders: Vec<WalSender>,
}

impl ServerStatus {
    /// Whether the server is in recovery.
    pub fn in_recovery(&self) -> bool {
        self.primary_timeline.is_none()
    }

    /// The timeline it is on, as far as the row tells.
    pub fn timeline(&self) -> Option<Timeline> {
        self.primary_timeline
            .or(self.receiver_timeline)
            .or(self.control_timeline)
    }

    /// The main position: flushed on a primary, else the greater of received and replayed.
    pub fn main_position(&self) -> Lsn {
        if self.in_recovery() {
            self.received
                .unwrap_or_default()
                .max(self.replayed.unwrap_or_default())
        } else {
            self.position
        }
    }

    /// `streaming`, `in archive recovery`, or nothing on a primary.
    pub fn replication_state(&self) -> Option<&'static str> {
        if !self.in_recovery() {
            return None;
        }
        if self
            .receiver
            .as_ref()
            .is_some_and(|receiver| receiver.status == "streaming")
        {
            return Some("streaming");
        }
        self.restore_command.as_ref().map(|_| "in archive recovery")
    }
}

/// The WAL receiver of a standby.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalReceiver {
    /// Its state; `streaming` when it does.
    pub status: String,
    /// The slot it uses.
    pub slot_name: Option<SlotName>,
    /// Its connection, with the password masked by the server.
    pub conninfo: String,
}

/// A streaming WAL sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalSender {
    /// The standby's `application_name`, which is its member name.
    pub application_name: String,
    /// `sync`, `quorum`, `potential` or `async`.
    pub sync_state: String,
    /// Written there.
    pub write: Option<Lsn>,
    /// Flushed there.
    pub flush: Option<Lsn>,
    /// Replayed there.
    pub replay: Option<Lsn>,
    /// For how long it has had WAL to confirm without any progress; `None` when it has
    /// everything, or nobody measured.
    #[serde(default)]
    pub unanswered: Option<Duration>,
}

/// A replication slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRow {
    /// Its name.
    pub name: SlotName,
    /// Physical or logical.
    pub kind: SlotKind,
    /// Whether a consumer uses it now.
    pub active: bool,
    /// The oldest WAL it keeps.
    pub restart_lsn: Option<Lsn>,
    /// Confirmed position of a logical slot.
    pub confirmed_flush_lsn: Option<Lsn>,
    /// The oldest transaction whose rows it keeps from vacuum.
    #[serde(default)]
    pub xmin: Option<Xid>,
    /// The same for the rows of system catalogs, which logical decoding needs.
    #[serde(default)]
    pub catalog_xmin: Option<Xid>,
    /// `reserved`, `extended`, `unreserved` or `lost`; `None` before 13.
    pub wal_status: Option<String>,
}

impl SlotRow {
    /// The transaction by which it holds back vacuum for a standby; a slot for logical decoding
    /// does so by its nature, and is not meant.
    pub fn holds_back(&self) -> Option<Xid> {
        match self.kind {
            SlotKind::Physical => self.xmin.or(self.catalog_xmin),
            SlotKind::Logical { .. } => self.xmin,
        }
    }

    /// The server has given it up: what it kept is gone.
    pub fn is_lost(&self) -> bool {
        self.wal_status.as_deref() == Some("lost")
    }
}

/// The two kinds of slots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SlotKind {
    /// For standbys.
    Physical,
    /// For logical decoding.
    Logical {
        /// Output plugin.
        plugin: String,
        /// Database.
        database: String,
    },
}

/// What `pg_controldata` tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlData {
    /// The cluster state.
    pub state: ControlState,
    /// Latest checkpoint location.
    pub checkpoint: Option<Lsn>,
    /// Timeline of the latest checkpoint.
    pub checkpoint_timeline: Option<Timeline>,
    /// Minimum recovery ending location.
    pub min_recovery: Option<Lsn>,
    /// Its timeline.
    pub min_recovery_timeline: Option<Timeline>,
    /// Every line of the tool, `name: value`, for the log of a recovery.
    #[serde(default)]
    pub lines: Vec<String>,
}

impl ControlData {
    /// The name of the WAL file that holds the latest checkpoint's redo point, which after a
    /// shutdown is the checkpoint itself.
    pub fn redo_wal_file(&self) -> Option<&str> {
        let named = self.lines.iter().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name == "Latest checkpoint's REDO WAL file").then(|| value.trim())
        });
        named.filter(|name| !name.is_empty())
    }
}

/// The cluster state in the control file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControlState {
    /// `shut down`
    ShutDown,
    /// `shut down in recovery`
    ShutDownInRecovery,
    /// `shutting down`
    ShuttingDown,
    /// `in crash recovery`
    InCrashRecovery,
    /// `in archive recovery`
    InArchiveRecovery,
    /// `in production`
    InProduction,
    /// Anything else, with its text.
    Other(String),
}

impl ControlState {
    /// Reads the text of `Database cluster state`.
    pub fn parse(text: &str) -> Self {
        match text {
            "shut down" => Self::ShutDown,
            "shut down in recovery" => Self::ShutDownInRecovery,
            "shutting down" => Self::ShuttingDown,
            "in crash recovery" => Self::InCrashRecovery,
            "in archive recovery" => Self::InArchiveRecovery,
            "in production" => Self::InProduction,
            other => Self::Other(other.to_owned()),
        }
    }
}
