//! `version`: ours, and those of members.

use std::time::Duration;

use patroni_core::{Member, value, version};
use serde_json::Value;

use crate::cli::Version;
use crate::context::Context;
use crate::exit::Failure;
use crate::release;
use crate::rest::Answer;

/// Members that do not answer are only a line of the output.
const LIMIT: Duration = Duration::from_secs(10);

pub(super) async fn run(context: &mut Context, args: Version) -> Result<(), Failure> {
    context.print(&format!("patronictl version {}", version::COMPATIBLE))?;
    let Some(cluster) = &args.one.cluster else {
        return Ok(());
    };
    context.print("")?;
    let group = Context::group(args.one.group)?;
    let view = context
        .view(&patroni_core::Scope::new(cluster.as_str()), group)
        .await?;
    let members: Vec<Member> = view
        .members()
        .map(|(_, member)| member)
        .filter(|member| member.data.api_url().is_some())
        .filter(|member| {
            args.members.is_empty() || args.members.iter().any(|n| n == member.name.as_str())
        })
        .cloned()
        .collect();
    let versions = ask(context, &members).await;
    for (member, versions) in members.iter().zip(versions) {
        let line = match versions {
            Ok(versions) => format!("{}: {versions}", member.name),
            Err(why) => format!("{}: failed to get version: {why}", member.name),
        };
        context.print(&line)?;
    }
    Ok(())
}

/// Asks all at once: several that hang cost no more time than one.
async fn ask(context: &mut Context, members: &[Member]) -> Vec<Result<String, String>> {
    match context.ask_all(members, "patroni", LIMIT).await {
        Ok(heard) => heard
            .into_iter()
            .map(|heard| read(&heard.answer.map_err(|error| error.to_string())?))
            .collect(),
        Err(failure) => vec![Err(failure.to_string()); members.len()],
    }
}

fn read(answer: &Answer) -> Result<String, String> {
    let status: Value = serde_json::from_str(&answer.body).map_err(|error| error.to_string())?;
    let software = status
        .pointer("/patroni/version")
        .and_then(Value::as_str)
        .ok_or("the answer has no version")?;
    let server = status
        .get("server_version")
        .and_then(value::parse_int)
        .map(|number| format!(" PostgreSQL {}", release::text(number)))
        .unwrap_or_default();
    Ok(format!("Patroni {software}{server}"))
}
