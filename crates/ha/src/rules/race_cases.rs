//! The recorded decisions of the reference: 300 situations of the race and of the question
//! whether a failover is possible.

use std::collections::BTreeMap;

use patroni_core::server::{Answer, LocalServer};
use patroni_core::{
    Cluster, Failover, FailoverRequest, Leader, Lsn, Member, MemberData, MemberName, Revision,
    Role, State, SyncState, SystemId, Tags, Timeline,
};
use serde_json::{Value, json};

use crate::command::Command;
use crate::context::Cx;
use crate::eligibility::{self, Ineligible, Search};
use crate::memory::Memory;
use crate::observation::{Observation, PeerAnswer, PeerStatus};
use crate::outcome::Outcome;
use crate::replay::{Asked, Halt, Replay};
use crate::rules::race;
use crate::support;

fn members(list: &Value) -> Vec<Member> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|member| {
            let name = member["name"].as_str().unwrap();
            let mut data = json!({"state": "running", "role": "replica",
                "conn_url": format!("postgres://{name}:5432/postgres"),
                "tags": member.get("tags").cloned().unwrap_or(json!({}))});
            if member.get("api") != Some(&json!(false)) {
                data["api_url"] = json!(format!("http://{name}:8008/patroni"));
            }
            Member {
                name: MemberName::new(name),
                session: None,
                data: MemberData::new(data.as_object().unwrap().clone()),
            }
        })
        .collect()
}

fn view(case: &Value) -> Cluster {
    let text = |value: Option<&Value>| value.map(Value::to_string).unwrap_or_default();
    let timeline = case["cluster_timeline"].as_u64().unwrap();
    let history = (timeline > 0).then(|| format!("[[{}, 100, \"r\"]]", timeline - 1));
    let mut cluster = Cluster {
        initialize: case["initialize"].as_str().map(str::to_owned),
        members: members(&case["members"]),
        sync: SyncState::parse(&text(case.get("sync")), Some(Revision::new(1))),
        failsafe: case
            .get("failsafe")
            .map(|map| serde_json::from_value(map.clone()).unwrap()),
        history: history.and_then(|text| patroni_core::History::parse(&text)),
        ..Cluster::default()
    };
    cluster.status.optime = Lsn::new(case["optime"].as_u64().unwrap());
    cluster.failover = case.get("failover").map(|key| Failover {
        revision: Revision::new(1),
        request: FailoverRequest::parse(&key.to_string()),
    });
    cluster
}

fn server(me: &Value) -> LocalServer {
    let flag = |key: &str| me.get(key).and_then(Value::as_bool).unwrap_or(false);
    let lsn = Lsn::new(me["lsn"].as_u64().unwrap());
    let timeline = me["timeline"]
        .as_u64()
        .and_then(|n| Timeline::new(u32::try_from(n).unwrap()));
    let mut server = if flag("primary") {
        support::primary()
    } else {
        support::replica()
    };
    if let Answer::Known(status) = &mut server.status {
        status.position = lsn;
        status.received = Some(lsn);
        status.replayed = Some(lsn);
        if status.primary_timeline.is_some() {
            status.primary_timeline = timeline;
        }
        status.receiver_timeline = timeline;
    }
    let id = me.get("sysid").and_then(Value::as_str);
    server.system_id = SystemId::parse(id.unwrap_or(support::SYSTEM_ID));
    if flag("starting") {
        server.state = State::Starting;
    }
    if flag("primary") {
        server.role = Role::Primary;
        if timeline.is_none() {
            server.status = Answer::Unknown("timed out".to_owned());
        }
    }
    server
}

fn answers(case: &Value) -> BTreeMap<MemberName, PeerAnswer> {
    case["peers"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, peer)| {
            let flag =
                |key: &str, default| peer.get(key).and_then(Value::as_bool).unwrap_or(default);
            let status = PeerStatus {
                in_recovery: flag("in_recovery", true),
                position: Lsn::new(peer["lsn"].as_u64().unwrap()),
                timeline: peer["timeline"]
                    .as_u64()
                    .and_then(|n| Timeline::new(u32::try_from(n).unwrap())),
                tags: peer
                    .get("tags")
                    .and_then(Value::as_object)
                    .cloned()
                    .map(Tags::new)
                    .unwrap_or_default(),
                watchdog_failed: flag("watchdog_failed", false),
                replays_own_wal: false,
                streams: false,
                may_stream: false,
                body: String::new(),
            };
            let reply = if flag("reachable", true) {
                Ok(status)
            } else {
                Err("refused".to_owned())
            };
            let name = MemberName::new(name);
            let answer = PeerAnswer {
                name: name.clone(),
                reply,
                stands_aside: false,
            };
            (name, answer)
        })
        .collect()
}

fn observe(case: &Value) -> Observation {
    let me = &case["me"];
    let mut observation = support::observation(server(me), view(case));
    observation.settings = support::settings(case["config"].clone());
    observation.node = support::node("me");
    let priority = me.get("failover_priority").and_then(Value::as_i64);
    let mut tags = json!({"nofailover": me.get("nofailover").cloned().unwrap_or(json!(false))});
    tags["failover_priority"] = json!(priority.unwrap_or(1));
    observation.node.tags = support::tags(tags);
    observation.watchdog.required = true;
    observation.watchdog.usable = me.get("watchdog_ok") != Some(&json!(false));
    observation
}

