//! The connections that are kept open.

use std::fmt;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use tracing::info;

use super::{Endpoint, QueryError, Row, Session};

/// Which of the kept connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// The HA loop and everything that has no other.
    Heartbeat,
    /// Status for the REST API.
    RestApi,
}

impl Named {
    /// Every name.
    pub(crate) const ALL: [Self; 2] = [Self::Heartbeat, Self::RestApi];

    /// The word in logs and in `application_name`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Heartbeat => "heartbeat",
            Self::RestApi => "restapi",
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A connection that is opened at first use and kept until it fails or is closed.
#[derive(Debug)]
pub(crate) struct NamedConnection {
    name: Named,
    session: Mutex<Option<Session>>,
}

impl NamedConnection {
    pub(crate) fn new(name: Named) -> Self {
        Self {
            name,
            session: Mutex::new(None),
        }
    }

    /// Runs a statement, connecting first when needed; all of it, waiting for an earlier
    /// statement included, takes at most `limit`. A session that did not answer is dropped.
    /// Cancel safe: a statement given up half way costs the connection, nothing else.
    pub(crate) async fn query(
        &self,
        endpoint: impl FnOnce() -> Endpoint,
        sql: &str,
        limit: Duration,
    ) -> Result<Vec<Row>, QueryError> {
        let deadline = Instant::now() + limit;
        let late = |_| QueryError::Deadline(limit);
        let mut slot = timeout_at(deadline, self.session.lock())
            .await
            .map_err(late)?;
        // Taken out while in use: whoever drops this future drops the session with it.
        let kept = slot.take().filter(|session| !session.is_closed());
        let session = if let Some(session) = kept {
            session
        } else {
            info!(
                "establishing a new patroni {} connection to postgres",
                self.name
            );
            let left = deadline.saturating_duration_since(Instant::now());
            Session::connect(&endpoint(), left).await?
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let result = session.query(sql, left).await;
        match &result {
            Ok(_) | Err(QueryError::Sql { .. } | QueryError::Cancelled) => *slot = Some(session),
            Err(_) => {}
        }
        result
    }

    /// Closes the connection; `true` when one was open. A statement under way keeps its own.
    pub(crate) fn close(&self) -> bool {
        self.session
            .try_lock()
            .is_ok_and(|mut slot| slot.take().is_some())
    }
}
