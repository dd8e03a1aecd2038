//! `reload`: members read their files again.

use super::show_and_select;
use crate::cli::Reload;
use crate::context::{Context, dynamic};
use crate::exit::Failure;
use crate::rest::{Method, QUICK};
use crate::select::names;

pub(super) async fn run(context: &mut Context, args: Reload) -> Result<(), Failure> {
    let scope = patroni_core::Scope::new(args.members.cluster.as_str());
    let group = Context::group(args.members.group)?;
    let view = context.view(&scope, group).await?;
    let shown = format!("'{}'", args.role.as_str());
    let members = show_and_select(context, &view, &args.members.names, args.role, &shown)?;
    if !args.members.force {
        let question = format!(
            "Are you sure you want to reload members {}?",
            names(&members)
        );
        if !context.confirm(&question).await? {
            return Err(Failure::refused("Aborted reload"));
        }
    }
    let loop_wait = view
        .parts
        .first()
        .map(|part| dynamic(&part.cluster).loop_wait.as_secs())
        .unwrap_or_default();
    for member in members {
        let name = &member.name;
        let answer = context
            .tell_member(&member, Method::Post, "reload", None, QUICK)
            .await?;
        let line = match answer.status {
            202 => format!(
                "Reload request received for member {name} and will be processed within {loop_wait} seconds"
            ),
            200 => format!("No changes to apply on member {name}"),
            status => format!(
                "Failed: reload for member {name}, status code={status}, ({})",
                answer.body
            ),
        };
        context.print(&line)?;
    }
    Ok(())
}
