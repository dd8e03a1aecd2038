//! No leader: may this node become it? (HA contract 10)

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use patroni_core::{FailoverRequest, Member, MemberName, Timeline};

use crate::command::Peer;
use crate::context::Cx;
use crate::eligibility::{self, Ineligible, Refusal, Search};
use crate::history;
use crate::memory::{FailsafeMode, JudgedRace};
use crate::mutant::Mutant;
use crate::observation::{Observation, PeerAnswer};
use crate::replay::Asked;
use crate::rule::Rule;
use crate::rules::follow::{self, Texts};
use crate::rules::promote;
use crate::rules::votes::{self, Count};
use crate::sentence::{Action, Text};
use crate::verdict::CycleResult;

/// What the race is judged by. Nothing is of a candidate that a person named, and a running
/// primary has looked at what became of the cluster.
fn judged(cx: &mut Cx<'_>, obs: &Observation) -> Option<JudgedRace> {
    let request = cx.view.failover_request().map(|key| &key.request);
    let named = request.is_some_and(|request| is_named(cx, request));
    (!named && !cx.is_primary()).then(|| JudgedRace {
        at: obs.now,
        sync: cx.view.sync.clone(),
        outdated: None,
    })
}

/// Why what was judged may not be true any more now that the lock was taken.
fn took_too_long(cx: &Cx<'_>, judged: &JudgedRace) -> Option<String> {
    let took = cx.now().since(judged.at);
    let longest = MOST_QUESTIONS * TIME_FOR_AN_ANSWER + cx.settings.retry_timeout;
    (took > longest).then(|| format!("it took {} s", took.as_secs()))
}

/// The same, by a view with the lock.
fn is_contradicted(cx: &Cx<'_>, judged: &JudgedRace) -> Option<String> {
    let (now, then) = (&cx.view.sync, &judged.sync);
    let same =
        now.leader == then.leader && now.quorum == then.quorum && now.standbys == then.standbys;
    (!same).then(|| "the synchronous standbys are others now".to_owned())
}

/// The lock stays free for a race that is judged anew.
fn give_back(cx: &mut Cx<'_>, why: String) -> Asked<CycleResult> {
    cx.say(Text::OutdatedJudgement { why: why.clone() });
    let name = cx.me().clone();
    let reason = Ineligible::Outdated(why.clone());
    cx.refused.push(Refusal { name, reason });
    if let Some(race) = &mut cx.memory.race {
        race.outdated = Some(why);
    }
    if cx.release_leader(None)? {
        cx.memory.race = None;
    }
    Ok(CycleResult::FollowingWithoutLock)
}

/// The lock is ours, and the cycle that won it did not come to its end: the store has failed, or
/// it said nothing of a lock that it gave.
pub(crate) fn undecided(cx: &mut Cx<'_>) -> Asked<Option<CycleResult>> {
    let Some(race) = cx.memory.race.clone() else {
        return Ok(None);
    };
    let known = race.outdated.clone();
    let why = known
        .or_else(|| took_too_long(cx, &race))
        .or_else(|| is_contradicted(cx, &race));
    if let Some(why) = why.filter(|_| !cx.may_be_primary()) {
        cx.rule = Rule::T3;
        return give_back(cx, why).map(Some);
    }
    cx.memory.race = None;
    Ok(None)
}

/// A race asks the other members so many times at most.
const MOST_QUESTIONS: u32 = 3;
/// So long the body waits for the answers.
const TIME_FOR_AN_ANSWER: Duration = Duration::from_secs(2);

/// The race: take the free lock, or follow who will.
pub(crate) fn race(cx: &mut Cx<'_>, obs: &Observation) -> Asked<CycleResult> {
    cx.rule = Rule::H;
    if let Err(reason) = healthiest(cx, obs)? {
        cx.rule = Rule::T1;
        let name = cx.me().clone();
        cx.refused.push(Refusal { name, reason });
        return stand_back(cx);
    }
    cx.rule = Rule::T3;
    cx.memory.race = judged(cx, obs);
    if !cx.acquire_leader()? {
        cx.memory.race = None;
        cx.rule = Rule::T2;
        return follow::follow(
            cx,
            Texts {
                demoted: CycleResult::DemotedWithoutLock,
                following: CycleResult::FollowingWithoutLock,
            },
            true,
        );
    }
    won(cx)
}

