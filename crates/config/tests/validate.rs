//! Every recorded run of `--validate-config`, on a machine made of the recording's own facts.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use patroni_config::validate::{ListenPorts, PathKind, Probe, validate};
use patroni_config::yaml::{Options, to_block};
use patroni_config::{Environment, Local};
use serde_json::{Value, json};

/// Cases where we differ, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    (
        "v27-bad-yaml",
        "one line with file and line instead of a stack trace",
    ),
    (
        "v76-multi-document",
        "one line with file and line instead of a stack trace",
    ),
    (
        "v77-tabs",
        "one line with file and line instead of a stack trace",
    ),
    (
        "v49-print-yaml11",
        "dates and keys that are no texts are printed as texts, hence quoted",
    ),
    (
        "v50-env-override-print",
        "PATRONI_RESTAPI_THREAD_POOL_SIZE is documented, so it is read",
    ),
    (
        "v66-env-thread-pool-size",
        "the variables are converted to integers, so they are valid",
    ),
    (
        "v71-env-use-ssl-string",
        "the variable is converted to a boolean, so it is valid",
    ),
];

const PORTS: &[(&str, u16)] = &[
    ("{ETCD_PORT}", 2379),
    ("{API_PORT}", 8008),
    ("{PG_PORT}", 5432),
    ("{RAFT_PORT}", 2222),
    ("{CLOSED_PORT}", 7001),
    ("{CLOSED_PORT2}", 7002),
    ("{CLOSED_PORT3}", 7003),
];
const ANSWERING_PORT: u16 = 2379;
const BIN_DIR: &str = "/usr/lib/postgresql/15/bin";

struct Recorded;

impl Probe for Recorded {
    fn connects(&self, _: &str, port: u16) -> Result<bool, String> {
        Ok(port == ANSWERING_PORT)
    }

    fn kind(&self, path: &Path) -> PathKind {
        match path.to_str().unwrap() {
            "/w/afile" => PathKind::Other,
            "/w/notpg" | "/w/pg14" | "/w/pg14/pg_wal" | "/w/pg15nowal" | "/w/hidden"
            | "/w/mounted" | "/w/emptybin" | BIN_DIR => PathKind::Directory,
            _ => PathKind::Absent,
        }
    }

