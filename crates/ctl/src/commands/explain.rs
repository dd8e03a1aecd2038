//! `explain`: why the leader changed, stepped down or was refused.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use patroni_api::wire::{JournalPage, Scheduled};
use patroni_core::Member;
use patroni_core::account::Turn;
use serde_json::{Value, json};

use crate::cli::{Explain, StoryFormat};
use crate::context::{Context, Target, dynamic};
use crate::exit::Failure;
use crate::rest::{Answer, RestError};
use crate::story::{Failover, Journals, WhyNot, Words};
use crate::usage;

/// A member that does not answer within it is told as missing.
const LIMIT: Duration = Duration::from_secs(5);

/// What is asked for.
enum Wish {
    /// The last failover, demotion and refusal.
    Last,
    Failover,
    Since(Timestamp),
    WhyNot(String),
}

pub(super) async fn run(context: &mut Context, args: Explain) -> Result<(), Failure> {
    let wish = Wish::of(&args, context)?;
    let scope = context.scope("explain", args.cluster.as_ref())?;
    let group = context.own_group(args.group)?;
    let target = context.target(&scope, group).await?;
    let asked = members(&target, args.member.as_deref())?;
    let path = match &wish {
        Wish::Since(time) => format!("journal?limit=1000&since={time}"),
        Wish::Last | Wish::Failover | Wish::WhyNot(_) => "journal?limit=1000".to_owned(),
    };
    let journals = gather(context, &asked, &path).await?;
    if !journals.has_answers() {
        let missing: Vec<String> = journals
            .missing()
            .iter()
            .map(|(member, why)| format!("{member}: {why}"))
            .collect();
        let why = missing.join("; ");
        return Err(Failure::refused(format!("No journal could be read: {why}")));
    }
    let story = Story {
        journals: &journals,
        target: &target,
        words: Words::new(context.clock.now().time_zone().clone()),
    };
    let text = match args.format {
        StoryFormat::Pretty => {
            let mut lines = story.lines(&wish);
            let remarks = journals.remarks();
            if !remarks.is_empty() {
                lines.push(String::new());
                lines.extend(remarks);
            }
            lines.join("\n")
        }
        StoryFormat::Json => story.document(&wish).to_string(),
    };
    context.print(&text)
}

impl Wish {
    fn of(args: &Explain, context: &Context) -> Result<Self, Failure> {
        let wrong = |text: &str| usage::wrong("explain", text);
        match (args.last_failover, &args.since, &args.why_not) {
            (false, None, None) => Ok(Self::Last),
            (true, None, None) => Ok(Self::Failover),
            (false, Some(since), None) => time(since, context).map(Self::Since).ok_or_else(|| {
                wrong(&format!(
                    "Invalid value for '--since': '{since}' is neither a time nor a span such as 30m."
                ))
            }),
            (false, None, Some(candidate)) => Ok(Self::WhyNot(candidate.clone())),
            (true, _, _) | (false, Some(_), Some(_)) => Err(wrong(
                "Only one of '--last-failover', '--since' and '--why-not' can be given.",
            )),
        }
    }
}

/// A time as in other commands, or so long ago.
fn time(text: &str, context: &Context) -> Option<Timestamp> {
    let now = context.clock.now();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = match &text[digits.len()..] {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        "d" => Some(86_400),
        _ => None,
    };
    if let (Some(seconds), Ok(count)) = (seconds, digits.parse::<i64>()) {
        let span = SignedDuration::from_secs(count.checked_mul(seconds)?);
        return now.timestamp().checked_sub(span).ok();
    }
    Some(Scheduled::here(text, &now)?.at)
}

/// The members to ask: all, or the named one.
fn members(target: &Target, named: Option<&str>) -> Result<Vec<Member>, Failure> {
    let all = target.cluster.members.iter();
    let chosen: Vec<Member> = all
        .filter(|member| named.is_none_or(|name| member.name.as_str() == name))
        .cloned()
        .collect();
    match (chosen.is_empty(), named) {
        (false, _) => Ok(chosen),
        (true, Some(name)) => {
            let scope = &target.scope;
            Err(Failure::refused(format!(
                "{name} is not a member of {scope}"
            )))
        }
        (true, None) => Err(Failure::refused(format!(
            "{} cluster doesn't have any members",
            target.scope
        ))),
    }
}

