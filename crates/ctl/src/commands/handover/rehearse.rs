//! What a switchover or failover would do, judged as the members judge it.

use patroni_core::{Member, MemberName};
use patroni_ha::eligibility::{Ineligible, obstacles};
use patroni_ha::intent::{FailoverBody, FailoverKind, GivenTime, judge, nobody_is_fit};
use patroni_ha::observation::PeerAnswer;

use super::{Action, Order};
use crate::context::{Context, Target, dynamic};
use crate::exit::Failure;
use crate::peer;
use crate::rehearsal::Rehearsal;

const WRITES: &str = "it writes the key failover";

pub(super) async fn run(
    context: &mut Context,
    target: &Target,
    order: &Order,
) -> Result<(), Failure> {
    let mut rehearsal = Rehearsal::default();
    let path = order.action.word();
    let silent = match order.addressee(target) {
        Err(error) => Some(error.to_string()),
        Ok(member) => {
            rehearsal.step(format!("POST /{path} {} to {}", order.body(), member.name));
            let heard = context.look_at(&[member]).await?;
            heard
                .into_iter()
                .find_map(|heard| Some(heard.answer.err()?.to_string()))
        }
    };
    if let Some(why) = silent {
        rehearsal.step(format!(
            "that member can not be asked ({why}), so the key failover is written without its checks"
        ));
    } else {
        check(context, target, order, &mut rehearsal).await?;
    }
    if !rehearsal.is_refused() {
        follow_up(target, order, &mut rehearsal);
    }
    rehearsal.tell(context)
}

/// The checks of the member that is asked, and then of the leader.
async fn check(
    context: &mut Context,
    target: &Target,
    order: &Order,
    rehearsal: &mut Rehearsal,
) -> Result<(), Failure> {
    let settings = dynamic(&target.cluster);
    let now = context.clock.now().timestamp();
    let judged = judge(
        kind(order),
        &request(order),
        &target.cluster,
        &settings,
        now,
    );
    let accepted = match judged {
        Ok(accepted) => accepted,
        Err(refuse) => {
            rehearsal.refuse_with("the member", refuse.code, &refuse.text);
            return Ok(());
        }
    };
    if accepted.at.is_some() {
        rehearsal.step(WRITES);
        return Ok(());
    }
    let asked = accepted.ask.iter();
    let members: Vec<Member> = asked
        .filter_map(|peer| target.cluster.member(&peer.name).cloned())
        .collect();
    let heard = context.look_at(&members).await?;
    let answers: Vec<PeerAnswer> = members
        .iter()
        .zip(&heard)
        .map(|(member, heard)| peer::heard(&member.name, heard))
        .collect();
    let against: Vec<(&MemberName, Vec<Ineligible>)> = answers
        .iter()
        .map(|answer| {
            let mut against = obstacles(&target.cluster, &settings, answer);
            // a failover by hand does not ask for it
            let by_hand = order.action == Action::Failover;
            against.retain(|reason| !(by_hand && *reason == Ineligible::NotSynchronous));
            (&answer.name, against)
        })
        .collect();
    for (name, reasons) in &against {
        rehearsal.step(format!("it asks {name}, which is {}", worded(reasons)));
    }
    if let Err(refuse) = nobody_is_fit(kind(order), &answers) {
        rehearsal.refuse_with("the member", refuse.code, &refuse.text);
    } else if against.iter().all(|(_, reasons)| !reasons.is_empty()) {
        let word = order.action.word();
        rehearsal.refuse(format!(
            "the {word} would be accepted and then given up: nobody can take over"
        ));
    } else {
        rehearsal.step(WRITES);
    }
    Ok(())
}

fn worded(reasons: &[Ineligible]) -> String {
    let reasons: Vec<String> = reasons.iter().map(Ineligible::evidence).collect();
    if reasons.is_empty() {
        return "fit to lead".to_owned();
    }
    reasons.join(" and ")
}

const fn kind(order: &Order) -> FailoverKind {
    match order.action {
        Action::Switchover => FailoverKind::Switchover,
        Action::Failover => FailoverKind::Failover,
    }
}

fn request(order: &Order) -> FailoverBody {
    let leader = order.leader.clone();
    FailoverBody {
        leader: leader.filter(|_| order.action == Action::Switchover),
        candidate: order.candidate.clone(),
        scheduled_at: order.scheduled.map(|at| {
            at.to_iso()
                .parse()
                .map_or(GivenTime::Unreadable, GivenTime::At)
        }),
    }
}

fn follow_up(target: &Target, order: &Order, rehearsal: &mut Rehearsal) {
    if let Some(at) = &order.scheduled {
        rehearsal.step(format!(
            "the request waits until {at}; then the leader makes the checks of an immediate one, and \
             goes on or drops it"
        ));
    }
    let heir = order.candidate.as_ref();
    let heir = heir.map_or_else(
        || "the fittest of the others".to_owned(),
        ToString::to_string,
    );
    if let Some(leader) = target.cluster.leader_name() {
        rehearsal.step(format!(
            "{leader} stops its PostgreSQL in order, and gives the lock back once a candidate has everything"
        ));
    }
    let standby = dynamic(&target.cluster).standby_cluster.is_some();
    let ending = if standby {
        "follows the remote"
    } else {
        "is promoted"
    };
    rehearsal.step(format!("{heir} takes the lock and {ending}"));
    rehearsal.step("the others follow the new leader, a former one after a rewind if it needs one");
}
