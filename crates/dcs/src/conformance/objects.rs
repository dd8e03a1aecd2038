//! Promises about the other objects.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use patroni_core::{
    FailoverRequest, History, Lsn, MemberName, Revision, SlotName, Status, SyncState, SystemId,
};
use serde_json::{Map, Value, json};

use super::bench::{Bench, Outcome, data, expect, lost, ok};
use crate::key::Leaf;

pub(super) async fn an_empty_cluster_loads(bench: &Bench<'_>) -> Outcome {
    for store in [bench.member("a").await?, bench.control().await?] {
        let cluster = ok("load", store.load()).await?;
        expect(bench.is_empty(&cluster), "not empty")?;
    }
    Ok(())
}

pub(super) async fn members_are_written_and_rewritten(bench: &Bench<'_>) -> Outcome {
    let (a, b) = (bench.member("a").await?, bench.member("b").await?);
    let name = MemberName::new("a");
    for state in ["starting", "running"] {
        ok("touch", a.touch_member(&data(state), None)).await?;
        let what = format!("member a to be {state}");
        let cluster = bench.soon(b.as_ref(), &what, |c| {
            c.member(&name).is_some_and(|m| m.data.state() == state)
        });
        let cluster = cluster.await?;
        let judged = cluster.member(&name);
        ok(
            "touch without a change",
            a.touch_member(&data(state), judged),
        )
        .await?;
    }
    Ok(())
}

pub(super) async fn one_racer_begins_to_initialize(bench: &Bench<'_>) -> Outcome {
    let mut stores = Vec::new();
    for name in ["a", "b", "c"] {
        stores.push(bench.member(name).await?);
    }
    let results = join_all(stores.iter().map(|store| store.begin_initialize())).await;
    let winners = results.iter().filter(|result| result.is_ok()).count();
    expect(winners == 1, &format!("{winners} began"))?;
    let [a, b, _] = stores.as_slice() else {
        return Err("three stores were opened".to_owned());
    };
    bench
        .soon(a.as_ref(), "an empty initialize", |c| {
            c.initialize.as_deref() == Some("")
        })
        .await?;
    ok("cancel", b.cancel_initialize()).await?;
    ok("begin again", a.begin_initialize()).await?;
    let id = SystemId::parse("7000000000000000001").ok_or("a valid identifier")?;
    ok("write the identifier", a.set_system_id(&id)).await?;
    lost("begin when done", b.begin_initialize()).await?;
    bench
        .soon(b.as_ref(), "the identifier", |c| {
            c.system_id().as_ref() == Some(&id)
        })
        .await?;
    Ok(())
}

pub(super) async fn conditional_writes_notice_other_writers(bench: &Bench<'_>) -> Outcome {
    let (a, b) = (bench.member("a").await?, bench.control().await?);
    ok(
        "write config",
        a.write_config(&object(json!({"ttl": 20})), None),
    )
    .await?;
    let cluster = bench
        .soon(b.as_ref(), "a config", |c| c.config.is_some())
        .await?;
    let old = cluster.config.ok_or("a config")?.revision;
    ok(
        "write with its revision",
        b.write_config(&object(json!({"ttl": 30})), Some(&old)),
    )
    .await?;
    let stale = object(json!({"ttl": 40}));
    lost(
        "write config with a stale revision",
        b.write_config(&stale, Some(&old)),
    )
    .await?;
    let cluster = ok("load", b.load()).await?;
    let config = cluster.config.ok_or("a config")?;
    expect(
        *config.data == object(json!({"ttl": 30})),
        "the stale write got through",
    )?;
    expect(
        config.is_valid() && config.revision != old,
        "a new revision",
    )?;

    let request = FailoverRequest {
        candidate: Some(MemberName::new("a")),
        ..FailoverRequest::default()
    };
    ok("write failover", b.write_failover(&request, None)).await?;
    let cluster = ok("load", b.load()).await?;
    let failover = cluster.failover.ok_or("a failover request")?;
    expect(failover.request == request, "another request")?;
    let cleared = FailoverRequest::default();
    ok(
        "clear failover",
        b.write_failover(&cleared, Some(&failover.revision)),
    )
    .await?;
    let stale = b.write_failover(&request, Some(&failover.revision));
    lost("write failover with a stale revision", stale).await?;
    let cluster = ok("load", b.load()).await?;
    expect(
        cluster.failover.is_some(),
        "a cleared request stays as an object",
    )?;
    expect(
        cluster.failover_request().is_none(),
        "a cleared request is none",
    )
}

