//! The refusals of the contract, one by one.

use std::sync::Arc;

use patroni_core::{Leader, MemberData, Revision, SyncState};
use serde_json::json;

use super::*;
use crate::wire::Content;
use patroni_core::Member;

fn parse(asked: Action, body: &Value, paused: bool) -> Result<FailoverBody, Answer> {
    let now = "2026-11-21T10:00:00+00:00[UTC]".parse().unwrap();
    FailoverBody::parse(asked, body.as_object().unwrap(), paused, &now)
}

fn shown(answer: &Answer) -> (u16, String) {
    let Content::Text(text) = &answer.content else {
        panic!("refusals are sentences")
    };
    let text = String::from_utf8(text.to_vec()).unwrap();
    (answer.status.as_u16(), text)
}

/// Three members, of which `a` leads and `b` is synchronous.
fn cluster() -> Cluster {
    let member = |name: &str| Member {
        name: MemberName::new(name),
        session: None,
        data: MemberData::parse(&format!(r#"{{"api_url":"http://{name}:8008/patroni"}}"#)),
    };
    Cluster {
        leader: Some(Leader {
            name: MemberName::new("a"),
            revision: Revision::new("1"),
            session: None,
        }),
        members: ["a", "b", "c"].map(member).into(),
        sync: SyncState::new(Some(MemberName::new("a")), 0, [MemberName::new("b")].into()),
        ..Cluster::default()
    }
}

#[test]
fn bodies_are_refused_in_the_order_of_the_table() {
    use Action::{Failover, Switchover};
    let past = "2001-01-01T00:00:00Z";
    for (asked, body, paused, code, text) in [
        (
            Failover,
            json!({"leader": "a"}),
            false,
            400,
            "Failover could be performed only to a specific candidate",
        ),
        (
            Switchover,
            json!({"candidate": "b"}),
            false,
            400,
            "Switchover could be performed only from a specific leader",
        ),
        (
            Switchover,
            json!({"leader": null}),
            false,
            400,
            "Switchover could be performed only from a specific leader",
        ),
        (
            Failover,
            json!({"candidate": "b", "scheduled_at": past}),
            true,
            400,
            "Failover can't be scheduled",
        ),
        (
            Switchover,
            json!({"leader": "a", "scheduled_at": past}),
            true,
            400,
            "Can't schedule switchover in the paused state",
        ),
        (
            Switchover,
            json!({"leader": "a", "scheduled_at": past}),
            false,
            422,
            "Cannot schedule switchover in the past",
        ),
        (
            Switchover,
            json!({"leader": "a", "scheduled_at": 5}),
            false,
            422,
            "Unable to parse scheduled timestamp. It should be in an unambiguous format, e.g. ISO 8601",
        ),
        (
            Switchover,
            json!({"leader": "a"}),
            true,
            400,
            "Switchover is possible only to a specific candidate in a paused state",
        ),
        (
            Switchover,
            json!({"leader": "a", "member": "a"}),
            false,
            400,
            "Switchover target and source are the same",
        ),
    ] {
        let refusal = parse(asked, &body, paused).unwrap_err();
        assert_eq!(shown(&refusal), (code, text.to_owned()), "{body}");
    }
    let empty_time = json!({"leader": "a", "scheduled_at": ""});
    assert_eq!(
        parse(Switchover, &empty_time, false).unwrap().scheduled_at,
        None
    );
    let named = parse(Failover, &json!({"leader": "a", "candidate": "b"}), false).unwrap();
    assert_eq!(named.action, Switchover);
}

#[test]
fn the_poll_ends_with_a_new_leader_or_without_the_request() {
    let body = parse(
        Action::Switchover,
        &json!({"leader": "a", "candidate": "b"}),
        false,
    )
    .unwrap();
    let mut view = cluster();
    let written_at = Instant::now();
    let poll = FailoverPoll::new(&body, &view, written_at);
    let judge_by_read_at = |view: &Cluster, asked_at| poll.clone().judge(&read(view, asked_at));
    let judge = |view: &Cluster| judge_by_read_at(view, written_at);
    let before = written_at.checked_sub(Duration::from_millis(1)).unwrap();
    assert_eq!(
        judge_by_read_at(&view, before),
        None,
        "read before the write"
    );
    view.failover = Some(patroni_core::Failover {
        revision: Revision::new("2"),
        request: body.to_request(),
    });
    assert_eq!(judge(&view), None);
    assert_eq!(
        shown(&poll.timed_out()),
        (503, "Switchover status unknown".to_owned())
    );
    view.leader = None;
    assert_eq!(judge(&view), None);
    view.failover = None;
    assert_eq!(
        shown(&judge(&view).unwrap()),
        (503, "Switchover failed".to_owned())
    );
    let settled = written_at + Duration::from_secs(1);
    let mut end = |name: &str| {
        view.leader = Some(leader(name));
        let mut poll = poll.clone();
        assert_eq!(poll.judge(&read(&view, written_at)), None, "not promoted");
        shown(&poll.judge(&read(&view, settled)).unwrap())
    };
    assert_eq!(
        end("b"),
        (200, "Successfully switched over to \"b\"".to_owned())
    );
    assert_eq!(
        end("c"),
        (200, "Switched over to \"c\" instead of \"b\"".to_owned())
    );
}

#[test]
fn the_poll_ends_with_a_promotion_and_not_with_the_lock_alone() {
    let body = json!({"leader": "a", "candidate": "b"});
    let body = parse(Action::Switchover, &body, false).unwrap();
    let mut view = cluster();
    let begun = Instant::now();
    let mut poll = FailoverPoll::new(&body, &view, begun);
    view.leader = Some(leader("b"));
    assert_eq!(poll.judge(&read(&view, begun)), None);
    let mut refused = view.clone();
    refused.leader = None;
    assert_eq!(
        shown(&poll.clone().judge(&read(&refused, begun)).unwrap()),
        (503, "Switchover failed".to_owned()),
        "its pre_promote said no"
    );
    let mut members = view.members.iter_mut();
    let new = members.find(|member| member.name.as_str() == "b").unwrap();
    new.data = MemberData::parse(r#"{"role": "promoted"}"#);
    assert_eq!(shown(&poll.judge(&read(&view, begun)).unwrap()).0, 200);
}

fn leader(name: &str) -> Leader {
    Leader {
        name: MemberName::new(name),
        revision: Revision::new("3"),
        session: None,
    }
}

fn read(view: &Cluster, asked_at: Instant) -> CachedView {
    CachedView {
        cluster: Arc::new(view.clone()),
        asked_at,
        until: asked_at + Duration::from_secs(30),
        other_groups: Arc::new([]),
    }
}
