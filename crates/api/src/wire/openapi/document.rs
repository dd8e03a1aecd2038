//! The description as a whole.

use serde_json::{Map, Value, json};

use super::super::health;
use super::super::route::{Act, Read};
use super::operation::{Form, Guard, Operation, Parameter};
use super::schema;

/// The document.
pub fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "REST API of a member",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The first segment of a path picks the handler, what follows is ignored. \
                A GET without a handler is a health check of the whole path, never 404.",
        },
        "paths": paths(),
        "components": {
            "schemas": schema::all(),
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
        },
    })
}

fn paths() -> Value {
    let mut paths = Map::new();
    let mut put = |path: &str, method: &str, operation: &Operation| {
        let item = paths
            .entry(path.to_owned())
            .or_insert_with(|| Map::new().into());
        item[method.to_lowercase()] = object(operation, path, method);
    };
    for (segment, read) in Read::TABLE {
        put(&format!("/{segment}"), "GET", &Operation::from(read));
    }
    for (method, segment, act) in Act::TABLE {
        put(&format!("/{segment}"), method, &Operation::from(act));
    }
    for check in health::CHECKS {
        put(check.path, "GET", &Operation::health(&check));
        for method in ["HEAD", "OPTIONS"] {
            put(check.path, method, &Operation::health_code(&check));
        }
    }
    paths.into()
}

fn object(operation: &Operation, path: &str, method: &str) -> Value {
    // `/standby-leader` and `/standby_leader` need names of their own.
    let words = path.trim_matches('/').replace('-', "").replace('.', "_");
    let mut object = json!({
        "operationId": format!("{}_{words}", method.to_lowercase()).trim_end_matches('_'),
        "summary": operation.summary,
        "responses": responses(operation),
    });
    if !operation.parameters.is_empty() {
        let parameters = operation.parameters.iter().copied();
        object["parameters"] = parameters.map(parameter).collect();
    }
    if let Some(body) = &operation.body {
        object["requestBody"] = json!({
            "required": body.is_required,
            "content": {"application/json": {"schema": schema::link(body.schema)}},
        });
    }
    if operation.guard == Guard::Guarded {
        // A password is asked for only where one is configured.
        object["security"] = json!([{"basic": []}, {}]);
    }
    object
}

fn responses(operation: &Operation) -> Value {
    let mut responses = Map::new();
    for answer in &operation.answers {
        let mut response = json!({"description": answer.meaning});
        let content = match answer.form {
            Form::Nothing => None,
            Form::Json(name) => Some(("application/json", schema::link(name))),
            Form::Sentence | Form::Page => Some(("text/html", json!({"type": "string"}))),
            Form::Metrics => Some(("text/plain", json!({"type": "string"}))),
            Form::Events => Some(("text/event-stream", schema::link("Event"))),
        };
        if let Some((kind, schema)) = content {
            response["content"] = json!({kind: {"schema": schema}});
        }
        responses.insert(answer.code.to_string(), response);
    }
    responses.into()
}

fn parameter(parameter: Parameter) -> Value {
    json!({
        "name": parameter.name,
        "in": "query",
        "description": parameter.about,
        "schema": {"type": parameter.kind},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described() {
        let document = document();
        let described = |path: &str, method: &str| document["paths"][path].get(method).is_some();
        for (segment, read) in Read::TABLE {
            assert!(described(&format!("/{segment}"), "get"), "{read:?}");
        }
        for (method, segment, act) in Act::TABLE {
            let method = method.to_lowercase();
            assert!(described(&format!("/{segment}"), &method), "{act:?}");
        }
    }

    #[test]
    fn references_lead_somewhere_and_names_are_unique() {
        let document = document();
        let text = document.to_string();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for link in text.split("#/components/schemas/").skip(1) {
            let name = link.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name}");
        }
        let operations = document["paths"].as_object().unwrap().values();
        let mut names: Vec<&str> = operations
            .flat_map(|item| item.as_object().unwrap().values())
            .map(|operation| operation["operationId"].as_str().unwrap())
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
