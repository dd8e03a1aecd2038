//! How much WAL the leader has written since a backup.

use std::path::PathBuf;
use std::time::Duration;

use patroni_core::Lsn;
use patroni_postgres::QueryError;
use patroni_postgres::connection::Session;
use patroni_postgres::survey::{Source, SurveyError};

/// Why the leader did not say.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// The connection string does not read.
    #[error("read the connection string")]
    Source(#[source] SurveyError),
    /// No connection, or no answer.
    #[error("ask the leader for its position")]
    Query(#[source] QueryError),
    /// An answer that is no number.
    #[error("the leader gave no position")]
    NoAnswer,
}

/// Connecting, and the statement.
const LIMIT: Duration = Duration::from_secs(5);

/// Bytes of WAL that the leader has written since `start`, and 0 when it is behind that. The
/// password comes from the connection string, the environment or a password file, as with libpq.
pub(super) async fn written_since(connstring: &str, start: Lsn) -> Result<u64, AskError> {
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let mut source = Source::new(Some(connstring), variable).map_err(AskError::Source)?;
    let passwords = variable("PGPASSFILE")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".pgpass")));
    // Without a file there is no password, and the server may want none.
    if let Some(text) = passwords.and_then(|file| std::fs::read_to_string(file).ok()) {
        source.look_up_password(&text);
    }
    let endpoint = source
        .endpoint("patroni_wale_restore")
        .map_err(AskError::Source)?;
    let session = Session::connect(&endpoint, LIMIT)
        .await
        .map_err(AskError::Query)?;
    let version = session.query("SHOW server_version_num", LIMIT).await;
    let version = version.map_err(AskError::Query)?;
    let version: u32 = version
        .first()
        .and_then(|row| row.parse(0))
        .ok_or(AskError::NoAnswer)?;
    let rows = session.query(&statement(version, start), LIMIT).await;
    let rows = rows.map_err(AskError::Query)?;
    rows.first()
        .and_then(|row| row.parse(0))
        .ok_or(AskError::NoAnswer)
}

/// A leader of a standby cluster replays instead of writing.
fn statement(version: u32, start: Lsn) -> String {
    let (wal, lsn) = if version >= 100_000 {
        ("wal", "lsn")
    } else {
        ("xlog", "location")
    };
    format!(
        "SELECT GREATEST(0, pg_catalog.pg_{wal}_{lsn}_diff(\
         CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_{wal}_replay_{lsn}() \
         ELSE pg_catalog.pg_current_{wal}_{lsn}() END, '{start}'))::pg_catalog.int8"
    )
}
