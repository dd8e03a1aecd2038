//! The description for programs, held against the server.

use super::schema::faults;
use super::server::{ask, local, serve};
use serde_json::Value;

/// A body that each request accepts.
fn body_for(schema: &str) -> &'static str {
    match schema {
        "ConfigurationChange" => r#"{"ttl": 20}"#,
        "Restart" | "Reinitialize" => "{}",
        "Switchover" => r#"{"leader": "node1"}"#,
        "Failover" => r#"{"candidate": "node2"}"#,
        "FailsafeAnnouncement" => r#"{"name": "node1", "slots": {"s": 1}}"#,
        "MppEvent" => r#"{"type": "before_demote", "group": 1, "leader": "w"}"#,
        other => panic!("no body for {other}"),
    }
}

fn schema_name(content: &Value) -> Option<&str> {
    let link = content["application/json"]["schema"]["$ref"].as_str()?;
    link.rsplit('/').next()
}

#[tokio::test]
async fn the_server_answers_as_it_is_described() {
    let (server, member) = serve(local()).await;
    member.publish(|snapshot| snapshot.failsafe_mode = true);
    let to = server.local_addr();
    let (code, text) = ask(to, "GET /openapi.json HTTP/1.0", None).await;
    assert_eq!(code, 200);
    let document: Value = serde_json::from_str(&text).unwrap();
    let schemas = &document["components"]["schemas"];
    let mut validated = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if path == "/events" {
                continue; // it does not end
            }
            let line = format!("{} {path} HTTP/1.0", method.to_uppercase());
            let body = schema_name(&operation["requestBody"]["content"]).map(|name| {
                let body = body_for(name);
                let value: Value = serde_json::from_str(body).unwrap();
                assert_eq!(faults(&document, &schemas[name], &value), [""; 0], "{line}");
                body
            });
            let (code, text) = ask(to, &line, body).await;
            let answer = &operation["responses"][code.to_string()];
            assert!(answer.is_object(), "{line}: {code} is not described");
            if let Some(name) = schema_name(&answer["content"]) {
                let value: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(faults(&document, &schemas[name], &value), [""; 0], "{line}");
                validated += 1;
            } else if answer["content"].is_null() {
                assert_eq!(text, "", "{line}");
            }
        }
    }
    assert!(validated > 20, "{validated}");
}