/// The lock is ours: clean up the request, look again, and act as the leader.
fn won(cx: &mut Cx<'_>) -> Asked<CycleResult> {
    let race = cx.memory.race.clone();
    if let Some(why) = race.as_ref().and_then(|race| took_too_long(cx, race)) {
        cx.reload()?;
        return give_back(cx, why);
    }
    if let Some(key) = cx.view.failover_request().cloned() {
        let both = key.request.leader.is_some() && key.request.candidate.is_some();
        if cx.paused() && both {
            cx.say(Text::UpdatingFailoverKey);
            let request = FailoverRequest {
                candidate: key.request.candidate,
                ..FailoverRequest::default()
            };
            cx.write_failover(request, Some(key.revision))?;
        } else {
            cx.say(Text::CleaningFailoverKeyAfterLock);
            cx.write_failover(FailoverRequest::default(), None)?;
        }
    }
    cx.reload()?;
    if !cx.lock_confirmed {
        // The new view names somebody else: an old read, or a lock lost at once. The next cycle
        // tells; nothing is promoted on a contradiction.
        return Ok(CycleResult::FollowingWithoutLock);
    }
    if let Some(why) = race.as_ref().and_then(|race| is_contradicted(cx, race)) {
        return give_back(cx, why);
    }
    cx.memory.race = None;
    if cx.in_standby_cluster() {
        return follow::follow_as_standby_leader(cx, CycleResult::PromotedStandbyLeaderByRace);
    }
    promote::promote(
        cx,
        CycleResult::AcquiredAsLeader,
        CycleResult::PromotedByRace,
    )
}

/// Not fit to lead: leave the lock to others.
fn stand_back(cx: &mut Cx<'_>) -> Asked<CycleResult> {
    let nofailover = cx.may_not_lead();
    let asked = cx
        .view
        .failover_request()
        .is_some_and(|key| key.request.candidate.is_some());
    if asked || (nofailover && !cx.paused()) {
        cx.mark_check();
        // A primary steps down first: nothing limits how long it would write if this loop hung.
        if !cx.is_primary() {
            cx.wait_for_leader(TIME_FOR_OTHERS)?;
        }
    }
    let texts = if nofailover {
        Texts {
            demoted: CycleResult::DemotingNotAllowed,
            following: CycleResult::FollowingNotAllowed,
        }
    } else {
        Texts {
            demoted: CycleResult::DemotingNotHealthiest,
            following: CycleResult::FollowingNotHealthiest,
        }
    };
    // The lock is free in the judged view; whom to follow shows only in a new one.
    follow::follow(cx, texts, true)
}

/// How long others get to take the lock before this node looks again.
pub(crate) const TIME_FOR_OTHERS: Duration = Duration::from_secs(2);

