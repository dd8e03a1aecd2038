//! Whether the server answers new connections.
//!
//! The long-lived connections say nothing about that: a postmaster that hangs leaves its
//! children at work, while everybody who is new waits for ever.

use std::time::Duration;

use crate::connection::{Endpoint, QueryError, Session};
use crate::supervisor::Supervisor;

/// What came of knocking once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knock {
    /// Somebody answered, if only with a refusal.
    Answered,
    /// Nobody took the connection, so there is nobody to answer.
    Closed,
    /// It was taken, and nothing came back in time.
    Silent,
}

impl Supervisor {
    /// Opens a connection of its own, waits at most `limit` for the first word, and closes it.
    pub async fn knock(&self, limit: Duration) -> Knock {
        let endpoint = Endpoint::local(&self.settings(), "Patroni probe");
        match Session::connect(&endpoint, limit).await {
            Err(QueryError::Deadline(_)) => Knock::Silent,
            Err(QueryError::Unreachable { code: None, .. }) => Knock::Closed,
            // A refusal, also one of our certificates, is an answer.
            Ok(_) | Err(_) => Knock::Answered,
        }
    }
}
