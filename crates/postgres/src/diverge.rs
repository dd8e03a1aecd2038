//! Comparing this server's history with the leader's, and rewinding it.

use std::path::PathBuf;
use std::time::Duration;

use patroni_core::server::{ControlData, ControlState};
use patroni_core::{HistoryLine, Lsn, State, Timeline};
use tracing::error;

use crate::archive;
use crate::binaries::Binaries;
use crate::cancel::Cancel;
use crate::elsewhere::{Elsewhere, RewindFrom};
use crate::replication::parse_history;
use crate::rewind::{
    self, InspectError, LeaderInspection, LeaderReadiness, LocalPosition, Parting, PositionSource,
    RewindOutcome, RewindRequest,
};
use crate::stop::ShutdownPoint;
use crate::supervisor::Supervisor;
use crate::{single_user, waldump};

/// How long one question to a leader may take.
const ASK: Duration = Duration::from_secs(5);

impl Supervisor {
    /// Asks a server for its state, timeline and history. Cancel safe.
    ///
    /// # Errors
    /// It cannot be reached, or not with our credentials; logged already.
    pub async fn inspect_leader(&self, from: &RewindFrom) -> Result<LeaderInspection, String> {
        let settings = self.settings();
        let version = self.full_version().await.unwrap_or_default();
        let replication = Elsewhere::origin(&settings, from, version)
            .ok_or_else(|| format!("its address cannot be read: {from:?}"))?;
        let sql = Elsewhere {
            // A single server is to say itself that it is in recovery.
            read_write: replication.hosts.contains(','),
            ..replication.clone().for_rewind()
        }
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

    /// The timeline of a crashed primary whose recovery is still to come, and its last checkpoint.
    /// `None` when it runs, or ended in another way. The control file may still be on the
    /// timeline before its promotion; the history file of the new one is written earlier.
    pub async fn unfinished_position(&self) -> Option<(Timeline, Lsn)> {
        if self.is_alive() {
            return None;
        }
        let control = self.pg_controldata().await?;
        let crashed = matches!(
            control.state,
            ControlState::InProduction | ControlState::ShuttingDown | ControlState::InCrashRecovery
        );
        let mut timeline = control.checkpoint_timeline.filter(|_| crashed)?;
        while self.has_history(timeline.next()) {
            timeline = timeline.next();
        }
        Some((timeline, control.checkpoint?))
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

    /// Rewinds the stopped server to another, which the log calls `leader`. `checkpointed` tells
    /// what a member's key says of its checkpoint: done, still running, or nothing.
    ///
    /// Must not be dropped half way; raise `cancel` instead.
    pub async fn rewind(
        &self,
        leader: &str,
        from: &RewindFrom,
        parting: Parting,
        checkpointed: Option<bool>,
        cancel: &Cancel,
    ) -> RewindOutcome {
        let settings = self.settings();
        let version = self.full_version().await.unwrap_or_default();
        let failed = RewindOutcome::Failed {
            leader_healthy: false,
        };
        let Some(member) = Elsewhere::origin(&settings, from, version).map(Elsewhere::for_rewind)
        else {
            error!("the address of {leader} cannot be read: {from:?}");
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
            parting,
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

    /// Whether the server hands its WAL to an archive, by its configuration.
    pub async fn is_archiving(&self) -> bool {
        let settings = self.settings();
        archive::is_configured(&settings, &Binaries::new(&settings)).await
    }

    /// Hands the WAL file with the shutdown checkpoint of the stopped server to the archive, so
    /// that those who recover from there see the end of this timeline.
    pub async fn archive_shutdown_checkpoint(&self, cancel: &Cancel) -> bool {
        let settings = self.settings();
        let control = self.pg_controldata().await;
        let wal = control.as_ref().and_then(ControlData::redo_wal_file);
        let binaries = Binaries::new(&settings);
        archive::archive_shutdown_checkpoint(&settings, &binaries, wal, cancel).await
    }

    /// Whether the history file of a timeline is there.
    pub fn has_history(&self, timeline: Timeline) -> bool {
        self.history_path(timeline).exists()
    }

    /// The end of each timeline before this one by the local history file; `None` when that cannot
    /// be read.
    pub fn earlier_timelines(&self, timeline: Timeline) -> Option<Vec<(Timeline, Lsn)>> {
        if timeline == Timeline::FIRST {
            return Some(Vec::new());
        }
        let text = std::fs::read_to_string(self.history_path(timeline)).ok()?;
        let switches = parse_history(&text).into_iter();
        Some(switches.map(|(earlier, end, _)| (earlier, end)).collect())
    }

    fn history_path(&self, timeline: Timeline) -> PathBuf {
        archive::wal_dir(&self.data_dir()).join(format!("{:08X}.history", timeline.number()))
    }

    /// The lines of the local history file of a timeline, with the time of the file for the last.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn timeline_history(&self, timeline: Timeline) -> std::io::Result<Vec<HistoryLine>> {
        let path = self.history_path(timeline);
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
