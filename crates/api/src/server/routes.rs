//! Which request does what.

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use jiff::Zoned;
use patroni_config::Dynamic;
use patroni_core::{Cluster, Role, State, json, value};
use serde_json::{Map, Value};

use super::access::{Access, MemberRule};
use super::connections::Place;
use super::events::Events;
use super::member::{Member, Retry};
use super::reply::Reply;
use super::request::ApiRequest;
use super::ui;
use crate::wire::answer::health_code;
use crate::wire::body::require_exact;
use crate::wire::probes::{self, Duty};
use crate::wire::route::{Act, Read};
use crate::wire::{
    Action, Answer, BodyFault, Content, FailoverBody, FailsafeBody, JournalQuery, MppEvent, Query,
    ReinitRequest, RestartRequest, ServerFacts, Snapshot, Status, cluster, health, metrics,
    openapi,
};

/// The routes over one member.
pub(super) struct Routes {
    member: Arc<dyn Member>,
    events: Arc<Events>,
    document: ArcSwapOption<WrittenDocument>,
}

/// What the present configuration says about a request.
pub(super) struct Terms<'r> {
    pub access: &'r Access,
    /// How many may subscribe to events.
    pub most_subscribers: usize,
    /// Whether there is a page for people.
    pub ui: bool,
}

/// A status document in its written form, with everything it was made of.
struct WrittenDocument {
    snapshot: Arc<Snapshot>,
    facts: Arc<ServerFacts>,
    has_view: bool,
    failsafe_active: bool,
    text: Bytes,
}

/// What a caller gets instead of an answer to its question.
type Refused = Answer;

impl Routes {
    pub(super) fn new(member: Arc<dyn Member>, events: Arc<Events>) -> Self {
        Self {
            member,
            events,
            document: ArcSwapOption::empty(),
        }
    }

    /// Answers a request, or subscribes its connection to events.
    pub(super) async fn reply(
        &self,
        request: ApiRequest,
        place: &Place,
        terms: &Terms<'_>,
    ) -> Reply {
        let answer = match request.method {
            Method::GET => match Read::of(request.segment()) {
                Some(Read::Events) => {
                    return self
                        .events
                        .subscribe(place.ender(), terms.most_subscribers)
                        .map_or_else(Reply::Answer, Reply::Events);
                }
                Some(Read::Status) => self.status(Retry::Once, |_| StatusCode::OK).await,
                Some(Read::Metrics) => self.metrics().await,
                Some(Read::Cluster) => self.cluster().await,
                Some(Read::History) => self.history().await,
                Some(Read::Config) => self.config().await,
                Some(Read::Journal) => self.journal(&request),
                Some(Read::FailsafeMembers) => self.failsafe_members(),
                Some(Read::Liveness) => self.liveness(),
                Some(Read::Readiness) => self.readiness(&request).await,
                Some(Read::OpenApi) => Answer::json(StatusCode::OK, &openapi::document()),
                Some(Read::Ui) if terms.ui => ui::answer(),
                Some(Read::Ui) | None => self.health(&request).await,
            },
            Method::HEAD | Method::OPTIONS => {
                let snapshot = self.member.snapshot();
                let facts = self.member.status(Retry::Never).await;
                let status = Status::new(&snapshot, &facts, Instant::now());
                let query = Query::parse(&request.query);
                Answer::bare(health::is_up(&request.path, &query, &status))
            }
            _ => match self.act(request, terms.access).await {
                Ok(answer) | Err(answer) => answer,
            },
        };
        Reply::Answer(answer)
    }

    async fn health(&self, request: &ApiRequest) -> Answer {
        self.status(Retry::Never, |status| {
            let query = Query::parse(&request.query);
            health_code(health::is_up(&request.path, &query, status))
        })
        .await
    }

