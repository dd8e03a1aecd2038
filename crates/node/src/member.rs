//! This member as its REST server sees it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::StatusCode;
use patroni_api::error::Unavailable;
use patroni_api::server::{Member, Retry};
use patroni_api::wire::failover::FailoverWrite;
use patroni_api::wire::failsafe::FailsafeVote;
use patroni_api::wire::journal::{JournalPage, JournalQuery};
use patroni_api::wire::reinitialize::ReinitOutcome;
use patroni_api::wire::restart::RestartOutcome;
use patroni_api::wire::{
    Action, Answer, Durations, FailoverBody, FailoverPoll, FailsafeBody, LogQueue, MppEvent,
    ReinitRequest, RestartRequest, ServerFacts, Snapshot,
};
use patroni_config::Dynamic;
use patroni_core::{Cluster, FailoverRequest, config_doc};
use patroni_dcs::StoreError;
use patroni_ha::intent::{self, FailoverKind, GivenTime, Refuse};
use patroni_ha::job::JobEnd;
use patroni_ha::observation::{FailsafeLeader, ScheduledRestart};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, warn};

use crate::act::{Body, explain};
use crate::executor::JobEnds;
use crate::peers;
use crate::request::Request;
use crate::wake::Wake;

/// How often the store is asked for the end of a failover when no view came by itself.
const POLL: Duration = Duration::from_secs(1);

/// How long a request waits for the loop to take it up.
const LOOP_PATIENCE: Duration = Duration::from_mins(1);

/// Handles of everything that REST may look at or ask for.
pub(crate) struct NodeMember {
    body: Arc<Body>,
    requests: mpsc::Sender<Request>,
    ends: JobEnds,
    log: patroni_telemetry::Handle,
}

impl NodeMember {
    pub(crate) fn new(
        body: Arc<Body>,
        requests: mpsc::Sender<Request>,
        ends: JobEnds,
        log: patroni_telemetry::Handle,
    ) -> Self {
        Self {
            body,
            requests,
            ends,
            log,
        }
    }

    /// Hands a request to the loop and waits for its answer.
    async fn ask_loop<T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(make(reply)).await.ok()?;
        self.body.wakes.wake(Wake::Request);
        tokio::time::timeout(LOOP_PATIENCE, answer).await.ok()?.ok()
    }

    async fn write_config(
        &self,
        change: impl FnOnce(&Cluster) -> Result<Option<Map<String, Value>>, Answer>,
        judged: impl FnOnce(&Cluster) -> Option<patroni_core::Revision>,
    ) -> Result<(), Answer> {
        let cluster = self
            .load_cluster()
            .await
            .map_err(|error| unavailable(&error.0))?;
        let Some(new) = change(&cluster)? else {
            return Ok(());
        };
        let written = self
            .body
            .store
            .write_config(&new, judged(&cluster).as_ref())
            .await;
        self.body.wakes.wake(Wake::Request);
        written.map_err(|error| refused_write(&error))
    }

    /// The core's checks on a fresh view, and its question to those who could take over.
    async fn judge_failover(&self, body: &FailoverBody, cluster: &Cluster) -> Result<(), Refuse> {
        let kind = match body.action {
            Action::Switchover => FailoverKind::Switchover,
            Action::Failover => FailoverKind::Failover,
        };
        let asked = intent::FailoverBody {
            leader: body.leader.clone(),
            candidate: body.candidate.clone(),
            scheduled_at: body
                .scheduled_at
                .map(|scheduled| GivenTime::At(scheduled.at)),
        };
        // What holds for the cluster now; this node may not have taken it over yet.
        let dynamic = Dynamic::of(cluster)
            .map_or_else(|| Arc::clone(&self.body.settings().dynamic), Arc::new);
        let accepted = intent::judge(kind, &asked, cluster, &dynamic, jiff::Timestamp::now())?;
        if body.scheduled_at.is_some() {
            return Ok(());
        }
        let answers = peers::ask(&self.body.rest, &accepted.ask).await;
        intent::nobody_is_fit(kind, &answers)
    }

    /// Follows the request until a view shows its end: the loop's views as they come, and a
    /// read of our own each second while none does.
    async fn follow_failover(&self, mut poll: FailoverPoll) -> Answer {
        let patience = 2 * self.body.timings().loop_wait.max(Duration::from_secs(10));
        let deadline = Instant::now() + patience;
        let mut snapshots = self.body.snapshots();
        while Instant::now() < deadline {
            if tokio::time::timeout(POLL, snapshots.changed())
                .await
                .is_err()
            {
                // The view is published and seen below; a store that is away is asked again.
                let _ = self.load_cluster().await;
            }
            let end = snapshots
                .borrow_and_update()
                .view
                .as_ref()
                .and_then(|view| poll.judge(view));
            if let Some(answer) = end {
                return answer;
            }
        }
        poll.timed_out()
    }
}

