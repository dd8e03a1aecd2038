//! `flush`: drops what is scheduled.

use clap::ValueEnum as _;
use patroni_core::{FailoverRequest, Member};

use super::show_and_select;
use crate::cli::{Flush, FlushTarget};
use crate::context::{Context, Target};
use crate::exit::Failure;
use crate::rest::{Method, QUICK};
use crate::select::names;
use crate::usage;

pub(super) async fn run(context: &mut Context, args: Flush) -> Result<(), Failure> {
    let (cluster, members, target) = read_words(&args.words)?;
    let scope = patroni_core::Scope::new(cluster);
    match target {
        FlushTarget::Restart => restart(context, &scope, &members, &args).await,
        FlushTarget::Switchover => {
            let group = context.coordinator_group(args.group)?;
            let target = context.target(&scope, group).await?;
            switchover(context, &target).await
        }
    }
}

/// The first word is the cluster, the last one the target.
fn read_words(words: &[String]) -> Result<(String, Vec<String>, FlushTarget), Failure> {
    match words {
        [] => Err(usage::wrong("flush", "Missing argument 'CLUSTER_NAME'.")),
        [_] => Err(usage::wrong(
            "flush",
            "Missing argument '{restart|switchover}'. Choose from:\n\trestart,\n\tswitchover",
        )),
        [cluster, members @ .., last] => match FlushTarget::from_str(last, false) {
            Ok(target) => Ok((cluster.clone(), members.to_vec(), target)),
            Err(_) => Err(usage::wrong(
                "flush",
                &format!(
                    "Invalid value for '{{restart|switchover}}': '{last}' is not one of 'restart', 'switchover'."
                ),
            )),
        },
    }
}

async fn restart(
    context: &mut Context,
    scope: &patroni_core::Scope,
    wanted: &[String],
    args: &Flush,
) -> Result<(), Failure> {
    let group = Context::group(args.group)?;
    let view = context.view(scope, group).await?;
    let shown = format!("'{}'", args.role.as_str());
    let members = show_and_select(context, &view, wanted, args.role, &shown)?;
    if !args.force {
        let question = format!(
            "Are you sure you want to flush members {}?",
            names(&members)
        );
        if !context.confirm(&question).await? {
            return Err(Failure::refused("Aborted flush"));
        }
    }
    for member in members {
        let name = &member.name;
        if member.data.scheduled_restart().is_none() {
            context.print(&format!("No scheduled restart for member {name}"))?;
            continue;
        }
        let answer = context
            .tell_member(&member, Method::Delete, "restart", None, QUICK)
            .await?;
        let line = match answer.status {
            200 => format!("Success: flush scheduled restart for member {name}"),
            status => format!(
                "Failed: flush scheduled restart for member {name}, status code={status}, ({})",
                answer.body
            ),
        };
        context.print(&line)?;
    }
    Ok(())
}

async fn switchover(context: &mut Context, target: &Target) -> Result<(), Failure> {
    let scheduled = target
        .cluster
        .failover
        .as_ref()
        .filter(|failover| failover.request.scheduled_at.is_some());
    let Some(scheduled) = scheduled else {
        return context.print("No pending scheduled switchover");
    };
    for member in leader_first(&target.cluster) {
        let asked = context
            .ask_member(&member, Method::Delete, "switchover", None, QUICK)
            .await;
        match asked {
            Ok(answer) if answer.status == 200 => {
                return context.print(&format!("Success: {}", answer.body));
            }
            Ok(answer) if answer.status == 404 => {
                return context.print(&format!("Failed: {}", answer.body));
            }
            Ok(answer) => context.print(&format!(
                "Failed: member={}, status_code={}, ({})",
                member.name, answer.status, answer.body
            ))?,
            Err(error) => {
                context.warn(&error.to_string());
                context.warn(&format!("Member {} is not accessible", member.name));
            }
        }
    }
    context.warn("Failing over to DCS");
    context.print_stamped(&format!(
        "Could not find any accessible member of cluster {}",
        target.scope
    ))?;
    // as in the reference, a lost race is not told: then somebody else changed the request
    match target
        .store
        .write_failover(&FailoverRequest::default(), Some(&scheduled.revision))
        .await
    {
        Err(error) if !error.is_lost_race() => {
            Err(context.store_failure(target.store.as_ref(), error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Members with an API, the leader first, then by name.
pub(super) fn leader_first(cluster: &patroni_core::Cluster) -> Vec<Member> {
    let mut members: Vec<Member> = cluster
        .members
        .iter()
        .filter(|member| member.data.api_url().is_some())
        .cloned()
        .collect();
    members.sort_by_key(|member| {
        (
            cluster.leader_name() != Some(&member.name),
            member.name.clone(),
        )
    });
    members
}
