//! `dcs ls` and `dcs get`.

use patroni_core::{Cluster, Leader, Member, MemberData, MemberName, Revision};

use crate::world::{Fake, run};

const DATA: &str = r#"{"state":"running","role":"primary"}"#;

fn world() -> Fake {
    let cluster = Cluster {
        leader: Some(Leader {
            name: MemberName::new("a"),
            revision: Revision::new("5"),
            session: Some("77".to_owned()),
        }),
        members: vec![Member {
            name: MemberName::new("a"),
            session: None,
            data: MemberData::parse(DATA),
        }],
        ..Cluster::default()
    };
    let mut fake = Fake::default();
    fake.set("west", cluster.clone(), cluster, Vec::new());
    fake
}

#[test]
fn keys_are_listed_by_prefix() {
    let words = ["dcs", "ls", "--cluster", "west", "-f", "tsv"];
    let (code, out, err) = run(&world(), &words);
    let rows =
        "Key\tBytes\tRevision\tLease\nextra/note\t8\t1\t\nleader\t1\t5\t77\nmembers/a\t36\t1\t\n";
    assert_eq!((code, out.as_str(), err.as_str()), (0, rows, ""));
    let words = ["dcs", "ls", "members/", "--cluster", "west", "-f", "json"];
    let (_, out, _) = run(&world(), &words);
    assert_eq!(
        out,
        "[{\"Key\": \"members/a\", \"Bytes\": 36, \"Revision\": \"1\"}]\n"
    );
}

#[test]
fn values_are_printed_as_they_are() {
    let get = |words: &[&str]| {
        let words: Vec<&str> = ["dcs", "get", "--cluster", "west"]
            .iter()
            .chain(words)
            .copied()
            .collect();
        run(&world(), &words)
    };
    assert_eq!(get(&["members/a"]).1, format!("{DATA}\n"));
    assert_eq!(get(&["leader"]).1, "a\n");
    assert_eq!(get(&["extra/note"]).1, "not ours\n");
    assert_eq!(get(&["leader", "-f", "json"]).1, "\"a\"\n");
    let yaml = get(&["members/a", "-f", "yaml"]).1;
    assert_eq!(yaml, "role: primary\nstate: running\n");
    for key in ["sync", "nonsense"] {
        let (code, out, err) = get(&[key]);
        let text = format!("Error: The store has no key {key} of the cluster west\n");
        assert_eq!((code, out.as_str(), err), (1, "", text));
    }
}
