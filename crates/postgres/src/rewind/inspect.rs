//! Looking at the leader and at ourselves.

use std::time::Duration;

use patroni_core::server::{ControlData, ControlState};
use patroni_core::{Lsn, Timeline};

use crate::replication::{
    ConnectionError, Identity, ReplicationClient, Session, Switch, Target, within,
};
use patroni_core::Causes;

/// What the leader says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderInspection {
    /// It is in recovery, so nothing can be concluded from the rest.
    pub in_recovery: bool,
    /// Its timeline.
    pub timeline: Timeline,
    /// The switches that led to its timeline, oldest first; `None` when it did not deliver them
    /// (and when it is in recovery, where nobody asked).
    pub history: Option<Vec<Switch>>,
    /// Up to where it has written its WAL; zero when it is in recovery.
    pub flushed: Lsn,
}

/// The leader could not be looked at. Logged where it happened; nothing is to be concluded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// Over SQL, with the credentials for rewind.
    #[error("ask the leader whether it is in recovery")]
    Sql(#[source] ConnectionError),
    /// Over a replication connection.
    #[error("ask the leader for its timeline")]
    Replication(#[source] ConnectionError),
}

/// Asks the leader for its state, timeline and history. `sql` uses the credentials for rewind
/// and, from version 10 on, asks for a session that can write; `replication` those for
/// replication. Each step takes at most `limit`. Cancel safe.
///
/// # Errors
/// The leader cannot be reached, does not let us in, or does not answer in time.
pub async fn inspect_leader(
    sql: &Target,
    replication: &Target,
    limit: Duration,
) -> Result<LeaderInspection, InspectError> {
    let in_recovery = is_in_recovery(sql, limit).await.map_err(|error| {
        tracing::error!("Exception when working with leader: {}", Causes(&error));
        InspectError::Sql(error)
    })?;
    let (identity, history) =
        timeline_of(replication, in_recovery, limit)
            .await
            .map_err(|error| {
                tracing::error!(
                    "Exception when working with primary via replication connection: {}",
                    Causes(&error)
                );
                InspectError::Replication(error)
            })?;
    Ok(LeaderInspection {
        in_recovery,
        timeline: identity.timeline,
        history,
        flushed: if in_recovery {
            Lsn::ZERO
        } else {
            identity.position
        },
    })
}

async fn timeline_of(
    target: &Target,
    in_recovery: bool,
    limit: Duration,
) -> Result<(Identity, Option<Vec<Switch>>), ConnectionError> {
    let client = ReplicationClient::connect(target, limit).await?;
    let identity = client.identify_system().await?;
    let timeline = identity.timeline;
    if in_recovery {
        return Ok((identity, None));
    }
    let history = match client.timeline_history(timeline).await {
        Ok(history) => Some(history),
        Err(error) if is_about_the_file(&error) => {
            tracing::warn!(
                "the leader did not deliver the history of timeline {timeline}: {}",
                Causes(&error)
            );
            None
        }
        Err(error) => return Err(error),
    };
    Ok((identity, history))
}

/// Whether the leader itself said that it has no such file, or sent one without content. A lost
/// connection or a server that goes down says nothing about the history.
fn is_about_the_file(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::Postgres(error) => error
            .code()
            .is_some_and(|code| code.code().starts_with("58")),
        ConnectionError::Nonsense { .. } => true,
        ConnectionError::Network { .. }
        | ConnectionError::Tls { .. }
        | ConnectionError::Slow(_)
        | ConnectionError::NoHost => false,
    }
}

/// Whether a server is in recovery.
pub(super) async fn is_in_recovery(
    target: &Target,
    limit: Duration,
) -> Result<bool, ConnectionError> {
    let session = Session::open(target, limit).await?;
    within(limit, async {
        let row = session
            .client
            .query_one("SELECT pg_catalog.pg_is_in_recovery()", &[])
            .await;
        row.and_then(|row| row.try_get(0))
            .map_err(ConnectionError::Postgres)
    })
    .await
}

/// Where this server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalPosition {
    /// It was, or is, in recovery.
    pub in_recovery: bool,
    /// Its timeline.
    pub timeline: Timeline,
    /// Replayed in recovery, otherwise the shutdown checkpoint.
    pub lsn: Lsn,
}

/// Where to read the local position.
#[derive(Debug)]
pub enum PositionSource<'a> {
    /// The running standby: its timeline over a replication connection, and what it has replayed
    /// as the monitoring query said.
    Running {
        /// The local server with the credentials for replication.
        target: &'a Target,
        /// The replayed position.
        replayed: Lsn,
    },
    /// The control file of a stopped server.
    Stopped(&'a ControlData),
}

/// The local position; `None` when it cannot be known now. Cancel safe.
pub async fn local_position(source: PositionSource<'_>, limit: Duration) -> Option<LocalPosition> {
    match source {
        PositionSource::Running { target, replayed } => {
            let client = ReplicationClient::connect(target, limit).await;
            let identity = match client {
                Ok(client) => client.identify_system().await,
                Err(error) => Err(error),
            };
            match identity {
                Ok(identity) => Some(LocalPosition {
                    in_recovery: true,
                    timeline: identity.timeline,
                    lsn: replayed,
                }),
                Err(error) => {
                    tracing::error!(
                        "Can not fetch local timeline and lsn from replication connection: {}",
                        Causes(&error)
                    );
                    None
                }
            }
        }
        PositionSource::Stopped(control) => stopped_position(control),
    }
}

/// The position in a control file (supervision contract, section 14.3). A standby that has never
/// replayed anything has no recovery point; its checkpoint counts, as for a primary.
fn stopped_position(control: &ControlData) -> Option<LocalPosition> {
    let recovered = || {
        Some(LocalPosition {
            in_recovery: true,
            timeline: control.min_recovery_timeline?,
            lsn: control.min_recovery.filter(|lsn| *lsn != Lsn::ZERO)?,
        })
    };
    let shut_down = || {
        Some(LocalPosition {
            in_recovery: false,
            timeline: control.checkpoint_timeline?,
            lsn: control.checkpoint?,
        })
    };
    match &control.state {
        ControlState::ShutDownInRecovery | ControlState::InArchiveRecovery => {
            recovered().or_else(shut_down)
        }
        ControlState::ShutDown => shut_down(),
        ControlState::ShuttingDown
        | ControlState::InCrashRecovery
        | ControlState::InProduction
        | ControlState::Other(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_file_tells_only_after_a_clean_end() {
        let control = |state: &str, min_recovery: u64| ControlData {
            state: ControlState::parse(state),
            checkpoint: Some(Lsn::new(100)),
            checkpoint_timeline: Timeline::new(3),
            min_recovery: Some(Lsn::new(min_recovery)),
            min_recovery_timeline: Timeline::new(4),
            lines: Vec::new(),
        };
        let position = |in_recovery, timeline, lsn| {
            Timeline::new(timeline).map(|timeline| LocalPosition {
                in_recovery,
                timeline,
                lsn: Lsn::new(lsn),
            })
        };
        for (state, min_recovery, expected) in [
            ("shut down in recovery", 200, position(true, 4, 200)),
            ("in archive recovery", 200, position(true, 4, 200)),
            ("in archive recovery", 0, position(false, 3, 100)),
            ("shut down", 200, position(false, 3, 100)),
            ("in production", 200, None),
            ("shutting down", 200, None),
            ("starting up", 200, None),
        ] {
            assert_eq!(
                stopped_position(&control(state, min_recovery)),
                expected,
                "{state}"
            );
        }
    }
}
