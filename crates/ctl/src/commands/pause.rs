//! `pause` and `resume`: maintenance mode on and off.

use std::collections::BTreeMap;
use std::time::Duration;

use patroni_core::{MemberData, MemberName};
use serde_json::{Value, json};

use super::flush::leader_first;
use super::migrate_store::mark::refuse_while_moving;
use crate::cli;
use crate::context::{Context, Target, dynamic};
use crate::exit::Failure;
use crate::rest::{Method, QUICK};

/// Which way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Pause,
    Resume,
}

impl Mode {
    const fn word(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }

    const fn done(self) -> &'static str {
        match self {
            Self::Pause => "paused",
            Self::Resume => "resumed",
        }
    }
}

pub(super) async fn run(
    context: &mut Context,
    args: cli::Pause,
    mode: Mode,
) -> Result<(), Failure> {
    let scope = context.scope(mode.word(), args.one.cluster.as_ref())?;
    let group = context.own_group(args.one.group)?;
    let target = context.target(&scope, group).await?;
    refuse_while_moving(&target.cluster)?;
    match (mode, dynamic(&target.cluster).pause) {
        (Mode::Pause, true) => return Err(Failure::refused("Cluster is already paused")),
        (Mode::Resume, false) => return Err(Failure::refused("Cluster is not paused")),
        (Mode::Pause, false) | (Mode::Resume, true) => {}
    }
    let wanted = match mode {
        Mode::Pause => Value::Bool(true),
        Mode::Resume => Value::Null,
    };
    for member in leader_first(&target.cluster) {
        let body = json!({"pause": wanted});
        let asked = context
            .ask_member(&member, Method::Patch, "config", Some(&body), QUICK)
            .await;
        match asked {
            Ok(answer) if answer.status == 200 => {
                if args.wait {
                    return wait(context, &target, mode).await;
                }
                return succeed(context, mode);
            }
            Ok(answer) => {
                return context.print(&format!(
                    "Failed: {} cluster management status code={}, ({})",
                    mode.word(),
                    answer.status,
                    answer.body
                ));
            }
            Err(error) => {
                context.warn(&error.to_string());
                context.warn(&format!("Member {} is not accessible", member.name));
            }
        }
    }
    Err(Failure::refused("Can not find accessible cluster member"))
}

fn succeed(context: &mut Context, mode: Mode) -> Result<(), Failure> {
    context.print(&format!("Success: cluster management is {}", mode.done()))
}

/// Reads the member keys each second until all that were there before say that they know.
async fn wait(context: &mut Context, target: &Target, mode: Mode) -> Result<(), Failure> {
    context.print(&format!(
        "'{}' request sent, waiting until it is recognized by all nodes",
        mode.word()
    ))?;
    let before: BTreeMap<MemberName, MemberData> = target
        .cluster
        .members
        .iter()
        .filter(|member| member.data.api_url().is_some())
        .map(|member| (member.name.clone(), member.data.clone()))
        .collect();
    let patience = dynamic(&target.cluster).loop_wait + Duration::from_secs(1);
    let begun = context.clock.elapsed();
    loop {
        let now = context.load(target.store.as_ref()).await?;
        let behind: Vec<_> = now
            .members
            .iter()
            .filter(|member| before.contains_key(&member.name))
            .filter(|member| member.data.is_paused() != (mode == Mode::Pause))
            .collect();
        if behind.is_empty() {
            return succeed(context, mode);
        }
        if context.clock.elapsed().saturating_sub(begun) >= patience {
            let names: Vec<&str> = behind
                .iter()
                .filter(|member| !member.data.same_as(&before[&member.name]))
                .map(|member| member.name.as_str())
                .collect();
            if names.is_empty() {
                return succeed(context, mode);
            }
            return context.print(&format!(
                "{} members didn't recognized {} state after {} seconds",
                names.join(", "),
                mode.word(),
                patience.as_secs() - 1
            ));
        }
        context.clock.clone().sleep(Duration::from_secs(1)).await;
    }
}
