//! The monitoring query: everything a cycle must know of a running server, in one statement.
//!
//! Source: the supervision contract, section 2.

use patroni_core::server::{ServerStatus, SlotKind, SlotRow, WalReceiver, WalSender};
use patroni_core::{Lsn, SlotName, Timeline, Xid};
use serde::Deserialize;

use crate::connection::Row;

/// What one look should include beyond the usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Replication slots (from 9.4), but for temporary ones and those that the server fails over
    /// by itself.
    pub slots: bool,
    /// WAL senders and synchronous settings: synchronous mode, and the role is primary.
    pub sync: bool,
    /// The control file's timeline: the role is standby leader.
    pub standby_leader: bool,
}

/// Functions that were renamed in version 10.
pub(crate) struct Words {
    wal: &'static str,
    lsn: &'static str,
    file: &'static str,
}

impl Words {
    pub(crate) fn of(version: u32) -> Self {
        if version >= 100_000 {
            Self {
                wal: "wal",
                lsn: "lsn",
                file: "walfile",
            }
        } else {
            Self {
                wal: "xlog",
                lsn: "location",
                file: "xlogfile",
            }
        }
    }

    fn bytes(&self, position: &str) -> String {
        let Self { wal, lsn, .. } = self;
        format!("pg_{wal}_{lsn}_diff({position}, '0/0')::bigint")
    }

    /// The timeline of a running primary, 0 in recovery.
    pub(crate) fn timeline(&self) -> String {
        let Self { wal, lsn, file } = self;
        format!(
            "CASE WHEN pg_is_in_recovery() THEN 0 ELSE \
             ('x' || substr(pg_{file}_name(pg_current_{wal}_insert_{lsn}()), 1, 8))::bit(32)::int END"
        )
    }

    /// The flushed position of a running primary, 0 in recovery.
    pub(crate) fn position(&self, version: u32) -> String {
        let Self { wal, lsn, .. } = self;
        let flush = if version >= 90_600 { "_flush" } else { "" };
        let position = self.bytes(&format!("pg_current_{wal}{flush}_{lsn}()"));
        format!("CASE WHEN pg_is_in_recovery() THEN 0 ELSE {position} END")
    }

    pub(crate) fn replayed(&self) -> String {
        let Self { wal, lsn, .. } = self;
        self.bytes(&format!("pg_last_{wal}_replay_{lsn}()"))
    }

    pub(crate) fn received(&self) -> String {
        let Self { wal, lsn, .. } = self;
        self.bytes(&format!("COALESCE(pg_last_{wal}_receive_{lsn}(), '0/0')"))
    }

    pub(crate) fn paused(&self) -> String {
        let Self { wal, .. } = self;
        format!("CASE WHEN pg_is_in_recovery() THEN pg_is_{wal}_replay_paused() ELSE false END")
    }
}

/// A time as the reference prints it, once [`printed_time`] has finished it.
pub(crate) fn time(expression: &str) -> String {
    format!("to_char({expression}, 'YYYY-MM-DD HH24:MI:SS.USOF')")
}

/// Drops a fraction of zero and completes the offset.
pub(crate) fn printed_time(text: &str) -> String {
    let text = text.replace(".000000", "");
    let offset = text.rfind(['+', '-']).map_or("", |at| &text[at..]);
    if offset.contains(':') {
        text
    } else {
        format!("{text}:00")
    }
}

