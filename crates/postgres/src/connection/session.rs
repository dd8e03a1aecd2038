//! One SQL connection.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::SimpleQueryMessage;

use super::driver::Driver;
use super::{Endpoint, QueryError};

/// An open connection. Dropping it closes it.
#[derive(Debug)]
pub struct Session {
    client: tokio_postgres::Client,
    /// Ends with the session.
    _driver: Driver,
}

impl Session {
    /// Connects, for at most `limit`: a stopped server accepts connections that nobody serves.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn connect(endpoint: &Endpoint, limit: Duration) -> Result<Self, QueryError> {
        let config = endpoint.config();
        let connector = endpoint.connector()?;
        let connected = timeout(limit, config.connect(connector)).await;
        let (client, connection) = connected.map_err(|_| QueryError::Deadline(limit))??;
        let driver = Driver::new(async move {
            // How a connection ended is told to the statement that was running on it.
            let _ = connection.await;
        });
        Ok(Self {
            client,
            _driver: driver,
        })
    }

    /// The client, for statements with parameters.
    pub(crate) fn client(&self) -> &tokio_postgres::Client {
        &self.client
    }

    /// Runs a statement, without parameters, and takes the rows of its last result.
    ///
    /// Not cancel safe: a session whose statement was given up must be dropped.
    ///
    /// # Errors
    /// See [`QueryError`]; after [`QueryError::Deadline`] the session must be dropped, too.
    pub async fn query(&self, sql: &str, limit: Duration) -> Result<Vec<Row>, QueryError> {
        let answered = timeout(limit, self.client.simple_query(sql)).await;
        let messages = answered.map_err(|_| QueryError::Deadline(limit))??;
        let mut rows = Vec::new();
        for message in messages {
            if let SimpleQueryMessage::RowDescription(_) = message {
                rows.clear();
            } else if let SimpleQueryMessage::Row(row) = message {
                let columns = (0..row.len()).map(|at| row.get(at).map(str::to_owned));
                rows.push(Row {
                    columns: columns.collect(),
                });
            }
        }
        Ok(rows)
    }

    /// Whether the connection is known to be closed.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

/// A row, every column in its text form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    columns: Vec<Option<String>>,
}

impl Row {
    /// A row as a server would give it.
    #[cfg(test)]
    pub(crate) fn of(columns: &[Option<&str>]) -> Self {
        let columns = columns.iter().map(|column| column.map(str::to_owned));
        Self {
            columns: columns.collect(),
        }
    }

    /// A column, counted from 0; `None` for null and for columns that are not there.
    pub fn get(&self, at: usize) -> Option<&str> {
        self.columns.get(at)?.as_deref()
    }

    /// A column read as a value; `None` also when it does not read.
    pub fn parse<T: std::str::FromStr>(&self, at: usize) -> Option<T> {
        self.get(at)?.parse().ok()
    }

    /// A boolean column; null is false.
    pub fn is_true(&self, at: usize) -> bool {
        self.get(at) == Some("t")
    }
}

/// A text as an SQL literal, in the `E'..'` form when it holds a backslash.
pub fn quote_literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

/// A text as a quoted SQL identifier.
pub fn quote_identifier(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_for_sql() {
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal(r"a\b"), r"E'a\\b'");
        assert_eq!(quote_identifier("a\"b"), "\"a\"\"b\"");
    }
}