/// Whether this node is the healthiest, in the order of the contract (10.1).
pub(crate) fn healthiest(cx: &mut Cx<'_>, obs: &Observation) -> Asked<Result<(), Ineligible>> {
    if let Some(since) = cx.memory.backing_off_since {
        if cx.now().since(since) < cx.settings.ttl {
            cx.say(Text::BackingOff);
            return Ok(Err(Ineligible::BackingOff));
        }
        cx.memory.backing_off_since = None;
    }
    let nofailover = cx.may_not_lead() && !cx.mutated(Mutant::IgnoreNofailover);
    let request = cx.view.failover_request().map(|key| key.request.clone());
    if cx.paused()
        && !nofailover
        && let Some(request) = &request
        && request.scheduled_at.is_none()
        && let Some(decided) = requested(cx, request)?
    {
        return Ok(decided);
    }
    if cx.server.state.is_starting() {
        return Ok(Err(Ineligible::Starting));
    }
    if cx.is_primary() {
        return running_primary(cx);
    }
    if cx.paused() {
        return Ok(Err(Ineligible::Paused));
    }
    if nofailover {
        return Ok(Err(Ineligible::NotAllowed));
    }
    // A primary without the store leads on by the consent of this topology alone. Whoever is
    // not in it was not asked, and takes over only when a person asks for a failover to it.
    let named = request
        .as_ref()
        .is_some_and(|request| is_named(cx, request));
    if outside_failsafe(cx) && !named && !cx.mutated(Mutant::OutsiderRaces) {
        return Ok(Err(Ineligible::NotInFailsafe));
    }
    if may_have_consented(cx)
        && !named
        && !all_stand_by(cx)?
        && !cx.mutated(Mutant::ConsentForgotten)
    {
        return Ok(Err(Ineligible::MayHaveConsented));
    }
    if let Some(request) = &request {
        if is_barred_by_sync(cx, request, cx.me()) {
            return Ok(Err(Ineligible::NotSynchronous));
        }
        if let Some(decided) = requested(cx, request)? {
            return Ok(decided);
        }
    }
    if obs.watchdog.required && !obs.watchdog.usable {
        cx.say(Text::WatchdogNotUsable);
        return Ok(Err(Ineligible::NoWatchdog));
    }
    let me = cx.me().clone();
    let mut peers = known_peers(cx);
    note_not_allowed(cx);
    if cx.settings.failsafe_mode
        && let Some(topology) = cx.view.failsafe.clone()
    {
        for (name, url) in topology {
            if !peers.iter().any(|peer| peer.name == name) && name != me {
                peers.push(Peer { name, url });
            }
        }
    }
    if cx.sync_active() && !cx.quorum_mode() && !cx.mutated(Mutant::AnybodyMayRace) {
        if !cx.view.sync.has_member(&me) {
            return Ok(Err(Ineligible::NotSynchronous));
        }
        peers.retain(|peer| cx.view.sync.has_member(&peer.name));
    }
    compare_with_peers(cx, peers, CheckLag::Yes, None)
}

/// A consent to a primary in failsafe mode lasts a ttl, and does not outlive the daemon that gave
/// it: for so long after its start this one cannot know what its predecessor promised. Whether
/// the mode is on by now does not matter.
fn may_have_consented(cx: &Cx<'_>) -> bool {
    let topology = cx.view.failsafe.as_ref();
    is_young(cx) && topology.is_some_and(|members| members.keys().any(|name| !cx.is_me(name)))
}

/// This daemon knows nothing of the last ttl before its start, nor of the lease of its predecessor.
fn is_young(cx: &Cx<'_>) -> bool {
    let began = cx.memory.began;
    began.is_some_and(|began| cx.now().since(began) < cx.settings.ttl)
}

/// Every other member of the failsafe topology says that it stands by: nobody leads by consent.
fn all_stand_by(cx: &mut Cx<'_>) -> Asked<bool> {
    let topology = cx.view.failsafe.clone().unwrap_or_default();
    let others = topology.into_iter().filter(|(name, _)| !cx.is_me(name));
    let peers: Vec<Peer> = others.map(|(name, url)| Peer { name, url }).collect();
    let answers = cx.ask_peers_quietly(peers)?;
    let recovers = |answer: &PeerAnswer| answer.reply.as_ref().is_ok_and(|s| s.in_recovery);
    let stands_by = |answer: &PeerAnswer| answer.stands_aside || recovers(answer);
    Ok(answers.iter().all(stands_by))
}

/// A person asks for this node, and not for an orderly change from another one.
fn is_named(cx: &Cx<'_>, request: &FailoverRequest) -> bool {
    request.candidate.as_ref() == Some(cx.me()) && !waits_for_leader(cx, request)
}

