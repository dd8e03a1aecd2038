//! Looking at the slots of the leader, with the credentials of `pg_rewind`.

use std::time::Duration;

use patroni_core::server::SlotKind;
use patroni_core::{Lsn, SlotName, Xid};

use crate::connection::{QueryError, Row, Session, quote_literal};
use crate::elsewhere::Elsewhere;
use crate::supervisor::Supervisor;

/// How long a question in a cycle may take, connecting included. The leader may be dead, and
/// then this node's next cycle must not come late.
const LOOK: Duration = Duration::from_secs(1);

/// How long a question of a long task may take.
const CONNECT: Duration = Duration::from_secs(3);
const FETCH: Duration = Duration::from_secs(5);

/// What a slot of the leader keeps from vacuum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderSlot {
    /// Its name.
    pub name: SlotName,
    /// It is for logical decoding.
    pub logical: bool,
    /// The oldest transaction whose catalog rows it keeps.
    pub catalog_xmin: Option<Xid>,
}

/// A slot of the leader with its state file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotCopy {
    /// Its name.
    pub name: SlotName,
    /// What it is.
    pub kind: SlotKind,
    /// Up to where its consumer has confirmed.
    pub confirmed: Lsn,
    /// The oldest WAL that decoding needs.
    pub restart: Lsn,
    /// The content of its state file, empty when it could not be read.
    pub state: Vec<u8>,
}

/// Why slots could not be read from the leader.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// There was no connection.
    #[error("connect to the leader")]
    Connect(#[source] QueryError),
    /// The question failed.
    #[error("read its slots")]
    Query(#[source] QueryError),
}

impl Supervisor {
    /// Asks the leader what a physical slot and some logical ones keep; those that it does not
    /// have are left out. Takes a second at most.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn look_at_slots(
        &self,
        conn_url: &str,
        physical: &SlotName,
        logical: &[SlotName],
    ) -> Result<Vec<LeaderSlot>, QueryError> {
        let look = async {
            let session = self.session_at(conn_url, LOOK).await?;
            let mut which = format!(
                "(slot_type = 'physical' AND slot_name = {})",
                quote_literal(physical.as_str())
            );
            if !logical.is_empty() {
                let names = list(logical);
                which = format!("{which} OR (slot_type = 'logical' AND slot_name IN ({names}))");
            }
            let sql = format!(
                "SELECT slot_name, slot_type = 'logical', catalog_xmin \
                 FROM pg_replication_slots WHERE {which}"
            );
            session.query(&sql, LOOK).await
        };
        let rows = tokio::time::timeout(LOOK, look)
            .await
            .map_err(|_elapsed| QueryError::Deadline(LOOK))??;
        Ok(rows.iter().filter_map(leader_slot).collect())
    }

    /// Reads slots with their state files from the leader; nothing while it is in recovery, and
    /// no slot that it fails over by itself (from 17).
    ///
    /// # Errors
    /// See [`CopyError`].
    pub async fn fetch_slots(
        &self,
        conn_url: &str,
        names: &[SlotName],
    ) -> Result<Vec<SlotCopy>, CopyError> {
        let session = self
            .session_at(conn_url, CONNECT)
            .await
            .map_err(CopyError::Connect)?;
        let failover = match self.major_version() {
            Some(version) if version >= 170_000 => " AND NOT failover",
            Some(_) | None => "",
        };
        let sql = format!(
            "SELECT slot_name, slot_type = 'logical', plugin, database, \
             pg_wal_lsn_diff(confirmed_flush_lsn, '0/0')::bigint, \
             pg_wal_lsn_diff(restart_lsn, '0/0')::bigint, \
             encode(pg_read_binary_file('pg_replslot/' || slot_name || '/state', 0, {MOST_BYTES}, \
             true), 'hex') \
             FROM pg_replication_slots \
             WHERE NOT pg_is_in_recovery() AND slot_name IN ({}){failover}",
            list(names)
        );
        let rows = session.query(&sql, FETCH).await.map_err(CopyError::Query)?;
        Ok(rows.iter().filter_map(slot_copy).collect())
    }

    async fn session_at(&self, conn_url: &str, limit: Duration) -> Result<Session, QueryError> {
        let settings = self.settings();
        let version = self.full_version().await.unwrap_or_default();
        let leader = Elsewhere::member(&settings, conn_url, version).ok_or_else(|| {
            QueryError::Unreachable {
                reason: format!("its address cannot be read: {conn_url}"),
                code: None,
            }
        })?;
        Session::connect(&leader.for_slots().endpoint(), limit).await
    }
}

/// A state file is about two hundred bytes; a longer one is none.
const MOST_BYTES: usize = 65_536;

fn list(names: &[SlotName]) -> String {
    let quoted: Vec<String> = names
        .iter()
        .map(|name| quote_literal(name.as_str()))
        .collect();
    quoted.join(", ")
}

fn leader_slot(row: &Row) -> Option<LeaderSlot> {
    Some(LeaderSlot {
        name: SlotName::new(row.get(0)?),
        logical: row.is_true(1),
        catalog_xmin: row.parse(2).map(Xid::new),
    })
}

fn slot_copy(row: &Row) -> Option<SlotCopy> {
    let text = |at: usize| row.get(at).unwrap_or_default().to_owned();
    Some(SlotCopy {
        name: SlotName::new(row.get(0)?),
        kind: if row.is_true(1) {
            SlotKind::Logical {
                plugin: text(2),
                database: text(3),
            }
        } else {
            SlotKind::Physical
        },
        confirmed: row.parse(4).map(Lsn::new).unwrap_or_default(),
        restart: row.parse(5).map(Lsn::new).unwrap_or_default(),
        state: row.get(6).and_then(from_hex).unwrap_or_default(),
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes().chunks(2);
    bytes
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_as_hex() {
        assert_eq!(from_hex("00ff1a"), Some(vec![0, 255, 26]));
        assert_eq!(from_hex(""), Some(Vec::new()));
        assert_eq!(from_hex("zz"), None);
    }
}