#[async_trait]
impl Member for NodeMember {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.body.snapshot()
    }

    fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.body.snapshots()
    }

    async fn status(&self, retry: Retry) -> Arc<ServerFacts> {
        self.body.server_facts(retry == Retry::Once).await
    }

    fn log_queue(&self) -> LogQueue {
        let state = self.log.queue_state();
        LogQueue {
            waiting: state.waiting,
            lost: state.lost,
        }
    }

    fn durations(&self) -> &Durations {
        &self.body.durations
    }

    fn journal(&self, query: &JournalQuery) -> JournalPage {
        self.body.journal.page(&self.body.name, query)
    }

    async fn load_cluster(&self) -> Result<Arc<Cluster>, Unavailable> {
        self.body.load_view().await.map_err(Unavailable)
    }

    async fn patch_config(&self, patch: Map<String, Value>) -> Answer {
        let mut result = Map::new();
        let change = |cluster: &Cluster| {
            let Some(doc) = cluster.config.as_ref().filter(|doc| doc.is_valid()) else {
                return Err(Answer::error_page(StatusCode::SERVICE_UNAVAILABLE));
            };
            result.clone_from(doc.data.as_ref());
            Ok(config_doc::patch(&mut result, &patch).then(|| result.clone()))
        };
        let revision = |cluster: &Cluster| cluster.config.as_ref().map(|doc| doc.revision.clone());
        match self.write_config(change, revision).await {
            Ok(()) => Answer::json(StatusCode::OK, &result),
            Err(answer) => answer,
        }
    }

    async fn put_config(&self, config: Map<String, Value>) -> Answer {
        let change = |cluster: &Cluster| {
            let same =
                |doc: &patroni_core::ConfigDoc| patroni_core::value::deep_equal(&doc.data, &config);
            Ok((!cluster.config.as_ref().is_some_and(same)).then(|| config.clone()))
        };
        match self.write_config(change, |_| None).await {
            Ok(()) => Answer::json(StatusCode::OK, &config),
            Err(answer) => answer,
        }
    }

    fn reload(&self) {
        self.body.wakes.wake(Wake::Reload);
    }

    async fn restart(&self, request: RestartRequest) -> Answer {
        let server = self.body.facts().server_now(&self.body.supervisor);
        let conditions = request.conditions;
        if let Some(at) = request.schedule {
            let postmaster_start_time = server.postmaster_start_time;
            let restart = ScheduledRestart {
                at: at.at,
                conditions,
                postmaster_start_time,
                published: request.document,
            };
            return match self
                .ask_loop(|reply| Request::ScheduleRestart { restart, reply })
                .await
            {
                Some(true) => RestartOutcome::Scheduled.into(),
                Some(false) => RestartOutcome::AlreadyScheduled.into(),
                None => RestartOutcome::Broken.into(),
            };
        }
        let pending = !server.pending_restart.is_empty();
        let version = self.body.server_version().await;
        if !intent::conditions_met(&conditions, server.role, version, pending) {
            return RestartOutcome::ConditionsNotMet.into();
        }
        let mut ends = self.ends.clone();
        match self
            .ask_loop(|reply| Request::Restart { conditions, reply })
            .await
        {
            None => restart_broke(),
            Some(Err(task)) => RestartOutcome::Busy(task).into(),
            Some(Ok(number)) => match ends.wait_for(number).await {
                Some(JobEnd::Success) => RestartOutcome::Done.into(),
                Some(JobEnd::Unfinished) => RestartOutcome::StillStarting.into(),
                Some(JobEnd::Failure | JobEnd::Cancelled) => RestartOutcome::Failed.into(),
                None => restart_broke(),
            },
        }
    }

    async fn cancel_restart(&self) -> Answer {
        match self
            .ask_loop(|reply| Request::CancelRestart { reply })
            .await
        {
            Some(true) => RestartOutcome::Deleted.into(),
            Some(false) => RestartOutcome::NoneScheduled.into(),
            None => unavailable("the loop did not answer"),
        }
    }

    async fn reinitialize(&self, request: ReinitRequest) -> Answer {
        let ReinitRequest {
            force, from_leader, ..
        } = request;
        match self
            .ask_loop(|reply| Request::Reinitialize {
                force,
                from_leader,
                reply,
            })
            .await
        {
            Some(Ok(_)) => ReinitOutcome::Started.into(),
            Some(Err(refusal)) => refused(&refusal),
            None => unavailable("the loop did not answer"),
        }
    }

    async fn switchover(&self, body: FailoverBody) -> Answer {
        let cluster = match self.load_cluster().await {
            Ok(cluster) => cluster,
            Err(error) => return unavailable(&error.0),
        };
        if let Err(refusal) = self.judge_failover(&body, &cluster).await {
            return refused(&refusal);
        }
        if let Err(error) = self
            .body
            .store
            .write_failover(&body.to_request(), None)
            .await
        {
            warn!("failed to write the failover key: {}", explain(&error));
            return FailoverWrite::Failed.into();
        }
        let written_at = Instant::now();
        self.body.wakes.wake(Wake::Request);
        if body.scheduled_at.is_some() {
            return FailoverWrite::Scheduled.into();
        }
        self.follow_failover(FailoverPoll::new(&body, &cluster, written_at))
            .await
    }

    async fn cancel_switchover(&self) -> Answer {
        let cluster = match self.load_cluster().await {
            Ok(cluster) => cluster,
            Err(error) => return unavailable(&error.0),
        };
        let Some(noted) = cluster
            .failover
            .as_ref()
            .filter(|noted| noted.request.scheduled_at.is_some())
        else {
            return FailoverWrite::NoneScheduled.into();
        };
        let cleared = self
            .body
            .store
            .write_failover(&FailoverRequest::default(), Some(&noted.revision))
            .await;
        self.body.wakes.wake(Wake::Request);
        match cleared {
            Ok(()) => FailoverWrite::Deleted.into(),
            Err(error) if error.is_lost_race() => FailoverWrite::Conflict.into(),
            Err(error) => unavailable(&explain(&error)),
        }
    }

    async fn failsafe(&self, announcement: FailsafeBody) -> Answer {
        let server = (self.body.supervisor.state(), self.body.supervisor.role());
        let snapshot = self.body.snapshot();
        let view = snapshot.view_at(Instant::now()).map(|view| &view.cluster);
        let leader = view.and_then(|cluster| cluster.leader_name());
        if let Err(why) = intent::consent_to_failsafe(server, leader, &announcement.name) {
            return FailsafeVote::Refused(why.to_string()).into();
        }
        let leader = FailsafeLeader {
            name: announcement.name,
            conn_url: announcement.conn_url.unwrap_or_default(),
            api_url: announcement.api_url.unwrap_or_default(),
            slots: announcement.slots.unwrap_or_default(),
        };
        self.body.note_failsafe_leader(leader, announcement.ttl);
        let position = self
            .body
            .facts()
            .server
            .status
            .known()
            .map(patroni_core::server::ServerStatus::main_position);
        FailsafeVote::Accepted(position).into()
    }

    async fn mpp_event(&self, event: MppEvent) -> Result<(), Unavailable> {
        match self.body.citus.coordinator() {
            Some(coordinator) => coordinator.hear(&self.body, &event).await,
            None => Ok(()),
        }
    }
}

/// The loop that was to restart the server gave no answer.
fn restart_broke() -> Answer {
    error!("Exception during restart: the HA loop has ended");
    RestartOutcome::Broken.into()
}

/// The store (or the loop) did not answer; the reference closes the connection here.
fn unavailable(why: &str) -> Answer {
    Answer::text(StatusCode::SERVICE_UNAVAILABLE, why)
}

fn refused(refusal: &Refuse) -> Answer {
    let code = StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    Answer::text(code, refusal.text.as_str())
}

fn refused_write(error: &StoreError) -> Answer {
    if error.is_lost_race() {
        Answer::error_page(StatusCode::CONFLICT)
    } else {
        unavailable(&explain(error))
    }
}
