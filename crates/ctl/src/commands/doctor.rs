//! `doctor`: what would prevent a safe failover or switchover now.

use patroni_core::Scope;

use crate::cli::{Doctor, ReportFormat};
use crate::context::{Context, Target, dynamic};
use crate::doctor::{Examined, Facts, document, examine, lines};
use crate::exit::Failure;
use crate::yaml;

/// The exit status is that of the gravest finding.
pub(super) async fn run(context: &mut Context, args: Doctor) -> Result<u8, Failure> {
    let scope = context.scope("doctor", args.one.cluster.as_ref())?;
    let group = context.own_group(args.one.group)?;
    let facts = collect(context, &scope, group).await?;
    let findings = examine(&facts);
    match args.format {
        ReportFormat::Pretty => context.print(&lines(&facts, &findings).join("\n"))?,
        ReportFormat::Json => context.print(&document(&facts, &findings).to_string())?,
        ReportFormat::Yaml => context.write(&yaml::block(&document(&facts, &findings)))?,
    }
    Ok(findings
        .first()
        .map_or(0, |finding| finding.severity.status()))
}

/// One read of the store, and one round of questions.
async fn collect(
    context: &mut Context,
    scope: &Scope,
    group: Option<u32>,
) -> Result<Facts, Failure> {
    let clock = context.clock.clone();
    let begun = clock.elapsed();
    let target = within_limit(context, scope, group).await?;
    let read = clock.elapsed().saturating_sub(begun);
    let cluster = target.cluster;
    if cluster.members.is_empty() && cluster.initialize.is_none() {
        return Err(Failure::refused(format!(
            "The store knows no cluster {scope}"
        )));
    }
    let heard = context.look_at(&cluster.members).await?;
    let members = cluster.members.iter().cloned().zip(heard);
    Ok(Facts {
        scope: scope.clone(),
        store: target.store.kind().to_owned(),
        read,
        settings: dynamic(&cluster),
        members: members
            .map(|(member, heard)| Examined::new(member, heard))
            .collect(),
        cluster,
        now: clock.now().timestamp(),
    })
}

/// Opening and reading each have the store's own budget; this ends what does not keep it.
async fn within_limit(
    context: &Context,
    scope: &Scope,
    group: Option<u32>,
) -> Result<Target, Failure> {
    let limit = 3 * context.settings.dynamic.retry_timeout;
    tokio::select! {
        biased;
        target = context.target(scope, group) => target,
        () = context.clock.sleep(limit) => Err(Failure::refused(format!(
            "The store did not answer within {} s",
            limit.as_secs()
        ))),
    }
}
