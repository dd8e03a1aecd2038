//! `promote-cluster` to its end.

use patroni_core::{Cluster, Leader, Member, MemberData, MemberName, Revision};
use serde_json::json;

use crate::world::{Fake, run_with};

fn cluster(role: &str) -> Cluster {
    let name = MemberName::new("node5");
    let data = json!({
        "conn_url": "postgres://10.0.0.5:5432/postgres",
        "api_url": "http://node5.api:8008/patroni",
        "role": role, "state": "running", "timeline": 1,
    });
    Cluster {
        leader: Some(Leader {
            name: name.clone(),
            revision: Revision::new("1"),
            session: None,
        }),
        members: vec![Member {
            name,
            session: None,
            data: MemberData::parse(&data.to_string()),
        }],
        ..Cluster::default()
    }
}

#[test]
fn promote_cluster_ends_when_the_leader_is_primary() {
    let mut fake = Fake::default();
    let answer = (
        "*".into(),
        "PATCH".into(),
        "config".into(),
        200,
        "{}".into(),
    );
    fake.set(
        "west",
        cluster("standby_leader"),
        cluster("primary"),
        vec![answer],
    );
    let words = ["promote-cluster", "west"];
    let (code, out, err) = run_with(&fake, &words, "y\n", Box::new(patroni_ctl::find));
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.contains("promote west cluster? [y/N]: 2026-11-21 09:10:11 cluster is successfully promoted\n+ Cluster"),
        "{out}"
    );
}
