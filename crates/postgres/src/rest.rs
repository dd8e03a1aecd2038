//! The status query of the REST API: its own connection, one statement for all callers.

use std::time::Duration;

use patroni_core::server::Answer;
use patroni_core::{Lsn, Timeline};
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use crate::connection::{Named, Row};
use crate::monitor::{Words, printed_time, time};
use crate::supervisor::Supervisor;

/// What the status document shows of a running server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestRow {
    /// When the postmaster started, in the words of the status document.
    pub postmaster_start_time: String,
    /// `server_version_num`.
    pub server_version: u32,
    /// Timeline of a primary, `None` in recovery.
    pub timeline: Option<Timeline>,
    /// Flushed position of a primary, zero in recovery.
    pub location: Lsn,
    /// Position received by a standby: written, else received, else replayed.
    pub received_location: Option<Lsn>,
    /// Position replayed by a standby.
    pub replayed_location: Option<Lsn>,
    /// Time of the last replayed transaction.
    pub replayed_timestamp: Option<String>,
    /// Replay is paused.
    pub paused: bool,
    /// It still replays WAL that it had when it started, from its disk or the archive: it has
    /// more than it shows. Known from version 10 on.
    pub replays_own_wal: bool,
    /// It knows whom to stream from, and does so again as soon as it can. Known from version 12
    /// on, to a user who may read the setting.
    pub may_stream: bool,
    /// State of the WAL receiver, `None` without one.
    pub receiver_status: Option<String>,
    /// `restore_command` in effect, when set.
    pub restore_command: Option<String>,
    /// End of the WAL on the sender, as the receiver last heard.
    pub latest_end_lsn: Option<Lsn>,
    /// WAL senders of every kind, in the server's order.
    pub replication: Vec<ReplicationRow>,
}

impl RestRow {
    /// Whether the server is in recovery.
    pub fn in_recovery(&self) -> bool {
        self.timeline.is_none()
    }

    /// `streaming`, `in archive recovery`, or nothing.
    pub fn replication_state(&self) -> Option<&'static str> {
        if !self.in_recovery() {
            return None;
        }
        if self.receiver_status.as_deref() == Some("streaming") {
            return Some("streaming");
        }
        self.restore_command.as_ref().map(|_| "in archive recovery")
    }
}

/// One WAL sender.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ReplicationRow {
    /// User.
    pub usename: Option<String>,
    /// `application_name`.
    pub application_name: Option<String>,
    /// Address, `None` for a socket.
    pub client_addr: Option<String>,
    /// `streaming`, `catchup`, `backup`, ..
    pub state: Option<String>,
    /// `sync`, `quorum`, `potential` or `async`.
    pub sync_state: Option<String>,
    /// Its place in the priority list.
    pub sync_priority: Option<i32>,
}

/// What is kept between two questions.
#[derive(Default)]
pub(crate) struct RestCache {
    last: Option<(Instant, Answer<RestRow>)>,
    /// The start of the server that was seen at the end of its own WAL. It stays there.
    at_end: Option<String>,
}

impl RestCache {
    fn keep(&mut self, mut answer: Answer<RestRow>) -> Answer<RestRow> {
        if let Answer::Known(row) = &mut answer {
            if row.replays_own_wal {
                row.replays_own_wal = self.at_end.as_ref() != Some(&row.postmaster_start_time);
            } else {
                self.at_end = Some(row.postmaster_start_time.clone());
            }
        }
        self.last = Some((Instant::now(), answer.clone()));
        answer
    }
}

impl Supervisor {
    /// The row of the status document, not older than `max_age`. Callers that come while the
    /// statement runs wait for its result; no more than one runs at a time. Cancel safe.
    pub async fn rest_status(&self, max_age: Duration) -> Answer<RestRow> {
        let Ok(mut cache) = timeout(LIMIT, self.inner().rest.lock()).await else {
            return Answer::Unknown("the server does not answer".to_owned());
        };
        if let Some((at, answer)) = &cache.last
            && at.elapsed() <= max_age
        {
            return answer.clone();
        }
        let answer = self.ask_rest_status().await;
        cache.keep(answer)
    }

