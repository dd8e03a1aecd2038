//! What speaks against the beginning of a move.

use patroni_api::wire::JournalPage;
use patroni_core::{Cluster, ConfigDoc, Member, MemberName, Role, Scope, SystemId};
use serde_json::Value;

use super::mark::{Leaving, Mark};
use super::progress::{Where, reads};
use super::side::Side;
use crate::context::{Context, dynamic};
use crate::exit::Failure;
use crate::rehearsal::LIMIT;
use crate::rest::{Answer, Heard};

/// Everything that has to be mended before the cluster can move; nothing is changed.
pub(super) async fn objections(
    context: &mut Context,
    scope: &Scope,
    old: &Side,
    new: &Side,
    without: &[MemberName],
) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    let Some(system_id) = old.cluster.system_id() else {
        found.push(format!("there is no cluster {scope} in {}", old.place()));
        return Ok(found);
    };
    if !old.cluster.config.as_ref().is_some_and(ConfigDoc::is_valid) {
        found.push(format!("the key config in {} is unreadable", old.place()));
    }
    match old.cluster.leader_name() {
        None => found.push("the cluster has no leader".to_owned()),
        Some(name) if without.contains(name) => {
            found.push(format!("{name} leads and cannot be left out"));
        }
        Some(_) => {}
    }
    if dynamic(&old.cluster).standby_cluster.is_some() {
        let text = "a standby cluster cannot move: nobody takes a lock in its pause";
        found.push(text.to_owned());
    }
    if old.cluster.failover_request().is_some() {
        let text = "a change of leader is asked for or scheduled: patronictl flush drops it";
        found.push(text.to_owned());
    }
    found.extend(taken(scope, new, &system_id)?);
    let members = expected(&old.cluster, without);
    found.extend(strangers(context, scope, &old.cluster, &members, &system_id).await?);
    found.extend(readers(context, &members).await?);
    if new.store.kind() == "raft" {
        found.extend(makers(context, &members).await?);
    }
    Ok(found)
}

/// The members that have to come along.
pub(super) fn expected(cluster: &Cluster, without: &[MemberName]) -> Vec<Member> {
    let members = cluster.members.iter();
    members
        .filter(|member| !without.contains(&member.name))
        .cloned()
        .collect()
}

/// A cluster lives in the new store already. One that left it, and is the same, may come back.
fn taken(scope: &Scope, new: &Side, system_id: &SystemId) -> Result<Option<String>, Failure> {
    let cluster = &new.cluster;
    let members: Vec<&str> = cluster
        .members
        .iter()
        .filter(|member| member.data.api_url().is_some())
        .map(|member| member.name.as_str())
        .collect();
    if let Some(Mark::Leaving(Leaving {
        closed: true,
        system_id: earlier,
        ..
    })) = new.mark()?
        && earlier == *system_id
    {
        // Pods stay members when their daemons are gone; elsewhere a key means a daemon.
        let left = new.store.kind() == "kubernetes" || members.is_empty();
        let free = cluster.is_unlocked() && left;
        return Ok((!free).then(|| {
            format!(
                "{} still has a leader or members of this cluster ({})",
                new.place(),
                members.join(", ")
            )
        }));
    }
    let empty = cluster.initialize.is_none()
        && cluster.config.is_none()
        && cluster.is_unlocked()
        && members.is_empty();
    Ok((!empty).then(|| {
        format!(
            "{} already holds a cluster {scope}; patronictl remove takes it away, if nobody needs it",
            new.place()
        )
    }))
}

/// Members that do not answer, or are not what their keys say.
async fn strangers(
    context: &mut Context,
    scope: &Scope,
    cluster: &Cluster,
    members: &[Member],
    system_id: &SystemId,
) -> Result<Vec<String>, Failure> {
    let answers = context.look_at(members).await?;
    let look = |(member, heard): (&Member, Heard)| {
        let leads = cluster.leader_name() == Some(&member.name);
        match heard.answer {
            Ok(answer) => odd(&answer, scope, member, system_id, leads),
            Err(why) => Some(format!(
                "{} does not answer ({why}); one that is gone for good is left out with --without {}",
                member.name, member.name
            )),
        }
    };
    Ok(members.iter().zip(answers).filter_map(look).collect())
}

/// What is wrong with the status of a member.
fn odd(
    answer: &Answer,
    scope: &Scope,
    member: &Member,
    system_id: &SystemId,
    leads: bool,
) -> Option<String> {
    let name = &member.name;
    let Ok(Value::Object(status)) = serde_json::from_str(&answer.body) else {
        return Some(format!("{name} answers something that is no status"));
    };
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let about = |key: &str| text(status.get("patroni").and_then(|own| own.get(key)));
    if about("name").as_deref() != Some(name.as_str())
        || about("scope").as_deref() != Some(scope.as_str())
    {
        return Some(format!("another member answers at the address of {name}"));
    }
    let identity = text(status.get("database_system_identifier"));
    if identity.is_some_and(|identity| identity != system_id.as_str()) {
        return Some(format!("{name} has data of another cluster"));
    }
    let role = text(status.get("role")).and_then(|role| Role::parse(&role));
    let state = text(status.get("state")).unwrap_or_default();
    let primary = matches!(role, Some(Role::Primary | Role::StandbyLeader));
    (leads && (!primary || state != "running"))
        .then(|| format!("{name} has the lock, but is no running primary (it is {state})"))
}

/// Members that read another store than the old one already, as in a move to somewhere else.
async fn readers(context: &mut Context, members: &[Member]) -> Result<Vec<String>, Failure> {
    let answers = context.ask_all(members, "config", LIMIT).await?;
    let gone = |(member, heard): (&Member, Heard)| {
        let elsewhere = matches!(reads(heard.answer), Where::New);
        elsewhere.then(|| format!("{} reads another store already", member.name))
    };
    Ok(members.iter().zip(answers).filter_map(gone).collect())
}

/// Members that cannot speak the protocol of the embedded store.
async fn makers(context: &mut Context, members: &[Member]) -> Result<Vec<String>, Failure> {
    let answers = context.ask_all(members, "journal?limit=1", LIMIT).await?;
    let foreign = |(member, heard): (&Member, Heard)| {
        // A member without a journal takes the path for a health check.
        let page = heard.answer.ok()?.body;
        let ours = serde_json::from_str::<JournalPage>(&page).is_ok();
        let name = &member.name;
        (!ours).then(|| {
            format!("the daemon of {name} is not of this project, which the raft store needs")
        })
    };
    Ok(members.iter().zip(answers).filter_map(foreign).collect())
}
