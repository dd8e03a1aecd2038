//! `doctor` as a command: what it reads, and how it ends.

use patroni_core::{Cluster, Leader, Member, MemberData, MemberName, Revision};
use patroni_ctl::{Environment, Failure, Global};
use serde_json::{Value, json};

use crate::world::{Fake, run};

fn cluster() -> Cluster {
    let member = |name: &str| {
        let data = json!({
            "api_url": format!("http://{name}.api:8008/patroni"), "state": "running",
            "role": if name == "a" { "primary" } else { "replica" },
        });
        Member {
            name: MemberName::new(name),
            session: None,
            data: MemberData::parse(&data.to_string()),
        }
    };
    Cluster {
        initialize: Some("7300000000000000001".to_owned()),
        leader: Some(Leader {
            name: MemberName::new("a"),
            revision: Revision::new("1"),
            session: None,
        }),
        members: vec![member("a"), member("b")],
        ..Cluster::default()
    }
}

fn status(name: &str, more: &Value) -> (String, String, String, u16, String) {
    let mut document = json!({
        "state": "running", "replication_state": "streaming",
        "patroni": {"scope": "west", "name": name, "version": "4.1.5"},
    });
    let fields = more.as_object().unwrap().clone();
    document.as_object_mut().unwrap().extend(fields);
    let body = document.to_string();
    (name.into(), "GET".into(), "patroni".into(), 200, body)
}

fn world(answers: Vec<(String, String, String, u16, String)>) -> Fake {
    let mut fake = Fake::default();
    fake.set("west", cluster(), cluster(), answers);
    fake
}

#[test]
fn its_exit_status_is_that_of_the_gravest_finding() {
    let a = || status("a", &json!({"role": "primary", "xlog": {"location": 9}}));
    let b = status(
        "b",
        &json!({"role": "replica", "xlog": {"received_location": 9}}),
    );
    let words = ["doctor", "west", "--format", "json"];
    let (code, out, _) = run(&world(vec![a(), b]), &words);
    let told: Value = serde_json::from_str(&out).unwrap();
    // no document config here, and so no use_pg_rewind in it
    assert_eq!(
        (code, &told["problems"], &told["warnings"]),
        (1, &json!(0), &json!(1))
    );

    let (code, out, _) = run(&world(vec![a()]), &["doctor", "west"]);
    assert_eq!(code, 2, "{out}");
    assert!(out.contains("problem  nobody can take over: b is not reachable [no-candidate]\n"));

    let (code, out, _) = run(&world(vec![a()]), &["doctor", "west", "-f", "yaml"]);
    assert_eq!(code, 2);
    assert!(out.contains("check: no-candidate\n"), "{out}");
}

#[test]
fn what_cannot_be_examined_ends_with_three() {
    let (code, out, err) = run(&world(Vec::new()), &["doctor", "east"]);
    let text = "Error: The store knows no cluster east\n";
    assert_eq!((code, out.as_str(), err.as_str()), (3, "", text));

    let fake = world(Vec::new());
    let find = |_: &Global, _: &Environment| Err(Failure::NoStore(Vec::new()));
    let (code, ..) = crate::world::run_with(&fake, &["doctor", "west"], "", Box::new(find));
    assert_eq!(code, 3);
    let (code, ..) = run(&fake, &["doctor", "west", "--bogus"]);
    assert_eq!(code, 2);
}