pub(super) async fn objects_are_shown_as_they_are_stored(bench: &Bench<'_>) -> Outcome {
    let (a, control) = (bench.member("a").await?, bench.control().await?);
    let name = MemberName::new("a");
    let config = object(json!({"ttl": 20, "of another version": [null, "ü"]}));
    ok("touch", a.touch_member(&data("running"), None)).await?;
    ok("write config", a.write_config(&config, None)).await?;
    let keys = ok("read the keys", control.keys()).await?;
    for (leaf, expected) in [
        (Leaf::Member(name), data("running").as_map().clone()),
        (Leaf::Config, config),
    ] {
        let stored = keys.get(&leaf.relative());
        let text = stored.map_or("", |stored| &stored.value);
        let shown = patroni_core::json::object(text);
        expect(
            shown.as_ref() == Some(&expected),
            &format!("{leaf:?} is {text:?}"),
        )?;
    }
    Ok(())
}

pub(super) async fn groups_are_found_and_apart(bench: &Bench<'_>) -> Outcome {
    let whole = bench.control().await?;
    let found = ok("list the groups of nothing", whole.groups()).await?;
    expect(found.is_empty(), "an absent cluster has no groups")?;
    for group in [0, 12] {
        let control = bench.control_of(group).await?;
        let config = object(json!({"ttl": 20 + group}));
        ok("write config", control.write_config(&config, None)).await?;
    }
    let found = ok("list the groups", whole.groups()).await?;
    expect(
        found == [0, 12].into(),
        &format!("the groups are {found:?}"),
    )?;
    let cluster = ok("load", bench.control_of(12).await?.load()).await?;
    let ttl = cluster
        .config
        .and_then(|config| config.data.get("ttl").cloned());
    expect(
        ttl == Some(json!(32)),
        &format!("ttl of group 12 is {ttl:?}"),
    )
}

pub(super) async fn sync_is_compared_and_removed(bench: &Bench<'_>) -> Outcome {
    let a = bench.member("a").await?;
    let state = |quorum| {
        let standbys = ["b", "c"].map(MemberName::new).into();
        SyncState::new(Some(MemberName::new("a")), quorum, standbys)
    };
    let first = ok("write sync", a.write_sync(&state(0), None)).await?;
    lost("create sync, which is there", a.write_sync(&state(2), None)).await?;
    let second = ok("write sync again", a.write_sync(&state(1), Some(&first))).await?;
    expect(first != second, "every write has a revision of its own")?;
    lost(
        "write sync with a stale revision",
        a.write_sync(&state(2), Some(&first)),
    )
    .await?;
    let seen = |revision: &Revision| {
        let revision = revision.clone();
        move |c: &patroni_core::Cluster| c.sync.revision.as_ref() == Some(&revision)
    };
    let cluster = bench
        .soon(a.as_ref(), "the second sync", seen(&second))
        .await?;
    expect(
        cluster.sync.quorum == 1 && cluster.sync.standbys.len() == 2,
        "another sync",
    )?;
    lost(
        "delete sync with a stale revision",
        a.delete_sync(Some(&first)),
    )
    .await?;
    ok("delete sync", a.delete_sync(Some(&second))).await?;
    bench
        .soon(a.as_ref(), "no sync", |c| c.sync.is_empty())
        .await?;
    Ok(())
}

