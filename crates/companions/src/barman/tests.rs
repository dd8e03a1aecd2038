//! The program's recorded calls: arguments, exit codes and requests.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::*;
use crate::stand_in::{Received, StandIn};

const RECORDED: &str = include_str!("../../tests/golden/scripts.json");

/// Exit code as `main` gives it, without a process.
async fn call(args: &[String]) -> u8 {
    let known = arguments::known(&command_line(), args.iter().map(OsString::from));
    match Options::try_parse_from(known) {
        Ok(options) => match options.task.clone() {
            Some(task) => run(&options, &task).await,
            None => NO_COMMAND,
        },
        Err(usage) => u8::try_from(usage.exit_code()).unwrap(),
    }
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

/// What was recorded of a request: method and path, the body, and the status in the answer.
fn recorded(request: &Received, status: Option<&str>) -> String {
    let mut line = format!("{} {}", request.method, request.path);
    if !request.body.is_empty() {
        let body: Value = serde_json::from_str(&request.body).unwrap();
        line += " ";
        line += &spaced(&body);
    }
    if let Some(status) = status {
        line += " -> ";
        line += status;
    }
    line
}

/// The JSON of flat documents with a blank behind each sign, as it was recorded.
fn spaced(document: &Value) -> String {
    let pairs = document.as_object().unwrap().iter();
    let pairs: Vec<String> = pairs
        .map(|(key, value)| format!("\"{key}\": {value}"))
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

const PROGRESS: [&str; 2] = ["IN_PROGRESS", "DONE"];

/// An API whose operations are done at the second question.
async fn api() -> StandIn {
    let asked = AtomicUsize::new(0);
    StandIn::start(move |request| {
        let text = match (request.method.as_str(), request.path.as_str()) {
            (_, "/status") => r#""OK""#.to_owned(),
            ("POST", _) => r#"{"operation_id": "op1"}"#.to_owned(),
            (_, _) => {
                let status = PROGRESS[asked.fetch_add(1, Ordering::Relaxed)];
                format!(r#"{{"operation_id": "op1", "status": "{status}"}}"#)
            }
        };
        (200, text)
    })
    .await
}

#[tokio::test]
async fn calls_end_and_ask_as_recorded() {
    let cases: Vec<Value> = serde_json::from_str(RECORDED).unwrap();
    let cases = cases
        .iter()
        .filter(|case| case["args"][0] == "patroni_barman");
    for case in cases {
        let name = case["case"].as_str().unwrap();
        let api = api().await;
        let args: Vec<String> = case["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|word| {
                let word = word.as_str().unwrap();
                // Nobody listens on the port of discards.
                word.replace("{CLOSED_URL}", "http://127.0.0.1:9")
                    .replace("{URL}", &api.address)
            })
            .collect();
        let code = call(&args).await;
        // The reference ends with the code of a crash there; see the contract.
        let expected = match name {
            "barman-api-unreachable" => API_NOT_OK.into(),
            _ => case["exit_code"].as_u64().unwrap(),
        };
        assert_eq!(u64::from(code), expected, "{name}");
        let Some(requests) = case["requests"].as_array() else {
            continue;
        };
        let mut progress = PROGRESS.iter();
        let received: Vec<String> = api
            .received()
            .iter()
            .map(|request| {
                let asks = request.path.ends_with("/op1");
                let status = asks.then(|| *progress.next().unwrap());
                recorded(request, status)
            })
            .collect();
        assert_eq!(&received, requests, "{name}");
    }
}

#[tokio::test]
async fn answers_without_use_are_asked_for_again_and_others_end_at_once() {
    for (status, operation, expected, requests) in [
        (r#""sick""#, "{}", 254, 1),
        ("no json", "{}", 1, 1),
        (r#""OK""#, "{}", 2, 3),
        (r#""OK""#, "no json", 1, 2),
        (
            r#""OK""#,
            r#"{"operation_id": "o", "status": "FAILED"}"#,
            1,
            3,
        ),
        (r#""OK""#, r#"{"operation_id": "o", "status": "?"}"#, 2, 4),
    ] {
        let api = StandIn::start(move |request| {
            let text = if request.path == "/status" {
                status
            } else {
                operation
            };
            (200, text.to_owned())
        })
        .await;
        let line = format!(
            "patroni_barman --api-url {} --max-retries 2 --retry-wait 0 recover \
             --barman-server s --ssh-command x --datadir /d",
            api.address
        );
        assert_eq!(call(&words(&line)).await, expected, "{status} {operation}");
        assert_eq!(api.received().len(), requests, "{status} {operation}");
    }
}

#[tokio::test]
async fn a_switch_needs_a_model_or_a_reset() {
    for (given, expected) in [
        ("--reset", 0),
        ("--barman-model m", 0),
        ("", 4),
        ("--reset --barman-model m", 4),
    ] {
        let done = r#"{"operation_id": "o", "status": "DONE"}"#;
        let api = StandIn::start(move |request| {
            let status = request.path == "/status";
            (200, if status { r#""OK""# } else { done }.to_owned())
        })
        .await;
        let line = format!(
            "patroni_barman --api-url {} config-switch --barman-server s --switch-when always \
             {given} on_role_change primary c",
            api.address
        );
        assert_eq!(call(&words(&line)).await, expected, "{given}");
        assert_eq!(api.received().is_empty(), expected == 4, "{given}");
    }
}