/// In a switchover nobody leads without being named in the `sync` key: not even the candidate, so
/// that nobody waits for it either.
fn is_barred_by_sync(cx: &Cx<'_>, request: &FailoverRequest, name: &MemberName) -> bool {
    request.leader.is_some() && cx.sync_active() && !cx.view.sync.has_member(name)
}

/// A switchover: the leader hands over in order when it can read the request. Unlike a failover
/// it is no word that the leader is gone.
fn waits_for_leader(cx: &Cx<'_>, request: &FailoverRequest) -> bool {
    request
        .leader
        .as_ref()
        .is_some_and(|leader| !cx.is_me(leader))
}

/// The failsafe topology is known, and this node is not in it.
fn outside_failsafe(cx: &Cx<'_>) -> bool {
    failsafe_topology(cx).is_some_and(|members| !members.contains_key(cx.me()))
}

/// The members whose consent lets a primary lead on without the store, which does not hear there
/// that the mode was switched off.
pub(super) fn failsafe_topology<'c>(cx: &'c Cx<'_>) -> Option<&'c BTreeMap<MemberName, String>> {
    let topology = cx.view.failsafe.as_ref();
    let matters = cx.settings.failsafe_mode || cx.memory.failsafe_mode != FailsafeMode::Off;
    topology.filter(|members| matters && !members.is_empty())
}

/// A running primary retakes a free lock, unless the cluster went on without it. In a pause, too:
/// after it the lock would keep the old history alive, and the standbys of the new one apart.
fn running_primary(cx: &mut Cx<'_>) -> Asked<Result<(), Ineligible>> {
    if cx.mutated(Mutant::TimelineIgnored) {
        return Ok(Ok(()));
    }
    if cx.paused() && !is_of_this_cluster(cx) {
        return Ok(Err(Ineligible::OtherCluster));
    }
    if let Err(reason) = is_of_the_last_timeline(cx)? {
        return Ok(Err(reason));
    }
    if let Some(leader) = other_sync_leader(cx) {
        return Ok(refuse(cx, format!("the sync key is that of {leader}")));
    }
    if cx.paused() {
        return Ok(Ok(()));
    }
    superseded(cx)
}

/// The running primary goes on where the history in the store ends.
fn is_of_the_last_timeline(cx: &mut Cx<'_>) -> Asked<Result<(), Ineligible>> {
    let Some(cluster) = cx.view.timeline() else {
        return Ok(Ok(()));
    };
    let Some(mine) = shown_timeline(cx)? else {
        return Ok(Err(Ineligible::TimelineUnknown));
    };
    if mine < cluster {
        cx.say(Text::PrimaryTimelineBehind { mine, cluster });
        return Ok(Err(Ineligible::TimelineBehind {
            timeline: mine,
            cluster,
        }));
    }
    if mine == cluster
        && let Some(why) = history::fork(cx)?
    {
        return Ok(refuse(cx, why));
    }
    Ok(Ok(()))
}

/// Who leads writes its name into the key before it is promoted.
fn other_sync_leader(cx: &Cx<'_>) -> Option<MemberName> {
    let sync = &cx.view.sync;
    let other = cx.sync_active() && !sync.is_leader(cx.me());
    sync.leader.clone().filter(|_| other)
}

/// The timeline that the running primary shows, asked once more when it has shown none. Not
/// knowing it is no ground for taking a lock.
fn shown_timeline(cx: &mut Cx<'_>) -> Asked<Option<Timeline>> {
    if cx.timeline().is_none() {
        cx.requery()?;
    }
    if cx.timeline().is_none() {
        cx.say(Text::NoTimeline);
    }
    Ok(cx.timeline())
}

/// The data are those of the cluster in the store, or that has none yet.
fn is_of_this_cluster(cx: &Cx<'_>) -> bool {
    match cx.view.initialize.as_deref() {
        None | Some("") => true,
        Some(cluster) => cx.system_id().is_some_and(|id| id.as_str() == cluster),
    }
}

