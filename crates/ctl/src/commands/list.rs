//! `list` and `topology`.

use std::time::Duration;

use patroni_core::Scope;

use crate::cli::{List, Topology, Watch};
use crate::context::Context;
use crate::exit::Failure;
use crate::output::members::Style;
use crate::output::{Format, members_table};

pub(super) async fn list(context: &mut Context, args: List) -> Result<(), Failure> {
    let round = Round {
        clusters: args.clusters,
        group: Context::group(args.group)?,
        extended: args.extended,
        timestamp: args.timestamp,
        format: args.format,
        style: Style::List,
    };
    repeat(context, &round, &args.watch).await
}

pub(super) async fn topology(context: &mut Context, args: Topology) -> Result<(), Failure> {
    let round = Round {
        clusters: args.clusters,
        group: Context::group(args.group)?,
        extended: false,
        timestamp: false,
        format: Format::Pretty,
        style: Style::Topology,
    };
    repeat(context, &round, &args.watch).await
}

struct Round {
    clusters: Vec<String>,
    group: Option<u32>,
    extended: bool,
    timestamp: bool,
    format: Format,
    style: Style,
}

impl Watch {
    /// The period, when watching.
    pub(crate) fn period(&self) -> Option<Duration> {
        match self.watch {
            Some(seconds) if seconds > 0.0 => Duration::try_from_secs_f64(seconds).ok(),
            _ if self.watch_two => Some(Duration::from_secs(2)),
            _ => None,
        }
    }
}

/// One round, or rounds until an interrupt; a period counts from the start of the former round.
async fn repeat(context: &mut Context, round: &Round, watch: &Watch) -> Result<(), Failure> {
    let Some(period) = watch.period() else {
        return once(context, round).await;
    };
    loop {
        let begun = context.clock.elapsed();
        if context.console.is_terminal() {
            context.write("\x1b[2J\x1b[1;1H")?;
        }
        once(context, round).await?;
        let spent = context.clock.elapsed().saturating_sub(begun);
        let clock = context.clock.clone();
        clock.sleep(period.saturating_sub(spent)).await;
    }
}

async fn once(context: &mut Context, round: &Round) -> Result<(), Failure> {
    if round.timestamp {
        let now = context.now_text();
        context.print(&now)?;
    }
    let scopes = if round.clusters.is_empty() {
        context.settings.scope.iter().cloned().collect()
    } else {
        let named = round.clusters.iter();
        named
            .map(|name| Scope::new(name.as_str()))
            .collect::<Vec<_>>()
    };
    if scopes.is_empty() {
        context.warn("Listing members: No cluster names were provided");
    }
    for scope in scopes {
        let view = context.view(&scope, round.group).await?;
        let text = members_table(&view, round.format, round.style, round.extended);
        context.write(&text)?;
    }
    Ok(())
}