fn remember(case: &Value, observation: &Observation) -> Memory {
    let old_leader = case.get("old_leader").and_then(Value::as_str);
    Memory {
        old_view: Some(
            Cluster {
                members: members(&case["old_members"]),
                leader: old_leader.map(|name| Leader {
                    name: MemberName::new(name),
                    revision: Revision::new(1),
                    session: None,
                }),
                ..Cluster::default()
            }
            .into(),
        ),
        backing_off_since: case["me"]
            .get("released_recently")
            .is_some()
            .then_some(observation.now),
        last_moment: observation.now,
        ..Memory::default()
    }
}

/// Runs `question` as often as it asks for something, answering as recorded.
fn decide<T>(case: &Value, question: impl Fn(&mut Cx<'_>, &Observation) -> Asked<T>) -> T {
    let observation = observe(case);
    let peers = answers(case);
    let mut received = Vec::new();
    loop {
        let mut cx = Cx {
            replay: Replay::new(observation.now, &received),
            node: &observation.node,
            settings: &observation.settings,
            view: view(case).into(),
            server: observation.server.clone(),
            memory: remember(case, &observation),
            refused: Vec::new(),
            rule: crate::Rule::Start,
            again: None,
            watchdog_active: false,
            lock_confirmed: false,
            scheduled: None,
            effects: Vec::new(),
        };
        let command = match question(&mut cx, &observation) {
            Ok(decided) => return decided,
            Err(Halt::Suspended(command)) => *command,
            Err(other) => panic!("{other:?}"),
        };
        let outcome = if let Command::AskPeers(asked) = &command {
            Outcome::Peers(asked.iter().map(|peer| peers[&peer.name].clone()).collect())
        } else {
            // `LocalPosition` is answered with "unknown", as recorded.
            support::fine(&command, &observation.server, &cx.view, observation.now)
        };
        received.push((outcome, observation.now));
    }
}

/// Where we decide otherwise on purpose: the reference forgets the failsafe topology over any
/// request for a change of leader, and so promotes beside a primary that leads on without the
/// store (here only the candidate of a failover may, and nobody waits for others). In a pause a
/// primary takes the lock on any timeline. Where timelines are checked, it waits for a peer
/// that is ahead on a branch the cluster has left, which itself may never lead. And with an
/// empty `sync` key in synchronous mode it holds everybody back for as long as a request names a
/// candidate that can not lead; that key promises nothing, so here the others race. Where it asks
/// for votes, it does not ask the leader that was to go, and the others may wait for ever. A primary
/// takes the lock although the `sync` key is that of another leader.
fn differs_on_purpose(case: &Value, race: &Result<(), Ineligible>) -> bool {
    let outsider = *race == Err(Ineligible::NotInFailsafe)
        && case["failover"].is_object()
        && case["failover"]["member"] != "me";
    let cluster = case["cluster_timeline"].as_u64();
    let left_behind = case["peers"].as_object().is_some_and(|peers| {
        peers
            .values()
            .any(|peer| peer["timeline"].as_u64() < cluster)
    });
    let waits_for_outsiders =
        race.is_ok() && case["failover"]["leader"] == "me" && case["failsafe"].is_object();
    let old_history_in_pause = matches!(
        race,
        Err(Ineligible::TimelineUnknown | Ineligible::TimelineBehind { .. })
    ) && case["config"]["pause"] == true
        && case["me"]["primary"] == true;
    let nothing_promised = race.is_ok()
        && case["config"]["synchronous_mode"] == true
        && case.get("sync").is_none_or(|sync| sync["leader"].is_null())
        && case["failover"]["member"].is_string();
    let former_has_a_vote = race.is_ok()
        && case["config"]["synchronous_mode"] == "quorum"
        && case["failover"]["leader"].is_string()
        && case["failover"]["leader"] == case["sync"]["leader"];
    let replaced = matches!(race, Err(Ineligible::Superseded(_)))
        && case["me"]["primary"] == true
        && case["sync"]["leader"].is_string()
        && case["sync"]["leader"] != "me";
    let leader_leads_on = match race {
        Err(Ineligible::PrimaryAlive(name)) => case["failover"]["leader"] == name.as_str(),
        _ => false,
    };
    outsider
        || leader_leads_on
        || replaced
        || old_history_in_pause
        || nothing_promised
        || former_has_a_vote
        || waits_for_outsiders
        || (race.is_ok() && case["config"]["check_timeline"] == true && left_behind)
}

/// The mode was renamed from `quorum` to priority, and the key still asks for votes: here they
/// count until the primary has taken them out of the key.
fn has_votes_of_another_mode(case: &Value) -> bool {
    case["config"]["synchronous_mode"] == true && case["sync"]["quorum"].as_u64() > Some(0)
}

#[test]
fn every_recorded_race_is_decided_as_the_reference_did() {
    let text = include_str!("../../tests/golden/race-cases.jsonl");
    let mut wrong = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let record: Value = serde_json::from_str(line).unwrap();
        let case = &record["in"];
        let race = decide(case, race::healthiest);
        if differs_on_purpose(case, &race) {
            continue;
        }
        let stricter = has_votes_of_another_mode(case);
        if json!(race.is_ok()) != record["out"]["healthiest"] && !(stricter && race.is_err()) {
            wrong.push(format!("{}: {race:?}, {line}", number + 1));
        }
        let possible = decide(case, |cx, _| {
            eligibility::failover_possible(cx, &Search::default())
        });
        if json!(possible) != record["out"]["failover_possible"] && (!stricter || possible) {
            wrong.push(format!("{}: failover {possible}, {line}", number + 1));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\n{}",
        wrong.len(),
        wrong[..wrong.len().min(6)].join("\n")
    );
}
