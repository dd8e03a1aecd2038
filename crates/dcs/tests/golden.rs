//! Recorded values of the reference: read, and written back as they were.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are not exempt by themselves"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use patroni_core::{Cluster, Lsn, MemberName, Revision, json};
use patroni_dcs::codec::{self, Objects, Stored};
use patroni_dcs::key::{KeySpace, Leaf};
use patroni_dcs::retry::Split;
use serde_json::Value;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn objects(stage: &Value) -> Objects {
    let keys = KeySpace::new("/service/demo");
    let text = |key: &Value, field: &str| key[field].as_str().map(str::to_owned);
    let all = stage["keys"].as_array().unwrap().iter().map(|key| {
        let leaf = keys
            .leaf(key["key"].as_str().unwrap())
            .expect("a known leaf");
        let stored = Stored {
            value: text(key, "value").unwrap(),
            revision: Revision::new(text(key, "mod_revision").unwrap()),
            session: text(key, "lease"),
        };
        (leaf, stored)
    });
    all.collect()
}

fn stage(name: &str) -> (Objects, Cluster) {
    let objects = objects(&read(&golden(&format!("etcd3/{name}.json"))));
    let cluster = codec::cluster(&objects);
    (objects, cluster)
}

/// What we would write for the same content.
fn written(leaf: &Leaf, cluster: &Cluster) -> Option<String> {
    Some(match leaf {
        Leaf::Initialize => cluster.initialize.clone()?,
        Leaf::Config => json::compact(cluster.config.as_ref()?.data.as_ref()),
        Leaf::Leader => cluster.leader_name()?.to_string(),
        Leaf::Member(name) => cluster.member(name)?.data.to_json(),
        Leaf::Status => cluster.status.to_json(),
        Leaf::OptimeLeader => cluster.status.optime.bytes().to_string(),
        Leaf::Failover => cluster.failover.as_ref()?.request.to_json(),
        Leaf::Sync => cluster.sync.to_json(),
        Leaf::History => cluster.history.as_ref()?.to_json(),
        Leaf::Failsafe => codec::failsafe_text(cluster.failsafe.as_ref()?),
    })
}

#[test]
fn every_recorded_value_is_written_back_as_it_was() {
    let mut values = 0;
    for entry in fs::read_dir(golden("etcd3")).unwrap() {
        let path = entry.unwrap().path();
        let objects = objects(&read(&path));
        let cluster = codec::cluster(&objects);
        for (leaf, stored) in &objects {
            let text = written(leaf, &cluster).unwrap_or_else(|| panic!("{leaf:?} in {path:?}"));
            // The order of names in maps keyed by names is nobody's promise.
            if matches!(leaf, Leaf::Status | Leaf::Failsafe) {
                let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
                assert_eq!(parse(&text), parse(&stored.value), "{leaf:?} in {path:?}");
                assert_eq!(text.len(), stored.value.len());
            } else {
                assert_eq!(text, stored.value, "{leaf:?} in {path:?}");
            }
            values += 1;
        }
    }
    assert!(values > 40, "only {values} values were found");
}

#[test]
fn a_running_cluster_reads_as_recorded() {
    let (_, cluster) = stage("04-running");
    let leader = cluster.leader.as_ref().unwrap();
    assert_eq!(leader.name, MemberName::new("node1"));
    assert_eq!(leader.revision, Revision::new("9"));
    assert_eq!(leader.session.as_deref(), Some("9000000000000000001"));
    assert_eq!(cluster.members.len(), 3);
    assert_eq!(cluster.leader_member().unwrap().session, leader.session);
    assert_eq!(cluster.status.optime, Lsn::new(67_108_864));
    assert!(cluster.config.as_ref().unwrap().is_valid());
    assert!(cluster.failover.is_none() && cluster.sync.revision.is_none());

    let (_, quorum) = stage("07-quorum");
    assert_eq!(quorum.sync.quorum, 1);
    let (_, scheduled) = stage("13-scheduled-switchover");
    assert!(
        scheduled
            .failover_request()
            .unwrap()
            .request
            .scheduled_at
            .is_some()
    );
    let (_, failsafe) = stage("20-failsafe");
    assert_eq!(failsafe.failsafe.unwrap().len(), 3);
}

#[test]
fn budgets_are_split_as_recorded() {
    for row in read(&golden("etcd_timeout_split.json")).as_array().unwrap() {
        let nodes = usize::try_from(row["in"]["nodes"].as_u64().unwrap()).unwrap();
        let left = Duration::from_secs_f64(row["in"]["timeout"].as_f64().unwrap());
        let split = Split::of(nodes, left);
        let expected = row["out"]["nodes"].as_u64().unwrap();
        let Some(split) = split else {
            assert_eq!(expected, 0, "{row}");
            continue;
        };
        assert_eq!(split.nodes as u64, expected, "{row}");
        let extra = row["out"]["extra_retries"].as_u64().unwrap();
        assert_eq!(u64::from(split.attempts - 1), extra, "{row}");
        let per_attempt = row["out"]["per_attempt_timeout"].as_f64().unwrap();
        assert!(
            (split.per_attempt.as_secs_f64() - per_attempt).abs() < 1e-6,
            "{row}"
        );
    }
}