    /// Requests that change something. Error pages and refusals come as `Err`, too.
    async fn act(&self, request: ApiRequest, access: &Access) -> Result<Answer, Refused> {
        let Some(act) = Act::of(request.method.as_str(), request.segment()) else {
            return Err(Answer::error_page_with(
                StatusCode::NOT_IMPLEMENTED,
                format!("Unsupported method ('{}')", request.method),
            ));
        };
        let snapshot = self.member.snapshot();
        access
            .check(request.peer, &request.headers, &snapshot, guard(act))
            .await?;
        let member = &self.member;
        Ok(match act {
            Act::PatchConfig => member.patch_config(config(request).await?).await,
            Act::PutConfig => member.put_config(config(request).await?).await,
            Act::Reload => {
                member.reload();
                Answer::text(StatusCode::ACCEPTED, "reload scheduled")
            }
            Act::Restart => {
                let body = request.optional().await.map_err(BodyFault::answer)?;
                let paused = self.is_paused_afresh().await?;
                let restart = RestartRequest::parse(&body, paused, &Zoned::now())?;
                member.restart(restart).await
            }
            Act::CancelRestart => member.cancel_restart().await,
            Act::Reinitialize => {
                let body = request.optional().await.map_err(BodyFault::answer)?;
                member.reinitialize(ReinitRequest::parse(&body)).await
            }
            Act::Switchover => {
                let body = required(request).await?;
                self.failover(Action::Switchover, &body).await?
            }
            Act::Failover => {
                let body = required(request).await?;
                self.failover(Action::Failover, &body).await?
            }
            Act::CancelSwitchover => member.cancel_switchover().await,
            Act::Failsafe => {
                if !member.snapshot().failsafe_mode {
                    return Err(Answer::error_page(StatusCode::BAD_GATEWAY));
                }
                let body = FailsafeBody::parse(&required(request).await?);
                let body = body.ok_or(BodyFault::NoObject.answer())?;
                member.failsafe(body).await
            }
            Act::Sigterm => Answer::text(StatusCode::ACCEPTED, "shutdown scheduled"),
            Act::Mpp => {
                let event = MppEvent::parse(&required(request).await?);
                let heard = match event {
                    Some(event) => member.mpp_event(event).await,
                    None => Ok(()),
                };
                match heard {
                    Ok(()) => Answer::text(StatusCode::OK, "OK"),
                    Err(away) => Answer::text(StatusCode::SERVICE_UNAVAILABLE, away.0),
                }
            }
        })
    }

    async fn failover(&self, action: Action, body: &Map<String, Value>) -> Result<Answer, Refused> {
        let shown = |key: &str| value::text(body.get(key).unwrap_or(&Value::Null));
        let candidate = match body.get("candidate").filter(|name| value::is_truthy(name)) {
            Some(name) => value::text(name),
            None => shown("member"),
        };
        tracing::info!(
            "received {action} request with leader={} candidate={candidate} scheduled_at={}",
            shown("leader"),
            shown("scheduled_at"),
        );
        let paused = self.is_paused_afresh().await?;
        let wanted = FailoverBody::parse(action, body, paused, &Zoned::now())?;
        if wanted.action != action {
            tracing::warn!(
                "received failover request with leader specified - performing switchover instead"
            );
        }
        Ok(self.member.switchover(wanted).await)
    }

    async fn is_paused_afresh(&self) -> Result<bool, Refused> {
        let cluster = self.load_cluster().await?;
        let config = cluster.config.as_ref().filter(|config| config.is_valid());
        Ok(config.map_or_else(
            || self.member.snapshot().paused,
            |config| config.data.get("pause").and_then(value::parse_bool) == Some(true),
        ))
    }

    async fn load_cluster(&self) -> Result<Arc<Cluster>, Refused> {
        self.member.load_cluster().await.map_err(|error| {
            tracing::warn!("REST request not answered in full, failed to {error}");
            Answer::text(
                StatusCode::SERVICE_UNAVAILABLE,
                "the cluster's store is not reachable",
            )
        })
    }

    /// The cached view, or a fresh one if there is none.
    async fn any_view(&self) -> Result<Arc<Cluster>, Refused> {
        match self.member.snapshot().view_at(Instant::now()) {
            Some(view) => Ok(view.cluster.clone()),
            None => self.load_cluster().await,
        }
    }

