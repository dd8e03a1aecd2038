//! The table of nodes of a Citus coordinator, through the functions of Citus.
//!
//! Source of the statements: the Citus contract, sections 8, 10 and 11.

use std::fmt;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use tracing::info;

use crate::connection::{Endpoint, QueryError, Session};
use crate::supervisor::Supervisor;

/// A row of `pg_dist_node`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// `groupid`; 0 is the coordinator's.
    pub group: u32,
    /// `nodename`
    pub host: String,
    /// `nodeport`
    pub port: u16,
    /// `noderole`
    pub role: String,
    /// `nodeid`
    pub id: i64,
}

/// A statement about the table of nodes that failed. The connection with its transaction is gone.
#[derive(Debug, thiserror::Error)]
#[error("Exception when executing query \"{sql}\", ({params}): {reason}")]
pub struct NodeTableError {
    sql: &'static str,
    params: Params,
    /// The chain of causes is in its text.
    reason: QueryError,
}

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long a statement may take besides its cool-down. Adding a node copies the metadata of
/// every table to it, and Citus sets no limit; this one only ends the wait for a frozen server.
const PATIENCE: Duration = Duration::from_mins(10);

/// The session has no limits: transactions stay open while a worker changes its primary.
const UNLIMITED: &str = "SET idle_in_transaction_session_timeout = 0";

const READ: &str = "SELECT groupid, nodename, nodeport, noderole::pg_catalog.text, nodeid \
     FROM pg_catalog.pg_dist_node ORDER BY nodeid";
const UPDATE: &str = "SELECT pg_catalog.citus_update_node($1, $2, $3, true, $4)";
const ADD: &str = "SELECT pg_catalog.citus_add_node\
     ($1, $2, $3, $4::pg_catalog.text::pg_catalog.noderole, 'default')";
const REMOVE: &str = "SELECT pg_catalog.citus_remove_node($1, $2)";

/// The table, by a connection of its own (`Patroni citus`) that is opened at first use and kept.
///
/// The calls are not cancel safe: one that is dropped half way costs the connection, and with it
/// an open transaction. Call [`NodeTable::close`] then.
pub struct NodeTable {
    supervisor: Supervisor,
    session: Option<Session>,
    /// A transaction is open on the session.
    open: bool,
}

impl NodeTable {
    /// The table of this server. Nothing is connected yet.
    pub fn new(supervisor: Supervisor) -> Self {
        Self {
            supervisor,
            session: None,
            open: false,
        }
    }

    /// Closes the connection. The server rolls an open transaction back.
    pub fn close(&mut self) {
        self.session = None;
        self.open = false;
    }