/// The lease ran out while this primary did not run (it was frozen, or cut off, or had no daemon,
/// and a daemon that has just begun knows of no lease). Another node
/// may have led meanwhile and left traces other than the lock: a published position beyond ours,
/// a living primary, a peer on a later timeline. With any of them the lock stays untouched.
fn superseded(cx: &mut Cx<'_>) -> Asked<Result<(), Ineligible>> {
    let now = cx.now();
    if cx.memory.lease.over_for(now).is_none() && !is_young(cx) {
        return Ok(Ok(()));
    }
    let Some(timeline) = shown_timeline(cx)? else {
        return Ok(Err(Ineligible::TimelineUnknown));
    };
    let (published, mine) = (cx.view.status.optime, cx.position());
    if published > mine {
        let why = format!("position {published} was published, mine is {mine}");
        return Ok(refuse(cx, why));
    }
    let peers = known_peers(cx);
    for answer in cx.ask_peers(peers)? {
        let Ok(status) = &answer.reply else { continue };
        if !status.in_recovery {
            return Ok(refuse(cx, format!("{} is a primary", answer.name)));
        }
        if status.timeline > Some(timeline) {
            let why = format!("{} is on a later timeline", answer.name);
            return Ok(refuse(cx, why));
        }
    }
    Ok(Ok(()))
}

/// The lock stays untouched: the cluster may have gone on without this primary.
fn refuse(cx: &mut Cx<'_>, why: String) -> Result<(), Ineligible> {
    cx.say(Text::Superseded { why: why.clone() });
    Err(Ineligible::Superseded(why))
}

/// A member that may lead; where votes decide, every voter has one.
fn is_asked(cx: &Cx<'_>, member: &Member, voters: bool) -> bool {
    !member.data.tags().nofailover() || (voters && cx.view.sync.has_member(&member.name))
}

/// The other members of this and of the last led view.
fn known_members<'c>(cx: &'c Cx<'_>) -> impl Iterator<Item = &'c Member> {
    let old = cx.memory.old_view.iter().flat_map(|view| &view.members);
    let mut seen = BTreeSet::new();
    let all = cx.view.members.iter().chain(old);
    all.filter(move |member| !cx.is_me(&member.name) && seen.insert(member.name.clone()))
}

/// Those of them that can be asked and may lead.
fn known_peers(cx: &Cx<'_>) -> Vec<Peer> {
    let voters = cx.votes_count();
    known_members(cx)
        .filter(|member| is_asked(cx, member, voters))
        .filter_map(eligibility::peer)
        .collect()
}

/// Members that take no part in the race because their tags say so, for whoever asks later.
fn note_not_allowed(cx: &mut Cx<'_>) {
    let barred: Vec<MemberName> = cx
        .view
        .members
        .iter()
        .filter(|member| !cx.is_me(&member.name) && member.data.tags().nofailover())
        .map(|member| member.name.clone())
        .collect();
    let reason = Ineligible::NotAllowed;
    cx.refused.extend(barred.into_iter().map(|name| Refusal {
        name,
        reason: reason.clone(),
    }));
}