    async fn status(&self, retry: Retry, code: impl FnOnce(&Status<'_>) -> StatusCode) -> Answer {
        let facts = self.member.status(retry).await;
        let snapshot = self.member.snapshot();
        let status = Status::new(&snapshot, &facts, Instant::now());
        let code = code(&status);
        Answer::of(
            code,
            Content::Json(self.written(&status, &snapshot, &facts)),
        )
    }

    /// The document, written once for all requests that see the same facts.
    fn written(
        &self,
        status: &Status<'_>,
        snapshot: &Arc<Snapshot>,
        facts: &Arc<ServerFacts>,
    ) -> Bytes {
        let log = self.member.log_queue();
        if log.waiting > 2 {
            return json::spaced(&status.document(log)).into();
        }
        if let Some(last) = &*self.document.load()
            && Arc::ptr_eq(&last.snapshot, snapshot)
            && Arc::ptr_eq(&last.facts, facts)
            && last.has_view == status.view.is_some()
            && last.failsafe_active == status.failsafe_active
        {
            return last.text.clone();
        }
        let text = Bytes::from(json::spaced(&status.document(log)));
        self.document.store(Some(Arc::new(WrittenDocument {
            snapshot: snapshot.clone(),
            facts: facts.clone(),
            has_view: status.view.is_some(),
            failsafe_active: status.failsafe_active,
            text: text.clone(),
        })));
        text
    }

    async fn metrics(&self) -> Answer {
        let facts = self.member.status(Retry::Once).await;
        let snapshot = self.member.snapshot();
        let status = Status::new(&snapshot, &facts, Instant::now());
        let page = metrics::render(&status, self.member.durations());
        Answer::of(StatusCode::OK, Content::Metrics(page.into()))
    }

    async fn cluster(&self) -> Answer {
        let cluster = match self.load_cluster().await {
            Ok(cluster) => cluster,
            Err(refused) => return refused,
        };
        let snapshot = self.member.snapshot();
        let document = cluster::document(&cluster, &dynamic_of(&cluster), &snapshot.scope);
        Answer::json(StatusCode::OK, &document)
    }

    async fn history(&self) -> Answer {
        match self.any_view().await {
            Ok(view) => {
                let lines = view.history.as_ref().map(|history| &history.raw[..]);
                Answer::json(StatusCode::OK, &lines.unwrap_or_default())
            }
            Err(refused) => refused,
        }
    }

    async fn config(&self) -> Answer {
        match self.any_view().await {
            Ok(view) => match view.config.as_ref().filter(|config| config.is_valid()) {
                Some(config) => Answer::json(StatusCode::OK, config.data.as_ref()),
                None => Answer::error_page(StatusCode::BAD_GATEWAY),
            },
            Err(refused) => refused,
        }
    }

    fn journal(&self, request: &ApiRequest) -> Answer {
        match JournalQuery::parse(&Query::parse(&request.query)) {
            Ok(query) => Answer::json(StatusCode::OK, &self.member.journal(&query)),
            Err(refusal) => refusal,
        }
    }

    fn failsafe_members(&self) -> Answer {
        match &self.member.snapshot().failsafe_members {
            Some(members) => Answer::json(StatusCode::OK, members),
            None => Answer::error_page(StatusCode::BAD_GATEWAY),
        }
    }

    fn liveness(&self) -> Answer {
        let snapshot = self.member.snapshot();
        let duty =
            if snapshot.server_state == State::Running && snapshot.server_role == Role::Primary {
                Duty::RunningPrimary
            } else {
                Duty::Other
            };
        Answer::bare(probes::is_alive(&snapshot, duty, Instant::now()))
    }

    async fn readiness(&self, request: &ApiRequest) -> Answer {
        if self.member.snapshot().has_lock(Instant::now()) {
            return Answer::bare(true);
        }
        let facts = self.member.status(Retry::Once).await;
        let snapshot = self.member.snapshot();
        let status = Status::new(&snapshot, &facts, Instant::now());
        Answer::bare(probes::is_ready(&Query::parse(&request.query), &status))
    }
}

/// The settings that a view carries; the defaults when it carries none that can be read.
fn dynamic_of(cluster: &Cluster) -> Dynamic {
    cluster
        .config
        .as_ref()
        .and_then(|config| Dynamic::read(&config.data).ok())
        .map(|(settings, _)| settings)
        .unwrap_or_default()
}

async fn config(request: ApiRequest) -> Result<Map<String, Value>, Refused> {
    require_exact(required(request).await?)
}

async fn required(request: ApiRequest) -> Result<Map<String, Value>, Refused> {
    request.required().await.map_err(|fault| {
        if fault == BodyFault::NoObject {
            tracing::error!("Bad request");
        }
        fault.answer()
    })
}

/// Everything is guarded, also `/mpp`, which the reference leaves open: its own calls use
/// `/citus`, with credentials.
const fn guard(act: Act) -> MemberRule {
    match act {
        Act::Failsafe => MemberRule::Ignored,
        Act::PatchConfig
        | Act::PutConfig
        | Act::Reload
        | Act::Restart
        | Act::CancelRestart
        | Act::Reinitialize
        | Act::Switchover
        | Act::Failover
        | Act::CancelSwitchover
        | Act::Sigterm
        | Act::Mpp => MemberRule::Applies,
    }
}
