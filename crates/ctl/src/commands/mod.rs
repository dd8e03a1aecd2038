//! One file per command.

mod cluster_role;
mod dcs;
mod doctor;
mod dsn;
mod edit_config;
mod explain;
mod flush;
mod handover;
mod history;
mod list;
mod migrate_store;
mod pause;
mod query;
mod raft;
mod reinit;
mod reload;
mod remove;
mod restart;
mod show_config;
mod top;
mod version;

use patroni_core::Member;
use serde_json::Value;

use crate::cli::Command;
use crate::context::{Context, Target};
use crate::exit::Failure;
use crate::output::members::Style;
use crate::output::{Format, members_table};
use crate::select::{RoleFilter, select};
use crate::view::View;

/// Runs a command to its end, and gives its exit status.
pub(crate) async fn run(context: &mut Context, command: Command) -> Result<u8, Failure> {
    let done = match command {
        Command::Doctor(args) => return doctor::run(context, args).await,
        Command::Top(args) => return top::run(context, args).await,
        Command::List(args) => list::list(context, args).await,
        Command::Topology(args) => list::topology(context, args).await,
        Command::Dsn(args) => dsn::run(context, args).await,
        Command::Query(args) => query::run(context, args).await,
        Command::Version(args) => version::run(context, args).await,
        Command::History(args) => history::run(context, args).await,
        Command::Explain(args) => explain::run(context, args).await,
        Command::ShowConfig(args) => show_config::run(context, args).await,
        Command::EditConfig(args) => edit_config::run(context, args).await,
        Command::Reload(args) => reload::run(context, args).await,
        Command::Restart(args) => restart::run(context, args).await,
        Command::Reinit(args) => reinit::run(context, args).await,
        Command::Flush(args) => flush::run(context, args).await,
        Command::Failover(args) => handover::failover(context, args).await,
        Command::Switchover(args) => handover::switchover(context, args).await,
        Command::Pause(args) => pause::run(context, args, pause::Mode::Pause).await,
        Command::Resume(args) => pause::run(context, args, pause::Mode::Resume).await,
        Command::Remove(args) => remove::run(context, args).await,
        Command::DemoteCluster(args) => cluster_role::demote(context, args).await,
        Command::PromoteCluster(args) => cluster_role::promote(context, args).await,
        Command::MigrateStore(args) => migrate_store::run(context, args).await,
        Command::Dcs(args) => dcs::run(context, args).await,
        Command::RaftMembers(args) => raft::members(context, &args).await,
        Command::RaftRemove(args) => raft::remove(context, args).await,
    };
    done.map(|()| 0)
}

/// Shows the table before questions.
fn show(context: &mut Context, view: &View) -> Result<(), Failure> {
    context.write(&members_table(view, Format::Pretty, Style::List, false))
}

/// Shows the table and gives the members that are meant (see [`select`]); there is one at least.
/// `shown` is how the refusal words the role. As in the reference, a cluster without any member
/// of the role is told in place of the table, and names that nobody has after it.
fn show_and_select(
    context: &mut Context,
    view: &View,
    names: &[String],
    role: RoleFilter,
    shown: &str,
) -> Result<Vec<Member>, Failure> {
    let found = select(view, names, role);
    if found.is_empty() && names.is_empty() {
        return Err(Failure::refused(format!(
            "{} cluster doesn't have any members",
            view.scope
        )));
    }
    show(context, view)?;
    if found.is_empty() {
        return Err(Failure::refused(format!(
            "No {shown} among provided members"
        )));
    }
    Ok(found)
}

/// Shows the table as it is now.
async fn show_again(context: &mut Context, target: &Target) -> Result<(), Failure> {
    let cluster = context.load(target.store.as_ref()).await?;
    show(
        context,
        &View::of_one(target.scope.clone(), target.group, cluster),
    )
}

/// An object of the pairs that have a value.
fn object<const N: usize>(pairs: [(&str, Option<Value>); N]) -> Value {
    Value::Object(
        pairs
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)))
            .collect(),
    )
}