    /// Reads all rows. One whose port or group cannot be ours is left out.
    ///
    /// # Errors
    /// See [`NodeTableError`].
    pub async fn read(&mut self) -> Result<Vec<NodeRow>, NodeTableError> {
        let rows = self.run(READ, Params::default(), PATIENCE).await?;
        let number = |row: &Row, at: usize| row.try_get::<_, i32>(at).ok();
        let read = |row: &Row| {
            Some(NodeRow {
                group: number(row, 0)?.try_into().ok()?,
                host: row.try_get(1).ok()?,
                port: number(row, 2)?.try_into().ok()?,
                role: row.try_get(3).ok()?,
                id: number(row, 4)?.into(),
            })
        };
        Ok(rows.iter().filter_map(read).collect())
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// See [`NodeTableError`].
    pub async fn begin(&mut self) -> Result<(), NodeTableError> {
        self.run("BEGIN", Params::default(), PATIENCE).await?;
        self.open = true;
        Ok(())
    }

    /// Commits the transaction.
    ///
    /// # Errors
    /// See [`NodeTableError`].
    pub async fn commit(&mut self) -> Result<(), NodeTableError> {
        self.end("COMMIT").await
    }

    /// Rolls the transaction back. The server has done so when the connection was lost.
    ///
    /// # Errors
    /// See [`NodeTableError`].
    pub async fn roll_back(&mut self) -> Result<(), NodeTableError> {
        if self.session.as_ref().is_none_or(Session::is_closed) {
            self.close();
            return Ok(());
        }
        self.end("ROLLBACK").await
    }

    async fn end(&mut self, sql: &'static str) -> Result<(), NodeTableError> {
        self.run(sql, Params::default(), PATIENCE).await?;
        self.open = false;
        Ok(())
    }

    /// Gives a row another address. Citus waits for whoever holds its locks, and ends them after
    /// the cool-down.
    ///
    /// # Errors
    /// See [`NodeTableError`].
    pub async fn update(
        &mut self,
        id: i64,
        host: &str,
        port: u16,
        cooldown: Duration,
    ) -> Result<(), NodeTableError> {
        let millis = i64::try_from(cooldown.as_millis()).unwrap_or(i64::MAX);
        let params = Params::default()
            .number(id)
            .text(host)
            .number(port)
            .number(millis);
        let limit = cooldown.saturating_add(PATIENCE);
        self.run(UPDATE, params, limit).await.map(|_| ())
    }

    /// Adds a row and gives its id.
    ///
    /// # Errors
    /// See [`NodeTableError`].
    pub async fn add(
        &mut self,
        host: &str,
        port: u16,
        group: u32,
        role: &str,
    ) -> Result<i64, NodeTableError> {
        let params = Params::default()
            .text(host)
            .number(port)
            .number(group)
            .text(role);
        let rows = self.run(ADD, params, PATIENCE).await?;
        let id = rows.first().and_then(|row| row.try_get::<_, i32>(0).ok());
        id.map(i64::from).ok_or_else(|| NodeTableError {
            sql: ADD,
            params: Params::default(),
            reason: QueryError::Unreachable {
                reason: "the answer has no number of the node".to_owned(),
                code: None,
            },
        })
    }

    /// Removes a row.
    ///
    /// # Errors
    /// See [`NodeTableError`].
    pub async fn remove(&mut self, host: &str, port: u16) -> Result<(), NodeTableError> {
        let params = Params::default().text(host).number(port);
        self.run(REMOVE, params, PATIENCE).await.map(|_| ())
    }

    async fn run(
        &mut self,
        sql: &'static str,
        params: Params,
        limit: Duration,
    ) -> Result<Vec<Row>, NodeTableError> {
        match self.try_run(sql, &params, limit).await {
            Ok(rows) => Ok(rows),
            Err(reason) => {
                self.close();
                Err(NodeTableError {
                    sql,
                    params,
                    reason,
                })
            }
        }
    }

    async fn try_run(
        &mut self,
        sql: &str,
        params: &Params,
        limit: Duration,
    ) -> Result<Vec<Row>, QueryError> {
        // Taken out while in use: whoever drops this future drops the session with it.
        let session = match self.session.take() {
            Some(session) if !session.is_closed() => session,
            Some(_) | None if self.open => return Err(transaction_lost()),
            Some(_) | None => self.connect().await?,
        };
        let typed: Vec<_> = params.0.iter().map(Param::typed).collect();
        let asked = session.client().query_typed(sql, &typed);
        let answered = timeout(limit, asked).await;
        let rows = answered.map_err(|_| QueryError::Deadline(limit))??;
        self.session = Some(session);
        Ok(rows)
    }

    async fn connect(&self) -> Result<Session, QueryError> {
        let settings = self.supervisor.settings();
        let mut endpoint = Endpoint {
            statement_timeout: None,
            ..Endpoint::local(&settings, "Patroni citus")
        };
        if let Some(citus) = &settings.citus {
            endpoint.database.clone_from(&citus.database);
        }
        info!("establishing a new patroni citus connection to postgres");
        let session = Session::connect(&endpoint, CONNECT).await?;
        session.query(UNLIMITED, CONNECT).await?;
        Ok(session)
    }
}

/// Whatever the next statement is, it must not run outside of the transaction it belongs to.
fn transaction_lost() -> QueryError {
    QueryError::Unreachable {
        reason: "the connection was lost with its open transaction".to_owned(),
        code: None,
    }
}

/// Parameters of a statement; printed as the reference does.
#[derive(Debug, Default)]
struct Params(Vec<Param>);

#[derive(Debug)]
enum Param {
    Number(i32),
    Text(String),
}

impl Params {
    /// Numbers of Citus have 32 bits; what is larger becomes the largest.
    fn number(mut self, number: impl Into<i64>) -> Self {
        let number = i32::try_from(number.into()).unwrap_or(i32::MAX);
        self.0.push(Param::Number(number));
        self
    }

    fn text(mut self, text: &str) -> Self {
        self.0.push(Param::Text(text.to_owned()));
        self
    }
}

impl Param {
    fn typed(&self) -> (&(dyn ToSql + Sync), Type) {
        match self {
            Self::Number(number) => (number, Type::INT4),
            Self::Text(text) => (text, Type::TEXT),
        }
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, param) in self.0.iter().enumerate() {
            let gap = if at == 0 { "" } else { ", " };
            match param {
                Param::Number(number) => write!(f, "{gap}{number}")?,
                Param::Text(text) => write!(f, "{gap}'{text}'")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_the_known_sentence() {
        let failure = NodeTableError {
            sql: UPDATE,
            params: Params::default().number(3).text("b").number(5432_u16),
            reason: transaction_lost(),
        };
        assert_eq!(
            failure.to_string(),
            "Exception when executing query \"SELECT pg_catalog.citus_update_node($1, $2, $3, true, $4)\", \
             (3, 'b', 5432): reach the server: the connection was lost with its open transaction"
        );
    }
}