/// The statement for a server of this version.
pub(crate) fn statement(ask: Ask, version: u32) -> String {
    let words = Words::of(version);
    let since = |first: u32, then: String, otherwise: &str| {
        if version >= first {
            then
        } else {
            otherwise.to_owned()
        }
    };
    let text = |expression: &str| expression.to_owned();
    let columns = [
        words.timeline(),
        words.position(version),
        words.replayed(),
        words.received(),
        words.paused(),
        if ask.standby_leader {
            since(
                90_600,
                text("(SELECT timeline_id FROM pg_control_checkpoint())"),
                "0",
            )
        } else {
            text("0")
        },
        since(
            90_600,
            text("CASE WHEN r.latest_end_lsn IS NULL THEN NULL ELSE r.received_tli END"),
            "NULL",
        ),
        since(130_000, words.bytes("r.written_lsn"), "NULL"),
        since(90_600, text("r.slot_name"), "NULL"),
        since(90_600, text("r.conninfo"), "NULL"),
        since(90_600, text("r.status"), "NULL"),
        since(120_000, text("current_setting('restore_command')"), "NULL"),
        if ask.slots {
            since(90_400, slots(&words, version), "NULL")
        } else {
            text("NULL")
        },
        if ask.sync {
            text("current_setting('synchronous_commit')")
        } else {
            text("'on'")
        },
        if ask.sync {
            text("current_setting('synchronous_standby_names')")
        } else {
            text("''")
        },
        if ask.sync {
            senders(&words, version)
        } else {
            text("NULL")
        },
        time("pg_postmaster_start_time()"),
    ];
    let receiver = if version >= 90_600 {
        " FROM (SELECT 1) AS one LEFT JOIN pg_stat_get_wal_receiver() AS r ON true"
    } else {
        ""
    };
    format!("SELECT {}{receiver}", columns.join(", "))
}

fn slots(words: &Words, version: u32) -> String {
    let since = |first: u32, column: &str| {
        if version >= first {
            column.to_owned()
        } else {
            "NULL".to_owned()
        }
    };
    let mut seen = Vec::new();
    if version >= 100_000 {
        seen.push("NOT temporary");
    }
    if version >= 170_000 {
        seen.push("NOT failover");
    }
    let seen = if seen.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", seen.join(" AND "))
    };
    format!(
        "(SELECT COALESCE(json_agg(s), '[]'::json) FROM (SELECT slot_name AS name, \
         slot_type = 'logical' AS logical, plugin, database, active, {} AS restart_lsn, \
         {} AS confirmed_flush_lsn, xmin::text::bigint AS xmin, \
         catalog_xmin::text::bigint AS catalog_xmin, {} AS wal_status \
         FROM pg_replication_slots{seen}) AS s)",
        words.bytes("restart_lsn"),
        since(90_600, &words.bytes("confirmed_flush_lsn")),
        since(130_000, "wal_status"),
    )
}

fn senders(words: &Words, version: u32) -> String {
    let column = |name: &str| {
        let suffix = if version >= 100_000 {
            "lsn"
        } else {
            "location"
        };
        words.bytes(&format!("{name}_{suffix}"))
    };
    format!(
        "(SELECT COALESCE(json_agg(s), '[]'::json) FROM (SELECT application_name, sync_state, \
         {} AS write, {} AS flush, {} AS replay FROM pg_stat_replication \
         WHERE state = 'streaming') AS s)",
        column("write"),
        column("flush"),
        column("replay"),
    )
}

/// The statement for the WAL senders alone.
pub(crate) fn senders_statement(version: u32) -> String {
    let words = Words::of(version);
    format!(
        "SELECT {}, {}",
        words.position(version),
        senders(&words, version)
    )
}

/// Its row: the flushed position and the senders.
pub(crate) fn read_senders(row: &Row) -> Option<(Lsn, Vec<WalSender>)> {
    let senders = row.get(1).and_then(parse_list::<RawSender, WalSender>)?;
    Some((Lsn::new(row.parse(0)?), senders))
}