    async fn ask_rest_status(&self) -> Answer<RestRow> {
        if self.has_no_port_yet() {
            return Answer::Unknown("PostgreSQL does not take connections".to_owned());
        }
        let version = self.major_version().unwrap_or(MODERN);
        let asked = self.query(Named::RestApi, &statement(version), LIMIT).await;
        match asked {
            Ok(rows) => match rows.first().map(read) {
                Some(Some(row)) => Answer::Known(row),
                _ => Answer::Unknown("the server gave an unreadable row".to_owned()),
            },
            Err(error) => Answer::Unknown(error.to_string()),
        }
    }
}

/// The server gives up after 2 s; the way there and back is added.
const LIMIT: Duration = Duration::from_millis(2500);

/// Assumed when `PG_VERSION` cannot be read.
const MODERN: u32 = 150_000;

fn statement(version: u32) -> String {
    let words = Words::of(version);
    let receiver = version >= 90_600;
    let written = if version >= 130_000 {
        "r.written_lsn - '0/0'"
    } else {
        "NULL"
    };
    let restore = if version >= 120_000 {
        "current_setting('restore_command')"
    } else {
        "NULL"
    };
    let columns = [
        time("pg_postmaster_start_time()"),
        "current_setting('server_version_num')".to_owned(),
        // Before the positions: when it is over, they show everything.
        replays_own_wal(version).to_owned(),
        words.timeline(),
        words.position(version),
        words.replayed(),
        words.received(),
        written.to_owned(),
        time("pg_last_xact_replay_timestamp()"),
        words.paused(),
        (if receiver { "r.status" } else { "NULL" }).to_owned(),
        restore.to_owned(),
        (if receiver {
            "r.latest_end_lsn - '0/0'"
        } else {
            "NULL"
        })
        .to_owned(),
        "(SELECT COALESCE(json_agg(s), '[]'::json) FROM (SELECT usename, application_name, \
         client_addr, state, sync_state, sync_priority FROM pg_stat_replication) AS s)"
            .to_owned(),
        may_stream(version).to_owned(),
    ];
    let from = if receiver {
        " FROM (SELECT 1) AS one LEFT JOIN pg_stat_get_wal_receiver() AS r ON true"
    } else {
        ""
    };
    format!("SELECT {}{from}", columns.join(", "))
}

/// Whether a standby is still on its way to the end of the WAL that it had when it started: nobody
/// has asked for a WAL receiver since, and the startup process does not wait for more.
fn replays_own_wal(version: u32) -> &'static str {
    if version < 100_000 {
        return "false";
    }
    "CASE WHEN pg_is_in_recovery() AND pg_last_wal_receive_lsn() IS NULL THEN EXISTS \
     (SELECT 1 FROM pg_stat_activity WHERE backend_type = 'startup' AND COALESCE(wait_event, '') \
     NOT IN ('RecoveryRetrieveRetryInterval', 'RecoveryWalAll', 'RecoveryWalStream')) \
     ELSE false END"
}

/// Whether a standby has the address of a sender. Who may not read it gets no error.
fn may_stream(version: u32) -> &'static str {
    if version < 120_000 {
        return "false";
    }
    "CASE WHEN pg_is_in_recovery() AND pg_has_role('pg_read_all_settings', 'USAGE') \
     THEN current_setting('primary_conninfo') <> '' ELSE false END"
}

fn read(row: &Row) -> Option<RestRow> {
    let lsn = |at: usize| row.parse(at).map(Lsn::new);
    let some = |position: Option<Lsn>| position.filter(|position| *position != Lsn::ZERO);
    let texts = |at: usize| row.get(at).map(str::to_owned);
    Some(RestRow {
        postmaster_start_time: printed_time(row.get(0)?),
        server_version: row.parse(1)?,
        replays_own_wal: row.is_true(2),
        timeline: Timeline::new(row.parse(3)?),
        location: lsn(4)?,
        received_location: some(lsn(7)).or(some(lsn(6))).or(lsn(5)),
        replayed_location: lsn(5),
        replayed_timestamp: row.get(8).map(printed_time),
        paused: row.is_true(9),
        may_stream: row.is_true(14),
        receiver_status: texts(10),
        restore_command: texts(11).filter(|command| !command.is_empty()),
        latest_end_lsn: lsn(12),
        replication: serde_json::from_str(row.get(13)?).ok()?,
    })
}
