//! `reinit`: replicas copy their data anew.

use std::time::Duration;

use patroni_core::Member;
use patroni_ha::Job;
use patroni_ha::command::CloneSource;
use patroni_ha::intent::{ReinitializeBody, judge_reinitialize};
use serde_json::{Value, json};

use super::show_and_select;
use crate::cli::Reinit;
use crate::context::Context;
use crate::exit::Failure;
use crate::rehearsal::Rehearsal;
use crate::rest::{Answer, Method, QUICK};
use crate::select::{RoleFilter, names};
use crate::view::View;

const POLL: Duration = Duration::from_secs(2);

pub(super) async fn run(context: &mut Context, args: Reinit) -> Result<(), Failure> {
    let force = args.members.force;
    let scope = patroni_core::Scope::new(args.members.cluster.as_str());
    let group = Context::group(args.members.group)?;
    let view = context.view(&scope, group).await?;
    let mut wanted = args.members.names.clone();
    let replicas = show_and_select(context, &view, &wanted, RoleFilter::Replica, "replica")?;
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
    if !force && !args.dry_run {
        let question = format!(
            "Are you sure you want to reinitialize members {}?",
            names(&members)
        );
        if !context.confirm(&question).await? {
            return Err(Failure::refused("Aborted reinitialize"));
        }
    }
    if args.dry_run {
        let body = ReinitializeBody {
            force,
            from_leader: args.from_leader,
        };
        return rehearse(context, &view, &members, body).await;
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

/// Asks one member, and again with force as long as that is wished. True: it has begun.
async fn ask(
    context: &mut Context,
    member: &Member,
    forced: bool,
    from_leader: bool,
) -> Result<bool, Failure> {
    let name = &member.name;
    let mut force = forced;
    loop {
        let body = body(ReinitializeBody { force, from_leader });
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
        if forced || !busy || !context.confirm(question).await? {
            return Ok(false);
        }
        force = true;
    }
}

/// What each member would say.
async fn rehearse(
    context: &mut Context,
    view: &View,
    members: &[Member],
    options: ReinitializeBody,
) -> Result<(), Failure> {
    let heard = context.look_at(members).await?;
    let mut rehearsal = Rehearsal::default();
    for (member, heard) in members.iter().zip(heard) {
        let name = &member.name;
        let answer = match heard.answer {
            Ok(answer) => answer,
            Err(why) => {
                rehearsal.refuse(format!("Member {name} is not accessible: {why}"));
                continue;
            }
        };
        let body = body(options);
        rehearsal.step(format!("POST /reinitialize {body} to {name}"));
        let busy = is_copying(&answer).then_some("reinitialize");
        let mut parts = view.members();
        let cluster = parts
            .find(|(_, other)| *other == member)
            .map(|(cluster, _)| cluster);
        match cluster.map(|cluster| judge_reinitialize(options, name, cluster, busy)) {
            Some(Err(refuse)) => rehearsal.refuse_with(name.as_str(), refuse.code, &refuse.text),
            Some(Ok(Job::Reinitialize {
                source: CloneSource::Member { from, .. },
                ..
            })) => {
                rehearsal.step(format!("{name} stops its PostgreSQL and removes its data"));
                rehearsal.step(format!(
                    "{name} copies {} and follows the leader",
                    from.name
                ));
            }
            Some(Ok(_)) | None => {}
        }
    }
    rehearsal.tell(context)
}

fn body(options: ReinitializeBody) -> Value {
    json!({"force": options.force, "from_leader": options.from_leader})
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
    Ok(is_copying(&answer))
}

fn is_copying(answer: &Answer) -> bool {
    let status: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    status.get("state").and_then(Value::as_str) == Some("creating replica")
}