pub(super) async fn status_is_written_when_it_changed(bench: &Bench<'_>) -> Outcome {
    let (a, b) = (bench.member("a").await?, bench.control().await?);
    let full = Status {
        optime: Lsn::new(1 << 40),
        slots: [(SlotName::new("b"), Lsn::new(7))].into(),
        retain_slots: vec![SlotName::new("b")],
    };
    ok("write status", a.write_status(&full)).await?;
    ok("write the same status", a.write_status(&full)).await?;
    let cluster = ok("load", b.load()).await?;
    expect(cluster.status == full, "another status")?;
    let bare = Status {
        optime: Lsn::new(1 << 41),
        ..Status::default()
    };
    ok("write a position alone", a.write_status(&bare)).await?;
    let cluster = ok("load", b.load()).await?;
    expect(cluster.status == bare, "slots that are gone were kept")
}

pub(super) async fn history_and_failsafe_are_kept(bench: &Bench<'_>) -> Outcome {
    let (a, b) = (bench.member("a").await?, bench.control().await?);
    let history = History::parse(r#"[[1,100,"no recovery target specified"]]"#).ok_or("array")?;
    ok("write history", a.write_history(&history)).await?;
    let members: BTreeMap<MemberName, String> =
        [(MemberName::new("a"), "http://a:8008/patroni".to_owned())].into();
    ok("write failsafe", a.write_failsafe(&members)).await?;
    ok("write failsafe again", a.write_failsafe(&members)).await?;
    let cluster = ok("load", b.load()).await?;
    expect(cluster.history == Some(history), "another history")?;
    expect(
        cluster.failsafe == Some(members),
        "another failsafe topology",
    )
}

pub(super) async fn big_values_survive(bench: &Bench<'_>) -> Outcome {
    let (a, b) = (bench.member("a").await?, bench.control().await?);
    let config =
        object(json!({"postgresql": {"pg_hba": "x".repeat(bench.nature().largest_value)}}));
    ok("write a big config", a.write_config(&config, None)).await?;
    let cluster = ok("load", b.load()).await?;
    expect(
        cluster.config.is_some_and(|c| *c.data == config),
        "another config",
    )
}

pub(super) async fn names_may_have_any_letters(bench: &Bench<'_>) -> Outcome {
    let names = bench.nature().names;
    let mut stores = Vec::new();
    for name in names {
        let store = bench.member(name).await?;
        ok("touch", store.touch_member(&data(name), None)).await?;
        stores.push(store);
    }
    let control = bench.control().await?;
    let cluster = ok("load", control.load()).await?;
    for name in names {
        let member = cluster.member(&MemberName::new(name));
        let same = member.is_some_and(|member| member.data.state() == name);
        expect(same, &format!("member {name} was not found as written"))?;
    }
    let Some(store) = stores.first() else {
        return Ok(());
    };
    ok("acquire", store.acquire_leader()).await?;
    bench.lock_of(control.as_ref(), names[0]).await?;
    Ok(())
}

pub(super) async fn clusters_do_not_mix(bench: &Bench<'_>) -> Outcome {
    let (a, other) = (bench.member("a").await?, bench.neighbour("n").await?);
    ok("acquire", a.acquire_leader()).await?;
    ok("acquire in the other cluster", other.acquire_leader()).await?;
    ok("touch", a.touch_member(&data("running"), None)).await?;
    let cluster = ok("load", other.load()).await?;
    expect(
        cluster.member(&MemberName::new("a")).is_none(),
        "a member of another cluster is seen",
    )
}

pub(super) async fn the_control_tool_removes_everything(bench: &Bench<'_>) -> Outcome {
    let (a, control) = (bench.member("a").await?, bench.control().await?);
    ok("touch", a.touch_member(&data("running"), None)).await?;
    ok("acquire", a.acquire_leader()).await?;
    ok(
        "write config",
        a.write_config(&object(json!({"ttl": 20})), None),
    )
    .await?;
    let neighbour = bench.neighbour("n").await?;
    ok("touch", neighbour.touch_member(&data("running"), None)).await?;
    ok("remove", control.delete_cluster()).await?;
    let cluster = ok("load", control.load()).await?;
    expect(bench.is_empty(&cluster), "something is left")?;
    let cluster = ok("load", neighbour.load()).await?;
    expect(cluster.members.len() == 1, "another cluster was removed")
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}