async fn gather(context: &mut Context, asked: &[Member], path: &str) -> Result<Journals, Failure> {
    let answers = context.ask_all(asked, path, LIMIT).await?;
    let (mut pages, mut missing) = (Vec::new(), Vec::new());
    for (member, heard) in asked.iter().zip(answers) {
        match page(heard.answer) {
            Ok(page) => pages.push(page),
            Err(why) => missing.push((member.name.to_string(), why)),
        }
    }
    Ok(Journals::new(pages, missing))
}

fn page(answer: Result<Answer, RestError>) -> Result<JournalPage, String> {
    let answer = answer.map_err(|error| error.to_string())?;
    // A member without journals takes the path for a health check, and answers with its status.
    serde_json::from_str(&answer.body).map_err(|_| {
        format!(
            "it keeps no journal (it answers with code {})",
            answer.status
        )
    })
}

/// Everything that a story is made of.
struct Story<'a> {
    journals: &'a Journals,
    target: &'a Target,
    words: Words,
}

impl Story<'_> {
    fn why_not(&self, candidate: &str) -> WhyNot<'_> {
        let cluster = &self.target.cluster;
        WhyNot::of(candidate, self.journals, cluster, &dynamic(cluster))
    }

    fn lines(&self, wish: &Wish) -> Vec<String> {
        match wish {
            Wish::Failover => self.failover(),
            Wish::WhyNot(candidate) => self.why_not(candidate).lines(&self.words),
            Wish::Since(_) => self.everything(),
            Wish::Last => {
                let mut lines = self.failover();
                for (title, account) in self.others() {
                    lines.push(String::new());
                    lines.push(format!("{title}:"));
                    let block = self.words.block(account);
                    lines.extend(block.into_iter().map(|line| format!("  {line}")));
                }
                lines
            }
        }
    }

    fn failover(&self) -> Vec<String> {
        match Failover::last(self.journals) {
            Some(failover) => failover.lines(&self.words),
            None => vec!["No journal that could be asked tells of a change of leader.".to_owned()],
        }
    }

    /// The last demotion, refusal and loss of the store that are no part of the last failover.
    fn others(&self) -> Vec<(&'static str, &patroni_core::Account)> {
        let span = Failover::last(self.journals).map(|failover| failover.span());
        let kinds = [
            (
                "The last time that a leader stepped down",
                Turn::SteppedDown,
            ),
            ("The last refusal", Turn::Refused),
            (
                "The last time that the store did not answer",
                Turn::StoreLost,
            ),
        ];
        let last = kinds.iter().filter_map(|(title, turn)| {
            let account = self.journals.last(&[*turn], span)?;
            Some((*title, account))
        });
        last.collect()
    }

    fn everything(&self) -> Vec<String> {
        if self.journals.accounts().is_empty() {
            return vec!["Nothing since then.".to_owned()];
        }
        let told = self.journals.accounts().iter();
        told.flat_map(|account| match account.turn {
            Turn::Steady => vec![self.words.line(account)],
            Turn::TookOver
            | Turn::Promoted
            | Turn::SteppedDown
            | Turn::Refused
            | Turn::StoreLost
            | Turn::Repaired
            | Turn::Other => self.words.block(account),
        })
        .collect()
    }

    fn document(&self, wish: &Wish) -> Value {
        let mut document = self.journals.sources();
        let failover = || Failover::last(self.journals).map(|failover| failover.document());
        document["scope"] = self.target.scope.as_str().into();
        match wish {
            Wish::Failover => document["failover"] = failover().into(),
            Wish::WhyNot(candidate) => document["why_not"] = self.why_not(candidate).document(),
            Wish::Since(_) => document["records"] = json!(self.journals.accounts()),
            Wish::Last => {
                document["failover"] = failover().into();
                let others = self.others();
                let of = |turn: Turn| others.iter().find(|(_, account)| account.turn == turn);
                let told = |turn| -> Value { json!(of(turn).map(|(_, account)| *account)) };
                document["stepped_down"] = told(Turn::SteppedDown);
                document["refused"] = told(Turn::Refused);
                document["store_lost"] = told(Turn::StoreLost);
            }
        }
        document
    }
}
