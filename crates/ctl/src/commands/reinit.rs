//! `reinit`: replicas copy their data anew.

use std::time::Duration;

use patroni_core::Member;
use serde_json::{Value, json};

use crate::cli::Reinit;
use crate::context::Context;
use crate::exit::Failure;
use crate::rest::{Method, QUICK};
use crate::select::{RoleFilter, names, require_members, select};

const POLL: Duration = Duration::from_secs(2);

pub(super) async fn run(context: &mut Context, args: Reinit) -> Result<(), Failure> {
    let force = args.members.force;
    let scope = patroni_core::Scope::new(args.members.cluster.as_str());
    let group = Context::group(args.members.group)?;
    let view = context.view(&scope, group).await?;
    require_members(&view)?;
    super::show(context, &view)?;
    let mut wanted = args.members.names.clone();
    let replicas = select(&view, &wanted, RoleFilter::Replica, "replica")?;
    if wanted.is_empty() && !force {
        let question = format!(
            "Which member do you want to reinitialize [{}]?",
            names(&replicas)
        );
        let answer = context.ask(&question, Some("")).await?;
        if !replicas.iter().any(|member| member.name.as_str() == answer) {
            return Err(Failure::refused(format!(
                "{answer} is not a member of cluster"
            )));
        }
        wanted.push(answer);
    }
    let members: Vec<Member> = replicas
        .into_iter()
        .filter(|member| wanted.iter().any(|name| name == member.name.as_str()))
        .collect();
    if !force {
        let question = format!(
            "Are you sure you want to reinitialize members {}?",
            names(&members)
        );
        if !context.confirm(&question).await? {
            return Err(Failure::refused("Aborted reinitialize"));
        }
    }
    let mut started = Vec::new();
    for member in members {
        if ask(context, &member, force, args.from_leader).await? {
            started.push(member);
        }
    }
    if args.wait {
        wait(context, started).await?;
    }
    Ok(())
}

/// Asks one member, and once more with force when that is wished. True: it has begun.
async fn ask(
    context: &mut Context,
    member: &Member,
    mut force: bool,
    from_leader: bool,
) -> Result<bool, Failure> {
    let name = &member.name;
    loop {
        let body = json!({"force": force, "from_leader": from_leader});
        let answer = context
            .tell_member(member, Method::Post, "reinitialize", Some(&body), QUICK)
            .await?;
        if answer.status == 200 {
            context.print(&format!("Success: reinitialize for member {name}"))?;
            return Ok(true);
        }
        context.print(&format!(
            "Failed: reinitialize for member {name}, status code={}, ({})",
            answer.status, answer.body
        ))?;
        let busy = answer.body.ends_with(" already in progress");
        let question = "Do you want to cancel it and reinitialize anyway?";
        if force || !busy || !context.confirm(question).await? {
            return Ok(false);
        }
        force = true;
    }
}

/// Waits until no member says that it creates a replica. Only the state's text is looked at, so
/// a failed copy counts as an end, too.
async fn wait(context: &mut Context, mut members: Vec<Member>) -> Result<(), Failure> {
    let mut told = usize::MAX;
    while !members.is_empty() {
        if members.len() != told {
            told = members.len();
            context.print(&format!(
                "Waiting for reinitialize to complete on: {}",
                names(&members)
            ))?;
        }
        context.clock.clone().sleep(POLL).await;
        let mut left = Vec::new();
        for member in members {
            if is_creating(context, &member).await? {
                left.push(member);
            } else {
                context.print(&format!("Reinitialize is completed on: {}", member.name))?;
            }
        }
        members = left;
    }
    Ok(())
}

async fn is_creating(context: &mut Context, member: &Member) -> Result<bool, Failure> {
    let answer = context
        .tell_member(member, Method::Get, "patroni", None, QUICK)
        .await?;
    let status: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    Ok(status.get("state").and_then(Value::as_str) == Some("creating replica"))
}
