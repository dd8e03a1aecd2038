//! The local PostgreSQL as documents show it.

use patroni_core::{CopyProgress, Lsn, Role, State, Timeline};

/// One look at the local server. The node makes it: at most one query per short interval,
/// whatever the number of requests.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerFacts {
    /// The state the supervisor knows.
    pub state: State,
    /// The role in memory.
    pub role: Role,
    /// The answer to the status query.
    pub row: Row,
    /// How far the copy is that is being made.
    pub copy: Option<CopyProgress>,
}

/// The outcome of the status query.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// Not asked: the state is none of running, starting, restarting.
    NotAsked,
    /// Asked in vain. If the state says running, the document says `unknown`.
    Failed,
    /// The row.
    Known(Box<ServerRow>),
}

/// The row of the status query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerRow {
    /// `YYYY-MM-DD HH:MM:SS[.ffffff]+HH:MM` in the server's zone.
    pub postmaster_start_time: Option<String>,
    /// Such as 150018.
    pub server_version: u32,
    /// `pg_is_in_recovery()`.
    pub in_recovery: bool,
    /// On a primary from the current WAL file name; on a replica its own, when it can be learnt.
    pub timeline: Option<Timeline>,
    /// Flushed position of a primary.
    pub flushed: Lsn,
    /// Received position: written by the WAL receiver (13+), else last received, else replayed.
    pub received: Option<Lsn>,
    /// Replayed position.
    pub replayed: Option<Lsn>,
    /// Time of the last replayed transaction, in the form of the start time.
    pub replayed_timestamp: Option<String>,
    /// Replay is paused.
    pub replay_paused: bool,
    /// It still replays WAL that it had when it started.
    pub replays_own_wal: bool,
    /// It knows whom to stream from, and does so again as soon as it can.
    pub may_stream: bool,
    /// `latest_end_lsn` of the WAL receiver.
    pub latest_end: Option<Lsn>,
    /// `streaming` or `in archive recovery`; nothing on a primary or before 9.6.
    pub replication_state: Option<String>,
    /// WAL senders in the order of the server.
    pub replication: Vec<SenderRow>,
}

/// One line of `pg_stat_replication`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SenderRow {
    /// The user.
    pub usename: String,
    /// The member's name, or what the client called itself.
    pub application_name: String,
    /// The client's address; `None` on a socket.
    pub client_addr: Option<String>,
    /// Such as `streaming` or `backup`.
    pub state: String,
    /// `sync`, `quorum`, `potential` or `async`.
    pub sync_state: String,
    /// Its priority.
    pub sync_priority: i32,
}

impl ServerFacts {
    /// A server that was not asked.
    pub const fn without_row(state: State, role: Role) -> Self {
        Self {
            state,
            role,
            row: Row::NotAsked,
            copy: None,
        }
    }

    /// The row, when the query worked.
    pub fn row(&self) -> Option<&ServerRow> {
        match &self.row {
            Row::Known(row) => Some(row),
            Row::NotAsked | Row::Failed => None,
        }
    }
}
