//! `demote-cluster` and `promote-cluster`: a whole cluster follows another one, or no longer.

use std::time::Duration;

use patroni_core::{Member, MemberName, Role, Scope};
use serde_json::{Value, json};

use super::object;
use crate::cli::{DemoteCluster, PromoteCluster};
use crate::context::{Context, Target};
use crate::exit::Failure;
use crate::rest::{Method, QUICK};

pub(super) async fn demote(context: &mut Context, args: DemoteCluster) -> Result<(), Failure> {
    if args.host.is_none() && args.port.is_none() && args.restore_command.is_none() {
        return Err(Failure::refused(
            "At least --host, --port or --restore-command should be specified",
        ));
    }
    let remote = object([
        ("host", args.host.map(Value::String)),
        ("port", args.port.map(Value::from)),
        (
            "primary_slot_name",
            args.primary_slot_name.map(Value::String),
        ),
        ("restore_command", args.restore_command.map(Value::String)),
    ]);
    let turn = Turn::Demote;
    run(context, turn, args.cluster.as_ref(), args.force, remote).await
}

pub(super) async fn promote(context: &mut Context, args: PromoteCluster) -> Result<(), Failure> {
    let turn = Turn::Promote;
    run(
        context,
        turn,
        args.cluster.as_ref(),
        args.force,
        Value::Null,
    )
    .await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    Demote,
    Promote,
}

impl Turn {
    const fn word(self) -> &'static str {
        match self {
            Self::Demote => "demote",
            Self::Promote => "promote",
        }
    }

    const fn noun(self) -> &'static str {
        match self {
            Self::Demote => "demotion",
            Self::Promote => "promotion",
        }
    }

    const fn role(self) -> Role {
        match self {
            Self::Demote => Role::StandbyLeader,
            Self::Promote => Role::Primary,
        }
    }
}

async fn run(
    context: &mut Context,
    turn: Turn,
    named: Option<&String>,
    force: bool,
    standby_cluster: Value,
) -> Result<(), Failure> {
    let command = match turn {
        Turn::Demote => "demote-cluster",
        Turn::Promote => "promote-cluster",
    };
    let scope = context.scope(command, named)?;
    let group = context.coordinator_group(None)?;
    let target = context.target(&scope, group).await?;
    let Some(leader) = target.cluster.leader_member().cloned() else {
        return Err(Failure::refused(format!(
            "Cluster has no leader, {} is not possible",
            turn.noun()
        )));
    };
    if leader.data.role() == Some(turn.role()) {
        return Err(Failure::refused("Cluster is already in the required state"));
    }
    context.print("Current cluster topology")?;
    show(context, &scope).await?;
    if !force {
        let question = format!("Are you sure you want to {} {scope} cluster?", turn.word());
        if !context.confirm(&question).await? {
            return Err(Failure::refused(format!("Aborted cluster {}", turn.noun())));
        }
    }
    change(context, turn, &target, &leader, standby_cluster).await?;
    wait(context, turn, &target, &leader.name).await?;
    show(context, &scope).await
}

/// Shows the table, of an MPP cluster with all groups: their leaders follow the coordinator's
/// configuration.
async fn show(context: &mut Context, scope: &Scope) -> Result<(), Failure> {
    let view = context.view(scope, None).await?;
    super::show(context, &view)
}

async fn change(
    context: &mut Context,
    turn: Turn,
    target: &Target,
    leader: &Member,
    standby_cluster: Value,
) -> Result<(), Failure> {
    let failed = format!("Failed to {} {} cluster: ", turn.word(), target.scope);
    let body = json!({"standby_cluster": standby_cluster});
    let answer = context
        .ask_member(leader, Method::Patch, "config", Some(&body), QUICK)
        .await
        .map_err(|error| Failure::refused(format!("{failed}{error}")))?;
    if answer.status == 200 {
        return Ok(());
    }
    // the prefix stands twice in the reference as well
    Err(Failure::refused(format!(
        "{failed}{failed}/config PATCH status code={}, ({})",
        answer.status, answer.body
    )))
}

/// Follows the change once a second until the leader, and after a demotion the former leader,
/// runs in its new role. Without a limit: a demotion waits for a shutdown checkpoint.
async fn wait(
    context: &mut Context,
    turn: Turn,
    target: &Target,
    former: &MemberName,
) -> Result<(), Failure> {
    loop {
        let cluster = context.load(target.store.as_ref()).await?;
        let leader = cluster.leader_member();
        let changed =
            turn == Turn::Demote && cluster.leader_name().is_some_and(|name| name != former);
        let former = changed.then(|| cluster.member(former)).flatten();
        let runs = |member: Option<&Member>| member.is_some_and(|m| m.data.is_running());
        let field = |member: Option<&Member>, name: &str| {
            member
                .and_then(|member| member.data.as_map().get(name))
                .map_or_else(|| "None".to_owned(), patroni_core::value::text)
        };
        let arrived = leader.is_some_and(|leader| leader.data.role() == Some(turn.role()));
        if arrived && runs(leader) && (!changed || runs(former)) {
            let now = context.now_text();
            return context.print(&format!("{now} cluster is successfully {}d", turn.word()));
        }
        let mut line = format!(
            "{} cluster is unlocked: {}, leader role: {}, leader state: {}",
            context.now_text(),
            patroni_core::value::text(&Value::Bool(cluster.is_unlocked())),
            field(leader, "role"),
            field(leader, "state"),
        );
        if changed {
            let state = former.and_then(|member| member.data.as_map().get("state"));
            let state = patroni_core::value::repr(state.unwrap_or(&Value::Null));
            line = line + ", previous leader state: " + &state;
        }
        context.print(&line)?;
        context.clock.clone().sleep(Duration::from_secs(1)).await;
    }
}