/// The row as facts, with the postmaster's start time.
pub(crate) fn read(row: &Row) -> (ServerStatus, Option<String>) {
    let timeline = |at: usize| Timeline::new(row.parse(at)?);
    let lsn = |at: usize| row.parse(at).map(Lsn::new);
    let texts = |at: usize| row.get(at).map(str::to_owned);
    let received = lsn(3).max(lsn(7)).filter(|position| *position != Lsn::ZERO);
    let status = ServerStatus {
        primary_timeline: timeline(0),
        position: lsn(1).unwrap_or_default(),
        replayed: lsn(2),
        received,
        replay_paused: row.is_true(4),
        control_timeline: timeline(5),
        receiver_timeline: timeline(6),
        receiver: texts(10).map(|status| WalReceiver {
            status,
            slot_name: texts(8).filter(|name| !name.is_empty()).map(SlotName::new),
            conninfo: texts(9).unwrap_or_default(),
        }),
        restore_command: texts(11).filter(|command| !command.is_empty()),
        slots: row.get(12).and_then(parse_list::<RawSlot, SlotRow>),
        synchronous_commit: texts(13).unwrap_or_default(),
        synchronous_standby_names: texts(14).unwrap_or_default(),
        wal_senders: row
            .get(15)
            .and_then(parse_list::<RawSender, WalSender>)
            .unwrap_or_default(),
    };
    (status, row.get(16).map(printed_time))
}

fn parse_list<Raw, T>(json: &str) -> Option<Vec<T>>
where
    Raw: for<'de> Deserialize<'de> + Into<T>,
{
    let raw: Vec<Raw> = serde_json::from_str(json).ok()?;
    Some(raw.into_iter().map(Into::into).collect())
}

#[derive(Deserialize)]
struct RawSlot {
    name: String,
    logical: bool,
    plugin: Option<String>,
    database: Option<String>,
    active: bool,
    restart_lsn: Option<u64>,
    confirmed_flush_lsn: Option<u64>,
    xmin: Option<u32>,
    catalog_xmin: Option<u32>,
    wal_status: Option<String>,
}

impl From<RawSlot> for SlotRow {
    fn from(raw: RawSlot) -> Self {
        let kind = if raw.logical {
            SlotKind::Logical {
                plugin: raw.plugin.unwrap_or_default(),
                database: raw.database.unwrap_or_default(),
            }
        } else {
            SlotKind::Physical
        };
        Self {
            name: SlotName::new(raw.name),
            kind,
            active: raw.active,
            restart_lsn: raw.restart_lsn.map(Lsn::new),
            confirmed_flush_lsn: raw.confirmed_flush_lsn.map(Lsn::new),
            xmin: raw.xmin.map(Xid::new),
            catalog_xmin: raw.catalog_xmin.map(Xid::new),
            wal_status: raw.wal_status,
        }
    }
}

#[derive(Deserialize)]
struct RawSender {
    application_name: String,
    sync_state: String,
    write: Option<u64>,
    flush: Option<u64>,
    replay: Option<u64>,
}

impl From<RawSender> for WalSender {
    fn from(raw: RawSender) -> Self {
        Self {
            application_name: raw.application_name,
            sync_state: raw.sync_state,
            write: raw.write.map(Lsn::new),
            flush: raw.flush.map(Lsn::new),
            replay: raw.replay.map(Lsn::new),
            unanswered: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_printed_like_the_reference() {
        for (server, printed) in [
            (
                "2026-11-21 03:27:44.545724+00",
                "2026-11-21 03:27:44.545724+00:00",
            ),
            ("2026-11-21 03:27:44.000000+00", "2026-11-21 03:27:44+00:00"),
            (
                "2026-11-21 03:27:44.500000-05:30",
                "2026-11-21 03:27:44.500000-05:30",
            ),
        ] {
            assert_eq!(printed_time(server), printed);
        }
    }

    #[test]
    fn old_servers_are_asked_in_their_own_words() {
        let ask = Ask {
            slots: true,
            sync: true,
            standby_leader: true,
        };
        let old = statement(ask, 90_600);
        assert!(old.contains("pg_xlogfile_name(pg_current_xlog_insert_location())"));
        assert!(old.contains("FROM pg_replication_slots)"));
        assert!(statement(ask, 90_400).contains("NULL AS confirmed_flush_lsn"));
        let new = statement(ask, 170_000);
        assert!(new.contains("AND NOT failover"));
        assert!(statement(Ask::default(), 150_000).contains("'on', '', NULL"));
    }
}
