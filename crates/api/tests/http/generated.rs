//! Requests made from the description for programs, and what nobody would send: every answer is
//! one that is described, whatever comes, and the memory stays what it was.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Instant;

use patroni_api::wire::openapi;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value};
use tokio::runtime::Runtime;

use super::server::{ask, local, serve};

/// So many requests are sent.
const REQUESTS: u32 = 10_000;
/// More different answers than these come from all operations together.
const ANSWERS: usize = 100;
/// By then everything that is made once has been made.
const WARM: u32 = 2_000;
/// What the memory may vary by afterwards; a leak of a request's body would be many times that.
const NOISE_KB: u64 = 4_096;

/// What the description says of a method on a path.
#[derive(Clone, Debug)]
struct Operation {
    method: String,
    path: String,
    parameters: Vec<String>,
    properties: Vec<String>,
    codes: Vec<u16>,
}

fn operations() -> Vec<Operation> {
    let document = openapi::document();
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        if path == "/events" {
            continue; // it does not end
        }
        for (method, described) in methods.as_object().unwrap() {
            let body = &described["requestBody"]["content"]["application/json"]["schema"]["$ref"];
            let pointer = body.as_str().unwrap_or_default().trim_start_matches('#');
            let schema = document.pointer(pointer).filter(|_| !pointer.is_empty());
            all.push(Operation {
                method: method.to_uppercase(),
                path: path.clone(),
                parameters: names(&described["parameters"]),
                properties: schema.map_or_else(Vec::new, |schema| keys(&schema["properties"])),
                codes: keys(&described["responses"])
                    .iter()
                    .map(|code| code.parse().unwrap())
                    .collect(),
            });
        }
    }
    all
}

fn names(parameters: &Value) -> Vec<String> {
    let list = parameters.as_array().into_iter().flatten();
    list.filter_map(|one| Some(one["name"].as_str()?.to_owned()))
        .collect()
}

fn keys(object: &Value) -> Vec<String> {
    let object = object.as_object();
    object.map_or_else(Vec::new, |object| object.keys().cloned().collect())
}

/// One request, ready to be sent.
#[derive(Clone, Debug)]
struct Request {
    operation: String,
    line: String,
    body: Option<String>,
    described: Vec<u16>,
}

fn requests() -> impl Strategy<Value = Request> {
    select(operations()).prop_flat_map(|operation| {
        let query = prop::collection::vec((name(&operation.parameters), text()), 0..4);
        let path = prop_oneof![9 => Just(String::new()), 1 => "/[a-z%0-9]{0,8}"];
        (
            Just(operation.clone()),
            path,
            query,
            body(&operation.properties),
        )
            .prop_map(|(operation, rest, query, body)| {
                let pairs = query
                    .iter()
                    .map(|(name, value)| format!("{}={}", percent(name), percent(value)));
                let query = pairs.collect::<Vec<_>>().join("&");
                Request {
                    operation: format!("{} {}", operation.method, operation.path),
                    line: format!(
                        "{} {}{rest}?{query} HTTP/1.0",
                        operation.method, operation.path
                    ),
                    body,
                    described: operation.codes,
                }
            })
    })
}

/// A name that means something there, or one that does not.
fn name(known: &[String]) -> BoxedStrategy<String> {
    let unknown = "[a-z_]{0,9}".boxed();
    if known.is_empty() {
        return unknown;
    }
    prop_oneof![3 => select(known.to_vec()), 1 => unknown].boxed()
}

/// Numbers, sizes, times, addresses, and anything else.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?[0-9]{1,22}",
        "-?[0-9]{1,20}(\\.[0-9]{0,4})?(e[0-9]{1,3})? ?(B|kB|MB|GB|TB|PB|EB)?",
        "[0-9]{1,5}-[0-9]{1,2}-[0-9]{1,2}[T ][0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}(\\.[0-9]{1,12})?)?(Z|[+-][0-9]{2}:?[0-9]{2}| [A-Z]{3})?",
        "postgres(ql)?://[a-z@:/?=&%0-9\\[\\],.]{0,40}",
        "(async|sync|quorum|potential|streaming|replica|primary|true|false|on|off|null)",
        "\\PC{0,30}",
        ".{0,10}",
    ]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn body(properties: &[String]) -> BoxedStrategy<Option<String>> {
    let object = prop::collection::vec((name(properties), json()), 0..5)
        .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>()).to_string());
    prop_oneof![
        1 => Just(None),
        6 => object.prop_map(Some),
        1 => json().prop_map(|value| Some(value.to_string())),
        1 => "[\\[{\"\\\\:,0-9a-z }\\]\\n]{0,40}".prop_map(Some),
        1 => (0_usize..300).prop_map(|depth| Some("[".repeat(depth) + &"]".repeat(depth))),
        1 => ".{0,40}".prop_map(Some),
    ]
    .boxed()
}

fn percent(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// The memory of this process; what the system does not tell is not compared.
fn memory_kb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn send(runtime: &Runtime, to: SocketAddr, request: &Request) -> u16 {
    let body = request.body.as_deref();
    runtime.block_on(ask(to, &request.line, body)).0
}

#[test]
fn ten_thousand_requests_get_a_described_answer() {
    let runtime = Runtime::new().unwrap();
    let (server, member) = runtime.block_on(serve(local()));
    member.publish(|snapshot| snapshot.failsafe_mode = true);
    let to = server.local_addr();
    let strategy = requests();
    let seen = Mutex::new(BTreeSet::new());
    let mut warm = None;
    for (cases, is_warm) in [(WARM, false), (REQUESTS - WARM, true)] {
        if is_warm {
            warm = memory_kb();
        }
        let config = Config {
            cases,
            failure_persistence: None,
            ..Config::default()
        };
        let mut runner = TestRunner::new(config);
        let played = runner.run(&strategy, |request| {
            let code = send(&runtime, to, &request);
            prop_assert!(
                request.described.contains(&code),
                "{code} is not described for {request:?}"
            );
            seen.lock().unwrap().insert((request.operation, code));
            Ok(())
        });
        played.unwrap();
    }
    let seen = seen.into_inner().unwrap();
    assert!(seen.len() > ANSWERS, "{seen:?}");
    // On a busy machine this far took minutes, and no loop has run here meanwhile.
    member.publish(|snapshot| snapshot.next_run = Some(Instant::now()));
    let (code, _) = runtime.block_on(ask(to, "GET /liveness HTTP/1.0", None));
    assert_eq!(code, 200);
    if let (Some(before), Some(after)) = (warm, memory_kb()) {
        assert!(after < before + NOISE_KB, "{before} kB, then {after} kB");
    }
}
