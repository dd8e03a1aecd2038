//! `switchover` and `failover`: another member shall lead.

mod rehearse;

use std::time::Duration;

use patroni_api::wire::Scheduled;
use patroni_core::failover::ScheduledAt;
use patroni_core::{FailoverRequest, Member, MemberName, Scope};
use serde_json::{Value, json};

use super::migrate_store::mark::refuse_while_moving;
use crate::cli::{Failover, Switchover};
use crate::context::{Context, Target, dynamic};
use crate::exit::Failure;
use crate::rest::{Answer, Method, RestError};

pub(super) async fn switchover(context: &mut Context, args: Switchover) -> Result<(), Failure> {
    let scope = context.scope("switchover", args.one.cluster.as_ref())?;
    let wish = Wish {
        action: Action::Switchover,
        group: args.one.group,
        leader: args.leader,
        candidate: args.candidate,
        scheduled: args.scheduled,
        force: args.force,
        dry_run: args.dry_run,
    };
    run(context, scope, wish).await
}

pub(super) async fn failover(context: &mut Context, args: Failover) -> Result<(), Failure> {
    let scope = context.scope("failover", args.one.cluster.as_ref())?;
    let wish = Wish {
        action: Action::Failover,
        group: args.one.group,
        leader: None,
        candidate: args.candidate,
        scheduled: None,
        force: args.force,
        dry_run: args.dry_run,
    };
    run(context, scope, wish).await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Switchover,
    Failover,
}

impl Action {
    const fn word(self) -> &'static str {
        match self {
            Self::Switchover => "switchover",
            Self::Failover => "failover",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Switchover => "Switchover",
            Self::Failover => "Failover",
        }
    }
}

struct Wish {
    action: Action,
    group: Option<i64>,
    leader: Option<String>,
    candidate: Option<String>,
    scheduled: Option<String>,
    force: bool,
    dry_run: bool,
}

impl Wish {
    /// Whether a yes is needed before anything happens.
    const fn needs_consent(&self) -> bool {
        !self.force && !self.dry_run
    }
}

/// A wish after all questions.
struct Order {
    action: Action,
    leader: Option<MemberName>,
    candidate: Option<MemberName>,
    scheduled: Option<Scheduled>,
}

async fn run(context: &mut Context, scope: Scope, wish: Wish) -> Result<(), Failure> {
    let mut group = Context::group(wish.group)?;
    let view = context.view(&scope, group).await?;
    context.print("Current cluster topology")?;
    super::show(context, &view)?;
    if view.mpp && group.is_none() {
        if wish.force {
            return Err(Failure::refused(
                "For Citus clusters the --group must me specified",
            ));
        }
        let answer = context.ask_number("Citus group").await?;
        group = Context::group(Some(answer))?;
    }
    let target = context.target(&scope, group).await?;
    refuse_while_moving(&target.cluster)?;
    let dry_run = wish.dry_run;
    let order = settle(context, &target, wish).await?;
    if dry_run {
        return rehearse::run(context, &target, &order).await;
    }
    carry_out(context, &target, &order).await
}

/// Fills in what was not said, by questions, and refuses what cannot be.
async fn settle(context: &mut Context, target: &Target, wish: Wish) -> Result<Order, Failure> {
    let action = wish.action;
    let scope = &target.scope;
    let current = target.cluster.leader_name().cloned();
    let leader = match action {
        Action::Switchover => Some(ask_leader(context, target, &wish).await?),
        Action::Failover => current.clone(),
    };
    let candidate = ask_candidate(context, target, &wish).await?;
    let scheduled = match action {
        Action::Failover => None,
        Action::Switchover => {
            let question = "When should the switchover take place (e.g. NEXTHOUR ) ";
            context
                .when(wish.scheduled.clone(), wish.force, question)
                .await?
        }
    };
    if scheduled.is_some() && dynamic(&target.cluster).pause {
        return Err(Failure::refused(
            "Can't schedule switchover in the paused state",
        ));
    }
    if wish.needs_consent() {
        let demoting = current.map_or_else(String::new, |leader| {
            format!(", demoting current leader {leader}")
        });
        let (question, refusal) = match &scheduled {
            Some(at) => (
                format!(
                    "Are you sure you want to schedule switchover of cluster {scope} at {}{demoting}?",
                    at.to_iso()
                ),
                "Aborting scheduled switchover".to_owned(),
            ),
            None => (
                format!(
                    "Are you sure you want to {} cluster {scope}{demoting}?",
                    action.word()
                ),
                format!("Aborting {}", action.word()),
            ),
        };
        if !context.confirm(&question).await? {
            return Err(Failure::refused(refusal));
        }
    }
    Ok(Order {
        action,
        leader,
        candidate,
        scheduled,
    })
}

async fn ask_leader(
    context: &mut Context,
    target: &Target,
    wish: &Wish,
) -> Result<MemberName, Failure> {
    let Some(current) = target.cluster.leader_name() else {
        return Err(Failure::refused("This cluster has no leader"));
    };
    let named = match &wish.leader {
        Some(named) => named.clone(),
        None if wish.force => current.to_string(),
        None => {
            // by the configuration: the member may not have its new role yet
            let question = match dynamic(&target.cluster).standby_cluster {
                Some(_) => "Standby Leader",
                None => "Primary",
            };
            context.ask(question, Some(current.as_str())).await?
        }
    };
    if named != current.as_str() {
        return Err(Failure::refused(format!(
            "Member {named} is not the leader of cluster {}",
            target.scope
        )));
    }
    Ok(current.clone())
}