/// Somebody asked for a change of leader, and there is none now (16.3). `None`: the request
/// says nothing about this node.
fn requested(cx: &mut Cx<'_>, request: &FailoverRequest) -> Asked<Option<Result<(), Ineligible>>> {
    let action = Action::of(Some(request));
    let me = cx.me().clone();
    let mut unfit = None;
    if let Some(candidate) = &request.candidate {
        if *candidate == me {
            return candidate_myself(cx, request).map(Some);
        }
        if cx.paused() {
            return paused_for_another(cx, action, candidate);
        }
        // An empty key promises nothing, and waiting for its members would never end.
        if cx.sync_active() && !cx.quorum_mode() && !cx.view.sync.has_member(&me) {
            return Ok(Some(Err(Ineligible::NotSynchronous)));
        }
        let outside = failsafe_topology(cx).is_some_and(|members| !members.contains_key(candidate))
            && request.leader.is_some();
        let limitation = if outside {
            Some(Ineligible::NotInFailsafe)
        } else if is_barred_by_sync(cx, request, candidate) {
            Some(Ineligible::NotSynchronous)
        } else {
            let behind_is_unfit = request.leader.is_some() && cx.votes_count();
            look_at(cx, candidate, behind_is_unfit)?
        };
        match limitation {
            None => {
                cx.say(Text::FailoverTo {
                    action,
                    name: candidate.clone(),
                    me,
                });
                return Ok(Some(Err(Ineligible::NotTheCandidate(candidate.clone()))));
            }
            Some(reason) => {
                cx.say(Text::CandidateIs {
                    action,
                    name: candidate.clone(),
                    reason: reason.to_string(),
                });
                cx.refused.push(Refusal {
                    name: candidate.clone(),
                    reason,
                });
            }
        }
        unfit = Some(candidate.clone());
    } else if cx.paused() {
        return Ok(Some(Err(Ineligible::Paused)));
    }
    without_candidate(cx, request, unfit).map(Some)
}

/// This node was asked for. Nothing is checked, except that its data are those of this cluster
/// and, where it is a running primary, of its newest history (a pause lets others run on), and
/// that a switchover (no person said that the leader is
/// gone) never costs an acknowledged commit: a voter has everything only together with others, so
/// their votes are needed. The reference promotes it without.
fn candidate_myself(cx: &mut Cx<'_>, request: &FailoverRequest) -> Asked<Result<(), Ineligible>> {
    if cx.paused() && !is_of_this_cluster(cx) {
        return Ok(Err(Ineligible::OtherCluster));
    }
    if cx.is_primary()
        && let Err(reason) = is_of_the_last_timeline(cx)?
    {
        return Ok(Err(reason));
    }
    if request.leader.is_none() || !cx.votes_count() || cx.is_primary() {
        return Ok(Ok(()));
    }
    let peers = known_peers(cx);
    let answers = cx.ask_peers(peers)?;
    Ok(Count::new(cx, &answers).by_votes(cx, &answers))
}

/// Paused, and somebody else was asked for: only a running primary looks after the key.
fn paused_for_another(
    cx: &mut Cx<'_>,
    action: Action,
    candidate: &MemberName,
) -> Asked<Option<Result<(), Ineligible>>> {
    if cx.is_primary() && cx.view.member(candidate).is_none() {
        cx.say(Text::CandidateNotRunning { action });
        cx.clear_failover()?;
        return Ok(None);
    }
    Ok(Some(Err(Ineligible::NotTheCandidate(candidate.clone()))))
}

/// No usable candidate was named: the leader that was asked to go waits for others, and the
/// others compare themselves without it.
fn without_candidate(
    cx: &mut Cx<'_>,
    request: &FailoverRequest,
    unfit: Option<MemberName>,
) -> Asked<Result<(), Ineligible>> {
    if request.leader.as_ref().is_some_and(|name| cx.is_me(name)) {
        let search = Search {
            target: None,
            excluded: unfit,
        };
        let mut peers = eligibility::candidates(cx, &search);
        // Nobody waits for a node that may not take over.
        if let Some(topology) = failsafe_topology(cx) {
            peers.retain(|peer| topology.contains_key(&peer.name));
        }
        let others = eligibility::any_fit(cx, peers, search.target)?;
        return Ok(if others {
            Err(Ineligible::FormerLeader)
        } else {
            Ok(())
        });
    }
    let voters = cx.votes_count();
    let counts = |member: &&Member| {
        // After a pause the one that was to go may take writes without the lock, and may have
        // lost the store with it.
        request.leader.as_ref() == Some(&member.name)
            || cx.view.member(&member.name).is_some()
                && is_asked(cx, member, voters)
                && (!cx.sync_active() || cx.view.sync.has_standby(&member.name))
    };
    let peers = known_members(cx).filter(counts);
    let peers = peers.filter_map(eligibility::peer).collect();
    compare_with_peers(cx, peers, CheckLag::No, request.leader.as_ref())
}

