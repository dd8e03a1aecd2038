//! The recorded files of both generators, on a machine made of the recording's own facts.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use patroni_config::Environment;
use patroni_config::generate::{Host, Server, from_server, sample, to_text};
use patroni_config::yaml;
use serde_json::{Map, Value, json};

const ADDRESS: &str = "10.1.2.3";
const NAME: &str = "node1.example";
const BIN_DIR: &str = "/usr/lib/postgresql/15/bin";
const RUN: &str = "/run/recorded";

fn recorded(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/generate");
    fs::read_to_string(folder.join(name))
        .unwrap()
        .replace("{HOST_IP}", ADDRESS)
        .replace("{HOSTNAME}", NAME)
        .replace("{BIN_DIR}", BIN_DIR)
        .replace("{RUN}", RUN)
        .trim_end_matches('\n')
        .to_owned()
}

/// Comments are our own.
fn masked(text: &str) -> String {
    let mask = |line: &str| match line.split_once('#') {
        Some((indent, _)) if indent.trim().is_empty() => format!("{indent}# {{COMMENT}}"),
        _ => line.to_owned(),
    };
    text.split('\n').map(mask).collect::<Vec<_>>().join("\n")
}

fn host() -> Host {
    Host {
        name: Some(NAME.to_owned()),
        address: Some(ADDRESS.to_owned()),
    }
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[test]
fn the_sample_is_the_recorded_one() {
    let text = to_text(&sample(&host(), 150_018, &Environment::default()));
    assert_eq!(masked(&text), recorded("sample.yml"));
}

#[test]
fn the_environment_has_the_last_word() {
    let variables = [
        ("PATRONI_SCOPE", "myscope"),
        ("PATRONI_NAME", "n1"),
        ("PATRONI_REPLICATION_USERNAME", "repuser"),
        ("PATRONI_SUPERUSER_PASSWORD", "s"),
        ("PATRONI_ETCD3_HOST", "10.0.0.1:2379"),
        ("PATRONI_REWIND_USERNAME", "rw"),
    ];
    let owned = variables.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let text = to_text(&sample(&host(), 150_018, &Environment::read(owned)));
    assert_eq!(masked(&text), recorded("sample-environment.yml"));
}

#[test]
fn a_running_server_is_described_as_recorded() {
    let expected = recorded("from-server.yml");
    let document = yaml::parse_value(&expected).unwrap();
    let at = |pointer: &str| object(document.pointer(pointer).unwrap());
    let server = Server {
        scope: Some("gen".to_owned()),
        data_dir: format!("{RUN}/h1"),
        bin_dir: BIN_DIR.to_owned(),
        listen: ADDRESS.to_owned(),
        port: "21571".to_owned(),
        shared: at("/bootstrap/dcs/postgresql/parameters"),
        own: at("/postgresql/parameters"),
        pg_hba: Some(vec![
            "local all all trust".to_owned(),
            format!("host all all {ADDRESS}/32 md5"),
            format!("host replication replicator {ADDRESS}/32 md5"),
        ]),
        pg_ident: vec!["m a b".to_owned()],
        superuser: at("/postgresql/authentication/superuser"),
    };
    let text = to_text(&from_server(
        &host(),
        150_018,
        &Environment::default(),
        &server,
    ));
    assert_eq!(masked(&text), expected);
}

#[test]
fn what_is_not_known_is_marked() {
    let text = to_text(&sample(&Host::default(), 90_600, &Environment::default()));
    let document = yaml::parse_value(&text).unwrap();
    assert_eq!(document["name"], "#FIXME");
    assert_eq!(document["postgresql"]["listen"], "#FIXME:5432");
    assert_eq!(
        document["postgresql"]["pg_hba"],
        json!([
            "host all all all md5",
            "host replication replicator all md5"
        ])
    );
    let parameters = &document["bootstrap"]["dcs"]["postgresql"]["parameters"];
    assert_eq!(parameters["wal_keep_segments"], 8);
    assert!(
        document["postgresql"]["authentication"]
            .get("rewind")
            .is_none()
    );
}
