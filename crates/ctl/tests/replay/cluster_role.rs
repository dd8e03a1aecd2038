//! `promote-cluster` to its end.

use patroni_core::{Cluster, Leader, Member, MemberData, MemberName, Revision};
use patroni_ctl::Surroundings;
use serde_json::json;

use crate::world::{Desk, Fake};

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
    let desk = Desk::new(Some("y\n"), false);
    let surroundings = Surroundings {
        environment: patroni_ctl::Environment::new(),
        settings: Box::new(patroni_ctl::find),
        world: fake.world(),
        console: Box::new(desk.clone()),
        clock: fake.clock(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let words = ["promote-cluster", "west"].map(str::to_owned);
    let code = runtime.block_on(patroni_ctl::run(&words, surroundings, fake.interrupt()));
    let (out, err) = desk.text();
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.contains("promote west cluster? [y/N]: 2026-11-21 09:10:11 cluster is successfully promoted\n+ Cluster"),
        "{out}"
    );
}
