//! Creating, dropping and advancing one slot.

use std::time::Duration;

use patroni_core::{Lsn, SlotName};

use crate::connection::{Endpoint, Named, QueryError, Session, quote_literal};
use crate::supervisor::Supervisor;

/// What became of an order to drop a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// It is gone.
    Yes,
    /// Somebody uses it.
    InUse,
    /// There is none of that name.
    Absent,
}

/// A bit more than the statement timeout of our own connections: behind it the server is stuck.
const LIMIT: Duration = Duration::from_millis(2500);

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);

/// SQLSTATE of a slot that somebody has begun to use.
const OBJECT_IN_USE: &str = "55006";

impl Supervisor {
    /// Drops a slot unless somebody uses it. One statement looks and drops, so that the slot
    /// cannot become active in between unnoticed.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn drop_slot(&self, slot: &SlotName) -> Result<Dropped, QueryError> {
        let sql = format!(
            "WITH slot AS (SELECT slot_name, active FROM pg_replication_slots \
             WHERE slot_name = {}), \
             dropped AS (SELECT pg_drop_replication_slot(slot_name), true AS done \
             FROM slot WHERE NOT active) \
             SELECT slot.active, COALESCE(dropped.done, false) \
             FROM slot LEFT JOIN dropped ON true",
            quote_literal(slot.as_str())
        );
        let rows = match self.query(Named::Heartbeat, &sql, LIMIT).await {
            Err(QueryError::Sql { code, .. }) if code == OBJECT_IN_USE => {
                return Ok(Dropped::InUse);
            }
            answer => answer?,
        };
        Ok(match rows.first() {
            Some(row) if row.is_true(1) => Dropped::Yes,
            Some(_) => Dropped::InUse,
            None => Dropped::Absent,
        })
    }

    /// Creates a physical slot that keeps WAL from now on; false when there was one already.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn create_physical_slot(&self, slot: &SlotName) -> Result<bool, QueryError> {
        let name = quote_literal(slot.as_str());
        let reserve = match self.major_version() {
            Some(version) if version >= 90_600 => ", true",
            Some(_) | None => "",
        };
        let sql = format!(
            "SELECT pg_create_physical_replication_slot({name}{reserve}) \
             WHERE NOT EXISTS (SELECT 1 FROM pg_replication_slots \
             WHERE slot_type = 'physical' AND slot_name = {name})"
        );
        let rows = self.query(Named::Heartbeat, &sql, LIMIT).await?;
        Ok(!rows.is_empty())
    }

    /// Moves a slot that nobody uses. The server itself goes no further than it has WAL, and
    /// never back.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn advance_slot(&self, slot: &SlotName, to: Lsn) -> Result<(), QueryError> {
        let name = quote_literal(slot.as_str());
        let sql = format!("SELECT pg_replication_slot_advance({name}, '{to}')");
        self.query(Named::Heartbeat, &sql, LIMIT).await?;
        Ok(())
    }

    /// Creates a slot for logical decoding in its database; false when there was one already.
    /// The server waits for the transactions that run, for as long as its statement timeout lets
    /// it.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn create_logical_slot(
        &self,
        slot: &SlotName,
        database: &str,
        plugin: &str,
    ) -> Result<bool, QueryError> {
        let endpoint = Endpoint {
            database: database.to_owned(),
            ..Endpoint::local(&self.settings(), "Patroni")
        };
        let session = Session::connect(&endpoint, CONNECT).await?;
        let name = quote_literal(slot.as_str());
        let sql = format!(
            "SELECT pg_create_logical_replication_slot({name}, {}) \
             WHERE NOT EXISTS (SELECT 1 FROM pg_replication_slots \
             WHERE slot_type = 'logical' AND slot_name = {name})",
            quote_literal(plugin)
        );
        Ok(!session.query(&sql, LIMIT).await?.is_empty())
    }
}
