//! `remove`: everything of a cluster goes from the store.

use crate::cli::Remove;
use crate::context::Context;
use crate::exit::Failure;
use crate::output::members::Style;
use crate::output::members_table;
use crate::view::{Part, View};

pub(super) async fn run(context: &mut Context, args: Remove) -> Result<(), Failure> {
    let scope = patroni_core::Scope::new(args.cluster.as_str());
    let group = Context::group(args.group)?;
    if context.mpp_group().is_some() && group.is_none() {
        return Err(Failure::refused(
            "For Citus clusters the --group must me specified",
        ));
    }
    let target = context.target(&scope, group).await?;
    // the reference shows the chosen group as if it were the coordinator's
    let view = match group {
        Some(_) => View::of_groups(
            scope.clone(),
            vec![Part {
                group: Some(0),
                cluster: target.cluster.clone(),
            }],
        ),
        None => View::of_one(scope.clone(), None, target.cluster.clone()),
    };
    context.write(&members_table(&view, args.format, Style::List, false))?;

    let named = context
        .ask("Please confirm the cluster name to remove", None)
        .await?;
    if named != scope.as_str() {
        return Err(Failure::refused("Cluster names specified do not match"));
    }
    let aware = context
        .ask(
            &format!(
                "You are about to remove all information in DCS for {scope}, please type: \"Yes I am aware\""
            ),
            None,
        )
        .await?;
    if aware != "Yes I am aware" {
        return Err(Failure::refused(
            "You did not exactly type \"Yes I am aware\"",
        ));
    }
    if let Some(leader) = target.cluster.leader_name() {
        let named = context
            .ask(
                "This cluster currently is healthy. Please specify the leader name to continue",
                None,
            )
            .await?;
        if named != leader.as_str() {
            return Err(Failure::refused(
                "You did not specify the current leader of the cluster",
            ));
        }
    }
    target
        .store
        .delete_cluster()
        .await
        .map_err(|error| context.store_failure(target.store.as_ref(), error))
}
