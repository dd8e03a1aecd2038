//! `restart`: now or later, all or some.

use jiff::Zoned;
use patroni_api::wire::restart::server_version;
use patroni_api::wire::{Content, RestartRequest, Scheduled};
use patroni_core::{Member, Role};
use patroni_ha::intent::conditions_met;
use serde_json::Value;

use super::{object, show_and_select};
use crate::cli::Restart;
use crate::context::{Context, dynamic};
use crate::doctor::Report;
use crate::exit::Failure;
use crate::rehearsal::Rehearsal;
use crate::rest::{Method, PATIENT, QUICK};
use crate::select::names;

pub(super) async fn run(context: &mut Context, args: Restart) -> Result<(), Failure> {
    let force = args.members.force;
    let scope = patroni_core::Scope::new(args.members.cluster.as_str());
    let group = Context::group(args.members.group)?;
    let view = context.view(&scope, group).await?;
    let shown = format!("'{}'", args.role.as_str());
    let mut members = show_and_select(context, &view, &args.members.names, args.role, &shown)?;

    let schedule = context
        .when(
            args.scheduled.clone(),
            force,
            "When should the restart take place (e.g. NEXTHOUR) ",
        )
        .await?;
    if args.pending && schedule.is_none() {
        members.retain(|member| member.data.pending_restart());
    }
    if args.any_one && !members.is_empty() {
        members = vec![members.swap_remove(chance(members.len()))];
    }
    if !force && !args.dry_run {
        agree(context, &args, &members, schedule.as_ref()).await?;
    }
    let version = match args.pg_version {
        None if !force => {
            let question = "Restart if the PostgreSQL version is less than provided (e.g. 9.5.2) ";
            context.ask(question, Some("")).await?
        }
        given => given.unwrap_or_default(),
    };
    if !version.is_empty() {
        server_version(&version).map_err(|fault| Failure::refused(fault.to_string()))?;
    }
    if schedule.is_some() && view.parts.iter().any(|part| dynamic(&part.cluster).pause) {
        return Err(Failure::refused(
            "Can't schedule restart in the paused state",
        ));
    }
    let body = object([
        ("restart_pending", args.pending.then_some(Value::Bool(true))),
        (
            "postgres_version",
            (!version.is_empty()).then(|| version.into()),
        ),
        (
            "schedule",
            schedule.map(|schedule| schedule.to_iso().into()),
        ),
        ("timeout", args.timeout.map(Value::String)),
    ]);
    if args.dry_run {
        return rehearse(context, &members, &body, force).await;
    }
    for member in members {
        send(context, &member, &body, force).await?;
    }
    Ok(())
}

impl Context {
    /// The time of `--scheduled`, else of an answer; `None` is now. `NEXTHOUR` in the question
    /// becomes an example.
    pub(super) async fn when(
        &mut self,
        given: Option<String>,
        force: bool,
        question: &str,
    ) -> Result<Option<Scheduled>, Failure> {
        let now = self.clock.now();
        let text = match given {
            Some(text) => text,
            None if force => return Ok(None),
            None => {
                let next = now.saturating_add(jiff::Span::new().hours(1));
                let example = next.strftime("%Y-%m-%dT%H:%M").to_string();
                self.ask(&question.replace("NEXTHOUR", &example), Some("now"))
                    .await?
            }
        };
        if text.is_empty() || text == "now" {
            return Ok(None);
        }
        Scheduled::here(&text, &now).map(Some).ok_or_else(|| {
            Failure::refused(format!(
                "Unable to parse scheduled timestamp ({text}). It should be in an unambiguous format (e.g. ISO 8601)"
            ))
        })
    }
}

async fn agree(
    context: &mut Context,
    args: &Restart,
    members: &[Member],
    schedule: Option<&Scheduled>,
) -> Result<(), Failure> {
    let names = names(members);
    let (question, refusal) = match schedule {
        None => (
            format!("Are you sure you want to restart members {names}?"),
            "Aborted restart",
        ),
        Some(_) if args.pending => (
            "The nodes needing a restart will be identified at the scheduled time, and might be different from the ones showing pending restart right now. Is this fine?".to_owned(),
            "Aborted scheduled restart",
        ),
        Some(at) => (
            format!("Are you sure you want to schedule restart of members {names} at {at}?"),
            "Aborted scheduled restart",
        ),
    };
    if context.confirm(&question).await? {
        Ok(())
    } else {
        Err(Failure::refused(refusal))
    }
}

