//! Comparing this server's history with the leader's, and rewinding it.

use std::time::Duration;

use patroni_core::server::ControlState;
use patroni_core::{HistoryLine, Lsn, State, Timeline};
use tracing::error;

use crate::archive;
use crate::binaries::Binaries;
use crate::cancel::Cancel;
use crate::elsewhere::Elsewhere;
use crate::replication::parse_history;
use crate::rewind::{
    self, InspectError, LeaderInspection, LeaderReadiness, LocalPosition, PositionSource,
    RewindOutcome, RewindRequest,
};
use crate::stop::ShutdownPoint;
use crate::supervisor::Supervisor;
use crate::{single_user, waldump};

/// How long one question to a leader may take.
const ASK: Duration = Duration::from_secs(5);

impl Supervisor {
    /// Asks a member for its state, timeline and history. Cancel safe.
    ///
    /// # Errors
    /// It cannot be reached, or not with our credentials; logged already.
    pub async fn inspect_leader(&self, conn_url: &str) -> Result<LeaderInspection, String> {
        let settings = self.settings();
        let version = self.full_version().await.unwrap_or_default();
        let replication = Elsewhere::member(&settings, conn_url, version)
            .ok_or_else(|| format!("its address cannot be read: {conn_url}"))?;
        let sql = replication
            .clone()
            .for_rewind()
            .target(false)
            .map_err(|reason| reason.to_string())?;
        let replication = replication
            .target(true)
            .map_err(|reason| reason.to_string())?;
        rewind::inspect_leader(&sql, &replication, ASK)
            .await
            .map_err(|reason| match reason {
                InspectError::Sql(cause) | InspectError::Replication(cause) => cause.to_string(),
            })
    }

    /// The timeline of a running standby, from a replication connection to itself: what its WAL
    /// receiver cannot tell while there is none. Cancel safe; a failure is logged.
    pub async fn replication_timeline(&self) -> Option<Timeline> {
        Some(self.running_position(Lsn::ZERO).await?.timeline)
    }

    async fn running_position(&self, replayed: Lsn) -> Option<LocalPosition> {
        let settings = self.settings();
        let local = Elsewhere {
            settings: &settings,
            hosts: settings.listen.local_host().to_owned(),
            ports: settings.listen.port.to_string(),
            database: String::new(),
            user: &settings.replication,
            version: self.full_version().await.unwrap_or_default(),
            read_write: false,
        };
        let target = local.target(true).ok()?;
        let source = PositionSource::Running {
            target: &target,
            replayed,
        };
        rewind::local_position(source, ASK).await
    }

    /// Where this server stands, and for a former primary where its last checkpoint record ends.
    pub async fn local_position(&self) -> Option<(LocalPosition, Option<Lsn>)> {
        let settings = self.settings();
        let running = self
            .cached_status()
            .filter(|_| self.is_alive() && self.state() == State::Running);
        if let Some(cached) = running {
            let position = self.running_position(cached.status.replayed?).await?;
            return Some((position, None));
        }
        let control = self.pg_controldata().await?;
        let position = rewind::local_position(PositionSource::Stopped(&control), ASK).await?;
        if position.in_recovery || control.state != ControlState::ShutDown {
            return Some((position, None));
        }
        let binaries = Binaries::new(&settings);
        let end = waldump::checkpoint_end(
            &binaries,
            &settings.data_dir,
            position.timeline,
            position.lsn,
        )
        .await;
        Some((position, end))
    }

    /// The shutdown point with the record before the checkpoint looked up.
    pub async fn refine_shutdown_point(&self, point: ShutdownPoint) -> ShutdownPoint {
        let settings = self.settings();
        let control = self.pg_controldata().await;
        let Some(timeline) = control.and_then(|control| control.checkpoint_timeline) else {
            return point;
        };
        let binaries = Binaries::new(&settings);
        let found =
            waldump::shutdown_point(&binaries, &settings.data_dir, timeline, point.checkpoint)
                .await;
        ShutdownPoint {
            checkpoint: found.checkpoint,
            previous: found.previous,
        }
    }

    /// Rewinds the stopped server to a member. `checkpointed` tells what the member's key says of
    /// its checkpoint: done, still running, or nothing.
    ///
    /// Must not be dropped half way; raise `cancel` instead.
    pub async fn rewind(
        &self,
        leader: &str,
        conn_url: &str,
        checkpointed: Option<bool>,
        cancel: &Cancel,
    ) -> RewindOutcome {
        let settings = self.settings();
        let version = self.full_version().await.unwrap_or_default();
        let failed = RewindOutcome::Failed {
            leader_healthy: false,
        };
        let Some(member) =
            Elsewhere::member(&settings, conn_url, version).map(Elsewhere::for_rewind)
        else {
            error!("the address of {leader} cannot be read: {conn_url}");
            return failed;
        };
        let prepared = member
            .target(false)
            .map_err(|reason| reason.to_string())
            .and_then(|target| {
                let pgpass = member.write_pgpass().map_err(|reason| reason.to_string())?;
                Ok((target, pgpass))
            });
        let (target, pgpass) = match prepared {
            Ok(prepared) => prepared,
            Err(reason) => {
                error!("cannot prepare the rewind: {reason}");
                return failed;
            }
        };
        let readiness = match checkpointed {
            Some(true) => LeaderReadiness::Checkpointed,
            Some(false) => LeaderReadiness::Waiting,
            None => LeaderReadiness::Unknown {
                may_checkpoint: *member.user == settings.superuser,
            },
        };
        let binaries = Binaries::new(&settings);
        let conninfo = member.conninfo();
        let request = RewindRequest {
            settings: &settings,
            binaries: &binaries,
            version,
            leader,
            target: &target,
            conninfo: &conninfo,
            pgpass,
            readiness,
            limit: ASK,
        };
        let outcome = rewind::run(&request, cancel).await;
        self.forget_data();
        outcome
    }

    /// Finishes crash recovery in single-user mode.
    pub async fn single_user_recovery(&self, cancel: &Cancel) -> bool {
        let settings = self.settings();
        let recovered = single_user::recover(&settings, &Binaries::new(&settings), cancel).await;
        self.forget_data();
        recovered.is_ok()
    }

    /// Hands WAL that is ready to the archive.
    pub async fn archive_ready_wal(&self, cancel: &Cancel) {
        let settings = self.settings();
        archive::archive_ready(&settings, &Binaries::new(&settings), cancel).await;
    }

    /// The lines of the local history file of a timeline, with the time of the file for the last.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn timeline_history(&self, timeline: Timeline) -> std::io::Result<Vec<HistoryLine>> {
        let path = self
            .data_dir()
            .join("pg_wal")
            .join(format!("{:08X}.history", timeline.number()));
        let text = std::fs::read_to_string(&path)?;
        let mut lines: Vec<HistoryLine> = parse_history(&text)
            .into_iter()
            .map(|(timeline, switchpoint, reason)| HistoryLine {
                timeline,
                switchpoint,
                reason,
                timestamp: None,
                new_leader: None,
            })
            .collect();
        let written = jiff::Timestamp::try_from(std::fs::metadata(&path)?.modified()?);
        if let (Some(last), Ok(written)) = (lines.last_mut(), written) {
            let local = written.to_zoned(jiff::tz::TimeZone::system());
            last.timestamp = Some(local.strftime("%Y-%m-%dT%H:%M:%S.%6f%:z").to_string());
        }
        Ok(lines)
    }
}