async fn ask_candidate(
    context: &mut Context,
    target: &Target,
    wish: &Wish,
) -> Result<Option<MemberName>, Failure> {
    let (cluster, scope) = (&target.cluster, &target.scope);
    let word = wish.action.word();
    let mut possible: Vec<&str> = cluster
        .members
        .iter()
        .filter(|member| cluster.leader_name() != Some(&member.name))
        .filter(|member| !member.data.tags().nofailover())
        .map(|member| member.name.as_str())
        .collect();
    possible.sort_unstable();
    if possible.is_empty() {
        return Err(Failure::refused(format!(
            "No candidates found to {word} to"
        )));
    }
    let named = match &wish.candidate {
        Some(named) => named.clone(),
        None if wish.force => String::new(),
        None => {
            let list = patroni_core::value::repr(&json!(possible));
            context.ask(&format!("Candidate {list}"), Some("")).await?
        }
    };
    if named.is_empty() {
        return match wish.action {
            Action::Switchover => Ok(None),
            Action::Failover => Err(Failure::refused(
                "Failover could be performed only to a specific candidate",
            )),
        };
    }
    let candidate = MemberName::new(named.as_str());
    if cluster.leader_name() == Some(&candidate) {
        return Err(Failure::refused(format!(
            "Member {named} is already the leader of cluster {scope}"
        )));
    }
    if !possible.contains(&named.as_str()) {
        return Err(Failure::refused(format!(
            "Member {named} does not exist in cluster {scope} or is tagged as nofailover"
        )));
    }
    let asynchronous = wish.action == Action::Failover
        && dynamic(cluster).is_synchronous()
        && !cluster.sync.is_empty()
        && !cluster.sync.has_member(&candidate);
    if asynchronous && wish.needs_consent() {
        let question =
            format!("Are you sure you want to failover to the asynchronous node {named}?");
        if !context.confirm(&question).await? {
            return Err(Failure::refused("Aborting failover"));
        }
    }
    Ok(Some(candidate))
}

async fn carry_out(context: &mut Context, target: &Target, order: &Order) -> Result<(), Failure> {
    match post(context, target, order).await {
        Ok(answer) if matches!(answer.status, 200 | 202) => {
            context.print_stamped(&answer.body)?;
        }
        Ok(answer) => {
            return context.print(&format!(
                "{} failed, details: {}, {}",
                order.action.title(),
                answer.status,
                answer.body
            ));
        }
        Err(error) => {
            context.error(&error.to_string());
            context.warn("Failing over to DCS");
            context.print_stamped(&format!(
                "Could not {} using Patroni api, falling back to DCS",
                order.action.word()
            ))?;
            write_request(context, target, order).await?;
        }
    }
    super::show_again(context, target).await
}

impl Order {
    /// The leader, or without one the candidate.
    fn addressee(&self, target: &Target) -> Result<Member, RestError> {
        let name = target.cluster.leader_name().or(self.candidate.as_ref());
        let member = name.and_then(|name| target.cluster.member(name));
        member
            .cloned()
            .ok_or_else(|| RestError("its member key is gone".to_owned()))
    }

    fn body(&self) -> Value {
        let mut body = json!({"candidate": self.candidate});
        if self.action == Action::Switchover {
            body["leader"] = json!(self.leader);
        }
        if let Some(at) = &self.scheduled {
            body["scheduled_at"] = Value::from(at.to_iso());
        }
        body
    }
}

async fn post(context: &mut Context, target: &Target, order: &Order) -> Result<Answer, RestError> {
    let member = order.addressee(target)?;
    let body = order.body();
    // the member polls up to 2 * max(10, loop_wait) seconds and reads the store meanwhile
    let settings = dynamic(&target.cluster);
    let limit = 2 * settings.loop_wait.max(Duration::from_secs(10)) + Duration::from_mins(1);
    let path = order.action.word();
    let answer = context
        .ask_member(&member, Method::Post, path, Some(&body), limit)
        .await?;
    let unknown_path = answer.status == 501 && answer.body.contains("Unsupported method");
    if order.action == Action::Switchover && unknown_path {
        return context
            .ask_member(&member, Method::Post, "failover", Some(&body), limit)
            .await;
    }
    Ok(answer)
}

/// Writes the request where every node reads it.
async fn write_request(context: &Context, target: &Target, order: &Order) -> Result<(), Failure> {
    let request = FailoverRequest {
        leader: match order.action {
            Action::Switchover => order.leader.clone(),
            // a leader in the key would make a switchover of it
            Action::Failover => None,
        },
        candidate: order.candidate.clone(),
        scheduled_at: order.scheduled.map(|at| ScheduledAt::parse(&at.to_iso())),
    };
    let judged = target.cluster.failover.as_ref().map(|f| &f.revision);
    target
        .store
        .write_failover(&request, judged)
        .await
        .map_err(|error| context.store_failure(target.store.as_ref(), error))
}