async fn send(
    context: &mut Context,
    member: &Member,
    body: &Value,
    force: bool,
) -> Result<(), Failure> {
    let name = &member.name;
    let scheduled = body.get("schedule").is_some();
    if scheduled && force && member.data.scheduled_restart().is_some() {
        context
            .tell_member(member, Method::Delete, "restart", None, QUICK)
            .await?;
    }
    let limit = if scheduled { QUICK } else { PATIENT };
    let answer = context
        .tell_member(member, Method::Post, "restart", Some(body), limit)
        .await?;
    let line = match answer.status {
        200 => format!("Success: restart on member {name}"),
        202 => format!("Success: restart scheduled on member {name}"),
        409 => format!("Failed: another restart is already scheduled on member {name}"),
        status => format!(
            "Failed: restart for member {name}, status code={status}, ({})",
            answer.body
        ),
    };
    context.print(&line)
}

/// What each member would say, by the code that answers there; another running task alone is not
/// foreseen.
async fn rehearse(
    context: &mut Context,
    members: &[Member],
    body: &Value,
    force: bool,
) -> Result<(), Failure> {
    let heard = context.look_at(members).await?;
    let now = context.clock.now();
    let mut rehearsal = Rehearsal::default();
    for (member, heard) in members.iter().zip(heard) {
        let name = &member.name;
        let report = heard.answer.map_err(|error| error.to_string());
        let report = report.and_then(|answer| Report::read(answer, heard.at, heard.took));
        let report = match report {
            Ok(report) => report,
            Err(why) => {
                rehearsal.refuse(format!("Member {name} is not accessible: {why}"));
                continue;
            }
        };
        let scheduled = body.get("schedule").and_then(Value::as_str);
        let earlier = member
            .data
            .scheduled_restart()
            .filter(|_| scheduled.is_some());
        if earlier.is_some() && force {
            rehearsal.step(format!("DELETE /restart to {name}, where one is scheduled"));
        }
        rehearsal.step(format!("POST /restart {body} to {name}"));
        match judge(body, &report, earlier.is_some() && !force, &now) {
            Err((code, why)) => rehearsal.refuse_with(name.as_str(), code, &why),
            Ok(()) => rehearsal.step(match scheduled {
                Some(at) => format!("{name} restarts at {at}, if its conditions hold then"),
                None => format!("{name} restarts, with its role and a lock that it holds"),
            }),
        }
    }
    rehearsal.tell(context)
}

fn judge(body: &Value, report: &Report, taken: bool, now: &Zoned) -> Result<(), (u16, String)> {
    let filters = body.as_object().cloned().unwrap_or_default();
    let request = RestartRequest::parse(&filters, report.flag("pause"), now);
    let request = request.map_err(|answer| {
        let text = match &answer.content {
            Content::Text(text) => String::from_utf8_lossy(text).into_owned(),
            Content::Bare
            | Content::Json(_)
            | Content::Metrics(_)
            | Content::Page(_)
            | Content::ErrorPage(_) => String::new(),
        };
        (answer.status.as_u16(), text)
    })?;
    if request.schedule.is_some() {
        let conflict = || (409, "Another restart is already scheduled".to_owned());
        return if taken { Err(conflict()) } else { Ok(()) };
    }
    let role = report.role().unwrap_or(Role::Replica);
    let version = report
        .number("server_version")
        .and_then(|n| u32::try_from(n).ok());
    if conditions_met(
        &request.conditions,
        role,
        version,
        report.flag("pending_restart"),
    ) {
        Ok(())
    } else {
        Err((503, "restart conditions are not satisfied".to_owned()))
    }
}

/// Any number below `bound`; good enough for choosing a member.
fn chance(bound: usize) -> usize {
    use std::hash::{BuildHasher as _, Hasher as _};
    let seed = std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish();
    usize::try_from(seed % u64::try_from(bound).unwrap_or(1)).unwrap_or(0)
}