    fn names(&self, directory: &Path) -> Vec<String> {
        let names: &[&str] = match directory.to_str().unwrap() {
            "/w/hidden" => &[".keep"],
            "/w/mounted" => &["lost+found"],
            "/w/notpg" => &["something"],
            _ => &["PG_VERSION"],
        };
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn text(&self, file: &Path) -> Option<String> {
        match file.to_str().unwrap() {
            "/w/pg14/PG_VERSION" => Some("14\n".to_owned()),
            "/w/pg15nowal/PG_VERSION" => Some("15\n".to_owned()),
            _ => None,
        }
    }

    fn has_program(&self, directory: Option<&Path>, name: &str) -> bool {
        directory == Some(Path::new(BIN_DIR)) && name != "postgres-edb"
    }

    fn version(&self, directory: Option<&Path>, name: &str) -> Option<String> {
        let found = self.has_program(directory, name);
        found.then(|| "postgres (PostgreSQL) 15.18 (Debian)".to_owned())
    }
}

fn filled(text: &str, directory: &str) -> String {
    let mut text = text.replace("{BIN_DIR}", BIN_DIR);
    for (name, port) in PORTS {
        text = text.replace(name, &port.to_string());
    }
    // The file of the case lies in a directory of our own, everything else in a made-up one.
    let (mut out, mut rest) = (String::new(), text.as_str());
    while let Some(at) = rest.find("{W}/case-") {
        let after = &rest[at + 4..];
        let end = after.find('/').unwrap_or(after.len());
        out.push_str(&rest[..at]);
        out.push_str(directory);
        rest = &after[end..];
    }
    out.push_str(rest);
    out.replace("{W}", "/w")
}

/// Puts the input of a case where its arguments look for it.
fn lay_out(input: &Path, directory: &Path) {
    if input.is_dir() {
        let target = directory.join("conf.d");
        fs::create_dir(&target).unwrap();
        for entry in fs::read_dir(input).unwrap() {
            let entry = entry.unwrap();
            let text = fs::read_to_string(entry.path()).unwrap();
            let text = filled(&text, directory.to_str().unwrap());
            fs::write(target.join(entry.file_name()), text).unwrap();
        }
    } else {
        let text = fs::read_to_string(input).unwrap();
        let text = filled(&text, directory.to_str().unwrap());
        fs::write(directory.join("patroni.yml"), text).unwrap();
    }
}

/// Standard output, standard error and exit code of our run.
fn run(args: &[String], variables: Vec<(String, String)>) -> (String, String, i64) {
    let given = |names: [&str; 2]| args.iter().any(|arg| names.contains(&arg.as_str()));
    let path = args
        .iter()
        .find(|arg| !arg.starts_with('-'))
        .map(PathBuf::from);
    let local = match Local::load(path.as_deref(), &Environment::read(variables)) {
        Ok(local) => local,
        Err(error) => {
            let first = error.log_line().map(|line| line + "\n").unwrap_or_default();
            return (String::new(), format!("{first}{error}\n"), 1);
        }
    };
    let ports = if given(["-i", "--ignore-listen-port"]) {
        ListenPorts::Ignored
    } else {
        ListenPorts::MustBeFree
    };
    let lines = validate(&local, ports, &Recorded);
    if !lines.is_empty() {
        return (String::new(), lines.join("\n") + "\n", 1);
    }
    let printed = if given(["-p", "--print"]) {
        to_block(&Value::Object(local.settings), Options::default())
    } else {
        String::new()
    };
    (printed, String::new(), 0)
}

#[test]
fn recorded_cases_come_out_the_same() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/validate");
    let mut cases = 0;
    let mut failures = Vec::new();
    for entry in fs::read_dir(&golden).unwrap() {
        let file = entry.unwrap().path();
        let Some(case) = file.to_str().unwrap().strip_suffix(".output.json") else {
            continue;
        };
        let case = case.rsplit('/').next().unwrap();
        let expected: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().to_str().unwrap();
        for ending in ["yml", "d"] {
            let input = golden.join(format!("{case}.input.{ending}"));
            if input.exists() {
                lay_out(&input, directory.path());
            }
        }
        let text = |key: &str| {
            filled(expected[key].as_str().unwrap(), place)
                .trim()
                .to_owned()
        };
        let args = expected["args"].as_array().unwrap();
        let args: Vec<String> = args
            .iter()
            .map(|arg| filled(arg.as_str().unwrap(), place))
            .collect();
        let variables = expected["env"].as_object().unwrap();
        let variables = variables
            .iter()
            .map(|(name, text)| (name.clone(), filled(text.as_str().unwrap(), place)));
        let (stdout, stderr, code) = run(&args, variables.collect());
        let same = stdout.trim() == text("stdout")
            && stderr.trim() == text("stderr")
            && Some(code) == expected["exit_code"].as_i64();
        let excepted = EXCEPTIONS.iter().any(|(name, _)| *name == case);
        if same == excepted {
            failures.push(format!(
                "{case}: exit {code}\n{stdout}{stderr}--- expected {}\n{}\n{}",
                expected["exit_code"],
                text("stdout"),
                text("stderr")
            ));
        }
        cases += 1;
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    assert_eq!(cases, 72);
}

/// Seen at the reference, beside the recordings.
#[test]
fn values_between_the_types() {
    for (path, given, expected) in [
        ("postgresql.bin_dir", json!(null), &[][..]),
        (
            "log.mode",
            json!(true),
            &["log.mode True didn't pass validation: Wrong value"],
        ),
        (
            "watchdog.safety_margin",
            json!(false),
            &["watchdog.safety_margin False didn't pass validation: Wrong value"],
        ),
        ("log.file_num", json!(true), &[]),
        (
            "kubernetes.retriable_http_codes",
            json!([]),
            &["kubernetes.retriable_http_codes [] is an empty list"],
        ),
        (
            "bootstrap.dcs",
            json!({"maximum_lag_on_failover": 1_u64 << 63}),
            &[],
        ),
        ("postgresql.data_dir", json!("/w/mounted"), &[]),
        (
            "restapi.listen",
            json!(""),
            &["restapi.listen  didn't pass validation: contains a wrong value"],
        ),
        ("raft.partner_addrs", json!([]), &[]),
        (
            "raft.partner_addrs",
            json!("x"),
            &["raft.partner_addrs x is not an array"],
        ),
        (
            "etcd3.hosts",
            json!(["h:7001", 5]),
            &[
                "etcd3.hosts.0 h:7001 didn't pass validation: h:7001 is not reachable",
                "etcd3.hosts.1 5 is not a string",
            ],
        ),
        (
            "etcd3.hosts",
            json!({"a": "b"}),
            &[
                "etcd3.hosts {'a': 'b'} is not a string",
                "etcd3.hosts {'a': 'b'} is not a list",
            ],
        ),
        (
            "zookeeper.hosts",
            json!("h:2379/root"),
            &["zookeeper.hosts h:2379/root didn't pass validation: contains a wrong value"],
        ),
        (
            "kubernetes.ports",
            json!([{"port": "x"}, 7]),
            &[
                "kubernetes.ports.0.name {'port': 'x'} is not defined.",
                "kubernetes.ports.0.port {'port': 'x'} is not an integer",
                "kubernetes.ports.1 7 is not a dictionary",
            ],
        ),
    ] {
        let mut settings = json!({
            "name": "n", "scope": "s",
            "restapi": {"listen": "a:8008", "connect_address": "a:8008"},
            "raft": {"self_addr": "a:1", "partner_addrs": []},
            "etcd3": {"host": "h:2379"},
            "zookeeper": {"hosts": "h:2379"},
            "kubernetes": {"labels": {}},
            "postgresql": {
                "listen": "a:5432", "connect_address": "a:5432", "data_dir": "/w/none",
                "bin_dir": BIN_DIR,
                "authentication": {"replication": {"username": "r"}, "superuser": {"username": "s"}},
            },
        });
        let (section, key) = path.split_once('.').unwrap();
        settings[section][key] = given;
        let local = Local {
            settings: settings.as_object().unwrap().clone(),
            ..Local::default()
        };
        let lines = validate(&local, ListenPorts::MustBeFree, &Recorded);
        assert_eq!(lines, expected, "{path}");
    }
}

/// Dates and large numbers are texts here, and none where they were written.
#[test]
fn what_is_written_without_quotes_may_be_no_text() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("p.yml");
    let text = "name: 2020-01-01\nscope: .inf\nnamespace: '2020-01-01'\n\
        log: {dateformat: '99999999999999999999', max_queue_size: 99999999999999999999, \
        file_num: .inf}\n\
        ctl: {keyfile_password: 99999999999999999999, certfile: 2020-01-01}\n";
    fs::write(&file, text).unwrap();
    let variables = [("PATRONI_CTL_CERTFILE".to_owned(), "2020-01-01".to_owned())];
    let local = Local::load(Some(&file), &Environment::read(variables)).unwrap();
    let mut lines = validate(&local, ListenPorts::Ignored, &Recorded);
    lines.retain(|line| !line.ends_with("is not defined."));
    assert_eq!(
        lines,
        [
            "name 2020-01-01 is not a string",
            "scope inf is not a string",
            "log.file_num inf is not an integer",
            "ctl.keyfile_password 99999999999999999999 is not a string",
        ]
    );
}