/// What speaks against a member that was asked for. One that is behind this node would not get
/// the votes for a switchover in quorum mode, and nobody shall wait for it.
fn look_at(cx: &mut Cx<'_>, name: &MemberName, behind_is_unfit: bool) -> Asked<Option<Ineligible>> {
    let url = cx
        .view
        .member(name)
        .and_then(|member| member.data.api_url());
    let Some(url) = url.map(str::to_owned) else {
        return Ok(Some(Ineligible::Unreachable("not a member".to_owned())));
    };
    let peer = Peer {
        name: name.clone(),
        url,
    };
    let answers = cx.ask_peers(vec![peer])?;
    Ok(match answers.first() {
        Some(answer) => {
            let behind = || behind(cx, answer).filter(|_| behind_is_unfit);
            eligibility::limitation(answer).or_else(behind)
        }
        None => Some(Ineligible::Unreachable("no answer".to_owned())),
    })
}

/// A standby that has less than this node, and so would not get its vote.
fn behind(cx: &Cx<'_>, answer: &PeerAnswer) -> Option<Ineligible> {
    let status = answer.reply.as_ref().ok().filter(|s| s.in_recovery)?;
    if votes::compared(cx, status, true).is_ge() {
        return None;
    }
    Some(match (status.timeline, cx.timeline()) {
        (Some(timeline), Some(cluster)) if timeline < cluster => {
            Ineligible::TimelineBehind { timeline, cluster }
        }
        (Some(_) | None, Some(_) | None) => Ineligible::NotReached {
            at: status.position,
            target: cx.position(),
        },
    })
}

/// Whether the own lag counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CheckLag {
    Yes,
    No,
}

/// The comparison with everybody who could know better (10.2). Of what `left_out` says nothing
/// counts but that it is a primary, and its vote: where the others cannot have enough of them
/// without it (the reference does not ask it), nobody would lead, and it waits for them.
fn compare_with_peers(
    cx: &mut Cx<'_>,
    peers: Vec<Peer>,
    check_lag: CheckLag,
    left_out: Option<&MemberName>,
) -> Asked<Result<(), Ineligible>> {
    let mine = cx.position();
    if check_lag == CheckLag::Yes
        && let Some(reason) = eligibility::lag(cx, mine)
    {
        cx.say(Text::LagTooHigh);
        return Ok(Err(reason));
    }
    if cx.settings.check_timeline
        && !cx.in_standby_cluster()
        && let Err(reason) = own_timeline(cx)?
    {
        return Ok(Err(reason));
    }
    let answers = cx.ask_peers(peers)?;
    let standby = |answer: &PeerAnswer| answer.reply.as_ref().map_or(true, |s| s.in_recovery);
    let mut count = Count::new(cx, &answers);
    let (aside, answers): (Vec<_>, Vec<_>) = answers
        .into_iter()
        .partition(|answer| left_out == Some(&answer.name) && standby(answer));
    for answer in &aside {
        count.take_vote(cx, answer);
    }
    Ok(count.judge(cx, &answers))
}

/// Being on the cluster's timeline, as far as that is known.
fn own_timeline(cx: &mut Cx<'_>) -> Asked<Result<(), Ineligible>> {
    let mut mine = cx.timeline();
    if mine.is_none() && cx.is_running() {
        mine = cx.local_position()?.map(|local| local.timeline);
    }
    let Some(mine) = mine else {
        cx.say(Text::NoTimeline);
        return Ok(Err(Ineligible::TimelineUnknown));
    };
    if let Some(cluster) = cx.view.timeline()
        && mine < cluster
    {
        cx.say(Text::TimelineBehind { mine, cluster });
        return Ok(Err(Ineligible::TimelineBehind {
            timeline: mine,
            cluster,
        }));
    }
    Ok(Ok(()))
}
